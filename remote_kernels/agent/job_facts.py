"""What the batch script has told of the job, in variables that its driver sets.

    RK_JOB_ID       the job's number
    RK_NODE         this node, as the batch system calls it
    RK_CLUSTER      the cluster
    RK_NODES        the job's nodes, as the batch system writes them
    RK_NODE_COUNT   how many these are
    RK_JOB_MARK     NAME=VALUE: what all processes of the job have in their environment
    RK_LAUNCHERS    programs that sleep while what they started computes on other nodes

Where one is missing, it is not known. See scheduler/driver.py, `script_head`.
"""

from __future__ import annotations

import os
import socket


def _told(name: str) -> str:
    return os.environ.get(f"RK_{name}", "")


def number() -> str:
    """Return the job's number; "" where it is not known."""
    return _told("JOB_ID")


def node() -> str:
    """Return the name of this node."""
    return _told("NODE") or socket.gethostname()


def cluster() -> str:
    """Return the name of the cluster; "" where it is not known."""
    return _told("CLUSTER")


def nodes() -> tuple[str, int]:
    """Return the job's nodes, for people, and how many there are."""
    count = _told("NODE_COUNT")
    return _told("NODES") or node(), int(count) if count.isdigit() else 1


def mark() -> tuple[str, str]:
    """Return the variable, and its value, by which processes of the job are known."""
    name, _, value = _told("JOB_MARK").partition("=")
    return name, value


def launchers() -> tuple[str, ...]:
    """Return the names of the batch system's own launchers."""
    return tuple(_told("LAUNCHERS").split())
