"""What the batch script has told of the job, in variables that its driver sets.

    RK_JOB_ID       the job's number
    RK_NODE         this node, as the batch system calls it
    RK_CLUSTER      the cluster
    RK_NODES        the job's nodes, as the batch system writes them
    RK_NODE_COUNT   how many these are
    RK_JOB_MARK     NAME=VALUE: what all processes of the job have in their environment
    RK_LAUNCHERS    programs that sleep while what they started computes on other nodes
    RK_ENDS         signals that say, as SIGTERM does, that the job ends: USR2
    RK_WARNS        those that are for kernels: USR1 and USR2, if it is not there
    RK_IGNORES      those that the batch system sends to every process of the job, and
                    that kernels are to begin without an ear for

Where one is missing, it is not known. See scheduler/driver.py, `script_head`.
"""

from __future__ import annotations

import os
import signal
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


def ends() -> list[signal.Signals]:
    """Return the signals by which we are told to end."""
    always = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
    return [*always, *_signals(_told("ENDS"))]


def warns() -> list[signal.Signals]:
    """Return the signals by which kernels are warned of the end."""
    return _signals(os.environ.get("RK_WARNS", "USR1 USR2"))


def ignores() -> list[signal.Signals]:
    """Return the signals that reach each process of the job, but are none's to hear."""
    return _signals(_told("IGNORES"))


def _signals(names: str) -> list[signal.Signals]:
    return [signal.Signals[f"SIG{name}"] for name in names.split()]


def launchers() -> tuple[str, ...]:
    """Return the names of the batch system's own launchers."""
    return tuple(_told("LAUNCHERS").split())
