"""Answers what a kernel uses, for kernels of every language: `usage_request` on control.

As ipykernel (7.4) does for itself, so that jupyter-resource-usage (1.3) shows kernels in
jobs, too: https://jupyter-server.github.io/jupyter-resource-usage. The figures are the
job's, on the kernel's node; "host" is what the job may use of that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from .jupyter_message import Head
from .voice import Voice

ASK = "usage_request"
MOST = 100  # requests that wait for an answer; who asks gives up after 10 s


class UsageAnswers:
    """Those who ask, until there is a sample.

    Parameters
    ----------
    voice:
        Speaks to clients.
    measure:
        Has the agent measure.
    """

    def __init__(self, voice: Voice, measure: Callable[[], None]) -> None:
        self._voice = voice
        self._measure = measure
        self._asking: deque[Head] = deque(maxlen=MOST)

    def ask(self, request: Head) -> None:
        """Answer later."""
        self._asking.append(request)
        self._measure()

    def measured(self, content: Mapping[str, Any]) -> None:
        """Answer all who wait with this content."""
        while self._asking:
            self._voice.reply("control", self._asking.popleft(), {**content})


def content(
    sample: Mapping[str, Any], node: str = "", pid: int | None = None
) -> dict[str, Any]:
    """Return a usage_reply's content.

    Parameters
    ----------
    sample:
        As the agent sends it (wire.control.Usage); empty where there is none yet.
    node, pid:
        Where the kernel's process is.
    """
    percent, cpus = sample.get("cpu_percent") or 0.0, sample.get("cpus") or 0
    used, limit = sample.get("memory") or 0, sample.get("memory_limit")
    total, free = sample.get("node_memory") or 0, sample.get("node_available") or 0
    if limit is not None:
        total, free = limit, max(0, limit - used)
    taken = total - free
    return {
        "hostname": node,
        "pid": pid,
        "kernel_cpu": percent,
        "kernel_memory": used,
        "cpu_count": cpus,
        "host_cpu_percent": round(percent / cpus, 1) if cpus else 0.0,
        "host_virtual_memory": {
            "total": total,
            "available": free,
            "percent": round(100.0 * taken / total, 1) if total else 0.0,
            "used": taken,
            "free": free,
            "active": taken,
            "inactive": 0,
            "wired": 0,
        },
        "gpus": [*sample.get("gpus", ())],
    }
