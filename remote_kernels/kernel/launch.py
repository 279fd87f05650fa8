"""What to start on the node. Made by the provisioner, passed on by remote_kernel.py."""

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
    curve:
        CURVE public and secret key (Z85), for kernels that listen on TCP.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    key: bytes = b""
    curve: tuple[bytes, bytes] | None = None
    env_lines: Mapping[str, str] = field(default_factory=dict)
    language: str = ""

    def process(self, settings: Settings) -> ProcessSpec:
        """Return what the agent is to start, with the kernelspec's config."""
        transport = transport_for(settings, self.argv)
        curve = self.curve if transport == "tcp" else None
        argv = (*settings.prefix, *self.argv)
        return ProcessSpec(
            **{**vars(self), "argv": argv, "curve": curve},
            transport=transport,
            spool=settings.spool * 1024 * 1024,
            gpus=settings.visible_gpus,
        )

    @property
    def interpreter(self) -> str | None:
        """The kernel's own Python, which may run the agent, too."""
        command = self.argv[0] if self.argv else ""
        return command if "python" in Path(command).name else None


@dataclass(frozen=True)
class ProcessSpec(Launch):
    """The process that the agent starts: what `Launch` makes, and spec.json keeps.

    Its command has all that the kernelspec's config puts before it.

    Parameters
    ----------
    transport:
        Where the kernel listens: `ipc` or `tcp`.
    spool:
        Bytes on the node's disk that each of its streams may take.
    gpus:
        Those of the job's GPUs that it sees; None: as the job has them.
    """

    transport: str = "ipc"
    spool: int | None = None
    gpus: Any = None

    def as_json(self) -> dict[str, Any]:
        """Return it as the agent wants it."""
        connection: dict[str, Any] = {
            "transport": self.transport,
            "key": self.key.decode(),
            "signature_scheme": "hmac-sha256",
        }
        if self.curve is not None:
            public, secret = self.curve
            connection["curve_publickey"] = public.decode()
            connection["curve_secretkey"] = secret.decode()
        return {
            "argv": list(self.argv),
            "env": dict(self.env),
            "env_lines": dict(self.env_lines),
            "cwd": self.cwd,
            "language": self.language,
            "connection": connection,
            "spool": self.spool,
            "gpus": self.gpus,
        }

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> ProcessSpec:
        """Return what `as_json` made, perhaps in another version."""
        connection = body["connection"]
        curve = None
        if "curve_publickey" in connection:
            keys = connection["curve_publickey"], connection["curve_secretkey"]
            curve = str(keys[0]).encode(), str(keys[1]).encode()
        return cls(
            argv=tuple(body["argv"]),
            env=body["env"],
            env_lines=body.get("env_lines") or {},
            cwd=body.get("cwd"),
            language=str(body.get("language", "")),
            transport=str(connection["transport"]),
            key=str(connection["key"]).encode(),
            curve=curve,
            spool=body.get("spool"),
            gpus=body.get("gpus"),
        )


def transport_for(settings: Settings, argv: tuple[str, ...]) -> str:
    """Return `ipc` for kernels that are known to speak it, else `tcp`."""
    if settings.transport != "auto":
        return settings.transport
    return "ipc" if any("ipykernel" in arg for arg in argv) else "tcp"
