"""What can be asked of this Slurm: its partitions, one's accounts and QOS.

Rules: like `slurm.py`, argv out, text in. For completion in the shell alone: what a
kernelspec says is Slurm's to judge. Called by cli/completion.py.
"""

from __future__ import annotations

import re

_ASSOCIATIONS = ["sacctmgr", "--noheader", "--parsable2", "show", "assoc"]


def questions(user: str) -> dict[str, list[str]]:
    """By option, the command that lists what it can be."""
    mine = [*_ASSOCIATIONS, "where", f"user={user}"]
    return {
        "partition": ["sinfo", "--noheader", "--format=%R"],
        "account": [*mine, "format=account"],
        "qos": [*mine, "format=qos"],
    }


def answer(stdout: str) -> list[str]:
    """The names, each once: one in a line, or several with commas."""
    names = re.split(r"[\n,]", stdout)
    return sorted({name.strip() for name in names} - {""})
