"""front.cell_display: what is shown below cells that wait, and how they fail."""

from __future__ import annotations

from front.reception import (
    ABORTED,
    CLEARED,
    FAILED,
    Client,
    Reception,
    id_of,
    ids,
)


def test_how_the_job_stands_is_shown_below_the_first_cell(
    reception: Reception, client: Client
) -> None:
    """Of each client; not below what is no cell."""
    other = Client(reception, "two")
    comm, first, second = client.ask("comm_msg"), client.ask(), client.ask()
    theirs = other.ask()

    reception.standin.show("waits")

    assert [["waits\n"], ["waits\n"]] == [reception.texts(c) for c in (first, theirs)]
    assert [[], []] == [reception.fate(c) for c in (comm, second)]


def test_what_is_shown_already_is_not_sent_again(
    reception: Reception, client: Client
) -> None:
    """Only a client that came since gets it."""
    first = client.ask()
    reception.standin.show("waits")
    theirs = Client(reception, "two").ask()

    reception.standin.show("waits")

    assert [CLEARED, CLEARED] == [reception.fate(cell) for cell in (first, theirs)]


def test_news_take_the_place_of_what_was_shown(
    reception: Reception, client: Client
) -> None:
    """Nothing flickers: the notebook clears when it has what is new."""
    cell = client.ask()
    reception.standin.show("waits")

    reception.standin.show("runs")

    assert ["runs\n"] == reception.texts(cell)
    clears = [m["content"] for m in reception.answers(cell) if "wait" in m["content"]]
    assert [{"wait": True}, {"wait": True}] == clears


def test_no_cell_shows_nothing(reception: Reception) -> None:
    """There is no place where text could be shown."""
    reception.standin.show("waits")

    assert [] == reception.sent


def test_the_next_cell_shows_it_once_the_first_is_cancelled(
    reception: Reception, client: Client
) -> None:
    """Also if the job's state is still the same."""
    client.ask()
    reception.standin.show("waits")
    reception.standin.interrupt()
    cell = client.ask()

    reception.standin.show("waits")

    assert ["waits\n"] == reception.texts(cell)


def test_interrupt_cancels_the_cells(reception: Reception, client: Client) -> None:
    """The first of each client fails, those behind it are aborted; all else waits."""
    first, comm, second = client.ask(), client.ask("comm_msg"), client.ask()
    theirs = Client(reception, "two").ask()

    reception.standin.interrupt()

    assert [FAILED, FAILED] == [reception.fate(cell) for cell in (first, theirs)]
    assert ABORTED == reception.fate(second)
    _, error, reply, _ = reception.answers(first)
    assert "KeyboardInterrupt" == error["content"]["ename"]
    assert {**error["content"], "status": "error", "execution_count": None} == (
        reply["content"]
    )
    assert {"status": "aborted"} == reception.answers(second)[1]["content"]
    assert "starting" == reception.kinds()[-1]
    assert [id_of(comm)] == ids(reception.standin.hand_over())


def test_interrupt_clears_what_was_shown(reception: Reception, client: Client) -> None:
    """The error is all that is left."""
    cell = client.ask()
    reception.standin.show("waits")

    reception.standin.interrupt()

    assert [*CLEARED, "busy", "clear_output", *FAILED[1:]] == reception.fate(cell)
    assert [] == reception.texts(cell)
