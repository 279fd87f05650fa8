"""front.held_requests: what is held, in which order, and how much."""

from __future__ import annotations

import json

import pytest

from front.reception import (
    ASK,
    RUN,
    Client,
    Reception,
    id_of,
    ids,
)
from front.world import INFO, Msg, Parts
from remote_kernels.front import held_requests
from remote_kernels.front.interfaces import Request

DELIM = b"<IDS|MSG>"


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

    assert expected == reception.standin.hand_over("kernel")
    assert [] == reception.sent
    assert [] == reception.standin.hand_over()


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

    assert [("shell", parts)] == reception.standin.hand_over()


def test_what_is_held_is_told_whenever_it_changes(
    reception: Reception, client: Client
) -> None:
    """For the server that comes after this one."""
    request, cell = client.ask(ASK), client.ask()
    reception.standin.introduce(INFO)
    reception.standin.hand_over()

    expected = [[id_of(request)], [id_of(request), id_of(cell)], [id_of(cell)], []]
    assert expected == [ids(held) for held in reception.noted]


def test_too_much_is_not_taken(
    reception: Reception, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients must wait then; they can still interrupt, subscribe, and be alive."""
    monkeypatch.setattr(held_requests, "HELD_BYTES", 1000)
    assert reception.standin.request("shell", [b""])

    assert not reception.standin.request("shell", [bytes(1001)])
    assert not reception.standin.request("stdin", [b""])
    for target in ("control", "hb"):
        assert reception.standin.request(target, [b""])
    assert reception.standin.subscribed(b"")

    reception.standin.hand_over()
    assert reception.standin.request("shell", [b""])


def test_cells_that_were_cancelled_take_no_room(
    reception: Reception, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New ones can be run."""
    monkeypatch.setattr(held_requests, "HELD_BYTES", 1000)
    client.ask(code="x" * 1000)
    assert not reception.standin.request("shell", [b""])

    reception.standin.interrupt()

    assert ["shell", "stdin"] == reception.resumed
    assert reception.standin.request("shell", [b""])


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
    assert [id_of(cell), id_of(comm), id_of(late)] == ids(reception.standin.hand_over())


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
    assert [] == reception.standin.hand_over()
