"""One kernel's session with its agent, and all that hangs on it at this end.

Tunnel, clients, the sockets that the notebook server sees, and what the agent tells of
the kernel's process. Knows nothing of jobs. Made by supervision.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from remote_kernels import harmless
from remote_kernels.bounded import within
from remote_kernels.errors import AgentError
from remote_kernels.front import usage
from remote_kernels.front.clients import Clients
from remote_kernels.front.front import Front
from remote_kernels.front.notices import always
from remote_kernels.front.standin import StandIn
from remote_kernels.front.transcript import Transcribed
from remote_kernels.front.transcripts import HOLD, Transcripts
from remote_kernels.records import Record
from remote_kernels.relay.channel import Channel
from remote_kernels.relay.message_channel import MessageChannel
from remote_kernels.tunnel.carriers.base import Carrier
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire import control
from remote_kernels.wire import exec as exec_
from remote_kernels.wire.codes import Cause, ProcessState
from remote_kernels.wire.kernel_sockets import SOCKETS
from remote_kernels.wire.messages import Message

from . import lacking, process_end
from .news import News
from .ports import Ports

log = harmless.logger(__name__)

INFO = "kernel_info.json"
WAY_IN = "x"  # in the directory: the socket that leads to the agent (see way_in.py)
HANDSHAKE = 10.0  # seconds for a kernel that listens to answer


class Connection:
    """The way to one kernel.

    Parameters
    ----------
    key:
        The HMAC key of its messages.
    curve:
        CURVE public and secret key (Z85), for a kernel that uses them.
    directory:
        A short private directory for sockets.
    record:
        The kernel's record.
    node:
        Where the kernel runs, for messages.
    dead_after:
        Seconds of silence after which the agent is looked for anew.
    on_info:
        Called with the content of the kernel's kernel_info_reply.
    on_exited:
        Called when the kernel's process has ended, but for one that ends with its job.
    on_usage:
        Called when its agent has told what it uses.
    on_warning:
        Called with what the person at the notebook is warned of, and its text.
    spec_name:
        Its kernelspec's name, for messages; "" where it is not known.
    info:
        What the kernel has said of itself to an earlier server, if anything.
    hold:
        Bytes of output that are kept for pages that come back.
    """

    def __init__(
        self,
        key: bytes,
        curve: tuple[bytes, bytes] | None,
        directory: Path,
        record: Record,
        node: str,
        dead_after: float,
        on_info: Callable[[dict[str, Any]], None] = lambda info: None,
        on_exited: Callable[[], None] = lambda: None,
        *,
        on_usage: Callable[[], None] = lambda: None,
        on_warning: Callable[[News, str], None] = lambda news, text: None,
        spec_name: str = "",
        info: dict[str, Any] | None = None,
        hold: int = HOLD,
    ) -> None:
        self.kernel_id = record.kernel_id
        self.key = key
        self.curve = curve
        self.tunnel: Tunnel | None = None
        self.exit_code: int | None = None
        self.state: control.KernelState | None = None
        self.usage: dict[str, Any] | None = None  # the last sample, and its `time`
        self.ports = Ports(record.kernel_id, directory, node, lambda: self.tunnel)
        self._directory = directory
        self._record = record
        self._node = node
        self._dead_after = dead_after
        self._spec_name = spec_name
        self._expected = False  # we told the process to end
        self._incarnation = 0  # the process that clients talk to; 0: whichever is there
        self._changed = asyncio.Event()
        self._exited = asyncio.Event()
        self._on_info = on_info
        self._on_exited = on_exited
        self._on_usage = on_usage
        self._on_warning = on_warning
        self.clients: Clients | None = None
        if curve is None:
            self.clients = Clients(
                key,
                directory,
                self._tell_delivered,
                info,
                self._note_info,
                hold,
                lambda: self.send(control.Measure(self.kernel_id)),
            )

    @property
    def carrier(self) -> str | None:
        """The name of the carrier in use."""
        if self.tunnel is None or self.tunnel.carrier is None:
            return None
        return self.tunnel.carrier.name

    @property
    def way_in(self) -> Path:
        """The socket of this host that leads into the job."""
        return self._directory / WAY_IN

    @property
    def is_up(self) -> bool:
        """Whether the agent is connected, as far as is known."""
        return self.tunnel is not None and self.tunnel.connected

    # The session

    async def open(
        self, carriers: Sequence[Carrier], secret: bytes, *, take: bool
    ) -> Tunnel:
        """Reach the agent by the first carrier that works.

        Raises
        ------
        TunnelError
            No carrier reaches it.
        Refused
            It does not let us in; with `in-use`, because another server has this kernel
            and we are not to `take` it.
        """
        self.tunnel = Tunnel(
            carriers,
            secret,
            self._heard,
            take=take,
            dead_after=self._dead_after,
            kernel=self.kernel_id,
            record=str(self._record.path),
        )
        await self.tunnel.open()
        await self._listen(self.tunnel)
        if self.clients is not None:
            self.clients.connect(self._channel)
        return self.tunnel

    async def _listen(self, tunnel: Tunnel) -> None:
        """Listen for processes in the job, and for what crosses the tunnel as bytes."""
        await tunnel.listen(self.way_in, self.kernel_id, exec_.TARGET)
        for target in self._passed_on():
            await tunnel.listen(self._back(target), self.kernel_id, target)

    async def move(self, directory: Path) -> None:
        """Use this directory instead of one that was removed. Raises OSError."""
        self._directory = directory
        self.ports.move(directory)
        if self.clients is not None:
            self.clients.move(directory)
        if self.tunnel is not None:
            await self._listen(self.tunnel)

    def _channel(
        self,
        target: str,
        on_message: Callable[[Message], None],
        on_room: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> MessageChannel:
        assert self.tunnel is not None
        channel = self.tunnel.channel(self.kernel_id, target)
        return MessageChannel(channel, on_message, on_room, on_broken)

    def _passed_on(self) -> Sequence[str]:
        """Return the sockets that cross the tunnel as bytes, not as messages."""
        return SOCKETS if self.clients is None else ()

    def _heartbeat(self) -> Channel | None:
        """Return a new heartbeat channel; None while the agent has not been reached."""
        if self.tunnel is None or self.tunnel.carrier is None:
            return None
        return self.tunnel.channel(self.kernel_id, "hb")

    def _back(self, target: str) -> Path:
        return self._directory / f"up-{target}"

    def _note_info(self, info: dict[str, Any]) -> None:
        """Keep what the kernel said of itself, for the server that comes next."""
        self._on_info(info)
        self._record.write_later(INFO, info)

    def _tell_delivered(self, target: str, through: int, forget: int) -> None:
        self.send(control.Delivered(self.kernel_id, target, through, forget))

    def signal(self, signum: int) -> None:
        """Pass a signal on to the kernel's process group, if that lives."""
        if self.exit_code is None:
            self._expected |= signum in (signal.SIGTERM, signal.SIGKILL)
            self.send(control.Signal(self.kernel_id, signum))

    def send(self, message: control.Message) -> None:
        """Send a control message to the agent, if there is a session."""
        if self.tunnel is not None:
            self.tunnel.send(message)

    async def close(self) -> None:
        """Close the session and all that hangs on it."""
        await self.ports.close_all()
        if self.tunnel is not None:
            await self.tunnel.close()
            self.tunnel = None
        if self.clients is not None:
            self.clients.close()
        self.set_exited(0, None)

    # The front

    async def join(self, front: Front, standin: StandIn | None) -> None:
        """Clients speak to the kernel from now on, whose process listens.

        Parameters
        ----------
        front:
            Their sockets.
        standin:
            Who has answered them so far, if the kernel was waited for.
        """
        session = ""
        if standin is not None and standin.topics and self.clients is not None:
            session = await self.clients.handshake(HANDSHAKE)
        held = []
        if standin is not None:
            held = standin.hand_over(session)
            if self.clients is not None:
                self.clients.adopt(standin.restored)
                if standin.is_holding:
                    self.clients.hold()
        back = {target: self._back(target) for target in self._passed_on()}
        beats = self._heartbeat if self.clients is not None else None
        front.hand_over(self.clients, back, self.curve, held, beats)
        if standin is not None and self.clients is not None:
            for request, said in standin.all_said().items():
                self.clients.pass_over(request, said)
            self.clients.attach(standin.sessions)
            for topic in standin.topics:
                self.clients.subscribed(topic)

    async def cells(self) -> list[Transcribed]:
        """Return what pages must still show; nothing of a kernel with CURVE."""
        return [] if self.clients is None else await self.clients.cells()

    def shown(self, requests: Collection[str]) -> None:
        """Note that a page has shown and saved all that was said of these requests."""
        if self.clients is not None:
            self.clients.shown(requests)

    def leave(self) -> Transcripts | None:
        """Give away what pages must still show of a kernel that is no more, if anything."""
        return None if self.clients is None else self.clients.leave()

    @property
    def dropped(self) -> int:
        """How many messages pages cannot show, of requests that are kept no more."""
        return 0 if self.clients is None else self.clients.dropped

    def notice(self, text: str, holds: Callable[[], bool] = always) -> None:
        """Show text to the person at the notebook, as long as it holds."""
        if self.clients is not None:
            self.clients.notice(f"[remote_kernels] {text}", holds)

    # The kernel's process

    def _heard(self, message: control.Message) -> None:
        """Take a control message from the agent."""
        if isinstance(message, control.KernelState):
            log.debug("kernel=%s < %s", self.kernel_id, message)
            self.state = message
            ours = message.incarnation == self._incarnation or not self._incarnation
            if ours and message.state.is_over:
                if self.exit_code is None and not self._expected:
                    how = process_end.death(message, self._node)
                    if how:
                        memory = message.cause is Cause.OUT_OF_MEMORY
                        self._warn(how, News.OUT_OF_MEMORY if memory else News.WARNING)
                self.set_exited(message.exit_code, message.signum)
                if message.cause is not Cause.ENDED:
                    self._on_exited()
            self._changed.set()
        elif isinstance(message, control.Usage):
            sample = dataclasses.asdict(message)
            del sample["kernel"]
            self.usage = {**sample, "time": time.time()}
            if self.clients is not None:
                pid = self.state.pid if self.state is not None else None
                self.clients.measured(usage.content(sample, self._node, pid))
            self._on_usage()
        elif isinstance(message, control.Stalled):
            self._warn(process_end.stood_still(self._node, message.seconds))

    def _warn(self, text: str, news: News = News.WARNING) -> None:
        """Warn in the log, in the notebook and beside it."""
        log.warning("kernel=%s %s", self.kernel_id, text)
        self.notice(text)
        self._on_warning(news, text)

    def set_exited(self, exit_code: int | None, signum: int | None) -> None:
        """Note that the process is gone; the first word counts."""
        if self.exit_code is None:
            self.exit_code = -signum if signum else (exit_code or 0)
            if self.clients is not None:
                self.clients.process_ended()
            self._exited.set()
            self._changed.set()

    @property
    def agent_ends(self) -> bool:
        """Whether the agent ends its kernels and itself, or has done so."""
        told = self.state is not None and self.state.cause is Cause.ENDED
        return told or (self.tunnel is not None and self.tunnel.ended.done())

    async def wait(self) -> int:
        """Return the exit code, once the kernel process has ended."""
        await self._exited.wait()
        return self.exit_code or 0

    @property
    def next_incarnation(self) -> int:
        """The number of the process that the next Start begins."""
        known = self.state.incarnation if self.state is not None else 0
        return max(known, self._incarnation) + 1

    @property
    def told_to_end(self) -> bool:
        """Whether the process ends, or has ended, because somebody wanted that."""
        asked = self.clients is not None and self.clients.shutdown_requested
        return self._expected or asked

    def start(self, spec: dict[str, Any], curve: tuple[bytes, bytes] | None) -> None:
        """Have the agent start a new process; for the parameters see `ProcessSpec`."""
        self.curve = curve
        incarnation = self.next_incarnation
        self.send(control.StartKernel(self.kernel_id, spec))
        self.expect(incarnation)

    def expect(self, incarnation: int) -> None:
        """Expect a new process, which has this number."""
        self._incarnation = incarnation
        self._expected = False
        if self.clients is not None:
            self.clients.new_process()
        self.exit_code = None
        self._exited.clear()

    async def await_running(self, timeout: float) -> None:
        """Return once the expected process listens. Raises AgentError."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            self._changed.clear()
            state = self.state
            if state is not None and state.incarnation == self._incarnation:
                if state.state is ProcessState.RUNNING:
                    if state.lacks:  # a server that comes later does not say it again
                        self._warn(lacking.elsewhere(state.lacks, self._node))
                    return
                if state.state.is_over:
                    text = process_end.not_started(state, self._node, self._spec_name)
                    raise AgentError(text)
            if self.exit_code is not None:  # by another's word: its job ended
                return
            try:
                left = deadline - asyncio.get_running_loop().time()
                await within(self._changed.wait(), left)
            except asyncio.TimeoutError:
                logs = await self._record.worker.run(self._record.logs)
                msg = process_end.not_listening(self._node, timeout, logs)
                raise AgentError(msg) from None
