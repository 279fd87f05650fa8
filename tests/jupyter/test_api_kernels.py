"""jupyter.api_kernels and api_errors, without a server; the records are real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remote_kernels.errors import (
    CommandError,
    ConfigError,
    ControllerError,
    JobError,
    RecordError,
    RemoteKernelError,
    SubmitError,
)
from remote_kernels.jupyter import api_kernels
from remote_kernels.jupyter.api_errors import status_of
from remote_kernels.jupyter.api_kernels import MOST_BYTES, Kernels, _Answer, log_end
from remote_kernels.jupyter.extension import _ask_at_most_every
from remote_kernels.records import JobEnd, Record
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.jobs import shared


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "state"


def record_of(base: Path, kernel: str, *, end: str = "") -> Record:
    """A kernel that some server has, or had."""
    made = Record(base, kernel)
    made.create()
    made.write("spec.json", {})
    made.write("record.json", {"scheduler": "slurm", "job_id": "9", "times": {}})
    if end:
        made.seal(JobEnd("CANCELLED", text=end))
    return made


@pytest.mark.asyncio
async def test_how_often_a_site_wants_to_be_asked() -> None:
    """It holds for all schedulers; a kernelspec may ask for more, not for less."""
    await _ask_at_most_every(7.0)

    for make in DRIVERS.values():
        assert 7.0 == shared(make, 1.0).poll_interval
        assert 9.0 == shared(make, 9.0).poll_interval


class Manager(SimpleNamespace):
    """Has no kernels."""

    def list_kernel_ids(self) -> list[str]:
        return []


@pytest.mark.asyncio
async def test_a_server_with_kernels_of_its_own(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked for them, nor for those that have ended."""

    async def fail(dirs: object) -> list[Any]:
        raise AssertionError(dirs)

    monkeypatch.setattr(api_kernels, "recorded", fail)
    record_of(base, "mine")
    record_of(base, "sealed", end="It ended.")
    kernels = Kernels(Manager(), lambda: [base], 1.0)
    others = await kernels._on_record({"mine"})

    assert ["sealed"] == [known.view.kernel_id for known in others]


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: (record.path / "record.json").write_text("{"),
        lambda record: (record.path / "record.json").unlink(),
        lambda record: record.write("record.json", {"scheduler": "pbs", "job_id": "1"}),
    ],
    ids=["cut off", "missing", "unknown scheduler"],
)
def test_a_record_that_is_damaged(
    base: Path, damage: Callable[[Record], object]
) -> None:
    """It keeps none of the others away."""
    record = record_of(base, "k1", end="It ended.")
    damage(record)

    assert api_kernels._sealed(record) is None is api_kernels._live(record, _Answer())


def test_the_end_of_a_log(tmp_path: Path) -> None:
    """Of a long one only the end is read, whatever bytes are in it."""
    log = tmp_path / "job.log"
    log.write_bytes(b"x" * MOST_BYTES + b"\xff\n" + b"last\n")

    assert "last\n" == log_end(log, 1)
    assert MOST_BYTES == len(log_end(log, 10_000).encode()) - len("\ufffd".encode()) + 1
    assert "" == log_end(tmp_path / "none", 1)
    with pytest.raises(RecordError, match="Cannot read"):
        log_end(tmp_path, 1)


FAILED = "It failed.", ["sbatch"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("no"), 400),
        (SubmitError(*FAILED, 1, stderr="invalid partition"), 409),
        (SubmitError(*FAILED, None), 503),
        (ControllerError(*FAILED, 1), 503),
        (CommandError(*FAILED, 1), 502),
        (JobError("no"), 502),
        (RecordError("no"), 500),
    ],
)
def test_each_error_has_a_status(error: RemoteKernelError, status: int) -> None:
    """It says whose move is next."""
    assert status == status_of(error)
