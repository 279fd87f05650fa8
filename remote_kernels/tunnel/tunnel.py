"""Keep one session with an agent alive: connect, attach, lose, back off, attach again.

Knows carriers only by their interface. Called by kernel/; runs on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from remote_kernels.bounded import spread
from remote_kernels.errors import TunnelError
from remote_kernels.relay.forward import Mux, Stream
from remote_kernels.relay.inlet import Inlet
from remote_kernels.relay.pump import DEAD_AFTER, Link, LinkLost
from remote_kernels.wire import control
from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.hello import Ask, LoginHello, Refused
from remote_kernels.wire.messages import Message
from remote_kernels.wire.session import Session
from remote_kernels.wire.target import Target

from .carriers.base import Carrier, CarrierError, Pipe
from .forward import Forward, stop_listening

log = logging.getLogger(__name__)

FIRST_RETRY = 0.2  # seconds after a pipe broke; doubled at each failure
LAST_RETRY = 30.0  # seconds
QUEUE_BYTES = 8 * 1024 * 1024  # from one local socket, before it is read no further


class Tunnel:
    """The login end of one session.

    Parameters
    ----------
    carriers:
        Ways to reach the agent, the preferred first.
    secret:
        The job's secret.
    on_control:
        Called with each control message.
    take:
        Whether to end the session of another server that has the kernel.
    dead_after:
        Seconds of silence after which a pipe is given up.
    kernel, record:
        Which of the agent's kernels, and its record's directory; see `Ask`.

    `ended` is done, with the reason, once the agent wants no more of this session.
    """

    def __init__(
        self,
        carriers: Sequence[Carrier],
        secret: bytes,
        on_control: Callable[[control.Message], None],
        *,
        take: bool = True,
        dead_after: float = DEAD_AFTER,
        kernel: str = "",
        record: str = "",
    ) -> None:
        self._take = take
        self._kernel = kernel
        self._record = record
        self._dead_after = dead_after
        self._carriers = list(carriers)
        self._secret = secret
        session = Session(secrets.token_hex(16), 1, QUEUE_BYTES)
        self._mux = Mux(session, on_control)
        self._servers: list[tuple[asyncio.Server, Path]] = []
        self._link: Link | None = None
        self._pipe: Pipe | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.carrier: Carrier | None = None
        self.rejected: dict[str, str] = {}
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._up = asyncio.Event()
        self._down = asyncio.Event()

    def __repr__(self) -> str:
        name = self.carrier.name if self.carrier else "no carrier"
        return f"<Tunnel over {name}: {self._mux.session!r}>"

    @property
    def connected(self) -> bool:
        return self._mux.link is not None

    async def open(self) -> None:
        """First contact, by the first carrier that works, then keep it up.

        Raises TunnelError with each carrier's reason.
        """
        await self._connect_any(resume=False)
        self._keeper = asyncio.create_task(self._keep())

    async def _connect_any(self, *, resume: bool) -> None:
        """Try each carrier once. Raises TunnelError, or Refused by the agent."""
        self.rejected = {}
        for carrier in self._carriers:
            try:
                self._pipe, self._link = await self._connect(carrier, resume=resume)
            except CarrierError as exc:
                log.debug("= carrier %s: %s", carrier.name, exc)
                self.rejected[carrier.name] = str(exc)
                continue
            except Refused:
                raise
            except Exception as exc:  # the session must not end of a carrier's fault
                log.exception("= carrier %s failed", carrier.name)
                self.rejected[carrier.name] = repr(exc)
                continue
            self.carrier = carrier
            self._up.set()
            self._down.clear()
            # The one that works is tried first from now on.
            self._carriers.remove(carrier)
            self._carriers.insert(0, carrier)
            return
        reasons = "\n".join(f"  {name}: {why}" for name, why in self.rejected.items())
        msg = f"No carrier reaches the agent on the node.\n{reasons}"
        raise TunnelError(msg)

    async def _connect(self, carrier: Carrier, *, resume: bool) -> tuple[Pipe, Link]:
        session = self._mux.session
        ask = Ask(
            session.id, session.received, resume, self._take, self._kernel, self._record
        )
        hello = LoginHello(self._secret, ask)
        pipe, link = await carrier.connect(
            lambda: Link(hello, lambda: self._mux, dead_after=self._dead_after)
        )
        try:
            await asyncio.shield(link.ready)
        except LinkLost as exc:
            said = await pipe.close()
            if isinstance(exc.__cause__, Refused):
                raise exc.__cause__ from None
            msg = f"{exc}; {said}" if said else str(exc)
            raise CarrierError(msg) from exc
        except asyncio.CancelledError:
            link.close("cancelled")
            await pipe.close()
            raise
        return pipe, link

    async def _keep(self) -> None:
        """While the session lives: when its pipe breaks, find it another one."""
        futile, received = 0, -1  # pipes that the same frame ended, one after the other
        while True:
            assert self._link is not None
            assert self._pipe is not None
            lost = await asyncio.shield(self._link.lost)
            session = self._mux.session
            broken = isinstance(lost.__cause__, ProtocolError)
            futile = futile + 1 if broken and session.received == received else 0
            received = session.received
            self._up.clear()
            self._down.set()
            await self._pipe.close()
            if lost.final:
                self._end(str(lost))
                return
            log.info("carrier lost, session goes on: %s", lost)
            if not await self._reconnect(min(FIRST_RETRY * 2**futile, LAST_RETRY)):
                return

    async def _reconnect(self, delay: float) -> bool:
        while True:
            await asyncio.sleep(spread(delay))
            try:
                await self._connect_any(resume=True)
            except Refused as exc:
                self._end(str(exc))
                return False
            except TunnelError as exc:
                log.info("%s", exc)
                delay = min(delay * 2, LAST_RETRY)
            else:
                log.info("session resumed")
                return True

    async def lost(self) -> None:
        """Until the session has no pipe."""
        await self._down.wait()

    async def resumed(self) -> None:
        """Until the session has a pipe again, or is over."""
        up = asyncio.ensure_future(self._up.wait())
        try:
            await asyncio.wait((up, self.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()

    def _end(self, reason: str) -> None:
        self._down.set()
        if not self.ended.done():
            self.ended.set_result(reason)

    async def listen(self, path: Path, kernel: str, target: str) -> None:
        """Carry connections to the Unix socket `path` to `target` of `kernel`."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(
            lambda: Stream(self._mux, kernel=kernel, target=target), path
        )
        self._servers.append((server, path))

    def forward(self, kernel: str, target: Target, path: Path) -> Forward:
        """A port of the node for `kernel`; not open yet, and its owner closes it."""
        return Forward(self._mux, kernel, target, path)

    async def _stop_listening(self) -> None:
        await stop_listening([server for server, _ in self._servers])
        for _, path in self._servers:
            path.unlink(missing_ok=True)

    def stream(self, kernel: str, target: str) -> Stream:
        """A channel to a socket of `kernel`, opened when its local end is there."""
        return Stream(self._mux, kernel=kernel, target=target)

    def channel(
        self,
        kernel: str,
        target: str,
        on_message: Callable[[Message], None],
        on_room: Callable[[], None],
        on_broken: Callable[[], None] = lambda: None,
    ) -> Inlet:
        """A channel of whole messages to a kept socket of `kernel`."""
        stream = self.stream(kernel, target)
        return Inlet(stream, on_message, on_room, on_broken)

    def send(self, message: control.Message) -> None:
        self._mux.control(message)

    async def close(self) -> None:
        """Let go of the session. The agent and its kernels live on."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await self._stop_listening()
        self._mux.close("detached")
        if self._pipe is not None:
            await self._pipe.close()
        self._end("closed at this end")
