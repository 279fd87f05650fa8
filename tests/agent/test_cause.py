"""agent.supervisor: why a process was not started, as a code."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.agent import kernel_log, kernel_process
from remote_kernels.agent.supervisor import Kernel
from remote_kernels.wire.codes import Cause, ProcessState
from remote_kernels.wire.control import KernelState

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


def test_a_child_that_holds_the_output_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent goes on for its other kernels, and then tells all that was written."""
    monkeypatch.setattr(kernel_log, "LAST_WORDS", 30.0)
    waits, wait = threading.Event(), kernel_log.KernelLog.wait

    def waited(log: kernel_log.KernelLog) -> None:
        waits.set()
        wait(log)

    monkeypatch.setattr(kernel_log.KernelLog, "wait", waited)
    begun, let_go = tmp_path / "begun", tmp_path / "let-go"
    os.mkfifo(begun)
    os.mkfifo(let_go)
    child = f"echo first; echo > {begun}; read line < {let_go}; echo later"
    holds = f"setsid sh -c '{child}' & read line < {begun}"
    told: list[KernelState] = []

    async def main() -> None:
        spec = {"argv": ["sh", "-c", holds], "connection": CONNECTION}
        kernel = Kernel("k", spec, str(tmp_path), str(tmp_path))
        kernel.spawn()
        kernel.watch(told.append)
        while not waits.is_set():
            await asyncio.sleep(0.01)
        kernel.mend()  # in that time, and nothing stays behind
        assert 1 == len(told)
        let_go.write_text("\n")
        while len(told) < 2:
            await asyncio.sleep(0.01)
        assert not [*tmp_path.glob("*.json")]

    asyncio.run(asyncio.wait_for(main(), 20))

    assert ProcessState.EXITED is told[1].state
    assert "first\nlater\n" == told[1].output
