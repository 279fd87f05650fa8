"""What a carrier must know of this node: names, addresses, SSH host keys.

Written into the record, which only the user can write: the scheduler started us as
that user, so the ssh carrier may trust these keys.
"""

from __future__ import annotations

import glob
import os
import socket
import sys
from typing import Any

from . import job_facts
from .cgroup import groups
from .small_files import table_in, text_in


def oom_kills() -> int:
    """Return how many processes of our cgroup were killed for lack of memory so far.

    Source: the kernel's admin guide, memory.oom_control (cgroup v1) and memory.events
    (v2); both have a line `oom_kill N`.
    """
    version, directories = groups("memory")
    name = "memory.oom_control" if version == 1 else "memory.events"
    return table_in(os.path.join(directories[0], name)).get("oom_kill", 0)


def facts(socket_path: str, pyz: str) -> dict[str, Any]:
    """Return what agent.json tells of this agent and its node."""
    hostname = socket.gethostname()
    return {
        "socket": socket_path,
        "pyz": pyz,
        "python": sys.executable,
        "pid": os.getpid(),
        "node": job_facts.node(),
        "hostname": hostname,
        "cluster": job_facts.cluster(),
        "addresses": _addresses(hostname),
        "host_keys": _host_keys(),
    }


def _addresses(hostname: str) -> list[str]:
    try:
        # As bytes: text would load the IDNA codec and its tables.
        name = os.fsencode(hostname)
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [a for a in addresses if not a.startswith("127.") and a != "::1"]


def _host_keys() -> list[str]:
    """Return those that can be read; else the user's known_hosts must do."""
    paths = sorted(glob.glob("/etc/ssh/ssh_host_*_key.pub"))
    return [key for path in paths if (key := text_in(path))]
