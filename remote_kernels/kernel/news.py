"""What listeners are told of a kernel, and what of its times is kept.

Used by status.py, and by who tells.
"""

from __future__ import annotations

from collections.abc import Callable

from .lifecycle import Event
from .model import KernelModel, Word


class News(Word):
    """What listeners are told of; see jupyter/events/kernel_v1.yaml."""

    SUBMITTED = "submitted"
    PENDING = "pending"
    RUNNING = "running"
    ATTACHED = "attached"
    LOST = "lost"
    RESUMED = "resumed"
    WARNING = "warning"
    OUT_OF_MEMORY = "out-of-memory"
    ENDED = "ended"


NEWS = {
    Event.SUBMITTED: News.SUBMITTED,
    Event.JOB_RUNS: News.RUNNING,
    Event.READY: News.ATTACHED,
    Event.LOST: News.LOST,
    Event.RESUMED: News.RESUMED,
}
# Events of which it is kept when they happened, and by what name.
MARKS = {
    Event.JOB_RUNS: "running",
    Event.READY: "ready",
    Event.FAILED: "ended",
    Event.JOB_ENDED: "ended",
    Event.TAKEN: "ended",
    Event.GIVE_UP: "ended",
}

OnNews = Callable[[News, KernelModel, str], None]
OnChanged = Callable[[bool], None]
"""Called when a kernel's model may be another one; True: what it uses was measured."""
