"""The five sockets of a kernel: their names, and their numbers as Unix sockets.

Jupyter's names, as in a connection file. Used by both ends.
Source: https://jupyter-client.readthedocs.io/en/stable/kernels.html
"""

from __future__ import annotations

from collections.abc import Mapping

SOCKETS = ("shell", "iopub", "stdin", "control", "hb")
KEPT = ("shell", "control", "stdin", "iopub")  # whose messages the agent keeps
# With transport ipc, a socket's "port" ends its path: jupyter_client's convention.
NUMBERS = {name: number for number, name in enumerate(SOCKETS, 1)}
SUN_PATH = 107  # bytes of a Unix socket's path: unix(7), without its closing NUL


def path(ip: str, name: str) -> str:
    """Return the path of a socket of a connection whose transport is ipc."""
    return f"{ip}-{NUMBERS[name]}"


def port_fields(ports: Mapping[str, int]) -> dict[str, int]:
    """Return the fields of a connection file that tell each socket's port."""
    return {f"{name}_port": port for name, port in ports.items()}
