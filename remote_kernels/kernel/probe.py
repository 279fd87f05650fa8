"""Ask a kernel on this host what it is, for the stand-in of one that waits.

Started as Jupyter starts a kernel, on Unix sockets in a private directory, asked for
kernel_info once, and ended. It computes nothing and runs as kindly as it can. Called by
queue_display.py, and only where nothing is known from an earlier start.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient

from remote_kernels import harmless
from remote_kernels.front.front import connection_info
from remote_kernels.records import write_for_user
from remote_kernels.scheduler import command
from remote_kernels.wire import kernel_sockets

log = harmless.logger(__name__)

TIMEOUT = 15.0  # seconds
LIFE = 20.0  # seconds, also of one whose server is killed meanwhile
NICE = 10


async def probe(
    argv: Sequence[str], env: Mapping[str, str], directory: Path
) -> dict[str, Any] | None:
    """Return the content of a kernel's kernel_info_reply; None if it does not answer.

    Parameters
    ----------
    argv:
        The kernel's command, with `{connection_file}`.
    env:
        Its environment.
    directory:
        A private directory with a short path.
    """
    if not argv or shutil.which(argv[0], path=env.get("PATH")) is None:
        return None
    file = directory / "probe.json"
    key = secrets.token_hex(16)
    info = {**connection_info(str(directory / "p"), key.encode()), "key": key}
    write_for_user(file, json.dumps(info))
    try:
        # asyncio would kill `timeout` alone, not its group, if it is cancelled here.
        started = asyncio.create_subprocess_exec(
            *("timeout", "--signal=KILL", f"{LIFE:g}", "nice", "-n", str(NICE)),
            *(arg.replace("{connection_file}", str(file)) for arg in argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(env),
            cwd="/",
            start_new_session=True,
        )
        process = await command.or_undo(started, _end_started)
        try:
            return await _ask(file)
        finally:
            await _end(process)
    except OSError as exc:
        log.info("no probe of the kernel: %s", exc)
        return None
    finally:
        file.unlink(missing_ok=True)
        for number in kernel_sockets.NUMBERS.values():
            (directory / f"p-{number}").unlink(missing_ok=True)


async def _end_started(started: asyncio.Future[asyncio.subprocess.Process]) -> None:
    with contextlib.suppress(OSError):  # it could not be started
        await _end(await started)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await command.to_the_end(process.wait())


async def _ask(file: Path) -> dict[str, Any] | None:
    client = AsyncKernelClient()
    client.load_connection_file(str(file))
    client.start_channels(iopub=False, stdin=False, control=False, hb=False)
    try:
        reply = await client.kernel_info(reply=True, timeout=TIMEOUT)
        content: dict[str, Any] = reply["content"]
    except TimeoutError as exc:
        log.info("the kernel did not answer a probe: %s", exc)
        return None
    else:
        return content
    finally:
        client.stop_channels()
