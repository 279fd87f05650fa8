"""agent.supervisor: why a process was not started, as a code."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.agent import kernel_process
from remote_kernels.agent.supervisor import Kernel
from remote_kernels.wire.codes import Cause, ProcessState

CONNECTION = {"transport": "ipc", "key": "", "signature_scheme": "hmac-sha256"}


def _spawned(directory: Path, **spec: Any) -> Kernel:
    wanted = {"argv": ["sleep", "100"], "connection": CONNECTION, **spec}
    kernel = Kernel("k", wanted, str(directory), str(directory))
    kernel.spawn()
    kernel.kill()
    return kernel


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"argv": ["/no/such/kernel"]}, Cause.NO_PROGRAM),
        ({"argv": ["/dev/null"]}, Cause.NO_PROGRAM),
        ({"gpus": "99"}, Cause.NO_GPU),
        ({"argv": ["true\0"]}, Cause.NONE),
    ],
)
def test_what_was_in_the_way(
    tmp_path: Path, spec: dict[str, Any], cause: Cause
) -> None:
    """Told apart by what happened, not by the text of it."""
    state = _spawned(tmp_path, **spec).state()

    assert (ProcessState.FAILED, cause) == (state.state, state.cause)


def test_a_node_without_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No address for sockets over TCP."""

    def sockets(*args: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "text")

    monkeypatch.setattr(kernel_process, "Sockets", sockets)

    assert _spawned(tmp_path).state().cause is Cause.NO_LOOPBACK
