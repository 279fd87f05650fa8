"""What programs of ours in a kernel's job tell of it, for who has the kernel.

Its own session carries them, so no carrier and no login is needed; whoever asks waits
for so long and no longer. Called by service.py, for the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remote_kernels.bounded import within
from remote_kernels.errors import AgentError
from remote_kernels.worker import Worker

from .model import KernelModel
from .remote_process import RemoteProcess, told_by

MOST = 8 * 1024 * 1024  # bytes of an answer


async def look(
    way: Path,
    model: KernelModel,
    program: str,
    options: Mapping[str, Any],
    patience: float,
) -> Any:
    """Return what a program on the node says, in JSON.

    Parameters
    ----------
    way:
        A socket that leads into the job.
    model:
        The kernel, for messages.
    program, options:
        See agent/inside.py.
    patience:
        Seconds.

    Raises
    ------
    AgentError
        It fails, or does not answer in time.
    """
    begun: list[RemoteProcess] = []

    def work() -> bytes:
        process = RemoteProcess(way, program, options=options)
        begun.append(process)
        with contextlib.closing(process):
            answer = b""
            for payload in told_by(process, str(model.job), str(model.node)):
                answer += payload
                if len(answer) > MOST:
                    msg = f"{program} on {model.node} says more than {MOST} bytes."
                    raise AgentError(msg)
            return answer

    try:
        return json.loads(await within(Worker().run(work), patience))
    except asyncio.TimeoutError:
        msg = (
            f"Job {model.job} on {model.node} did not answer within {patience:g} s: "
            f"{model.text}. Is the connection to it cut, or its node very busy?"
        )
        raise AgentError(msg) from None
    finally:
        for process in begun:  # who still reads is woken
            process.close()
