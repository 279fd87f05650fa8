"""kernel.model: each state of a kernel, from its record and the scheduler's word."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scheduler.asking import job

from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.lifecycle import State
from remote_kernels.kernel.model import STATES, UNKNOWN, KernelModel, kernel_model
from remote_kernels.records import JobEnd, Record
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.scheduler.slurm.driver import Slurm

CANCELLED = JobEnd("CANCELLED", 0, 15, "It was cancelled.")
SUBMITTED, READY, START, END = 1000.0, 1010.0, 1005.0, 5000.0
RUNNING = JobStatus(
    job("7"), Phase.RUNNING, "RUNNING", node="c1", start_time=START, end_time=END
)
WAITING = JobStatus(
    job("7"),
    Phase.PENDING,
    "PENDING",
    "Priority",
    start_time=START,
    end_time=END,
    place=3,
)
SESSIONS = {"s1": {"path": "a.ipynb"}, "s2": {"path": "b/c.ipynb"}}
SUBMITTED_FACTS: dict[str, Any] = {
    "name": "Python on the cluster",
    "spec_name": "cluster",
    "scheduler": "slurm",
    "cluster": "big",
    "job_id": "7",
    "host": "login1",
    "pid": 99,
    "times": {"submitted": SUBMITTED},
}
READY_FACTS = {
    **SUBMITTED_FACTS,
    "node": "c1",
    "carrier": "ssh",
    "times": {"submitted": SUBMITTED, "ready": READY},
}


def seen(
    status: JobStatus | None,
    facts: dict[str, Any] = READY_FACTS,
    *,
    end: JobEnd | None = None,
    own: State | None = None,
) -> KernelModel:
    return kernel_model("k1", facts, SESSIONS, Slurm(), status, end=end, own=own)


def test_a_kernel_that_waits() -> None:
    """With its place, and when it may start; the guess at its end is none."""
    found = seen(WAITING, SUBMITTED_FACTS)

    assert "waiting" == found.state
    assert "other jobs are ahead in the queue (Priority)" == found.text
    assert (3, START, None) == (found.place, found.expected_start, found.ends)
    assert ("PENDING", "Priority") == (found.job_state, found.reason)
    assert (SUBMITTED, None, None) == (found.submitted, found.ready, found.node)


def test_a_kernel_that_starts() -> None:
    """Its job runs, but it was not there yet."""
    found = seen(RUNNING, SUBMITTED_FACTS)

    assert "starting" == found.state
    assert "its job runs on c1; the kernel is starting" == found.text
    assert (None, None, END) == (found.place, found.expected_start, found.ends)


def test_a_kernel_that_starts_nobody_knows_where() -> None:
    """The scheduler has not said."""
    found = seen(replace(RUNNING, node=None), SUBMITTED_FACTS)

    assert "its job runs on a node; the kernel is starting" == found.text


def test_a_kernel_that_runs() -> None:
    """All that is known of it."""
    found = seen(RUNNING)

    assert ("running", "runs on c1") == (found.state, found.text)
    assert ("c1", "ssh") == (found.node, found.carrier)
    assert (SUBMITTED, READY, END) == (found.submitted, found.ready, found.ends)
    assert ("k1", "7", "big") == (found.kernel_id, found.job_id, found.cluster)
    assert ("login1", 99) == (found.host, found.pid)
    assert ("a.ipynb", "b/c.ipynb") == found.notebooks


@pytest.mark.parametrize(
    ("status", "facts", "own", "state", "text"),
    [
        (None, SUBMITTED_FACTS, State.PENDING, "waiting", "submitted"),
        (None, READY_FACTS, State.RUNNING, "running", "runs on c1"),
        (
            RUNNING,
            READY_FACTS,
            State.LOST,
            "lost",
            "the connection to c1 is lost; it is being made anew",
        ),
        (
            replace(RUNNING, phase=Phase.SUSPENDED),
            READY_FACTS,
            State.LOST,
            "suspended",
            "its job is suspended",
        ),
        (WAITING, READY_FACTS, State.RESTARTING, "running", "runs on c1"),
        (RUNNING, SUBMITTED_FACTS, State.PENDING, "starting", "its job runs on c1"),
        (WAITING, SUBMITTED_FACTS, State.STARTING, "starting", "its job runs on"),
        (None, SUBMITTED_FACTS, State.STARTING, "starting", "its job runs on"),
    ],
)
def test_a_kernel_of_this_process(
    status: JobStatus | None,
    facts: dict[str, Any],
    own: State,
    state: str,
    text: str,
) -> None:
    """We know best whether we can reach it; the scheduler's word may be old."""
    found = seen(status, facts, own=own)

    assert state == found.state
    assert found.text.startswith(text)


