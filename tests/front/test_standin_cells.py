"""front.standin: cells that wait, what is shown below them, and how they end."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from front.reception import ASK, RUN, Client, Reception, id_of, ids, kind_of
from front.world import INFO, KEY, Msg, read
from remote_kernels.front.jupyter_message import Speaker

FAILED = ["busy", "error", "execute_reply", "idle"]
CLEARED = ["clear_output", "stream"]
ABORTED = ["busy", "execute_reply", "idle"]
WHY = "The job was cancelled."


@pytest.fixture
def reception() -> Reception:
    return Reception()


@pytest.fixture
def client(reception: Reception) -> Client:
    return Client(reception)


def speaker(session: str = "kernel") -> Speaker:
    made = Speaker(KEY)
    made.speak_as(session)
    return made


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
    assert [id_of(comm)] == ids(reception.standin.hand_over(speaker()))


def test_interrupt_clears_what_was_shown(reception: Reception, client: Client) -> None:
    """The error is all that is left."""
    cell = client.ask()
    reception.standin.show("waits")

    reception.standin.interrupt()

    assert [*CLEARED, "busy", "clear_output", *FAILED[1:]] == reception.fate(cell)
    assert [] == reception.texts(cell)


def test_an_interrupt_that_a_client_asks_for(
    reception: Reception, client: Client
) -> None:
    """It is answered on its socket, and does what an interrupt does."""
    cell = client.ask()

    request = client.ask("interrupt_request", "control")

    assert ["interrupt_reply"] == reception.fate(request)
    assert "control" == reception.sent[0][0]
    assert FAILED == reception.fate(cell)


def test_no_kernel_comes(reception: Reception, client: Client) -> None:
    """Who waits for a cell hears why, and it counts as told once."""
    first, second = client.ask(), client.ask()
    theirs = Client(reception, "two").ask()
    reception.standin.show("waits")

    reception.standin.fail(WHY)

    for cell in (first, theirs):
        errors = [m for m in reception.answers(cell) if m["msg_type"] == "error"]
        assert [WHY] == [error["content"]["evalue"] for error in errors]
        assert [] == reception.texts(cell)
    assert ABORTED == reception.fate(second)
    assert 1 == reception.told
    assert [] == reception.standin.hand_over(speaker())


def test_no_kernel_comes_and_nobody_waits_for_a_cell(
    reception: Reception, client: Client
) -> None:
    """Nobody has heard why until a cell is run."""
    client.ask("comm_msg")
    reception.standin.fail(WHY)
    assert 0 == reception.told

    cell = client.ask()

    assert FAILED == reception.fate(cell)
    assert WHY in reception.answers(cell)[1]["content"]["traceback"][0]
    assert 1 == reception.told


def test_the_state_of_a_kernel_that_does_not_come(reception: Reception) -> None:
    """It is "idle", so that somebody runs a cell and hears why."""
    reception.standin.fail(WHY)
    reception.standin.say_state()

    assert ["idle", "idle"] == reception.kinds()


def test_restart_of_a_kernel_that_waits(reception: Reception, client: Client) -> None:
    """Its cells are cancelled, and what else was for the old one is dropped."""
    cell, _ = client.ask(), client.ask("comm_msg")

    reception.standin.restart()

    assert FAILED == reception.fate(cell)
    assert [] == reception.noted[-1]
    assert [] == reception.standin.hand_over(speaker())


def test_restart_of_a_kernel_that_did_not_come(
    reception: Reception, client: Client
) -> None:
    """Cells wait again, for another one; it is still known."""
    reception.standin.introduce(INFO)
    reception.standin.fail(WHY)

    reception.standin.restart()

    cell = client.ask()
    assert [] == reception.fate(cell)
    assert "starting" == reception.kinds()[-1]
    assert reception.standin.is_known
    assert [id_of(cell)] == ids(reception.standin.hand_over(speaker()))


def test_the_kernel_takes_over(reception: Reception, client: Client) -> None:
    """What was shown is cleared at once, in the kernel's name; nothing else is said."""
    first, second = client.ask(), client.ask()
    theirs = Client(reception, "two").ask()
    reception.standin.show("waits")
    reception.sent.clear()

    reception.standin.hand_over(speaker("kernel"))

    said = [msg for _, msg in reception.seen()]
    cleared = [id_of(first), id_of(theirs)]
    assert cleared == [msg["parent_header"]["msg_id"] for msg in said]
    assert ["clear_output"] * 2 == [msg["msg_type"] for msg in said]
    assert [{"wait": False}] * 2 == [msg["content"] for msg in said]
    assert {"kernel"} == {msg["header"]["session"] for msg in said}
    assert [] == reception.fate(second)


@dataclass(frozen=True)
class Act:
    """What happens next; `client` is who does it, where a client does."""

    what: str
    client: int


REQUESTS = (RUN, ASK, "comm_msg", "complete_request")
DEEDS = ("show", "show again", "introduce", "interrupt", "restart", "fail")
acts = st.lists(
    st.builds(Act, st.sampled_from((*REQUESTS, RUN, *DEEDS)), st.integers(0, 2)),
    max_size=25,
)


