"""One session: channels and control messages over a pipe that may be replaced.

Sans-IO. What happens at this end goes in by methods, bytes for the pipe come out of
`data_to_send()`, bytes from the pipe go into `receive()`, and what they mean comes
out as events. No socket, no clock, no task, no logger. Driven by relay.pump.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Union

from . import control
from .channels import Channel
from .frames import Decoder, Frame, ProtocolError, Type, encode
from .replay import Inbound, Outbound

ACK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Opened:
    channel: int
    kernel: str
    target: str


@dataclass  # not frozen: there are many, and freezing one takes longer than its use
class Data:
    channel: int
    data: bytes


@dataclass(frozen=True)
class Finished:
    """The other end sends no more on this channel."""

    channel: int


@dataclass(frozen=True)
class Reset:
    channel: int
    reason: str


@dataclass(frozen=True)
class Drained:
    """A channel's queue at this end is short again: read on from the local socket."""

    channel: int


@dataclass(frozen=True)
class Controlled:
    message: control.Message


@dataclass(frozen=True)
class Goodbye:
    """The other end closes this pipe on purpose."""

    reason: str


Event = Union[Opened, Data, Finished, Reset, Drained, Controlled, Goodbye]


class Session:
    """Either end of a session.

    Parameters
    ----------
    id:
        The session's ID, as in the hello.
    first_channel:
        1 at the login end, 2 at the agent.
    high_water:
        Bytes queued on one channel above which `is_full()` says to stop reading
        from the local socket.
    """

    def __init__(self, id: str, first_channel: int, high_water: int) -> None:
        self.id = id
        self._high_water = high_water
        self._next_channel = first_channel
        self._channels: dict[int, Channel] = {}
        self._turn: deque[int] = deque()  # channels with something to send
        self._waiting: set[int] = set()  # channels whose reader was told to stop
        self._out = Outbound()
        self._in = Inbound()
        self._first: deque[tuple[Type, int, bytes]] = deque()  # before any DATA
        self._unnumbered: deque[bytes] = deque()
        self._decoder = Decoder()

    def __repr__(self) -> str:
        return (
            f"<Session {self.id[:8]} sent {self._out.last} received "
            f"{self._in.received}, {len(self._channels)} channels>"
        )

    # What happens at this end

    def open(self, kernel: str, target: str) -> int:
        """Open a channel; DATA may follow at once."""
        channel = Channel(self._next_channel, kernel, target, self._high_water)
        self._next_channel += 2
        self._channels[channel.id] = channel
        body = json.dumps({"kernel": kernel, "target": target}).encode()
        self._first.append((Type.OPEN, channel.id, body))
        return channel.id

    def send(self, channel: int, data: bytes) -> None:
        """Queue data. Without effect on a channel that is gone."""
        ch = self._channels.get(channel)
        if ch is None or ch.fin_queued or not data:
            return
        ch.push(data)
        self._wants_turn(channel)

    def finish(self, channel: int) -> None:
        """No more data from this end; what is queued still goes out."""
        ch = self._channels.get(channel)
        if ch is not None and not ch.fin_queued:
            ch.fin_queued = True
            self._wants_turn(channel)

    def abandon(self, channel: int, reason: str) -> None:
        """Like `finish`, then RST: whatever the other end still sends is not wanted."""
        ch = self._channels.get(channel)
        if ch is not None and ch.fin_sent:
            self.reset(channel, reason)
        elif ch is not None:
            ch.unwanted = reason
            self.finish(channel)

    def reset(self, channel: int, reason: str) -> None:
        if self._channels.pop(channel, None) is not None:
            self._first.append((Type.RST, channel, reason.encode()[:1000]))

    def consumed(self, channel: int, count: int) -> None:
        """`count` bytes have left for the local socket: give credit back."""
        ch = self._channels.get(channel)
        grant = ch.consumed(count) if ch is not None else 0
        if grant:
            self._first.append((Type.CREDIT, channel, grant.to_bytes(4, "big")))

    def control(self, message: control.Message) -> None:
        self._first.append((Type.CONTROL, 0, control.encode(message)))

    def ping(self) -> None:
        self._unnumbered.append(encode(Type.PING, 0, 0))

    def goodbye(self, reason: str) -> None:
        self._unnumbered.append(encode(Type.GOODBYE, 0, 0, reason.encode()[:1000]))

    def limit(self, channel: int, high_water: int) -> None:
        """Another `high_water` for one channel."""
        ch = self._channels.get(channel)
        if ch is not None:
            ch.high_water = high_water

    def is_full(self, channel: int) -> bool:
        """Whether to stop reading from the local socket. `Drained` says when to go on."""
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

    @property
    def idle(self) -> bool:
        """Nothing is waiting for the pipe or for an acknowledgement."""
        return not (
            self._first or self._turn or self._unnumbered or self._out.kept_bytes
        )

    def can_resume(self, peer_received: int) -> bool:
        return self._out.can_resume(peer_received)

    def connected(self, peer_received: int) -> None:
        """A new pipe: forget half a frame, send again what the other end lacks."""
        self._decoder = Decoder()
        self._unnumbered.clear()
        self._in.forget_acks()
        self._out.resume(peer_received)

    @property
    def ack_pending(self) -> bool:
        """Whether `ack()` should be called within 20 ms."""
        return self._in.ack_pending

    def ack(self) -> None:
        self._unnumbered.append(self._in.ack())

    def data_to_send(self, limit: int) -> tuple[bytes, list[Event]]:
        """About `limit` bytes for the pipe (empty: nothing to send), and `Drained`s."""
        parts: list[bytes] = []
        events: list[Event] = []
        size = 0
        while size < limit:
            data = self._next_frame(events)
            if data is None:
                break
            parts.append(data)
            size += len(data)
        return b"".join(parts), events

    def _next_frame(self, events: list[Event]) -> bytes | None:
        if self._unnumbered:
            return self._unnumbered.popleft()
        again = self._out.again()
        if again is not None or self._out.full:
            return again
        if self._first:
            return self._out.number(*self._first.popleft())
        return self._next_data(events)

    def _next_data(self, events: list[Event]) -> bytes | None:
        """The next channel's next DATA or FIN; channels without credit lose their turn."""
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
                    events.append(Drained(id))
                return self._out.number(Type.DATA, id, payload)
            if ch.take_fin():
                self._drop_if_gone(ch)
                if ch.unwanted:
                    self.reset(id, ch.unwanted)
                return self._out.number(Type.FIN, id)
        return None

    def _drop_if_gone(self, ch: Channel) -> None:
        if ch.gone:
            self._channels.pop(ch.id, None)
            self._waiting.discard(ch.id)

    def receive(self, data: bytes) -> list[Event]:
        """Events in `data`. Raises ProtocolError: close the pipe."""
        events: list[Event] = []
        for frame in self._decoder.feed(data):
            if not frame.type.numbered:
                self._unnumbered_frame(frame, events)
            elif self._in.is_new(frame):
                self._numbered_frame(frame, events)
        if self._in.unacked_bytes >= ACK_BYTES:
            self.ack()
        return events

    def _unnumbered_frame(self, frame: Frame, events: list[Event]) -> None:
        if frame.type is Type.ACK:
            self._out.acked(frame.seq)
        elif frame.type is Type.PING:
            self._unnumbered.append(encode(Type.PONG, 0, 0))
        elif frame.type is Type.GOODBYE:
            events.append(Goodbye(frame.payload.decode(errors="replace")))

    def _numbered_frame(self, frame: Frame, events: list[Event]) -> None:
        if frame.type is Type.CONTROL:
            events.append(Controlled(control.decode(frame.payload)))
        elif frame.type is Type.OPEN:
            events.append(self._opened(frame))
        else:
            ch = self._channels.get(frame.channel)
            if ch is not None:
                self._channel_frame(ch, frame, events)

    def _opened(self, frame: Frame) -> Opened:
        try:
            body = json.loads(frame.payload)
            opened = Opened(frame.channel, str(body["kernel"]), str(body["target"]))
        except (ValueError, KeyError, TypeError) as exc:
            msg = f"an OPEN that is none: {frame.payload[:200]!r}"
            raise ProtocolError(msg) from exc
        self._channels[frame.channel] = Channel(
            frame.channel, opened.kernel, opened.target, self._high_water
        )
        return opened

    def _channel_frame(self, ch: Channel, frame: Frame, events: list[Event]) -> None:
        if frame.type is Type.DATA:
            events.append(Data(ch.id, frame.payload))
        elif frame.type is Type.CREDIT:
            ch.credit(int.from_bytes(frame.payload, "big"))
            self._wants_turn(ch.id)
        elif frame.type is Type.FIN:
            ch.fin_received = True
            events.append(Finished(ch.id))
            self._drop_if_gone(ch)
        else:
            self._channels.pop(ch.id, None)
            self._waiting.discard(ch.id)
            events.append(Reset(ch.id, frame.payload.decode(errors="replace")))
