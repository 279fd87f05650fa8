"""What was seen of a peer becomes a row that hides nothing."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.known import Peer
from benchmarks.peers.row import COLUMNS, Seen, row


def seen(*facts: dict[str, Any], **more: Any) -> Seen:
    peer = Peer("somebody", "student05", (), lambda seat: None, needs=("a jump host",))
    return Seen(peer, "1.0", list(facts), **more)


def test_medians_and_the_first() -> None:
    """The first start of a server is told apart from the median."""
    starts = [{"step": "start", "value": seconds} for seconds in (3.0, 1.0, 2.0)]

    values = row(seen(*starts, rounds=3)).values

    assert (2.0, 3.0) == (values["start"], values["first"])


def test_all_columns_are_there() -> None:
    """What is not known is None."""
    values = row(seen()).values

    assert [key for key, _title, _unit in COLUMNS] == list(values)
    assert {None} == set(values.values())


def test_one_that_cannot_run() -> None:
    """The row has the reason, word by word."""
    failed = {"step": "start", "error": "Failure: no kernel_info_reply", "after": 65.0}

    remarks = row(seen(failed, rounds=1, error="ssh: no route")).remarks

    assert "needs a jump host" in remarks
    assert "0 of 1 starts worked" in remarks
    assert "failed: start: Failure: no kernel_info_reply" in remarks
    assert "does not run; its last lines:\nssh: no route" in remarks


def test_an_interrupt_that_does_nothing() -> None:
    """Seconds if it worked, words if not."""
    facts = [
        {"step": "interrupt spin", "value": {"how": "yes", "seconds": 0.1}},
        {"step": "interrupt sleep", "value": {"how": "no effect"}},
    ]

    values = row(seen(*facts)).values

    assert (0.1, "no effect") == (values["interrupt spin"], values["interrupt sleep"])


def test_a_restart_in_another_job() -> None:
    """The jobs before and after are compared."""
    restart = {"seconds": 1.5, "new": True, "old_client": False}
    jobs = {"before restart": ["1"], "restarted": ["2"]}

    found = row(seen({"step": "restart", "value": restart}, jobs=jobs))

    assert (1.5, "another") == (found.values["restart"], found.values["restart_job"])
    assert "a client from before the restart gets no reply" in found.remarks


def test_a_restart_that_fails() -> None:
    """A time that is not there is not mistaken for one that was not measured."""
    failed = {"step": "restart", "error": "OSError: in use", "after": 0.1}

    assert "fails" == row(seen(failed)).values["restart"]


def test_what_is_left() -> None:
    """A number in the table, and the lines as remarks."""
    found = row(seen(left_by_rounds=["job 7 k"], left_by_life=[]))

    assert "1 job" == found.values["left_at_exit"]
    assert "nothing" == found.values["left"]
    assert "left after shutdown and exit: job 7 k" in found.remarks
