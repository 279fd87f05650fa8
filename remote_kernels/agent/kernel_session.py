"""One kernel's place at the agent: its process, its session, and when it is given up.

One session at a time: a new one takes the place of the old. Made by endpoint.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from remote_kernels.relay.channel import Channel
from remote_kernels.relay.link import DEAD_AFTER
from remote_kernels.relay.mux import Mux
from remote_kernels.relay.socket_channel import SocketChannel
from remote_kernels.wire import control
from remote_kernels.wire.codes import Farewell, RefusalCode
from remote_kernels.wire.exec import TARGET as EXEC
from remote_kernels.wire.hello import Ask, Refused
from remote_kernels.wire.session import Session
from remote_kernels.wire.target import target_of

from .culling import forgotten
from .forwarding import connect
from .kernel_process import GRACE
from .measuring import FRESH, Measuring
from .message_buffer import connected
from .record import write
from .supervisor import Kernel
from .visits import Visits, resumable

if TYPE_CHECKING:
    from .exec import Executions

LINGER = 60.0  # seconds without a living process, then the kernel is given up
ATTACH = 300.0  # seconds for somebody to come; else whoever submitted us is dead
QUEUE_BYTES = 64 * 1024 * 1024  # of output queued on one channel, before less is read
SILENCE = 3600.0  # seconds without a login end and without work, then it is forgotten
# Messages that a PUB socket surely keeps for us: libzmq's ZMQ_SNDHWM is 1000, and what
# has been taken counts in steps of half of that (pipe.cpp, 4.3). ipykernel (7.4) has no
# option for it.
QUEUE = 500
LULL = 1.0  # seconds
KEPT = QUEUE // 10  # fewer messages in a lull are what the kernel says now
IN_USE = 0.75  # of dead_after: a living login end is never silent for so long


class KernelSession:
    """One kernel.

    Parameters
    ----------
    kernel : Kernel
        It, spawned.
    spec : dict
        The record's spec.json: optionally linger, attach, silence, dead_after, and
        usage, how often to measure it (seconds; never if not given).
    give_up : callable
        Called when the kernel is to end.
    """

    def __init__(
        self,
        kernel: Kernel,
        spec: dict[str, Any],
        give_up: Callable[[KernelSession], None],
    ) -> None:
        self.id = kernel.id
        self.kernel = kernel
        self._dead_after = float(spec.get("dead_after", DEAD_AFTER))
        self._give_up = give_up
        self._linger = float(spec.get("linger", LINGER))
        self._attach = float(spec.get("attach", ATTACH))
        self._silence = float(spec.get("silence", SILENCE))
        self._usage = float(spec.get("usage") or 0)
        self._measuring = Measuring(lambda: kernel.sessions)
        self._mux: Mux | None = None
        self._visits = Visits(self.id, self._execute, self._dead_after)
        self._executions: Executions | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lingering: asyncio.TimerHandle | None = None
        self._alone: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Begin on the event loop: watch the process, wait for somebody to come."""
        loop = asyncio.get_running_loop()
        reason = f"nobody attached within {self._attach:g} s"
        self._alone = loop.call_later(self._attach, self._lapse, reason)
        self.kernel.watch(self._kernel_changed)
        self._do(self._guard())
        if self._usage:
            self._do(self._measure())

    def _do(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self, code: Farewell, detail: str) -> None:
        """End the process, then the session."""
        for timer in (self._alone, self._lingering):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        endings = [self.kernel.end()]
        if self._executions is not None:
            endings.append(self._executions.end(GRACE))
        await asyncio.gather(*endings)
        mux = self._mux
        if mux is not None:
            mux.control(control.Stopping())
            await asyncio.sleep(0)  # let flush_soon() run
            mux.close(code, detail)
        self._visits.close(code, detail)

    async def _guard(self) -> None:
        about = self.kernel.record, self._is_attended, lambda: self.kernel.sessions
        self._lapse(await forgotten(self._silence, *about))

    def _is_attended(self) -> bool:
        """Whether a login end is there, also one beside whoever has the kernel."""
        attached = self._mux is not None and self._mux.link is not None
        return attached or self._visits.are_attended

    def _lapse(self, reason: str) -> None:
        """Nobody told us to end it: its record says why, and that it is no more."""
        self._say(f"ends: {reason}")
        with contextlib.suppress(OSError):
            write(self.kernel.record, "ended.json", {"reason": reason})
        self._give_up(self)

    def _say(self, text: str) -> None:
        sys.stderr.write(f"agent: kernel {self.id[:8]}: {text}\n")

    async def _measure(self) -> None:
        """Tell what the kernel uses of this node, as long as somebody hears it."""
        told, loop = -math.inf, asyncio.get_running_loop()
        while self._usage:
            await asyncio.sleep(self._usage)
            if self.kernel.alive and self._heard_since(told) and await self._tell_use():
                told = loop.time()

    async def _tell_use(self, fresh: float = 0.0) -> bool:
        """Tell what the kernel uses, if somebody is there; return whether that is so."""
        try:
            sample = await self._measuring.sample(fresh)
        except Exception as exc:  # noqa: BLE001 - the kernel is worth more
            self._say(f"measures no longer: {exc!r}")
            self._usage = 0.0
            return False
        if self._mux is None or self._mux.link is None:
            return False
        self._mux.control(control.Usage(self.id, **sample))
        return True

    def _heard_since(self, then: float) -> bool:
        """Return whether a login end is there, and was heard since `then`."""
        link = self._mux.link if self._mux is not None else None
        now = asyncio.get_running_loop().time()
        return link is not None and now - link.silence > then

    @property
    def said(self) -> int:
        """How many messages the kernel has published, as far as we know them."""
        return self.kernel.buffer.said if self.kernel.buffer is not None else 0

    def stalled(self, seconds: float, said: int) -> None:
        """Learn that the agent did not run; `said` counts messages before that."""
        self._do(self._stalled(seconds, said))

    async def _stalled(self, seconds: float, said: int) -> None:
        """If less came meanwhile than what the kernel's socket keeps, nothing is lost."""
        while self.said - said < QUEUE:
            before = self.said
            await asyncio.sleep(LULL)
            if self.said - before < KEPT:  # all that was kept has come
                return
        self._say(f"stood still for {seconds:.0f} s; output may be lost")
        if self._mux is not None:
            self._mux.control(control.Stalled(self.id, seconds))

    # The session

    def decide(self, ask: Ask) -> Mux:
        """Return the mux of a session, which begins here if it is new. Raises Refused.

        Who asked is attached from now on.
        """
        if ask.beside:
            return self._visits.decide(ask)
        # Who did not hear our answer asks again.
        mux = self._mux if self._mux and self._mux.session.id == ask.session else None
        if mux is None and not ask.resume:
            if not ask.take:
                self._require_silence()
            mux = self._mux = self._new(ask.session)
        mux = resumable(mux, ask)
        if self._alone is not None:
            self._alone.cancel()
        return mux

    def _require_silence(self) -> None:
        """Raise Refused if whoever has the session was heard lately."""
        link = self._mux.link if self._mux is not None else None
        if link is not None and link.silence < IN_USE * self._dead_after:
            silence = link.silence
            assert self._mux is not None
            self._mux.session.ping()  # who asks again soon hears whether it lives
            link.flush_soon()
            msg = f"it was heard {silence:.1f} s ago"
            raise Refused(RefusalCode.IN_USE, msg, silence)

    def _new(self, session: str) -> Mux:
        if self._mux is not None:
            self._mux.close(Farewell.REPLACED)
        mux = Mux(
            Session(session, first_channel=2, high_water=QUEUE_BYTES),
            self._obey,
            self._connect,
            self._detached,
        )
        mux.control(self.kernel.state())
        return mux

    def _detached(self) -> None:
        """Forget the session: its login end has said that it does not come back."""
        if self._mux is not None:
            self._mux.close(Farewell.DETACHED)
            self._mux = None

    # Channels

    async def _connect(self, kernel: str, target: str, channel: Channel) -> None:
        """Join `channel` to the kernel's socket, or a port of the node. Raises OSError."""
        mine = self.kernel if kernel == self.id else None
        port, trial = target_of(target)
        if mine is not None and port is not None:
            await connect(port, channel, trial=trial)
        elif mine is not None and target == EXEC:
            self._execute(channel)
        elif mine is not None and mine.buffer is not None and target in mine.buffer:
            mine.buffer.attach(target, channel)
        elif mine is not None and mine.sockets is not None:
            address = mine.sockets.address(target)
            await connected(lambda: SocketChannel(channel), address)
        else:
            msg = f"kernel {kernel} is not running"
            raise ConnectionRefusedError(msg)

    def _execute(self, channel: Channel) -> None:
        from .exec import Executions  # few ask for it

        if self._executions is None:
            self._executions = Executions(self.kernel.inside, self.kernel.node_dir)
        self._executions.attach(channel)

    # Messages

    def _kernel_changed(self, state: control.KernelState) -> None:
        if self._mux is not None:
            self._mux.control(state)
        if self.kernel.alive and self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        elif not self.kernel.alive and self._lingering is None:
            reason = f"its process had ended, and none followed for {self._linger:g} s"
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(self._linger, self._lapse, reason)

    def _obey(self, message: control.Message) -> None:
        if isinstance(message, control.Stop):
            self._give_up(self)
        elif getattr(message, "kernel", None) != self.id:
            self._say(f"ignored {message!r:.300}")
        elif isinstance(message, control.Signal):
            if message.signum not in signal.valid_signals():
                self._say(f"ignored {message!r:.300}")
                return
            self.kernel.signal(message.signum)
        elif isinstance(message, control.Measure):
            self._do(self._tell_use(FRESH))
        elif isinstance(message, control.StartKernel):
            self._do(self.kernel.restart(message.spec))
        elif isinstance(message, control.Delivered) and self.kernel.buffer is not None:
            through, forget = message.through, message.forget
            self.kernel.buffer.delivered(message.target, through, forget)