def perform(reception: Reception, clients: list[Client], act: Act) -> Msg | None:
    """What the client asked, if it did."""
    standin = reception.standin
    if act.what in REQUESTS:
        return clients[act.client].ask(act.what)
    if act.what == "introduce":
        standin.introduce(INFO)
    elif act.what.startswith("show"):
        standin.show(act.what)
    elif act.what == "fail":
        standin.fail(WHY)
    else:
        getattr(standin, act.what)()
    return None


@settings(deadline=None)
@given(acts)
def test_each_request_has_one_fate(story: list[Act]) -> None:
    """It is answered once, or handed over once and in order, with no trace of ours."""
    reception = Reception()
    clients = [Client(reception, name) for name in ("one", "two", "three")]

    asked = [perform(reception, clients, act) for act in story]
    held = ids(reception.standin.hand_over(speaker()))

    requests = [request for request in asked if request is not None]
    order = [id_of(request) for request in requests]
    assert held == [asked for asked in order if asked in held]
    for request in requests:
        answers = reception.answers(request)
        replies = [m for m in answers if m["msg_type"].endswith("_reply")]
        cell = request["header"]["msg_type"] == RUN
        dropped = not cell and Act("restart", 0) in [Act(a.what, 0) for a in story]
        fates = len(replies) + held.count(id_of(request))
        assert fates == 1 or (dropped and not fates)
        assert [] == reception.texts(request)
        if cell and replies:
            kinds = [k for k in map(kind_of, answers) if k not in CLEARED]
            assert kinds in (FAILED, ABORTED)
            assert kind_of(answers[-1]) == "idle"


@settings(deadline=None)
@given(acts)
def test_no_client_gets_what_is_another_s(story: list[Act]) -> None:
    """Replies go to who asked, and all that is said belongs to a request that was."""
    reception = Reception()
    clients = [Client(reception, name) for name in ("one", "two", "three")]

    asked = [perform(reception, clients, act) for act in story]
    reception.standin.hand_over(speaker())

    headers = [request["header"] for request in asked if request is not None]
    owners = {header["msg_id"]: header["session"] for header in headers}
    for target, parts in reception.sent:
        parent = read(parts)["parent_header"]
        if target != "iopub":
            assert parts[0].decode() == owners[parent["msg_id"]]
        elif parent:
            assert parent["session"] == owners[parent["msg_id"]]


def asked(reception: Reception) -> list[str]:
    """The cells that have a field for an answer."""
    return [
        str(msg["parent_header"]["msg_id"])
        for target, msg in reception.seen()
        if (target, msg["msg_type"]) == ("stdin", "input_request")
    ]


def test_a_question_is_asked_in_the_first_cell(
    reception: Reception, client: Client
) -> None:
    """Of each client, now and later; and again if the answer does not do."""
    answers: list[str] = []
    first, _ = client.ask(allow_stdin=True), client.ask(allow_stdin=True)
    reception.standin.ask("these are there", "which?", answers.append)
    other = Client(reception, "two")
    theirs = other.ask(allow_stdin=True)
    assert [id_of(first), id_of(theirs)] == asked(reception)
    (prompt,) = (msg["content"]["prompt"] for msg in reception.answers(first))
    assert "these are there\nwhich? " == prompt

    client.ask("input_reply", "stdin", value="7")
    assert ["7"] == answers
    reception.standin.ask("no, these", "which?", answers.append)
    assert "no, these" in reception.answers(theirs)[-1]["content"]["prompt"]
    assert 2 == asked(reception).count(id_of(theirs))

    other.ask("input_reply", "stdin", value="8")
    reception.standin.ask_no_more()
    assert ["7", "8"] == answers
    late = Client(reception, "three").ask(allow_stdin=True)
    assert id_of(late) not in asked(reception)
    assert 4 == len(reception.standin.hand_over(speaker()))
    assert "clear_output" == reception.fate(first)[-1]


def test_a_client_whose_socket_for_answers_comes_last(
    reception: Reception, client: Client
) -> None:
    """What is sent there before that is lost."""
    reception.is_reached = False
    reception.standin.ask("these are there", "which?", lambda answer: None)
    cell = client.ask(allow_stdin=True)
    assert [] == asked(reception)

    due, reception.due = reception.due, None
    reception.is_reached = True
    assert due is not None
    due.call()

    assert [id_of(cell)] == asked(reception)


def test_who_cannot_be_asked(reception: Reception, client: Client) -> None:
    """A program hears what there is to choose from; its cell fails."""
    reception.standin.ask("these are there", "which?", lambda answer: None)

    cell = client.ask(allow_stdin=False)

    assert FAILED == reception.fate(cell)
    assert "these are there" == reception.answers(cell)[2]["content"]["evalue"]
    assert [] == asked(reception)
    assert [] == reception.standin.hand_over(speaker())
