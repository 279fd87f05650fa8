"""Keep one session with an agent alive: connect, attach, lose, back off, attach again.

Knows carriers only by their interface. Called by kernel/; runs on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from remote_kernels import harmless
from remote_kernels.bounded import backoff, first_of
from remote_kernels.errors import TunnelError
from remote_kernels.relay.channel import Channel
from remote_kernels.relay.link import DEAD_AFTER, HELLO_TIMEOUT, Link, LinkLost
from remote_kernels.relay.mux import Mux
from remote_kernels.relay.socket_channel import SocketChannel
from remote_kernels.wire import control
from remote_kernels.wire.codes import Farewell, RefusalCode
from remote_kernels.wire.frames import LocalProtocolError, ProtocolError
from remote_kernels.wire.hello import Ask, LoginHello, Refused
from remote_kernels.wire.session import Session
from remote_kernels.wire.target import Target

from .carriers.base import Carrier, CarrierError, Pipe
from .forward import ForwardedPort, stop_listening
from .race import race

log = harmless.logger(__name__)

FIRST_RETRY = 0.2  # seconds after a pipe broke; doubled at each failure
LAST_RETRY = 30.0  # seconds
HEAD_START = 1.5  # seconds before the next carrier is tried, too; a SYN may be lost
PATIENCE = 5.0  # seconds, where the node answers: sshd may be slow to let us in
QUEUE_BYTES = 8 * 1024 * 1024  # from one local socket, before it is read no further


@dataclass(frozen=True)
class Over:
    """Why a session is over.

    Parameters
    ----------
    text : str
        For people.
    code : Farewell or RefusalCode or None
        The agent's word, by which it can be decided what follows; None: it was this end.
    """

    text: str
    code: Farewell | RefusalCode | None = None


class Tunnel:
    """The login end of one session.

    Parameters
    ----------
    carriers : sequence of Carrier
        Ways to reach the agent, the preferred first.
    secret : bytes
        The job's secret.
    on_control : callable
        Called with each control message.
    take : bool
        Whether to end the session of another server that has the kernel.
    dead_after : float
        Seconds of silence after which a pipe is given up.
    kernel, record : str
        Which of the agent's kernels, and its record's directory; see `Ask`.
    beside : bool
        Whether to leave the kernel's own session to whoever has it; see `Ask`.

    `ended` is done, with why, once the agent wants no more of this session.
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
        beside: bool = False,
    ) -> None:
        self._dead_after = dead_after
        self._carriers = list(carriers)
        self._secret = secret
        session = Session(secrets.token_hex(16), 1, QUEUE_BYTES)
        self._ask = Ask(
            session.id, take=take, kernel=kernel, record=record, beside=beside
        )
        self._mux = Mux(session, on_control)
        self._servers: list[tuple[asyncio.Server, Path]] = []
        self._link: Link | None = None
        self._pipe: Pipe | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[Any]] = set()  # of what came second
        self.carrier: Carrier | None = None
        self.rejected: dict[str, str] = {}
        self.ended: asyncio.Future[Over] = asyncio.get_running_loop().create_future()
        self._up = asyncio.Event()
        self._down = asyncio.Event()

    def __repr__(self) -> str:
        name = self.carrier.name if self.carrier else "no carrier"
        return f"<Tunnel over {name}: {self._mux.session!r}>"

    @property
    def connected(self) -> bool:
        """Whether the session has a pipe."""
        return self._mux.link is not None

    async def open(self) -> None:
        """Connect by the first carrier that gets there, then keep the session up.

        Raises TunnelError with each carrier's reason.
        """
        await self._connect_any(resume=False)
        self._keeper = asyncio.create_task(self._keep())

    async def _connect_any(self, *, resume: bool) -> None:
        """Try each carrier once, side by side. Raises TunnelError, or Refused by the agent."""
        carriers = list(self._carriers)
        turn = asyncio.Lock()
        outcome = await race(
            [partial(self._connect, it, turn, resume) for it in carriers],
            lambda number: _head_start(carriers[number]),
            lambda made: made[1].close("another was faster"),
            Refused,
        )
        self.rejected = {}
        for number, error in sorted(outcome.errors.items()):
            self.rejected[carriers[number].name] = _reason(carriers[number], error)
        if outcome.winner is None:
            raise _unreached(self.rejected, [*outcome.errors.values()])
        number, (self._pipe, self._link) = outcome.winner
        self.carrier = carriers[number]
        for task, number in outcome.losers.items():
            late = f"was not there yet when {self.carrier.name} was"
            self.rejected[carriers[number].name] = late
            self._ending(task)
        self._up.set()
        self._down.clear()
        # The one that works is tried first from now on.
        self._carriers.remove(self.carrier)
        self._carriers.insert(0, self.carrier)

    async def _connect(
        self, carrier: Carrier, turn: asyncio.Lock, resume: bool
    ) -> tuple[Pipe, Link]:
        """Open the session by this carrier, when it is its `turn` to ask the agent."""
        ask = replace(self._ask, received=self._mux.session.received, resume=resume)
        hello = LoginHello(self._secret, ask)
        pipe, link = await carrier.connect(
            lambda: _Suitor(
                hello,
                lambda: self._mux,
                dead_after=self._dead_after,
                hello_within=HELLO_TIMEOUT + carrier.slow,
            )
        )
        try:
            await link.there()
            await turn.acquire()  # for good, if it succeeds: the others are cancelled
            try:
                link.ask()
                await asyncio.shield(link.ready)
            except BaseException:
                turn.release()
                raise
        except LinkLost as exc:
            said = await self._put_away(pipe)
            if isinstance(exc.__cause__, Refused):
                raise exc.__cause__ from None
            msg = f"{exc}; {said}" if said else str(exc)
            raise CarrierError(msg, no_answer=not link.heard) from exc
        except asyncio.CancelledError:
            link.close("cancelled")
            await self._put_away(pipe)
            raise
        return pipe, link

    async def _put_away(self, pipe: Pipe) -> str:
        """To its end, also if nobody waits for that any more; what it said."""
        closing = asyncio.ensure_future(pipe.close())
        self._ending(closing)
        return await asyncio.shield(closing)

    def _ending(self, task: asyncio.Task[Any]) -> None:
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

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
            if lost.farewell is not None:
                self._end(Over(str(lost), lost.farewell))
                return
            log.info("carrier lost, session goes on: %s", lost)
            if not await self._reconnect(min(FIRST_RETRY * 2**futile, LAST_RETRY)):
                return

    async def _reconnect(self, first_pause: float) -> bool:
        for pause in backoff(first_pause, LAST_RETRY):
            await asyncio.sleep(pause)
            try:
                await self._connect_any(resume=True)
            except Refused as exc:
                self._end(Over(str(exc), exc.code))
                return False
            except TunnelError as exc:
                log.info("%s", exc)
            else:
                log.info("session resumed")
                break
        return True

    async def lost(self) -> None:
        """Wait until the session has no pipe."""
        await self._down.wait()

    async def resumed(self) -> None:
        """Wait until the session has a pipe again, or is over."""
        await first_of(self._up.wait(), asyncio.shield(self.ended))

    def _end(self, reason: Over) -> None:
        self._down.set()
        if not self.ended.done():
            self.ended.set_result(reason)

    async def listen(self, path: Path, kernel: str, target: str) -> None:
        """Carry connections to the Unix socket `path` to `target` of `kernel`."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(
            lambda: SocketChannel(self._mux.channel(kernel, target)), path
        )
        self._servers.append((server, path))

    def forward(self, kernel: str, target: Target, path: Path) -> ForwardedPort:
        """Return a port of the node for `kernel`; not open yet, and its owner closes it."""
        return ForwardedPort(self._mux, kernel, target, path)

    def channel(self, kernel: str, target: str) -> Channel:
        """Return a channel to a socket of `kernel`, opened when its local end is there."""
        return self._mux.channel(kernel, target)

    def send(self, message: control.Message) -> None:
        """Send a control message. Raises TunnelError for one that is too large."""
        try:
            self._mux.control(message)
        except LocalProtocolError as exc:
            msg = f"The agent cannot be told so: {exc}."
            raise TunnelError(msg) from exc

    async def close(self) -> None:
        """Let go of the session. The agent and its kernels live on."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await stop_listening([server for server, _ in self._servers])
        for _, path in self._servers:
            path.unlink(missing_ok=True)
        self._mux.close(Farewell.DETACHED)
        if self._pipe is not None:
            await self._pipe.close()
        if self._endings:
            await asyncio.wait(self._endings)
        self._end(Over("closed at this end"))


