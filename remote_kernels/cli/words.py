"""A kernel's view in the words and columns of a table.

Rules: pure. Called by `ls`, `info`, `stop`, `top` and `jobs`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from remote_kernels import spans
from remote_kernels.kernel.model import UNKNOWN, KernelModel
from remote_kernels.kernel.own_job import JobModel

_STYLES = {
    "waiting": "yellow",
    "starting": "cyan",
    "running": "green",
    "lost": "red",
    "suspended": "yellow",
    "ending": "dim",
    "ended": "dim",
}


def state(view: KernelModel | JobModel) -> str:
    """Return on one line what the other columns do not say."""
    if view.state in ("starting", "running", "suspended", "ending"):
        return view.state
    text = " ".join(view.text.split())
    if view.state == "waiting":
        text = text if text.startswith("waiting") else f"waiting: {text}"
        return f"{text}; {expected}" if (expected := _expected(view)) else text
    if view.state == UNKNOWN:
        return text
    return f"{view.state}: {text}"


def style(view: KernelModel) -> str:
    """Return the style in which rich shows the state; "" for the default."""
    return _STYLES.get(view.state, "")


def _expected(view: KernelModel | JobModel) -> str:
    if view.expected_start is None:
        return ""
    left = view.expected_start - time.time()
    return f"starts in about {spans.say(left)}, says the scheduler" if left > 0 else ""


def time_left(view: KernelModel | JobModel) -> str:
    """Return how long until the time limit; "" if there is none or none is known."""
    return "" if view.ends is None else spans.say(view.ends - time.time())


def memory(usage: Mapping[str, Any] | None) -> str:
    """Return the use of memory, as in "1.2 of 4.0 GiB"; "" if not measured."""
    used, limit = (usage or {}).get("memory"), (usage or {}).get("memory_limit")
    if used is None:
        return ""
    unit, length = ("GiB", 2**30) if (limit or used) >= 2**30 else ("MiB", 2**20)
    digits = 1 if unit == "GiB" else 0
    of = "" if limit is None else f" of {limit / length:.{digits}f}"
    return f"{used / length:.{digits}f}{of} {unit}"


def processors(usage: Mapping[str, Any] | None) -> str:
    """Return the use of CPUs, as in "130 % of 4 CPUs"; "" if not measured."""
    used, count = (usage or {}).get("cpu_percent"), (usage or {}).get("cpus")
    if used is None:
        return ""
    of = "" if count is None else f" of {count} CPU{'' if count == 1 else 's'}"
    return f"{used:.0f} %{of}"


def gpus(usage: Mapping[str, Any] | None) -> list[str]:
    """Return a line for each GPU, with what it reports."""
    return [_gpu(gpu) for gpu in (usage or {}).get("gpus") or []]


def _gpu(gpu: Mapping[str, Any]) -> str:
    parts = [f"{gpu.get('index', '')} {gpu.get('name') or ''}".strip()]
    if gpu.get("utilization") is not None:
        parts.append(f"{gpu['utilization']:.0f} %")
    text = memory(
        {"memory": gpu.get("memory"), "memory_limit": gpu.get("memory_total")}
    )
    return ", ".join([*parts, text] if text else parts)


def moment(seconds: float | None) -> str:
    """Return a time, with how long ago or ahead it is; "" if it is not known."""
    if seconds is None:
        return ""
    then = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    away = seconds - time.time()
    text = f"in {spans.say(away)}" if away > 0 else f"{spans.say(-away)} ago"
    return f"{then} ({text})"
