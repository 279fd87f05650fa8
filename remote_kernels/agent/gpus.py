"""The job's GPUs, as `nvidia-smi` tells them. Used by usage.py and top.py."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

TIMEOUT = 2.0  # seconds; without persistence mode it loads the driver each time
FIELDS = "index,uuid,name,utilization.gpu,memory.used,memory.total"
QUERY = ("nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits")
MIB = 1024 * 1024  # the unit of its memory


class Gpus:
    """Asked for until the first time that there is no answer."""

    def __init__(self) -> None:
        self._answer = True

    def now(self) -> list[dict[str, Any]]:
        """Return the job's GPUs; none where nvidia-smi does not tell."""
        if self._answer:
            try:
                return gpus()
            except (OSError, ValueError):
                self._answer = False
        return []


def gpus() -> list[dict[str, Any]]:
    """Return the job's GPUs. Raises OSError, ValueError if nvidia-smi does not tell."""
    visible = _visible(os.environ)
    return [] if visible == [] else parse(_ask(), visible)


def _visible(env: Mapping[str, str]) -> list[str] | None:
    """Return what CUDA_VISIBLE_DEVICES names; None: all that there are.

    It matters where the job can see GPUs of others. Where it cannot, Slurm counts from
    0 among its own, as nvidia-smi does (Slurm's gres guide, GPU management). A MIG
    device has no row of its own.
    """
    names = env.get("CUDA_VISIBLE_DEVICES")
    if names is None or "MIG-" in names:
        return None
    return [name.strip() for name in names.split(",") if name.strip()]


def parse(text: str, visible: list[str] | None = None) -> list[dict[str, Any]]:
    """Read the rows of QUERY, of `visible` devices only. Raises ValueError.

    A device is named by its index or by the beginning of its UUID. What a device does
    not tell is `[N/A]` (of old drivers: `[Not Supported]`): None here.
    """
    found = []
    for line in text.splitlines():
        index, uuid, rest = line.split(", ", 2)
        name, *figures = rest.rsplit(", ", 3)
        ours = visible is None or index in visible
        if not ours and not any(uuid.startswith(v) for v in visible or () if "-" in v):
            continue
        utilization, used, total = (None if "[" in f else int(f) for f in figures)
        found.append(
            {
                "index": int(index),
                "name": name,
                "utilization": utilization,
                "memory": None if used is None else used * MIB,
                "memory_total": None if total is None else total * MIB,
            }
        )
    return found


def _ask() -> str:
    """Run nvidia-smi. Raises OSError: it is not there, fails, or does not answer.

    With a sick driver it cannot even be killed; nobody waits for it then.
    """
    process = subprocess.Popen(
        QUERY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        answer, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TIMEOUT / 2)
        msg = f"nvidia-smi did not answer within {TIMEOUT:g} s"
        raise OSError(msg) from None
    if process.returncode != 0:
        msg = f"nvidia-smi ended with exit code {process.returncode}"
        raise OSError(msg)
    return answer.decode(errors="replace")
