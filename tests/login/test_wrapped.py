"""Sites that put a program of their own before sbatch on PATH."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import zmq.asyncio
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.multikernelmanager import AsyncMultiKernelManager

from login.conftest import START_TIMEOUT, run, running
from login.specs import write_spec
from remote_kernels.errors import SubmitError
from remote_kernels.jupyter.process import process

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.asyncio,
    pytest.mark.only("slurm", "wrappers of sbatch; forms are tested without a cluster"),
]

JOB = "import os; print(os.environ['SLURM_JOB_ID'])"
SENTENCE = """\
for word; do shift; [ "$word" = --parsable ] || set -- "$@" "$word"; done
exec /usr/bin/sbatch "$@"
"""
SILENT = 'exec /usr/bin/sbatch "$@" > /dev/null\n'
NOTICE = 'echo "5 h of your project are left." >&2; exec /usr/bin/sbatch "$@"\n'
WANTS_A_FILE = """\
for word; do [ ! -f "$word" ] || exec /usr/bin/sbatch "$@"; done
echo "sbatch: usage: sbatch SCRIPT" >&2; exit 1
"""


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the wrapper is to be."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(process().runtime, "notices", set())
    return tmp_path / "sbatch"


def wrap(sbatch: Path, text: str) -> None:
    sbatch.write_text(f"#!/bin/sh\n{text}")
    sbatch.chmod(0o755)


@pytest.mark.parametrize("wrapper", [SENTENCE, SILENT])
async def test_a_wrapper_that_tells_the_number_otherwise_or_not(
    sbatch: Path, wrapper: str
) -> None:
    """The kernel starts, in the job that it is known to have."""
    wrap(sbatch, wrapper)

    async with running("t-ssh") as (manager, client):
        provisioner = manager.provisioner
        assert str(provisioner.remote_kernel.status.job_id) == await run(client, JOB)  # type: ignore[union-attr]


async def test_a_wrapper_that_wants_a_file(sbatch: Path) -> None:
    """The error says what is in the way, and how to get it out of there."""
    wrap(sbatch, WANTS_A_FILE)

    context = zmq.asyncio.Context()
    manager = AsyncKernelManager(kernel_name="t-ssh", context=context)
    with pytest.raises(SubmitError, match="type -a sbatch"):
        await manager.start_kernel()
    context.destroy(linger=0)


async def test_a_notice_of_the_site_is_in_the_first_cell_once(
    sbatch: Path, jupyter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a server's kernels; not again after a restart, nor of the next kernel."""
    wrap(sbatch, NOTICE)
    write_spec("t-told", {"scheduler": "slurm", "state_dir": str(jupyter / "state")})
    kernels = AsyncMultiKernelManager(context=zmq.asyncio.Context())
    texts = []
    for _ in range(2):
        kernel_id = await kernels.start_kernel(kernel_name="t-told")
        manager: Any = kernels.get_kernel(kernel_id)
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=START_TIMEOUT)
        texts.append(await run(client, "print('first')"))
        texts.append(await run(client, "print('second')"))
        await kernels.restart_kernel(kernel_id)
        await client.wait_for_ready(timeout=START_TIMEOUT)
        texts.append(await run(client, "print('restarted')"))
        client.stop_channels()
        await kernels.shutdown_kernel(kernel_id)
    kernels.context.destroy(linger=0)

    assert "The site says: 5 h of your project are left." in texts[0]
    assert 1 == "".join(texts).count("5 h of your project")
    said = [r for r in caplog.records if "5 h of your project" in r.getMessage()]
    assert {logging.WARNING} == {record.levelno for record in said}
