"""One session: channels and control messages over a pipe that may be replaced.

Sans-IO. What happens at this end goes in by methods, bytes for the pipe come out of
`data_to_send()`, bytes from the pipe go into `receive()`, and what they mean comes
out as events. No socket, no clock, no task, no logger. Driven by relay.link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from . import control, events, objects
from .channels import ChannelEvent, ChannelPhase, ChannelState
from .codes import Farewell
from .events import Event
from .frames import (
    MAX_DATA,
    MAX_PAYLOAD,
    Frame,
    FrameDecoder,
    RemoteProtocolError,
    Type,
    encode,
)
from .replay import Inbound, Outbound

ACK_BYTES = 256 * 1024
_CREDIT = 4  # bytes of its payload
MOST_OPEN = 10_000  # channels, and frames that wait to be numbered


class Session:
    """Either end of a session.

    Parameters
    ----------
    id : str
        The session's ID, as in the hello.
    first_channel : int
        1 at the login end, 2 at the agent.
    high_water : int
        Bytes queued on one channel above which `is_full()` says to stop reading
        from the local socket.
    """

    def __init__(self, id: str, first_channel: int, high_water: int) -> None:
        self.id = id
        self._high_water = high_water
        self._first_channel = first_channel
        self._next_channel = first_channel
        self._last_of_peer = 1 - first_channel  # the last that the other end has opened
        self._channels: dict[int, ChannelState] = {}
        self._turn: deque[int] = deque()  # channels with something to send
        self._waiting: set[int] = set()  # channels whose reader was told to stop
        self._out = Outbound()
        self._in = Inbound()
        self._first: deque[tuple[Type, int, bytes]] = deque()  # before any DATA
        # One of each: it says all that those before it would have said.
        self._unnumbered: dict[Type, bytes] = {}
        self._decoder = FrameDecoder()

    def __repr__(self) -> str:
        return (
            f"<Session {self.id[:8]} sent {self._out.last} received "
            f"{self._in.received}, {len(self._channels)} channels>"
        )

    # What happens at this end

    def open(self, kernel: str, target: str) -> int:
        """Open a channel; DATA may follow at once.

        Raises LocalProtocolError for a name that is too long for a frame.
        """
        names = {"kernel": kernel, "target": target}
        body = objects.encode(names, "an OPEN", MAX_PAYLOAD)
        channel, self._next_channel = self._next_channel, self._next_channel + 2
        self._add_channel(channel, kernel, target)
        self._first.append((Type.OPEN, channel, body))
        return channel

    def send(self, channel: int, data: bytes) -> None:
        """Queue data. Without effect on a channel that is gone."""
        ch = self._channels.get(channel)
        if ch is not None and data:
            ch.push(data)
            self._wants_turn(channel)

    def finish(self, channel: int) -> None:
        """Send no more data from this end; what is queued still goes out."""
        self._leave(channel, ChannelEvent.FINISH)

    def abandon(self, channel: int, reason: str) -> None:
        """Finish, then send RST: whatever the other end still sends is not wanted."""
        self._leave(channel, ChannelEvent.ABANDON, reason)

    def reset(self, channel: int, reason: str) -> None:
        """Give the channel up: what is queued for it is dropped."""
        self._leave(channel, ChannelEvent.RESET, reason)

    def _leave(self, channel: int, event: ChannelEvent, unwanted: str = "") -> None:
        """Say no more on a channel that is not gone; with RST, where that is the end."""
        ch = self._channels.get(channel)
        if ch is None:
            return
        ch.step(event)
        ch.unwanted = unwanted or ch.unwanted
        if self._is_dropped(ch):
            self._say_reset(channel, unwanted)
        else:
            self._wants_turn(channel)

    def _say_reset(self, channel: int, reason: str) -> None:
        payload = reason.encode(errors="replace")[:1000]
        self._first.append((Type.RST, channel, payload))

    def consumed(self, channel: int, count: int) -> None:
        """Give credit back, as `count` bytes have left for the local socket."""
        ch = self._channels.get(channel)
        grant = ch.consumed(count) if ch is not None else 0
        if grant:
            self._first.append((Type.CREDIT, channel, grant.to_bytes(_CREDIT, "big")))

    def control(self, message: control.Message) -> None:
        """Say so on channel 0. Raises LocalProtocolError if it is too large."""
        self._first.append((Type.CONTROL, 0, control.encode(message)))

    def ping(self) -> None:
        """Ask the other end for a sign of life."""
        self._unnumbered[Type.PING] = encode(Type.PING, 0, 0)

    def goodbye(self, code: Farewell, detail: str = "") -> None:
        """Tell that this pipe is closed on purpose, and why."""
        said = {"code": code, "detail": detail[:1000]}
        body = objects.encode(said, "a GOODBYE", MAX_PAYLOAD)
        self._unnumbered[Type.GOODBYE] = encode(Type.GOODBYE, 0, 0, body)

    def limit(self, channel: int, high_water: int) -> None:
        """Set another `high_water` for one channel."""
        ch = self._channels.get(channel)
        if ch is not None:
            ch.high_water = high_water

    def is_full(self, channel: int) -> bool:
        """Return whether to stop reading from the local socket, until `Drained`."""
        ch = self._channels.get(channel)
        if ch is None or ch.queued < ch.high_water:
            return False
        self._waiting.add(channel)
        return True

    def _wants_turn(self, channel: int) -> None:
        if channel not in self._turn:
            self._turn.append(channel)

    # The pipe

    @property
    def received(self) -> int:
        """Highest frame number received: our position in a hello."""
        return self._in.received

    def can_resume(self, peer_received: int) -> bool:
        """Return whether the session can go on from this frame of ours."""
        return self._out.can_resume(peer_received)

    def connected(self, peer_received: int) -> None:
        """Begin on a new pipe: forget half a frame, send again what the other end lacks."""
        self._decoder = FrameDecoder()
        self._unnumbered.clear()
        self._in.ack()  # none is owed on a new pipe: hello has told our position
        self._out.resume(peer_received)

    @property
    def ack_pending(self) -> bool:
        """Whether `ack()` should be called within 20 ms."""
        return self._in.ack_pending

    def ack(self) -> None:
        """Acknowledge what was received."""
        self._unnumbered[Type.ACK] = self._in.ack()

    def data_to_send(self, limit: int) -> tuple[bytes, list[Event]]:
        """Return about `limit` bytes for the pipe (empty: nothing to send), and `Drained`s."""
        parts: list[bytes] = []
        drained: list[Event] = []
        size = 0
        while size < limit:
            data = self._next_frame(drained)
            if data is None:
                break
            parts.append(data)
            size += len(data)
        return b"".join(parts), drained

    def _next_frame(self, drained: list[Event]) -> bytes | None:
        if self._unnumbered:
            return self._unnumbered.pop(next(iter(self._unnumbered)))
        again = self._out.again()
        if again is not None or self._out.full:
            return again
        if self._first:
            return self._out.number(*self._first.popleft())
        return self._next_data(drained)

    def _next_data(self, drained: list[Event]) -> bytes | None:
        """Return the next DATA or FIN; channels without credit lose their turn."""
        while self._turn:
            id = self._turn.popleft()
            ch = self._channels.get(id)
            if ch is None:
                continue
            payload = ch.take()
            if payload:
                self._turn.append(id)
                if id in self._waiting and ch.queued < ch.high_water // 2:
                    self._waiting.discard(id)
                    drained.append(events.Drained(id))
                return self._out.number(Type.DATA, id, payload)
            if ch.owes_fin:
                leaving = ch.state is ChannelPhase.LEAVING
                ch.step(ChannelEvent.SENT_FIN)
                if self._is_dropped(ch) and leaving:
                    self._say_reset(id, ch.unwanted)
                return self._out.number(Type.FIN, id)
        return None

    def _is_dropped(self, ch: ChannelState) -> bool:
        """Whether the channel is gone; then it is forgotten."""
        if ch.state is not ChannelPhase.GONE:
            return False
        del self._channels[ch.id]
        self._waiting.discard(ch.id)
        return True

    def receive(self, data: bytes) -> Iterator[Event]:
        """Yield the events in `data`, to be taken one by one.

        Raises RemoteProtocolError behind those that came before it: close the pipe. The
        session goes on with the next one, behind the frame that broke the rules; the
        channel of that frame is reset, as it lacks something now.
        """
        for frame in self._decoder.feed(data):
            if not frame.type.numbered:
                yield from self._unnumbered_frame(frame)
            elif self._in.is_new(frame):
                try:
                    event = self._numbered_frame(frame)
                except RemoteProtocolError as exc:
                    yield from self._give_up(frame.channel, str(exc))
                    raise
                if event is not None:
                    yield event
        if self._in.unacked_bytes >= ACK_BYTES:
            self.ack()

    def _give_up(self, channel: int, reason: str) -> Iterator[Event]:
        if channel in self._channels:
            self.reset(channel, reason)
            yield events.Reset(channel, reason)
        elif channel:  # the other end has opened it, as it believes
            self._say_reset(channel, reason)

    def _unnumbered_frame(self, frame: Frame) -> Iterator[Event]:
        has_payload, has_number = frame.payload != b"", frame.seq != 0
        if (
            frame.channel
            or (has_payload and frame.type is not Type.GOODBYE)
            or (has_number and frame.type is not Type.ACK)
        ):
            msg = f"a {frame.type.name} that is none: {frame!r:.200}"
            raise RemoteProtocolError(msg)
        if frame.type is Type.ACK:
            self._out.acked(frame.seq)
        elif frame.type is Type.PING:
            self._unnumbered[Type.PONG] = encode(Type.PONG, 0, 0)
        elif frame.type is Type.GOODBYE:
            body = objects.decode(frame.payload, "a GOODBYE", MAX_PAYLOAD)
            yield objects.build(events.Goodbye, body, "a GOODBYE")

    def _numbered_frame(self, frame: Frame) -> Event | None:
        ch = self._channels.get(frame.channel)
        if ch is not None and frame.type is not Type.OPEN:
            return self._channel_frame(ch, frame)
        if frame.type is Type.CONTROL and not frame.channel:
            return events.Controlled(control.decode(frame.payload))
        if frame.type is Type.OPEN:
            return self._opened(frame)
        if not self._was_opened(frame.channel):
            msg = f"a {frame.type.name} of channel {frame.channel}, which is not open"
            raise RemoteProtocolError(msg)
        return None  # the channel is gone: it crossed our RST, or FIN

    def _is_ours(self, channel: int) -> bool:
        return (channel - self._first_channel) % 2 == 0

    def _was_opened(self, channel: int) -> bool:
        if self._is_ours(channel):
            return 0 < channel < self._next_channel
        return 0 < channel <= self._last_of_peer

    def _opened(self, frame: Frame) -> events.Opened:
        if frame.channel != self._last_of_peer + 2:
            msg = f"an OPEN of channel {frame.channel}, after {self._last_of_peer}"
            raise RemoteProtocolError(msg)
        self._last_of_peer = frame.channel
        if len(self._channels) + len(self._first) >= MOST_OPEN:
            msg = f"an OPEN beyond {MOST_OPEN} channels, and answers not taken"
            raise RemoteProtocolError(msg)
        body = objects.decode(frame.payload, "an OPEN", MAX_PAYLOAD)
        body["channel"] = frame.channel
        opened = objects.build(events.Opened, body, "an OPEN")
        self._add_channel(opened.channel, opened.kernel, opened.target)
        return opened

    def _add_channel(self, id: int, kernel: str, target: str) -> None:
        self._channels[id] = ChannelState(id, kernel, target, self._high_water)

    def _channel_frame(self, ch: ChannelState, frame: Frame) -> Event | None:
        size = len(frame.payload)
        if frame.type is Type.DATA and 0 < size <= MAX_DATA:
            ch.came(size)
            return events.Data(ch.id, frame.payload)
        if frame.type is Type.CREDIT and size == _CREDIT:
            ch.credit(int.from_bytes(frame.payload, "big"))
            self._wants_turn(ch.id)
            return None
        if frame.type is Type.FIN and not size:
            ch.step(ChannelEvent.GOT_FIN)
            self._is_dropped(ch)
            return events.Finished(ch.id)
        if frame.type is Type.RST:
            ch.step(ChannelEvent.GOT_RST)
            self._is_dropped(ch)
            return events.Reset(ch.id, frame.payload.decode(errors="replace"))
        msg = f"a {frame.type.name} of {size} bytes on a channel"
        raise RemoteProtocolError(msg)