class _Suitor(Link):
    """A link that asks the agent for the session only when it may.

    So the agent never hears of a carrier that came second.
    """

    heard = False
    _held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._offered = self._loop.create_future()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        super().data_received(data)

    def _answer(self, answer: bytes) -> None:
        self._held = answer
        self._offered.set_result(None)

    async def there(self) -> None:
        """Until the agent has spoken. Raises LinkLost."""
        await first_of(asyncio.shield(self.ready), asyncio.shield(self._offered))

    def ask(self) -> None:
        """Unless it was lost meanwhile, of which `ready` tells."""
        if not self.ready.done():
            super()._answer(self._held)


async def _head_start(carrier: Carrier) -> None:
    await asyncio.sleep(HEAD_START)
    if carrier.answers:
        await asyncio.sleep(PATIENCE - HEAD_START)


def _reason(carrier: Carrier, error: Exception) -> str:
    if isinstance(error, CarrierError):
        log.debug("= carrier %s: %s", carrier.name, error)
        return str(error)
    # The session must not end of a carrier's fault.
    log.error("= carrier %s failed", carrier.name, exc_info=error)
    return repr(error)


def _unreached(rejected: dict[str, str], errors: list[Exception]) -> TunnelError:
    reasons = "\n".join(f"  {name}: {why}" for name, why in rejected.items())
    msg = f"No carrier reaches the agent on the node.\n{reasons}"
    silent = all(isinstance(exc, CarrierError) and exc.no_answer for exc in errors)
    return TunnelError(msg, [*rejected] if silent else [])
