"""wire.session: what goes in comes out, in order, once, whatever the pipe does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remote_kernels.wire import control
from remote_kernels.wire.channels import WINDOW
from remote_kernels.wire.codes import Farewell, ProcessState
from remote_kernels.wire.events import (
    Controlled,
    Data,
    Drained,
    Event,
    Goodbye,
    Opened,
    Reset,
)
from remote_kernels.wire.frames import (
    MAX_DATA,
    MAX_PAYLOAD,
    FrameDecoder,
    LocalProtocolError,
    RemoteProtocolError,
    Type,
    encode,
)
from remote_kernels.wire.session import ACK_BYTES, MOST_OPEN, Session
from wire.pair import Pair, idle


def test_a_channel_names_its_kernel_and_target() -> None:
    """OPEN arrives as an event with what it names."""
    pair = Pair()

    channel = pair.login.open("k1", "shell")
    pair.settle()

    assert [Opened(channel, "k1", "shell")] == pair.opened("agent")


def test_data_follows_open_without_an_answer() -> None:
    """Data queued at once after open() arrives in order."""
    pair = Pair()

    channel = pair.login.open("k1", "shell")
    pair.login.send(channel, b"one")
    pair.login.send(channel, b"two")
    pair.settle()

    assert pair.received("agent", channel) == b"onetwo"


def test_both_ends_may_open() -> None:
    """The login end's channels are odd, the agent's even."""
    pair = Pair()

    assert (pair.login.open("k", "a"), pair.agent.open("k", "b")) == (1, 2)


def test_credit_bounds_what_is_under_way() -> None:
    """A reader that consumes nothing gets one window and no more."""
    pair = Pair()
    channel = pair.login.open("k", "iopub")

    pair.login.send(channel, b"x" * (WINDOW + 1000))
    pair.settle()

    assert len(pair.received("agent", channel)) == WINDOW


def test_consumed_bytes_give_credit_back() -> None:
    """Once the window is consumed, the rest follows."""
    pair = Pair()
    channel = pair.login.open("k", "iopub")
    pair.login.send(channel, b"x" * (WINDOW + 1000))
    pair.settle()

    pair.agent.consumed(channel, WINDOW)
    pair.settle()

    assert len(pair.received("agent", channel)) == WINDOW + 1000


def test_channels_take_turns() -> None:
    """A short reply does not wait behind a long output."""
    pair = Pair()
    long, short = pair.login.open("k", "iopub"), pair.login.open("k", "shell")
    pair.login.send(long, b"x" * (20 * MAX_DATA))
    pair.login.send(short, b"reply")

    pair.login.data_to_send(200)  # the two OPENs
    data, _ = pair.login.data_to_send(2 * MAX_DATA)

    assert b"reply" in data


def test_control_goes_before_data() -> None:
    """An interrupt is not held up by what is queued."""
    pair = Pair()
    channel = pair.login.open("k", "shell")
    pair.settle()
    pair.login.send(channel, b"x" * (10 * MAX_DATA))
    pair.login.control(control.Signal("k", 2))

    data, _ = pair.login.data_to_send(1)

    assert b'"signum": 2' in data


def test_a_full_queue_says_stop_and_later_go_on() -> None:
    """is_full() asks the reader to stop; Drained tells it to read on."""
    pair = Pair()
    channel = pair.login.open("k", "iopub")
    pair.login.send(channel, b"x" * (1 << 21))
    events: list[Event] = []

    stopped = pair.login.is_full(channel)
    while Drained(channel) not in events:
        data, new = pair.login.data_to_send(1 << 18)
        assert data
        events += new

    assert stopped


def test_fin_comes_after_the_data() -> None:
    """finish() does not cut off what is queued."""
    pair = Pair()
    channel = pair.login.open("k", "shell")
    pair.login.send(channel, b"x" * (3 * MAX_DATA))

    pair.login.finish(channel)
    pair.settle()

    assert len(pair.received("agent", channel)) == 3 * MAX_DATA
    assert [channel] == pair.finished("agent")


def test_reset_ends_a_channel_with_its_reason() -> None:
    """The other end learns why."""
    pair = Pair()
    channel = pair.login.open("k", "shell")
    pair.settle()

    pair.agent.reset(channel, "no such socket")
    pair.settle()

    assert Reset(channel, "no such socket") in pair.events["login"]


def test_frames_for_a_gone_channel_are_ignored() -> None:
    """Data that crosses a reset has no effect."""
    pair = Pair()
    channel = pair.login.open("k", "shell")
    pair.settle()
    pair.agent.reset(channel, "gone")

    pair.login.send(channel, b"crossing")
    pair.settle()

    assert pair.received("agent", channel) == b""


def test_control_messages_pass_unchanged() -> None:
    """What encode() makes, the other end's event holds."""
    pair = Pair()
    message = control.KernelState("k", 3, ProcessState.EXITED, exit_code=1, output="é")

    pair.agent.control(message)
    pair.settle()

    assert [Controlled(message)] == pair.events["login"]


