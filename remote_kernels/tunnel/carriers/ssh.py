"""SSH to the node, there a Unix socket.

By asyncssh, because host keys, keys and forwards are data and calls, not a command line
and its temper; it is imported when first used (0.1 s and 20 MB that a server without
such kernels need not pay). Only ssh.py, ssh_login.py, ssh_transport.py and ssh_keys.py
know it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from remote_kernels import harmless
from remote_kernels.bounded import within

from . import ssh_keys
from .base import Adoption, CarrierError, P, Unadopted
from .destination import Destination
from .dial import Dialer, Way
from .ssh_login import CONNECT_TIMEOUT, HungUpError, Login, LoginDeniedError, Visit
from .ssh_transport import SshPipe, open_pipe, run

if TYPE_CHECKING:
    import asyncssh

log = harmless.logger(__name__)


class SshCarrier:
    """Carry a session over SSH.

    Parameters
    ----------
    destination : Destination
        Where the agent is.
    port : int
        The node's sshd.
    adoption : Adoption or None
        What the node does with ssh sessions; by default, nothing.
    signers : dict or None
        See `Login`.
    """

    name = "ssh"
    slow = 0.0

    def __init__(
        self,
        destination: Destination,
        port: int = 22,
        adoption: Adoption | None = None,
        signers: dict[str, str] | None = None,
    ) -> None:
        self.to = destination
        self._port = port
        self._adoption = adoption or Unadopted()
        signers = {} if signers is None else signers
        self._login = Login(destination, port, signers, self._adoption)
        self.answers = False

    def __repr__(self) -> str:
        return f"<SshCarrier {', '.join(self.to.hosts)}>"

    async def connect(self, make: Callable[[], P]) -> tuple[SshPipe, P]:
        """Join a protocol to the agent. Raises CarrierError."""
        while True:
            await self._adoption.turn()
            made = await self._connect(make)
            if made is not None:
                return made

    async def _connect(self, make: Callable[[], P]) -> tuple[SshPipe, P] | None:
        """None: a job that is ending has adopted the session."""
        import asyncssh

        dialer = Dialer(self.to.hosts, self._way, CONNECT_TIMEOUT)
        reasons: dict[str, str] = {}
        denied = ""
        self.answers = False
        while line := await dialer.next():
            self.answers = line.sock is not None
            host = line.host
            try:
                connection, visit = await self._login.log_in(line)
            except CarrierError as exc:
                reasons[host] = str(exc)
                if isinstance(exc, HungUpError):
                    break  # under its other names it is the same sshd
                denied = denied or (host if isinstance(exc, LoginDeniedError) else "")
                continue
            try:
                reached = await within(
                    self._reach_agent(connection, visit, make), CONNECT_TIMEOUT
                )
            except (OSError, asyncssh.Error, asyncio.TimeoutError) as exc:
                connection.abort()  # it broke, or the network is gone since the login
                reasons[host] = str(exc) or f"no answer in {CONNECT_TIMEOUT:g} s"
                continue
            except BaseException:
                connection.abort()
                raise
            return reached
        if denied:
            reasons[denied] += f"\n{await self._advice(denied)}"
        raise self._unreached(dialer.errors, reasons)

    def _undialled(self, exc: CarrierError) -> str:
        if self.to.template and isinstance(exc.__cause__, socket.gaierror):
            return (
                f"{exc}. The name is made by the option 'address' (--address), which is "
                f"{self.to.template!r}: there 'getent hosts NAME' must find it on this "
                "host. Change it, or take it out."
            )
        return str(exc)

    async def _advice(self, host: str) -> str:
        """Say what to do about a refusal."""
        found = await self._configured(host)
        files = cast("list[str]", found.config.get("IdentityFile", []))
        agent = ssh_keys.agent_of(found.config.get("IdentityAgent"))
        return await ssh_keys.advice(host, files, agent, self.to.instead)

    async def _configured(self, host: str) -> Any:
        import asyncssh

        return await asyncssh.SSHClientConnectionOptions.construct(
            host=host, port=self._port, client_keys=None, known_hosts=None
        )

    async def _way(self, host: str) -> Way:
        """As ~/.ssh/config has it."""
        try:
            found = await self._configured(host)
        except (OSError, ValueError) as exc:
            msg = f"asyncssh cannot read ~/.ssh/config as it is: {exc}"
            raise CarrierError(msg) from exc
        around = found.tunnel or found.proxy_command or found.local_addr
        direct = not around and not found.canonicalize_hostname
        return Way(found.host, found.port, found.family, direct)

    def _unreached(
        self, undialled: Mapping[str, CarrierError], reasons: Mapping[str, str]
    ) -> CarrierError:
        texts = {host: self._undialled(exc) for host, exc in undialled.items()}
        texts.update(reasons)
        lines = [f"{host}: {texts[host]}" for host in self.to.hosts if host in texts]
        silent = not reasons and all(exc.no_answer for exc in undialled.values())
        return CarrierError("\n".join(lines), no_answer=silent)

    async def _reach_agent(
        self,
        connection: asyncssh.SSHClientConnection,
        visit: Visit,
        make: Callable[[], P],
    ) -> tuple[SshPipe, P] | None:
        """Open the session with the agent; None: a job that is ending has adopted it."""
        # sshd turns Nagle's algorithm off only once a session channel has run a
        # command (9.2p1): without this one, small messages wait 40 ms for an ACK.
        idle = await run(connection, self._adoption.command, _listener(visit))
        if self._adoption.in_doubt:
            await visit.told.wait()
            if not self._adoption.keeps(visit.said):
                connection.close()
                return None
        return await open_pipe(connection, self.to, make, idle)


def _listener(visit: Visit) -> Any:
    """Make an SSH session that hears who has adopted it."""
    import asyncssh

    class AdoptionSession(asyncssh.SSHClientSession[bytes]):
        def data_received(self, data: bytes, datatype: Any) -> None:
            # The user's shell may say something first.
            if not visit.told.is_set() and visit.adoption.is_told(data):
                visit.said = data
                visit.told.set()

        def connection_lost(self, exc: Exception | None) -> None:
            visit.told.set()

    return AdoptionSession()