@pytest.mark.parametrize(
    ("phase", "word", "state", "text"),
    [
        (Phase.SUSPENDED, "SUSPENDED", "suspended", "its job is suspended"),
        (Phase.ENDING, "COMPLETING", "ending", "its job is ending"),
        (Phase.ENDED, "TIMEOUT", "ended", "its job has ended"),
        (
            Phase.UNKNOWN,
            "DREAMING",
            UNKNOWN,
            "unknown (DREAMING); the scheduler does not say",
        ),
    ],
)
def test_what_the_scheduler_says(
    phase: Phase, word: str, state: str, text: str
) -> None:
    """In our words, with its own beside them."""
    found = seen(replace(RUNNING, phase=phase, state=word))

    assert (state, text, word) == (found.state, found.text, found.job_state)
    assert found.state in (*STATES, UNKNOWN)


def test_a_scheduler_that_does_not_answer() -> None:
    """Nothing is known, which is not that it has ended."""
    found = seen(None)

    assert UNKNOWN == found.state
    assert "unknown; the scheduler does not say" == found.text
    assert ("", "", None) == (found.job_state, found.reason, found.ends)


def test_a_kernel_that_has_ended() -> None:
    """How is said in its own text, whatever else is known; it has no end ahead."""
    found = seen(RUNNING, end=CANCELLED, own=State.ENDED)

    assert ("ended", "It was cancelled.") == (found.state, found.text)
    assert found.ends is None


def test_a_record_that_says_little() -> None:
    """Another version wrote it, or it was never finished."""
    found = kernel_model("k1", {}, {}, Slurm(), None)

    assert ("", "", "", 0) == (found.name, found.job_id, found.host, found.pid)
    assert (None, ()) == (found.submitted, found.notebooks)


@pytest.mark.parametrize(
    ("ahead", "left"), [(90.0, 90), (-5.0, 0), (None, None)], ids=str
)
def test_its_form_in_json(ahead: float | None, left: int | None) -> None:
    """Every field, and how many seconds are left; never less than none."""
    ends = None if ahead is None else time.time() + ahead
    usage = {"memory": 1}
    status = replace(RUNNING, end_time=ends)
    found = kernel_model("k1", READY_FACTS, SESSIONS, Slurm(), status, usage=usage)

    body = found.as_json()

    assert body == json.loads(json.dumps(body))
    fields = {*KernelModel.__dataclass_fields__} - {
        "job"
    }  # which is shown by its number
    assert {*fields, "job_id", "time_left"} == {*body}
    assert body["time_left"] == (None if left is None else pytest.approx(left, abs=2))
    assert (["a.ipynb", "b/c.ipynb"], usage) == (body["notebooks"], body["usage"])


def test_a_kernel_on_record(tmp_path: Path) -> None:
    """It is seen with its sessions, in its own scheduler's words."""
    record = Record(tmp_path, "k1")
    record.create()
    record.write("sessions.json", SESSIONS)

    found = Recorded(record, SUBMITTED_FACTS, WAITING).model()

    assert seen(WAITING, SUBMITTED_FACTS) == found


def test_a_kernel_on_record_that_has_ended(tmp_path: Path) -> None:
    """No sessions are left of it."""
    record = Record(tmp_path, "k1")

    found = Recorded(
        record, READY_FACTS, None, JobEnd("CANCELLED", text="It was cancelled.")
    ).model()

    assert ("ended", "It was cancelled.", ()) == (
        found.state,
        found.text,
        found.notebooks,
    )
