"""front.delivery: what counts as delivered, and what may be forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from remote_kernels.front.delivery import SETTLE, Delivery


def test_nothing_is_delivered_at_first() -> None:
    """And nothing will be, however long one waits."""
    delivery = Delivery()

    assert (0, 0) == delivery.positions(1e9)
    assert not delivery.is_unsettled


def test_a_message_is_delivered_once_it_has_settled() -> None:
    """Not when it is handed on, but SETTLE seconds later."""
    delivery = Delivery()

    delivery.handed_on(1, 10.0)

    assert (0, 0) == delivery.positions(10.0 + SETTLE / 2)
    assert delivery.is_unsettled
    assert (1, 1) == delivery.positions(10.0 + SETTLE)
    assert not delivery.is_unsettled


def test_each_message_settles_for_itself() -> None:
    """The first ones do not wait for those that follow."""
    delivery = Delivery()

    delivery.handed_on(1, 0.0)
    delivery.handed_on(2, 1.0)

    assert (1, 1) == delivery.positions(SETTLE)
    assert (2, 2) == delivery.positions(SETTLE + 1.0)


def test_numbers_may_be_missing() -> None:
    """The spool was full: nobody waits for what it dropped."""
    delivery = Delivery()

    delivery.handed_on(1, 0.0)
    delivery.handed_on(90, 0.0)

    assert (90, 90) == delivery.positions(SETTLE)


def test_a_running_cell_is_needed_from_its_start() -> None:
    """It is delivered as it comes, but its first message is not forgotten."""
    delivery = Delivery()
    delivery.begins("cell", 3)
    for number in range(1, 6):
        delivery.handed_on(number, 0.0)

    assert (5, 2) == delivery.positions(SETTLE)


def test_a_cell_begins_only_once() -> None:
    """A kernel that says busy twice has not begun anew."""
    delivery = Delivery()
    delivery.begins("cell", 1)
    delivery.begins("cell", 2)
    delivery.handed_on(2, 0.0)

    assert (2, 0) == delivery.positions(SETTLE)


def test_a_cell_is_forgotten_when_its_end_is_delivered() -> None:
    """Not when its end was handed on."""
    delivery = Delivery()
    delivery.begins("cell", 1)
    delivery.handed_on(1, 0.0)
    delivery.ends("cell", 2)
    delivery.handed_on(2, 1.0)

    assert (1, 0) == delivery.positions(SETTLE)
    assert (2, 2) == delivery.positions(SETTLE + 1.0)


def test_the_earliest_running_cell_counts() -> None:
    """The end of another one changes nothing."""
    delivery = Delivery()
    delivery.begins("first", 1)
    delivery.begins("second", 2)
    delivery.ends("second", 3)
    delivery.handed_on(3, 0.0)

    assert (3, 0) == delivery.positions(SETTLE)


def test_an_end_without_a_beginning() -> None:
    """Its beginning was dropped, or is an earlier server's."""
    delivery = Delivery()

    delivery.ends("cell", 1)
    delivery.handed_on(1, 0.0)

    assert (1, 1) == delivery.positions(SETTLE)


def test_a_message_that_is_held_is_not_delivered() -> None:
    """Nor is what came behind it for others, in case this server ends."""
    delivery = Delivery()
    delivery.handed_on(1, 0.0)
    delivery.held(2)
    delivery.handed_on(3, 0.0)

    assert (1, 1) == delivery.positions(SETTLE)


def test_a_held_message_settles_like_any_other() -> None:
    """Its client is back; that others have theirs for long makes no difference."""
    delivery = Delivery()
    delivery.held(1)
    delivery.handed_on(2, 0.0)
    delivery.positions(SETTLE)

    delivery.handed_on(1, 100.0)

    assert (0, 0) == delivery.positions(100.0)
    assert delivery.is_unsettled
    assert (2, 2) == delivery.positions(100.0 + SETTLE)


def test_one_client_comes_back_before_another() -> None:
    """Delivered is what nobody is waiting for."""
    delivery = Delivery()
    delivery.held(1)
    delivery.held(2)

    delivery.handed_on(2, 0.0)

    assert (0, 0) == delivery.positions(SETTLE)
    delivery.handed_on(1, 10.0)
    assert (2, 2) == delivery.positions(10.0 + SETTLE)


def test_a_cell_that_is_kept_is_needed_beyond_its_end() -> None:
    """Until it is released."""
    delivery = Delivery()
    delivery.begins("cell", 1)
    delivery.keep("cell")
    delivery.ends("cell", 2)
    delivery.handed_on(2, 0.0)

    assert (2, 0) == delivery.positions(SETTLE)
    delivery.release("cell")
    assert (2, 2) == delivery.positions(SETTLE)


def test_a_cell_that_is_released_before_its_end_is_delivered() -> None:
    """It is needed as any other one."""
    delivery = Delivery()
    delivery.begins("cell", 1)
    delivery.keep("cell")
    delivery.ends("cell", 2)
    delivery.handed_on(2, 0.0)

    delivery.release("cell")

    assert (0, 0) == delivery.positions(SETTLE / 2)
    assert (2, 2) == delivery.positions(SETTLE)


WHAT = ["hand on", "hold", "begin", "end", "keep", "release", "return", "wait"]
step = st.tuples(
    st.sampled_from(WHAT),
    st.integers(0, 5),
)


@given(st.lists(step, max_size=60))
def test_positions_tell_no_lies(steps: list[tuple[str, int]]) -> None:
    """They only grow, and cover only what was handed on SETTLE seconds ago."""
    delivery, now, number = Delivery(), 0.0, 0
    handed: dict[int, float] = {}
    held: list[int] = []
    before = (0, 0)

    for what, which in steps:
        if what == "wait":
            now += which
        elif what == "return" and held:
            back = held.pop(which % len(held))
            delivery.handed_on(back, now)
            handed[back] = now
        elif what in ("keep", "release"):
            getattr(delivery, what)(f"cell {which}")
        elif what != "return":
            number += 1
            if what in ("begin", "end"):
                getattr(delivery, f"{what}s")(f"cell {which}", number)
            if what == "hold":
                delivery.held(number)
                held.append(number)
            else:
                delivery.handed_on(number, now)
                handed[number] = now
        through, forget = delivery.positions(now)

        assert before <= (through, forget)
        assert forget <= through
        assert all(handed[n] <= now - SETTLE for n in range(1, through + 1))
        before = through, forget
