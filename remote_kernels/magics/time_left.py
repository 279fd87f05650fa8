"""Warnings in the notebook when a given time is left. Called by `remote_kernel.py`.

One daemon thread, and only while there is something to warn of. Slurm is asked once
when warnings are set (by the caller), and once when one is due, as an administrator may
have moved the end: so a limit that was cut is noticed at the next warning, not before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from remote_kernels import harmless, spans
from remote_kernels.errors import CommandError

log = harmless.logger(__name__)

_EARLY = 0.5  # seconds by which a clock may differ


class Warnings:
    """The warnings of one kernel.

    Parameters
    ----------
    ask:
        When the job ends, in seconds since the epoch; None: never. CommandError if
        that is not known.
    tell:
        Called with the text of a warning, in a thread.
    """

    def __init__(
        self, ask: Callable[[], float | None], tell: Callable[[str], None]
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._changed = threading.Condition()
        self._end = 0.0
        self._ahead: set[float] = set()
        self._thread: threading.Thread | None = None

    def set(self, before: Iterable[float], end: float) -> list[float]:
        """Warn when so many seconds are left, and forget what was set before.

        Returns those of `before` that are still ahead, by the end as it is known now.
        """
        with self._changed:
            self._end, left = end, end - time.time()
            self._ahead = {seconds for seconds in before if seconds < left}
            self._changed.notify()
            if self._ahead and self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="warns of the time limit", daemon=True
                )
                self._thread.start()
            return sorted(self._ahead, reverse=True)

    def cancel(self) -> bool:
        """Warn no more. Whether there was anything left to warn of."""
        with self._changed:
            had = bool(self._ahead)
            self._ahead = set()
            self._changed.notify()
            return had

    def _watch(self) -> None:
        while self._wait():
            try:
                end = self._ask()
            except CommandError as error:
                log.info("the end is taken to be as before: %s", error)
                end = self._end
            self._take(end)

    def _wait(self) -> bool:
        """Until a warning is due by the end that we know; False: none is ahead."""
        with self._changed:
            while self._ahead:
                pause = self._end - max(self._ahead) - time.time()
                if pause <= 0:
                    return True
                self._changed.wait(min(pause, threading.TIMEOUT_MAX))
            self._thread = None
            return False

    def _take(self, end: float | None) -> None:
        """Warn, if it is still time to."""
        with self._changed:
            if end is None:
                self._ahead = set()
                return
            self._end = end
            left = end - time.time()
            due = {seconds for seconds in self._ahead if left <= seconds + _EARLY}
            self._ahead -= due
        if due and left > 0:
            self._tell(text(left, end))


def text(left: float, end: float) -> str:
    """The warning."""
    clock = time.strftime("%H:%M:%S", time.localtime(end))
    return (
        f"[remote_kernels] {spans.say(left)} left: this kernel's job reaches its time "
        f"limit at {clock}, and the kernel's memory goes with it. Save what you need."
    )
