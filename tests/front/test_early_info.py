"""front.early_info: what a kernel is told to be before it is there."""

from __future__ import annotations

import pytest

from front.reception import (
    ASK,
    Client,
    Reception,
    id_of,
    ids,
)
from front.world import INFO, KEY
from remote_kernels.front.standin import StandIn


def test_kernel_info_that_nobody_knows_yet(
    reception: Reception, client: Client
) -> None:
    """Whoever asked gets it once the kernel is known, as a kernel would tell it."""
    request = client.ask(ASK)
    assert [] == reception.sent
    known = reception.standin.is_known

    reception.standin.introduce(INFO)

    assert (False, True) == (known, reception.standin.is_known)
    assert ["busy", "kernel_info_reply", "idle"] == reception.fate(request)
    assert INFO == reception.answers(request)[1]["content"]
    assert [] == reception.standin.hand_over()


def test_the_notebook_server_asks_what_nobody_knows(reception: Reception) -> None:
    """It gets the language at once, because no page gets a websocket before."""
    reception.standin = StandIn(KEY, later=reception._later, language="R")
    reception.standin.serve(reception)
    server = Client(reception).session
    request = server.msg(ASK)

    reception.standin.request("shell", server.serialize(request, ident=b"\0abcd"))

    assert ["busy", "kernel_info_reply", "idle"] == reception.fate(request)
    content = reception.answers(request)[1]["content"]
    assert "5" == content["protocol_version"].partition(".")[0]
    assert "R" == content["language_info"]["name"]
    assert not reception.standin.is_known


def test_a_page_asks_what_nobody_knows(reception: Reception, client: Client) -> None:
    """It writes the answer into the notebook, so the kernel's own has some seconds."""
    first, second = client.ask(ASK), client.ask(ASK)
    assert [] == reception.sent
    due = reception.due
    assert due is not None
    assert 3 < due.seconds < 10

    due.call()

    for request in (first, second):
        assert ["busy", "kernel_info_reply", "idle"] == reception.fate(request)
    assert [] == reception.standin.hand_over()


def test_a_kernel_that_failed_before_anybody_knew_it(
    reception: Reception, client: Client
) -> None:
    """Pages that asked what it is get an answer, so that a cell can be run, and fail."""
    before = client.ask(ASK)

    reception.standin.fail("no such program")

    after, cell = client.ask(ASK), client.ask()
    for request in (before, after):
        assert ["busy", "kernel_info_reply", "idle"] == reception.fate(request)
    assert ["busy", "error", "execute_reply", "idle"] == reception.fate(cell)


def test_the_state_after_kernel_info(reception: Reception, client: Client) -> None:
    """ "idle", long enough for jupyter_server to see it, then "starting" again.

    jupyter_server 2.21 looks each 0.05 s, and lets nothing through to a page before.
    """
    reception.standin.introduce(INFO)
    client.ask(ASK)
    assert "idle" == reception.kinds()[-1]
    assert reception.due is not None
    assert reception.due.seconds > 2 * 0.05

    reception.due.call()

    assert "starting" == reception.kinds()[-1]


def test_once_the_kernel_is_there_it_tells_its_state(
    reception: Reception, client: Client
) -> None:
    """We do not; nor when no client is connected any more."""
    reception.standin.introduce(INFO)
    for end in (
        lambda: reception.standin.hand_over(),
        lambda: reception.standin.serve(None),
    ):
        client.ask(ASK)
        assert reception.due is not None
        assert not reception.due.cancelled
        end()
        assert reception.due.cancelled


@pytest.mark.parametrize("target", ["shell", "control"])
def test_kernel_info_that_is_known(
    reception: Reception, client: Client, target: str
) -> None:
    """It comes at once, on the socket on which it was asked for."""
    reception.standin.introduce(INFO)

    client.ask(ASK, target)

    expected = ["iopub", target, "iopub"]
    assert expected == [where for where, _ in reception.sent]
    assert b"one" == reception.sent[1][1][0]


def test_the_kernel_becomes_known_while_cells_wait(
    reception: Reception, client: Client
) -> None:
    """They go on waiting, in their order."""
    first = client.ask()
    client.ask(ASK)
    second = client.ask()

    reception.standin.introduce(INFO)

    held = reception.standin.hand_over()
    assert [id_of(first), id_of(second)] == ids(held)
