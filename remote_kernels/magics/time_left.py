"""Warnings in the notebook when a given time is left.

One daemon thread, and only while there is something to warn of. The caller asks the
batch system once when warnings are set, and the thread asks once when one is due, as an
administrator may have moved the end: so a shortened limit is noticed at the next
warning, not before. Called by `remote_kernel.py`.
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
    ask : callable
        Returns when the job ends, in seconds since the epoch, or None if never. Raises
        CommandError if that is not known.
    tell : callable
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
        """Warn when so much time is left, and forget what was set before.

        Parameters
        ----------
        before : iterable of float
            Seconds before the end.
        end : float
            The end as it is known now, in seconds since the epoch.

        Returns
        -------
        list of float
            Those of `before` that are still ahead, the longest first.
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
        """Warn no more. Returns whether any warning was still ahead."""
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
        """Wait until a warning is due. Returns False if none is ahead any more."""
        with self._changed:
            while self._ahead:
                pause = self._end - max(self._ahead) - time.time()
                if pause <= 0:
                    return True
                self._changed.wait(min(pause, threading.TIMEOUT_MAX))
            self._thread = None
            return False

    def _take(self, end: float | None) -> None:
        """Warn, unless the end has moved so that it is too early or too late."""
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
    """Return the text of a warning."""
    clock = time.strftime("%H:%M:%S", time.localtime(end))
    return (
        f"[remote_kernels] {spans.say(left)} left: this kernel's job reaches its time "
        f"limit at {clock}, and the kernel's memory goes with it. Save what you need."
    )
