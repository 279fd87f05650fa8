"""What to start on the node. Made by the provisioner, passed on by story.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote_kernels.config import Settings


@dataclass(frozen=True)
class Launch:
    """What to start on the node.

    Parameters
    ----------
    argv:
        The kernel's command, with `{connection_file}`.
    env:
        Variables for the kernel beyond the job's own.
    env_lines:
        More of them, the kernelspec's: `${NAME}` in a value is filled in there.
    cwd:
        Where it starts, if the node has that directory; None: the home directory.
    key:
        The HMAC key of the connection.
    language:
        The kernelspec's, for who stands in for the kernel.
    curve_pair:
        CURVE public and secret key (Z85), for kernels that listen on TCP.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    key: bytes = b""
    curve_pair: tuple[bytes, bytes] | None = None
    env_lines: Mapping[str, str] = field(default_factory=dict)
    language: str = ""

    def spec(self, settings: Settings) -> dict[str, Any]:
        """As the agent wants it."""
        connection: dict[str, Any] = {
            "transport": transport_for(settings, self.argv),
            "key": self.key.decode(),
            "signature_scheme": "hmac-sha256",
        }
        curve = self.curve(settings)
        if curve is not None:
            public, secret = curve
            connection["curve_publickey"] = public.decode()
            connection["curve_secretkey"] = secret.decode()
        return {
            "argv": [*settings.prefix, *self.argv],
            "env": dict(self.env),
            "env_lines": dict(self.env_lines),
            "cwd": self.cwd,
            "language": self.language,
            "connection": connection,
            "spool": settings.spool * 1024 * 1024,
            "gpus": settings.visible_gpus,
        }

    @property
    def interpreter(self) -> str | None:
        """The kernel's own Python, which may run the agent, too."""
        command = self.argv[0] if self.argv else ""
        return command if "python" in Path(command).name else None

    def curve(self, settings: Settings) -> tuple[bytes, bytes] | None:
        """The CURVE keys, if this kernel is to use them."""
        return self.curve_pair if transport_for(settings, self.argv) == "tcp" else None


def curve_of(connection: Mapping[str, Any]) -> tuple[bytes, bytes] | None:
    """The CURVE keys in what `Launch.spec` wrote."""
    if "curve_publickey" not in connection:
        return None
    keys = connection["curve_publickey"], connection["curve_secretkey"]
    return str(keys[0]).encode(), str(keys[1]).encode()


def transport_for(settings: Settings, argv: tuple[str, ...]) -> str:
    """`ipc` for kernels that are known to speak it, else `tcp`."""
    if settings.transport != "auto":
        return settings.transport
    return "ipc" if any("ipykernel" in arg for arg in argv) else "tcp"
