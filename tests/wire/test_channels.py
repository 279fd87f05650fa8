"""wire.channels: what may follow what on a channel, as a table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_kernels.wire.channels import (
    HEARS,
    OWES_FIN,
    SPEAKS,
    TABLE,
    THEIRS,
    WINDOW,
    ChannelEvent,
    ChannelPhase,
    ChannelState,
)
from remote_kernels.wire.frames import LocalProtocolError, RemoteProtocolError

RESETS = (ChannelEvent.RESET, ChannelEvent.GOT_RST)
COLUMNS = [step for step in ChannelEvent if step not in RESETS]

# What the states say, in the words of who is on the channel.
FOLLOWS = """
                ours: send   finish     abandon    FIN sent   theirs: DATA   FIN
OPEN            (same)       FINISHING  LEAVING    -          (same)         PEER_FINISHED
FINISHING       -            (same)     LEAVING    FINISHED   (same)         CLOSING
LEAVING         -            (same)     (same)     GONE       (same)         CLOSING
FINISHED        -            (same)     GONE       -          (same)         GONE
PEER_FINISHED   (same)       CLOSING    CLOSING    -          error          error
CLOSING         -            (same)     (same)     GONE       error          error
"""


def in_words() -> Iterator[tuple[ChannelPhase, ChannelEvent, str]]:
    """The table, cell by cell."""
    for line in FOLLOWS.strip().splitlines()[1:]:
        state, *cells = line.split()
        yield from (
            (ChannelPhase[state], *cell) for cell in zip(COLUMNS, cells, strict=True)
        )


def channel(state: ChannelPhase) -> ChannelState:
    made = ChannelState(1, "k", "shell", 1)
    made.state = state
    return made


@pytest.mark.parametrize(("state", "step", "word"), list(in_words()))
def test_what_follows(state: ChannelPhase, step: ChannelEvent, word: str) -> None:
    """Of both ends; what is not allowed is an error of the one who did it."""
    ch = channel(state)
    if word in ("-", "error"):
        error = RemoteProtocolError if step in THEIRS else LocalProtocolError
        assert (word == "error") == (step in THEIRS)
        with pytest.raises(error):
            ch.step(step)
        assert ch.state is state
    else:
        ch.step(step)
        assert ch.state is (state if word == "(same)" else ChannelPhase[word])


def test_every_state_is_written_down() -> None:
    """With every step."""
    written = {(state, step) for state, step, _ in in_words()}

    assert written == {
        (s, c) for s in ChannelPhase if s is not ChannelPhase.GONE for c in COLUMNS
    }


@pytest.mark.parametrize(
    "state", [state for state in ChannelPhase if state is not ChannelPhase.GONE]
)
@pytest.mark.parametrize("step", RESETS)
def test_a_reset_ends_it(state: ChannelPhase, step: ChannelEvent) -> None:
    """From wherever it is."""
    ch = channel(state)

    ch.step(step)

    assert ch.state is ChannelPhase.GONE


@pytest.mark.parametrize("step", ChannelEvent)
def test_nothing_follows_the_end(step: ChannelEvent) -> None:
    """Who knows of a channel that is gone has kept it too long."""
    error = RemoteProtocolError if step in THEIRS else LocalProtocolError
    with pytest.raises(error):
        channel(ChannelPhase.GONE).step(step)


@given(st.lists(st.sampled_from(ChannelEvent)))
def test_what_the_states_stand_for(steps: list[ChannelEvent]) -> None:
    """Whatever happened: who has sent its end, and whose end is due."""
    ch = channel(ChannelPhase.OPEN)
    finished = sent = heard = abandoned = False
    for step in steps:
        if step not in TABLE[ch.state]:
            continue
        ch.step(step)
        finished |= step in (ChannelEvent.FINISH, ChannelEvent.ABANDON)
        abandoned |= step is ChannelEvent.ABANDON
        sent |= step is ChannelEvent.SENT_FIN
        heard |= step is ChannelEvent.GOT_FIN
        gone = (sent and (heard or abandoned)) or step in RESETS
        assert gone == (ch.state is ChannelPhase.GONE)
        if not gone:
            assert (not finished) == (ch.state in SPEAKS)
            assert (not heard) == (ch.state in HEARS)
            assert (finished and not sent) == (ch.state in OWES_FIN)


def test_more_is_consumed_than_came() -> None:
    """That is a fault of ours, and the other end never gets such a credit."""
    with pytest.raises(LocalProtocolError, match="more was consumed"):
        channel(ChannelPhase.OPEN).consumed(WINDOW // 4)
