"""The servers that listen in a kernel's job on this node: dashboards and the like.

Not the agent, nor the kernels' own sockets, to which other ways lead, nor what starts
our own helpers. Used by inside.py.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from remote_kernels.wire.kernel_sockets import SOCKETS

from . import processes
from .listening import TcpListener, listeners
from .node_dir import kernel_pid
from .of_job import OfJob
from .small_files import text_in

# What starts helpers on nodes (`cluster`) is in the command of launchers, which listen for
# what they have started, and for nobody else.
_STARTER = os.path.join("remote_kernels", "cluster", "node.py")
_EPHEMERAL = 32768, 60999  # where it cannot be read


def servers(node_dir: str, kernel: str) -> list[dict[str, Any]]:
    """Return the TCP ports at which processes of the job listen, by number.

    Each has `port`, `host` (the address at which it listens), `pid`, `command`;
    `is_kernel`: whether it is the kernel's own process; and `is_ephemeral`: whether the
    port is one of those that Linux hands out to who wants any, as programs do for
    themselves (ipykernel 7 has such a one for its output). One that listens at several
    addresses, or in several processes, is told of once.
    """
    first, last = _ephemeral()
    there = processes.every()
    sockets = {found.inode: found for found in listeners() if found.uid == os.getuid()}
    agent, pid_of_kernel = os.getppid(), kernel_pid(node_dir, kernel, there)
    own = _kernels_ports(node_dir)
    ports: dict[int, dict[str, Any]] = {}
    for pid in OfJob().among(there) if sockets else []:
        for found in _held(pid, sockets) if pid != agent else []:
            if found.port not in own and found.port not in ports:
                command = " ".join(processes.argv(pid)) or there[pid].name
                if _STARTER in command:
                    continue
                ports[found.port] = {
                    "port": found.port,
                    "host": found.ip,
                    "pid": pid,
                    "command": command,
                    "is_kernel": pid == pid_of_kernel,
                    "is_ephemeral": first <= found.port <= last,
                }
    return [ports[port] for port in sorted(ports)]


def _held(pid: int, sockets: dict[str, TcpListener]) -> list[TcpListener]:
    """Return those that a process has; none where it has ended, or hides them."""
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                link = os.readlink(f"/proc/{pid}/fd/{name}")
                inode = link[len("socket:[") : -1]
                if link.startswith("socket:[") and inode in sockets:
                    found.append(sockets[inode])
    return sorted(found)


def _kernels_ports(node_dir: str) -> set[int]:
    """Return the ports of kernels' own sockets, as their connection files tell them."""
    found: set[int] = set()
    for name in os.listdir(node_dir):
        if name.endswith(".json"):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                with open(os.path.join(node_dir, name), encoding="utf-8") as file:
                    body = json.load(file)
                if body.get("transport") == "tcp":
                    found |= {int(body.get(f"{each}_port", 0)) for each in SOCKETS}
    return found


def _ephemeral() -> tuple[int, int]:
    """Return the first and the last port that Linux hands out; see ip(7)."""
    numbers = text_in("/proc/sys/net/ipv4/ip_local_port_range").split()
    first, last = map(int, numbers or _EPHEMERAL)
    return first, last
