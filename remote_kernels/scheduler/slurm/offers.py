"""What can be asked of this Slurm: its partitions, one's accounts and QOS.

Rules: argv out, text in. For completion in the shell alone: what a kernelspec says is
Slurm's to judge. Called by `driver.py`.
"""

from __future__ import annotations

import re

from remote_kernels.scheduler.job import Completed, Query

_ASSOCIATIONS = ("sacctmgr", "--noheader", "--parsable2", "show", "assoc")


def offers(option: str, user: str) -> Query[list[str]] | None:
    """Ask what this option can be, for this user (a login name)."""
    mine = [*_ASSOCIATIONS, "where", f"user={user}"]
    argvs = {
        "partition": ["sinfo", "--noheader", "--format=%R"],
        "account": [*mine, "format=account"],
        "qos": [*mine, "format=qos"],
    }
    return Query(argvs[option], _names) if option in argvs else None


def _names(completed: Completed) -> list[str]:
    """Return the names, each once: one in a line, or several with commas."""
    names = re.split(r"[\n,]", completed.stdout)
    return sorted({name.strip() for name in names} - {""})
