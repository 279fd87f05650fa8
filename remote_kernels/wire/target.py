"""What an OPEN asks for when it is not one of a kernel's own sockets. SPEC.md section 6.

A TCP port of the kernel's node (or of another host, seen from there), or a Unix socket
there. Used by both ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

LARGEST_PORT = 65535
TRIAL = "try:"  # before a target: only say whether somebody listens there


@dataclass(frozen=True)
class Tcp:
    """A port; without a host, of the kernel's node."""

    port: int
    host: str = ""

    def __str__(self) -> str:
        return f"port {self.port} of {self.host}" if self.host else f"port {self.port}"


@dataclass(frozen=True)
class Unix:
    """A Unix socket on the kernel's node."""

    path: str

    def __str__(self) -> str:
        return f"socket {self.path}"


Target = Union[Tcp, Unix]


def encode(target: Target) -> str:
    """Return a target as an OPEN names it."""
    if isinstance(target, Unix):
        return f"unix:{target.path}"
    return f"tcp:{target.host}:{target.port}" if target.host else f"tcp:{target.port}"


def decode(text: str) -> Target | None:
    """Return the target; None for the name of a kernel's own socket, or none at all."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/"):
        return Unix(rest)
    host, _, port = rest.rpartition(":")
    digits = port.isascii() and port.isdigit() and len(port) <= len(str(LARGEST_PORT))
    if kind == "tcp" and digits and 1 <= int(port) <= LARGEST_PORT:
        return Tcp(int(port), host)
    return None


def target_of(text: str) -> tuple[Target | None, bool]:
    """Return what an OPEN asks for, and whether it is a trial."""
    trial = text.startswith(TRIAL)
    return decode(text[len(TRIAL) :] if trial else text), trial