def test_an_unknown_control_message_is_told_apart() -> None:
    """Versions can be mixed: it is Unknown, not an error."""
    assert control.Unknown("later") == control.decode(b'{"type": "later", "x": 1}')


def test_unknown_fields_are_left_out() -> None:
    """A newer end may add fields."""
    decoded = control.decode(b'{"type": "signal", "kernel": "k", "signum": 2, "n": 1}')

    assert control.Signal("k", 2) == decoded


def test_goodbye_is_an_event() -> None:
    """The other end closes on purpose."""
    pair = Pair()

    pair.agent.goodbye(Farewell.REPLACED, "text")
    pair.settle()

    assert [Goodbye(Farewell.REPLACED, "text")] == pair.events["login"]


def test_a_ping_is_answered() -> None:
    """PONG comes back though nothing else is under way."""
    pair = Pair()

    pair.login.ping()
    data, _ = pair.login.data_to_send(100)
    [*pair.agent.receive(data)]

    assert (encode(Type.PONG, 0, 0), []) == pair.agent.data_to_send(100)


def test_acknowledged_frames_are_forgotten() -> None:
    """After an ACK nothing is kept for replay."""
    pair = Pair()
    channel = pair.login.open("k", "shell")
    pair.login.send(channel, b"x" * ACK_BYTES)

    pair.settle()

    assert idle(pair.login)


def test_a_gap_is_a_protocol_error() -> None:
    """A frame whose predecessor is missing is not taken."""
    session = Session("s", 1, 1)

    with pytest.raises(RemoteProtocolError, match="frames are missing"):
        [*session.receive(encode(Type.CREDIT, 1, 2, b"\0\0\0\1"))]


