"""The forwarded ports of one kernel: open, list, close.

They live as long as the kernel's session with its agent: through cuts, changes of
carrier and restarts of the kernel, not through the end of its job or of this server.
Each has a Unix socket in the kernel's private directory, and if it is asked for a
loopback port, to which any user of this host can connect. Made by connection.py.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_kernels import harmless
from remote_kernels.errors import PortError
from remote_kernels.tunnel.forward import ForwardedPort
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire.target import LARGEST_PORT, Target, Tcp, Unix

__all__ = ["LARGEST_PORT", "Port", "Ports", "Target", "Tcp", "Unix"]

log = harmless.logger(__name__)

MOST = 32  # of one kernel
PATIENCE = 3.0  # seconds for the agent to say whether somebody listens


@dataclass(eq=False)
class Port:
    """One of them.

    `listening` is whether somebody listened at the target when it was last tried;
    None: the agent did not say, as while the connection to it is lost.
    """

    id: str
    node: str
    forward: ForwardedPort
    listening: bool | None = None

    @property
    def target(self) -> Target:
        """Where it leads in the job."""
        return self.forward.target

    @property
    def name(self) -> str:
        """What it is called in a URL; "" if it has none there."""
        if not isinstance(self.target, Tcp):
            return ""
        port, host = self.target.port, self.target.host
        return f"{host}:{port}" if host else str(port)

    @property
    def local_socket(self) -> Path:
        """The Unix socket on this host."""
        return self.forward.path

    @property
    def trouble(self) -> str:
        """Why the last connection was not made, in plain words."""
        return self.forward.trouble

    async def open(self, local_port: int | None) -> None:
        """Begin to listen. Raises PortError."""
        try:
            await self.forward.open(local_port)
        except OSError as exc:
            where = f"port {local_port}" if local_port else str(self.local_socket)
            advice = " Choose another one, or 0 for any." if local_port else ""
            why = os.strerror(exc.errno) if exc.errno else str(exc)
            msg = f"Cannot listen at {where} of this host: {why}.{advice}"
            raise PortError(msg) from exc
        await self.try_out()

    async def try_out(self) -> None:
        """Note whether somebody listens at the target."""
        self.listening = await self.forward.try_out(PATIENCE)

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API and `--json` show it."""
        target = self.target
        return {
            "id": self.id,
            "port": target.port if isinstance(target, Tcp) else None,
            "host": (target.host or None) if isinstance(target, Tcp) else None,
            "socket": target.path if isinstance(target, Unix) else None,
            "node": self.node,
            "local_socket": str(self.local_socket),
            "local_port": self.forward.port,
            "connections": len(self.forward.connections),
            "listening": self.listening,
            "trouble": self.trouble,
        }


class Ports:
    """Those of one kernel.

    Parameters
    ----------
    kernel_id:
        The kernel's ID.
    directory:
        A short private directory for sockets.
    node:
        Where the kernel runs, for messages.
    tunnel:
        The way to its agent, or None.
    """

    def __init__(
        self,
        kernel_id: str,
        directory: Path,
        node: str,
        tunnel: Callable[[], Tunnel | None],
    ) -> None:
        self._kernel_id = kernel_id
        self._directory = directory
        self._node = node
        self._tunnel = tunnel
        self._numbers = itertools.count(1)
        self._ports: dict[str, Port] = {}
        self._closed = False

    def all(self) -> list[Port]:
        """Return all that are open."""
        return list(self._ports.values())

    def move(self, directory: Path) -> None:
        """Use this directory for the ports that are opened from now on."""
        self._directory = directory

    def find(self, id: str) -> Port | None:
        """Return the port with that ID, if it is open."""
        return self._ports.get(id)

    async def open(self, target: Target, local_port: int | None = None) -> Port:
        """Forward a port, as often as it is asked for. Raises PortError.

        `local_port`: also at a loopback port of this host, 0 for any that is free.
        """
        tunnel = self._tunnel()
        if tunnel is None or tunnel.carrier is None or tunnel.ended.done():
            msg = (
                f"The agent of kernel {self._kernel_id} on {self._node} is not reached "
                "yet. Try again in a while."
            )
            raise PortError(msg)
        if len(self._ports) >= MOST:
            msg = f"{MOST} ports of this kernel are forwarded already. Close one first."
            raise PortError(msg)
        id = str(next(self._numbers))
        forward = tunnel.forward(self._kernel_id, target, self._directory / f"p{id}")
        port = self._ports[id] = Port(id, self._node, forward)
        try:
            await port.open(local_port)
            if self._closed:
                msg = f"The kernel ended while its {target} was being forwarded."
                raise PortError(msg)
        except BaseException:
            await self.close(id)
            raise
        log.info("kernel=%s %s is forwarded", self._kernel_id, target)
        return port

    async def close(self, id: str) -> None:
        """Close a port; without effect on one that is not there."""
        port = self._ports.pop(id, None)
        if port is not None:
            await port.forward.close()

    async def close_all(self) -> None:
        """Close all, for good."""
        self._closed = True
        for id in list(self._ports):
            await self.close(id)
