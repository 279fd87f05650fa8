"""agent.spec: what a kernel may be started by."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.agent.spec import wrong_with
from remote_kernels.agent.supervisor import Kernel
from remote_kernels.config import parse
from remote_kernels.kernel.launch import Launch
from remote_kernels.wire.codes import ProcessState
from remote_kernels.wire.control import KernelState

CONNECTION = {"transport": "ipc", "key": "", "signature_scheme": "hmac-sha256"}
RIGHT = {"argv": ["true"], "connection": CONNECTION}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, ""),
        ({"env": {"A": "b"}, "cwd": None, "gpus": "0"}, ""),
        ({"argv": []}, "argv"),
        ({"argv": "true"}, "argv"),
        ({"argv": ["true", 1]}, "argv"),
        ({"connection": {"transport": "ipc"}}, "connection"),
        ({"connection": {**CONNECTION, "key": 1}}, "connection"),
        ({"env": {"A": None}}, "env"),
        ({"env_lines": []}, "env_lines"),
        ({"cwd": 7}, "cwd"),
    ],
)
def test_what_is_wrong_with_it(change: dict[str, Any], wrong: str) -> None:
    """It is named."""
    assert wrong_with({**RIGHT, **change}).endswith(wrong)
    assert bool(wrong_with({**RIGHT, **change})) == bool(wrong)


@pytest.mark.asyncio
async def test_a_restart_by_a_spec_that_is_none(tmp_path: Path) -> None:
    """The kernel fails, with the reason, and can be started again."""
    told: asyncio.Queue[KernelState] = asyncio.Queue()
    kernel = Kernel("k", RIGHT, str(tmp_path), str(tmp_path))
    kernel.spawn()
    kernel.watch(told.put_nowait)

    await kernel.restart({"argv": ["true"]})
    while (
        state := await asyncio.wait_for(told.get(), 10)
    ).state is not ProcessState.FAILED:
        pass
    assert (2, "its spec has no right connection") == (state.incarnation, state.detail)

    await kernel.restart(RIGHT)
    while (
        state := await asyncio.wait_for(told.get(), 10)
    ).state is not ProcessState.EXITED:
        pass
    assert (3, 0) == (state.incarnation, state.exit_code)


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_what_the_login_end_sends(transport: str) -> None:
    """It is right, with all options."""
    settings = parse({"scheduler": "local", "transport": transport})
    keys = (b"public", b"secret")
    launch = Launch(("python",), {"A": "b"}, "/", b"key", keys, {"C": "d"})

    assert "" == wrong_with(launch.process(settings).as_json())
