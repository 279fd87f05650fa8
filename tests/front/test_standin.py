"""front.standin: what it answers, and what becomes of cells whose kernel is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from front.reception import (
    ABORTED,
    ASK,
    CLEARED,
    FAILED,
    RUN,
    Client,
    Reception,
    id_of,
    ids,
    kind_of,
)
from front.world import INFO, Msg, read
from remote_kernels.wire.zmtp import SUBSCRIBE_ALL


@pytest.mark.parametrize(
    ("kind", "asked", "answer"),
    [
        (
            "complete_request",
            {"code": "prin", "cursor_pos": 4},
            {"matches": [], "cursor_start": 4, "cursor_end": 4, "metadata": {}},
        ),
        ("inspect_request", {}, {"found": False, "data": {}, "metadata": {}}),
        ("history_request", {}, {"history": []}),
        ("comm_info_request", {}, {"comms": {}}),
    ],
)
def test_what_cannot_be_known_is_empty(
    reception: Reception,
    client: Client,
    kind: str,
    asked: dict[str, Any],
    answer: dict[str, Any],
) -> None:
    """It is answered at once: a page that waits for an answer seems to hang."""
    request = client.ask(kind, **asked)

    (reply,) = reception.answers(request)
    assert kind.replace("request", "reply") == reply["msg_type"]
    assert {"status": "ok", **answer} == reply["content"]
    assert [] == reception.standin.hand_over()


def test_whether_code_is_complete_is_unknown(
    reception: Reception, client: Client
) -> None:
    """A console then decides by itself."""
    request = client.ask("is_complete_request", code="if x:")

    (reply,) = reception.answers(request)
    assert {"status": "unknown"} == reply["content"]


def test_a_heartbeat_comes_back_as_it_is(reception: Reception) -> None:
    """Whatever it is."""
    reception.standin.request("hb", [b"identity", b"ping"])

    assert [("hb", [b"identity", b"ping"])] == reception.sent


def test_who_has_spoken_is_here(reception: Reception, client: Client) -> None:
    """The notebook server's own requests are not a client's."""
    client.ask(ASK)
    server = Client(reception, "two").session
    reception.standin.request(
        "shell", server.serialize(server.msg(ASK), ident=b"server")
    )

    assert {"one"} == reception.standin.sessions


def test_whoever_subscribes_hears_the_state(reception: Reception) -> None:
    """And will be announced to the kernel."""
    reception.standin.subscribed(SUBSCRIBE_ALL[:1])

    ((target, msg),) = reception.seen()
    assert ("iopub", b"status") == (target, reception.sent[0][1][0])
    assert ({"execution_state": "starting"}, {}) == (
        msg["content"],
        msg["parent_header"],
    )
    assert {SUBSCRIBE_ALL[:1]} == reception.standin.topics


def test_nobody_is_connected(reception: Reception, client: Client) -> None:
    """What is asked is held; what is said is lost."""
    reception.standin.serve(None)
    client.ask("history_request")
    cell = client.ask()
    reception.standin.show("waits")

    assert [id_of(cell)] == ids(reception.standin.hand_over())
    assert [] == reception.sent


@pytest.mark.parametrize("restart", [False, True])
def test_a_client_wants_the_kernel_to_end(
    reception: Reception, client: Client, restart: bool
) -> None:
    """It is answered, and the owner is told."""
    request = client.ask("shutdown_request", "control", restart=restart)

    (reply,) = reception.answers(request)
    assert {"status": "ok", "restart": restart} == reply["content"]
    assert "control" == reception.sent[0][0]
    assert 1 == reception.shutdowns


def test_what_is_sent_has_the_clients_addresses(
    reception: Reception, client: Client
) -> None:
    """Replies by identity, publications by topic; each is signed."""
    reception.standin.introduce(INFO)
    client.ask(ASK)

    topics = [parts[0] for _, parts in reception.sent]
    assert [b"status", b"one", b"status"] == topics
    for _, parts in reception.sent:
        assert read(parts)["header"]["version"]


WHY = "The job was cancelled."


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
    assert [] == reception.standin.hand_over()


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
    assert [] == reception.standin.hand_over()


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
    assert [id_of(cell)] == ids(reception.standin.hand_over())


def test_the_kernel_takes_over(reception: Reception, client: Client) -> None:
    """What was shown is cleared at once, in the kernel's name; nothing else is said."""
    first, second = client.ask(), client.ask()
    theirs = Client(reception, "two").ask()
    reception.standin.show("waits")
    reception.sent.clear()

    reception.standin.hand_over("kernel")

    said = [msg for _, msg in reception.seen()]
    cleared = [id_of(first), id_of(theirs)]
    assert cleared == [msg["parent_header"]["msg_id"] for msg in said]
    assert ["clear_output"] * 2 == [msg["msg_type"] for msg in said]
    assert [{"wait": False}] * 2 == [msg["content"] for msg in said]
    assert {"kernel"} == {msg["header"]["session"] for msg in said}
    assert [] == reception.fate(second)


def test_a_kernel_takes_over_that_nobody_can_ask(reception: Reception) -> None:
    """It counts as idle: pages that were told "starting" hear nothing else that counts."""
    reception.standin.subscribed(b"")

    reception.standin.hand_over()

    assert ["starting", "idle"] == reception.kinds()
    assert {} == reception.seen()[-1][1]["parent_header"]


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
    held = ids(reception.standin.hand_over())

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
    reception.standin.hand_over()

    headers = [request["header"] for request in asked if request is not None]
    owners = {header["msg_id"]: header["session"] for header in headers}
    for target, parts in reception.sent:
        parent = read(parts)["parent_header"]
        if target != "iopub":
            assert parts[0].decode() == owners[parent["msg_id"]]
        elif parent:
            assert parent["session"] == owners[parent["msg_id"]]


def test_cells_that_wait_are_listed(reception: Reception, client: Client) -> None:
    """With what they show; those without a name are not."""
    client.ask(code="nameless")
    other = Client(reception, "two")
    msg = other.session.msg(RUN, {"code": "x"}, metadata={"cellId": "c"})
    reception.standin.request("shell", other.parts(msg))
    for text in ("first text", "second text"):
        reception.standin.show(text)

    (cell,) = [one.as_json() for one in reception.standin.cells()]

    assert ("c", "x", "waiting", None) == tuple(
        cell[key] for key in ("cell_id", "code", "state", "execution_count")
    )
    assert ["second text\n"] == [
        said["content"]["text"]
        for said in cell["messages"]
        if "text" in said["content"]
    ]


def test_a_cell_that_waits_is_marked(reception: Reception, client: Client) -> None:
    """So a server that comes after this one knows whose output to keep."""
    reception.standin.cells()
    msg = client.session.msg("execute_request", {}, metadata={"cellId": "c"})

    reception.standin.request("shell", client.parts(msg))

    ((_, parts),) = reception.noted[-1]
    assert "c" == read(parts)["header"]["cell"]


def test_what_a_cell_showed_while_it_waited(
    reception: Reception, client: Client
) -> None:
    """A page that gets it late must know that it is no part of the output."""
    cell = client.ask()
    reception.standin.show("text")
    reception.standin.hand_over()

    said = [msg["header"]["msg_id"] for msg in reception.answers(cell)]
    assert {id_of(cell): said} == reception.standin.all_said()
