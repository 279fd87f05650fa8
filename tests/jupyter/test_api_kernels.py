"""jupyter.api.known and errors, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote_kernels.errors import (
    CommandError,
    ConfigError,
    ControllerError,
    DeniedError,
    JobError,
    NotFoundError,
    RecordError,
    RemoteKernelError,
    StateError,
    SubmitError,
    UnknownError,
)
from remote_kernels.jupyter.api.errors import status_of
from remote_kernels.jupyter.api.known import MOST_BYTES, log_end


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
        (DeniedError(*FAILED, 1), 403),
        (NotFoundError("no"), 404),
        (StateError("no"), 409),
        (UnknownError("no"), 503),
        (CommandError(*FAILED, 1), 502),
        (JobError("no"), 502),
        (RecordError("no"), 500),
    ],
)
def test_each_error_has_a_status(error: RemoteKernelError, status: int) -> None:
    """It says whose move is next."""
    assert status == status_of(error)
