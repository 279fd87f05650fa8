"""kernel.finding: which kernel a command is about."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from cli.live import record_of

from remote_kernels.errors import RecordError
from remote_kernels.kernel import finding
from remote_kernels.kernel.finding import (
    ATTACHABLE,
    LIVE,
    ON_RECORD,
    PATIENCE,
    choose,
    find,
)
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.records import JobEnd
from remote_kernels.scheduler.job import JobId, JobStatus, Phase

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def four() -> list[Recorded]:
    """Two that run, one that ended, one that waits."""
    found = []
    for kernel, job_id in (
        ("aa1", JobId("17", "c1")),
        ("aa2", JobId("18", "/log")),
        ("b", JobId("19")),
        ("c", JobId("20")),
    ):
        record = record_of(kernel, job_id, name=f"Python {job_id}")
        if kernel != "c":
            record.write("agent.json", {})
        facts = record.read("record.json") or {}
        found.append(
            Recorded(
                record,
                facts,
                None,
                JobEnd("COMPLETED", text="It ended.") if kernel == "b" else None,
            )
        )
    return found


@pytest.mark.parametrize("wanted", ["aa2", "18"])
def test_one_by_its_beginning_or_job(four: list[Recorded], wanted: str) -> None:
    """The number that the scheduler shows is enough."""
    assert "aa2" == choose(four, wanted).kernel_id


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (None, "Which of these kernels?"),
        ("", "No kernel that runs matches ''."),
        ("aa", "More than one kernel matches 'aa':"),
        ("d", "No kernel that runs matches 'd'."),
    ],
)
def test_not_one(four: list[Recorded], wanted: str | None, text: str) -> None:
    """Those that run are listed."""
    with pytest.raises(RecordError) as caught:
        choose(four, wanted)
    first, *listed = str(caught.value).splitlines()
    assert first.startswith(text)
    assert ["  aa1  job 17  Python 17", "  aa2  job 18  Python 18"] == listed


def test_others_than_those_that_run(four: list[Recorded]) -> None:
    """Some commands are also for kernels that wait, some for those that ended."""
    assert "c" == choose(four, "20", LIVE).kernel_id
    assert "b" == choose(four, "b", ON_RECORD).kernel_id


def test_only_those_that_match_are_listed(four: list[Recorded]) -> None:
    """Of kernels that are not meant nothing is said."""
    with pytest.raises(RecordError) as caught:
        choose(four, "aa", LIVE)
    assert ["aa1", "aa2"] == [
        line.split()[0] for line in str(caught.value).splitlines()[1:]
    ]


@pytest.mark.parametrize("among", [ATTACHABLE, LIVE])
def test_one_that_ended(four: list[Recorded], among: str) -> None:
    """How, and where more is said; others are not listed."""
    with pytest.raises(RecordError) as caught:
        choose(four, "b", among)
    assert (
        "Kernel b has ended: It ended.\n`remote-kernels info b` says more of it."
        == str(caught.value)
    )


def test_one_that_waits(four: list[Recorded]) -> None:
    """That it has no node yet, if only one with a node will do."""
    pending = JobStatus(JobId("20"), Phase.PENDING, "PENDING", "Resources")
    waiting = replace(four[3], status=pending)
    with pytest.raises(RecordError, match="c has no node yet: its job 20 waits"):
        choose([*four[:3], waiting], "c", ATTACHABLE)
    with pytest.raises(RecordError, match="c cannot be reached yet: "):
        choose(four, "c", ATTACHABLE)


def test_the_only_one(four: list[Recorded]) -> None:
    """It need not be named; beside one that lives, one that ended is not meant."""
    one, _, ended, waits = four
    assert "aa1" == choose([one, ended, waits], None, ATTACHABLE).kernel_id
    assert "aa1" == choose([one, ended], None, ON_RECORD).kernel_id
    assert "b" == choose([ended], None, ON_RECORD).kernel_id


@pytest.mark.parametrize(
    ("among", "verb"),
    [(ATTACHABLE, "runs"), (LIVE, "waits or runs"), (ON_RECORD, "is on record")],
)
def test_none(among: str, verb: str) -> None:
    """No list of nothing."""
    with pytest.raises(RecordError) as caught:
        choose([], "x", among)
    assert f"No kernel of yours {verb} here." == str(caught.value)


def test_one_that_does_not_run_yet(four: list[Recorded]) -> None:
    """Where to look."""
    with pytest.raises(RecordError, match=r"runs here\.\n1 may soon: "):
        choose(four[2:], None)


@pytest.mark.parametrize(
    "wanted",
    [
        "fit.ipynb",
        "fit",
        "models/fit.ipynb",
        "models/fit",
        "./models/fit.ipynb",
        "/home/me/work/models/fit.ipynb",
    ],
)
def test_one_by_its_notebook(four: list[Recorded], wanted: str) -> None:
    """Its name, or its path, of which one types what one likes."""
    for kernel, path in zip(
        four[:2], ("work/models/fit.ipynb", "work/fits.ipynb"), strict=True
    ):
        kernel.record.write("sessions.json", {"s": {"path": path}})

    assert "aa1" == choose(four, wanted).kernel_id


def test_a_notebook_whose_earlier_kernel_ended(four: list[Recorded]) -> None:
    """The one that lives is meant."""
    for kernel in (four[0], four[2]):
        kernel.record.write("sessions.json", {"s": {"path": "a/fit.ipynb"}})

    assert "aa1" == choose(four, "fit", ON_RECORD).kernel_id


def test_notebooks_of_one_name(four: list[Recorded]) -> None:
    """Both are listed, with what tells them apart."""
    for kernel, path in zip(four[:2], ("a/fit.ipynb", "b/fit.ipynb"), strict=True):
        kernel.record.write("sessions.json", {"s": {"path": path}})

    with pytest.raises(RecordError) as caught:
        choose(four, "fit.ipynb")

    assert "More than one kernel matches" in str(caught.value)
    assert "  aa1  job 17  a/fit.ipynb" in str(caught.value)


def test_a_batch_system_that_hangs(
    four: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who speaks to the agent does not wait for it; who asks for the job does."""
    waited: list[float | None] = []

    async def recorded(*_: Any, patience: float | None) -> list[Recorded]:
        waited.append(patience)
        return four

    monkeypatch.setattr(finding, "recorded", recorded)
    for among in (ATTACHABLE, LIVE):
        assert "aa1" == asyncio.run(find(Runtime(), [], "aa1", among)).kernel_id

    assert [PATIENCE, None] == waited
