"""front.standin: what it answers, what it holds, and in which order it hands it over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from front.reception import ASK, RUN, Client, Reception, id_of, ids
from front.world import INFO, KEY, Msg, Parts, read
from remote_kernels.front import standin
from remote_kernels.front.jupyter_message import Speaker
from remote_kernels.front.standin import Request, StandIn
from remote_kernels.wire.zmtp import SUBSCRIBE_ALL

DELIM = b"<IDS|MSG>"


@pytest.fixture
def reception() -> Reception:
    return Reception()


@pytest.fixture
def client(reception: Reception) -> Client:
    return Client(reception)


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
    assert [] == reception.standin.hand_over(Speaker(KEY))


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
    assert [] == reception.standin.hand_over(Speaker(KEY))


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
        lambda: reception.standin.hand_over(Speaker(KEY)),
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

    held = reception.standin.hand_over(Speaker(KEY))
    assert [id_of(first), id_of(second)] == ids(held)


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
    assert [] == reception.standin.hand_over(Speaker(KEY))


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


def test_all_else_is_held_in_order(reception: Reception, client: Client) -> None:
    """Of all clients and sockets, not a byte changed; it is handed over once."""
    reception.standin.introduce(INFO)
    other = Client(reception, "two")
    asked = [
        ("shell", client, RUN),
        ("shell", other, "comm_open"),
        ("stdin", other, "input_reply"),
        ("control", client, "debug_request"),
        ("stdin", client, ASK),  # on no socket where that is answered
        ("shell", client, "comm_msg"),
        ("shell", other, RUN),
    ]
    expected: list[Request] = []
    for target, who, kind in asked:
        parts = who.parts(who.session.msg(kind, {"number": len(expected)}))
        reception.standin.request(target, parts)
        expected.append((target, parts))

    assert expected == reception.standin.hand_over(Speaker(KEY))
    assert [] == reception.sent
    assert [] == reception.standin.hand_over(Speaker(KEY))


def malformed() -> list[Parts]:
    header = json.dumps({"msg_type": RUN}).encode()
    return [
        [],
        [b""],
        [b"one", b"no delimiter"],
        [b"one", DELIM, b"signature", header],
        [b"one", DELIM, b"signature", b"\xff{", b"{}", b"{}", b"{}"],
        [b"one", DELIM, b"signature", b"[]", b"[]", b"[]", b"[]"],
        [b"one", DELIM, b"signature", b'{"msg_type": [1]}', b"", b"", b""],
    ]


@pytest.mark.parametrize("parts", malformed())
def test_what_is_no_jupyter_message_is_held(reception: Reception, parts: Parts) -> None:
    """The kernel may know what to do with it."""
    reception.standin.request("shell", parts)
    reception.standin.introduce(INFO)
    reception.standin.interrupt()
    reception.standin.show("waits")

    assert [("shell", parts)] == reception.standin.hand_over(Speaker(KEY))


def test_what_is_held_is_told_whenever_it_changes(
    reception: Reception, client: Client
) -> None:
    """For the server that comes after this one."""
    request, cell = client.ask(ASK), client.ask()
    reception.standin.introduce(INFO)
    reception.standin.hand_over(Speaker(KEY))

    expected = [[id_of(request)], [id_of(request), id_of(cell)], [id_of(cell)], []]
    assert expected == [ids(held) for held in reception.noted]


def test_too_much_is_not_taken(
    reception: Reception, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients must wait then; they can still interrupt, subscribe, and be alive."""
    monkeypatch.setattr(standin, "HELD_BYTES", 1000)
    assert not reception.standin.full("shell")

    client.ask("comm_msg", data="x" * 1000)
    assert reception.standin.full("shell")
    assert reception.standin.full("stdin")
    for target in ("control", "hb", "iopub"):
        assert not reception.standin.full(target)

    reception.standin.hand_over(Speaker(KEY))
    assert not reception.standin.full("shell")


def test_cells_that_were_cancelled_take_no_room(
    reception: Reception, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New ones can be run."""
    monkeypatch.setattr(standin, "HELD_BYTES", 1000)
    client.ask(code="x" * 1000)
    assert reception.standin.full("shell")

    reception.standin.interrupt()

    assert not reception.standin.full("shell")


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

    assert [id_of(cell)] == ids(reception.standin.hand_over(Speaker(KEY)))
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


def restored(reception: Reception, *kinds: str) -> list[Msg]:
    """Requests of a client that an earlier server had, and has told of."""
    earlier = Reception()
    client = Client(earlier)
    messages = [client.ask(kind) for kind in kinds]
    reception.standin.restore(earlier.noted[-1])
    return messages


def test_what_an_earlier_server_held(reception: Reception, client: Client) -> None:
    """It comes first, and its client is not here because of it."""
    cell, comm = restored(reception, RUN, "comm_msg")
    reception.standin.introduce(INFO)
    late = client.ask()

    assert {id_of(cell), id_of(comm)} == reception.standin.restored
    assert [id_of(cell), id_of(comm)] == ids(reception.noted[0])
    assert [id_of(cell), id_of(comm), id_of(late)] == ids(
        reception.standin.hand_over(Speaker(KEY))
    )


def test_a_client_of_an_earlier_server_is_away(reception: Reception) -> None:
    """Until it speaks."""
    restored(reception, RUN)
    assert set() == reception.standin.sessions

    Client(reception).ask("history_request")

    assert {"one"} == reception.standin.sessions


def test_cells_of_an_earlier_server_show_the_queue(reception: Reception) -> None:
    """And can be interrupted, as if they had been run here."""
    first, second = restored(reception, RUN, RUN)

    reception.standin.show("waits")
    assert ["waits\n"] == reception.texts(first)
    assert [] == reception.texts(second)

    reception.standin.interrupt()
    replies = [reception.answers(cell)[-2]["content"] for cell in (first, second)]
    assert ["error", "aborted"] == [reply["status"] for reply in replies]
    assert [] == reception.standin.hand_over(Speaker(KEY))


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