def test_an_oversized_frame_is_a_protocol_error() -> None:
    """A length that is no length of ours ends the pipe at once."""
    session = Session("s", 1, 1)

    with pytest.raises(RemoteProtocolError, match="a frame of"):
        [*session.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")]


def test_an_ack_from_the_future_is_a_protocol_error() -> None:
    """Nobody has frames that were not sent."""
    session = Session("s", 1, 1)

    with pytest.raises(RemoteProtocolError, match="acknowledged"):
        [*session.receive(encode(Type.ACK, 0, 7))]


OPEN = b'{"kernel": "k", "target": "shell"}'
DEEP = b'{"kernel": "k", "target": "shell", "x": %b}' % (b"[" * 3000 + b"]" * 3000)


@pytest.mark.parametrize(
    ("type", "channel", "payload", "why"),
    [
        pytest.param(Type.CREDIT, 1, bytes(9), "a CREDIT of 9 bytes", id="credit"),
        pytest.param(Type.CREDIT, 1, b"\0\0\0\1", "credit for", id="too much credit"),
        pytest.param(Type.DATA, 1, b"x", "after its end", id="after FIN"),
        pytest.param(Type.DATA, 1, b"x" * 70_000, "70000 bytes", id="large"),
        pytest.param(Type.DATA, 3, b"", "a DATA of 0 bytes", id="empty"),
        pytest.param(Type.DATA, 7, b"x", "7, which is not open", id="not open"),
        pytest.param(Type.CREDIT, 2, b"\0\0\0\1", "2, which is not open", id="ours"),
        pytest.param(Type.FIN, 1, b"", "a second end", id="second end"),
        pytest.param(Type.FIN, 3, b"x", "a FIN of 1 bytes", id="end that says more"),
        pytest.param(Type.CONTROL, 3, b"{}", "a CONTROL of 2", id="control elsewhere"),
        pytest.param(Type.OPEN, 1, OPEN, "an OPEN of channel 1", id="twice"),
        pytest.param(Type.OPEN, 4, OPEN, "an OPEN of channel 4", id="the other's"),
        pytest.param(Type.OPEN, 0, OPEN, "an OPEN of channel 0", id="none"),
        pytest.param(Type.OPEN, 7, OPEN, "channel 7, after 3", id="gap"),
        pytest.param(Type.OPEN, 5, DEEP, "an OPEN", id="deep"),
        pytest.param(Type.OPEN, 5, b'{"kernel": 1, "target": "a"}', "OPEN", id="type"),
        pytest.param(Type.CONTROL, 0, DEEP, "a control message", id="control"),
    ],
)
def test_a_frame_that_breaks_the_rules(
    type: Type, channel: int, payload: bytes, why: str
) -> None:
    """It ends the pipe, not the session: what is before and behind it takes effect."""
    agent = Session("s", 2, 1)
    before = [(Type.OPEN, 1, OPEN), (Type.FIN, 1, b""), (Type.OPEN, 3, OPEN)]
    sent = [*before, (type, channel, payload), (Type.DATA, 3, b"behind")]
    frames = [encode(t, c, n, p) for n, (t, c, p) in enumerate(sent, 1)]
    events: list[Event] = []

    with pytest.raises(RemoteProtocolError, match=why):
        events.extend(agent.receive(b"".join(frames)))
    agent.connected(0)
    events.extend(agent.receive(b"".join(frames[agent.received :])))

    opened = [event.channel for event in events if isinstance(event, Opened)]
    gone = [event.channel for event in events if isinstance(event, Reset)]
    assert [1, 3] == opened
    assert [channel] * (channel in (1, 3)) == gone
    assert (Data(3, b"behind") in events) == (channel != 3)
    replies = {
        f.type: f.channel for f in FrameDecoder().feed(agent.data_to_send(9999)[0])
    }
    assert replies == ({Type.RST: channel} if channel else {})


def test_a_number_is_not_used_again() -> None:
    """What was under way to the first channel of it would reach the second."""
    agent = Session("s", 2, 1)
    open_, reset = encode(Type.OPEN, 1, 1, OPEN), encode(Type.RST, 1, 2, b"")

    with pytest.raises(RemoteProtocolError, match="an OPEN of channel 1"):
        [*agent.receive(open_ + reset + encode(Type.OPEN, 1, 3, OPEN))]


def test_channel_0_is_nobody_s_to_open() -> None:
    """It would be no channel for control messages any more."""
    with pytest.raises(RemoteProtocolError, match="an OPEN of channel 0"):
        [*Session("s", 1, 1).receive(encode(Type.OPEN, 0, 1, OPEN))]


def test_a_header_has_its_zeros() -> None:
    """What is there may mean something in a later version."""
    for place in (1, 2, 3):
        frame = bytearray(encode(Type.PING, 0, 0))
        frame[place] = 1
        with pytest.raises(RemoteProtocolError, match="where there are zeros"):
            [*Session("s", 1, 1).receive(bytes(frame))]


def test_answers_that_nobody_takes() -> None:
    """A peer that asks and never reads costs a bounded memory."""
    agent = Session("s", 2, 1)
    [*agent.receive(encode(Type.PING, 0, 0) * 1000)]

    assert encode(Type.PONG, 0, 0) == agent.data_to_send(9999)[0]

    for number in range(1, MOST_OPEN + 1):
        [*agent.receive(encode(Type.OPEN, 2 * number - 1, number, OPEN))]
        agent.reset(2 * number - 1, "no")
    with pytest.raises(RemoteProtocolError, match="beyond 10000 channels"):
        [*agent.receive(encode(Type.OPEN, 2 * number + 1, number + 1, OPEN))]


@pytest.mark.parametrize(
    "frame",
    [
        encode(Type.ACK, 1, 0),
        encode(Type.ACK, 0, 0, b"x"),
        encode(Type.PING, 0, 1),
        encode(Type.PONG, 0, 0, b"x"),
        encode(Type.GOODBYE, 0, 0, b"bye"),
        encode(Type.GOODBYE, 0, 0, b'{"code": 1}'),
        encode(Type.GOODBYE, 3, 0, b'{"code": "ending"}'),
    ],
)
def test_an_unnumbered_frame_that_breaks_the_rules(frame: bytes) -> None:
    """It is not taken for what it might have meant."""
    with pytest.raises(RemoteProtocolError, match=r"a [A-Z]+ "):
        [*Session("s", 1, 1).receive(frame)]


def test_what_is_too_large_for_a_frame() -> None:
    """It is our error, and leaves the session as it was."""
    session = Session("s", 1, 1)

    with pytest.raises(LocalProtocolError, match="'start' message has"):
        session.control(control.StartKernel("k", {"env": "x" * MAX_PAYLOAD}))
    with pytest.raises(LocalProtocolError, match="an OPEN has"):
        session.open("k", "unix:/" + "x" * MAX_PAYLOAD)

    assert idle(session)
    assert session.open("k", "shell") == 1


def test_data_beyond_the_credit() -> None:
    """A peer that ignores it is not obeyed."""
    agent = Session("s", 2, 1)
    events: list[Event] = []
    [*agent.receive(encode(Type.OPEN, 1, 1, OPEN))]
    sequence = range(2, WINDOW // MAX_DATA + 3)
    data = b"".join(encode(Type.DATA, 1, n, bytes(MAX_DATA)) for n in sequence)

    with pytest.raises(RemoteProtocolError, match="beyond its credit"):
        events.extend(agent.receive(data))

    assert Reset(1, "data on a channel beyond its credit") == events.pop()
    assert WINDOW == sum(len(e.data) for e in events if isinstance(e, Data))


def test_a_position_that_was_given_up() -> None:
    """What the other end has acknowledged is not sent again."""
    pair = Pair()
    pair.login.control(control.Stop())
    pair.settle()

    with pytest.raises(RemoteProtocolError, match="cannot go on from 0"):
        pair.login.connected(0)


step = st.one_of(
    st.tuples(st.just("login"), st.integers(0, 2), st.binary(max_size=300_000)),
    st.tuples(st.just("agent"), st.integers(0, 2), st.binary(max_size=2000)),
    st.tuples(st.just("deliver"), st.integers(1, 5000), st.just(b"")),
    st.tuples(st.just("cut"), st.integers(0, 400), st.just(b"")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(step, max_size=60))
def test_what_comes_out_equals_what_went_in(
    steps: list[tuple[str, int, bytes]],
) -> None:
    """Whatever is sent, delivered piecemeal and cut: in order, once, nothing lost."""
    pair = Pair()
    channels = [pair.login.open("k", f"t{n}") for n in range(3)]
    sent = {(end, c): b"" for end in ("login", "agent") for c in channels}
    pair.deliver(70)

    for kind, number, data in steps:
        if kind == "deliver":
            pair.deliver(number)
        elif kind == "cut":
            pair.deliver(number)
            pair.cut()
        elif kind == "login" or pair.agent.received >= 3:
            channel = channels[number]
            getattr(pair, kind).send(channel, data)
            sent[kind, channel] += data
    pair.cut()
    consumed = dict.fromkeys(channels, 0)
    for _ in range(20):
        pair.settle()
        for channel in channels:
            count = len(pair.received("agent", channel))
            pair.agent.consumed(channel, count - consumed[channel])
            consumed[channel] = count

    for channel in channels:
        assert sent["login", channel] == pair.received("agent", channel)
        assert sent["agent", channel] == pair.received("login", channel)
    assert len(pair.opened("agent")) == 3
