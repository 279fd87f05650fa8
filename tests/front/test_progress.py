"""front.progress: what counts as delivered, and what may be forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from remote_kernels.front.progress import SETTLE, Progress


def test_nothing_is_delivered_at_first() -> None:
    """And nothing will be, however long one waits."""
    progress = Progress()

    assert (0, 0) == progress.positions(1e9)
    assert not progress.unsettled


def test_a_message_is_delivered_once_it_has_settled() -> None:
    """Not when it is handed on, but SETTLE seconds later."""
    progress = Progress()

    progress.handed_on(1, 10.0)

    assert (0, 0) == progress.positions(10.0 + SETTLE / 2)
    assert progress.unsettled
    assert (1, 1) == progress.positions(10.0 + SETTLE)
    assert not progress.unsettled


def test_each_message_settles_for_itself() -> None:
    """The first ones do not wait for those that follow."""
    progress = Progress()

    progress.handed_on(1, 0.0)
    progress.handed_on(2, 1.0)

    assert (1, 1) == progress.positions(SETTLE)
    assert (2, 2) == progress.positions(SETTLE + 1.0)


def test_numbers_may_be_missing() -> None:
    """The spool was full: nobody waits for what it dropped."""
    progress = Progress()

    progress.handed_on(1, 0.0)
    progress.handed_on(90, 0.0)

    assert (90, 90) == progress.positions(SETTLE)


def test_a_running_cell_is_needed_from_its_start() -> None:
    """It is delivered as it comes, but its first message is not forgotten."""
    progress = Progress()
    progress.begins("cell", 3)
    for number in range(1, 6):
        progress.handed_on(number, 0.0)

    assert (5, 2) == progress.positions(SETTLE)


def test_a_cell_begins_only_once() -> None:
    """A kernel that says busy twice has not begun anew."""
    progress = Progress()
    progress.begins("cell", 1)
    progress.begins("cell", 2)
    progress.handed_on(2, 0.0)

    assert (2, 0) == progress.positions(SETTLE)


def test_a_cell_is_forgotten_when_its_end_is_delivered() -> None:
    """Not when its end was handed on."""
    progress = Progress()
    progress.begins("cell", 1)
    progress.handed_on(1, 0.0)
    progress.ends("cell", 2)
    progress.handed_on(2, 1.0)

    assert (1, 0) == progress.positions(SETTLE)
    assert (2, 2) == progress.positions(SETTLE + 1.0)


def test_the_earliest_running_cell_counts() -> None:
    """The end of another one changes nothing."""
    progress = Progress()
    progress.begins("first", 1)
    progress.begins("second", 2)
    progress.ends("second", 3)
    progress.handed_on(3, 0.0)

    assert (3, 0) == progress.positions(SETTLE)


def test_an_end_without_a_beginning() -> None:
    """Its beginning was dropped, or is an earlier server's."""
    progress = Progress()

    progress.ends("cell", 1)
    progress.handed_on(1, 0.0)

    assert (1, 1) == progress.positions(SETTLE)


def test_a_message_that_is_held_is_not_delivered() -> None:
    """Nor is what came behind it for others, in case this server ends."""
    progress = Progress()
    progress.handed_on(1, 0.0)
    progress.held(2)
    progress.handed_on(3, 0.0)

    assert (1, 1) == progress.positions(SETTLE)


def test_a_held_message_settles_like_any_other() -> None:
    """Its client is back; that others have theirs for long makes no difference."""
    progress = Progress()
    progress.held(1)
    progress.handed_on(2, 0.0)
    progress.positions(SETTLE)

    progress.handed_on(1, 100.0)

    assert (0, 0) == progress.positions(100.0)
    assert progress.unsettled
    assert (2, 2) == progress.positions(100.0 + SETTLE)


def test_one_client_comes_back_before_another() -> None:
    """Delivered is what nobody is waiting for."""
    progress = Progress()
    progress.held(1)
    progress.held(2)

    progress.handed_on(2, 0.0)

    assert (0, 0) == progress.positions(SETTLE)
    progress.handed_on(1, 10.0)
    assert (2, 2) == progress.positions(10.0 + SETTLE)


step = st.tuples(
    st.sampled_from(["hand on", "hold", "begin", "end", "return", "wait"]),
    st.integers(0, 5),
)


@given(st.lists(step, max_size=60))
def test_positions_tell_no_lies(steps: list[tuple[str, int]]) -> None:
    """They only grow, and cover only what was handed on SETTLE seconds ago."""
    progress, now, number = Progress(), 0.0, 0
    handed: dict[int, float] = {}
    held: list[int] = []
    before = (0, 0)

    for what, which in steps:
        if what == "wait":
            now += which
        elif what == "return" and held:
            back = held.pop(which % len(held))
            progress.handed_on(back, now)
            handed[back] = now
        elif what != "return":
            number += 1
            if what in ("begin", "end"):
                getattr(progress, f"{what}s")(f"cell {which}", number)
            if what == "hold":
                progress.held(number)
                held.append(number)
            else:
                progress.handed_on(number, now)
                handed[number] = now
        through, forget = progress.positions(now)

        assert before <= (through, forget)
        assert forget <= through
        assert all(handed[n] <= now - SETTLE for n in range(1, through + 1))
        before = through, forget
