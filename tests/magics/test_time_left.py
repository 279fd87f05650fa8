"""Warnings of the coming end, in real time but with spans of tenths of seconds."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from magics.commands import wait_until
from remote_kernels.errors import ControllerError
from remote_kernels.magics import time_left
from remote_kernels.magics.time_left import Warnings

NAME = "warns of the time limit"
ONE_MINUTE = r"(1 min|5\d s) left"  # it may come a little late


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == NAME]


class Watch:
    """Warnings, what they asked and what they told."""

    def __init__(self) -> None:
        self.end: float | None = 0.0
        self.fails = False
        self.asked = 0
        self.told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.warnings = Warnings(self.ask, self.told.put)

    def ask(self) -> float | None:
        self.asked += 1
        if self.fails:
            raise ControllerError("no answer", ["squeue"], 1)
        return self.end

    def set(self, *before: float, left: float) -> list[float]:
        self.end = time.time() + left
        return self.warnings.set(before, self.end)

    def over(self) -> None:
        wait_until("the end of the thread", lambda: not threads())


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setattr(time_left, "_EARLY", 0.01)
    watch = Watch()
    yield watch
    watch.warnings.cancel()
    watch.over()


def test_a_warning(watch: Watch) -> None:
    """It comes when so much is left, says when the end is, and then there is quiet."""
    before = time.time()
    assert [60.0] == watch.set(60.0, left=61.0)

    text = watch.told.get(timeout=10)

    assert 0.5 < time.time() - before
    assert re.search(ONE_MINUTE, text)
    assert watch.end is not None
    assert time.strftime("%H:%M:%S", time.localtime(watch.end)) in text
    watch.over()
    assert (1, True) == (watch.asked, watch.told.empty())


def test_several(watch: Watch) -> None:
    """Each is told once, the earliest first, with one question each and one thread."""
    assert [60.2, 60.0] == watch.set(60.0, 60.2, left=60.4)
    assert [1] == [len(threads())]
    assert threads()[0].daemon

    for _ in range(2):
        assert "1 min" in watch.told.get(timeout=10)

    watch.over()
    assert 2 == watch.asked


def test_what_is_too_late(watch: Watch) -> None:
    """It is left out, and nothing is started for it."""
    assert [] == watch.set(60.0, left=59.0)
    assert [] == threads()


def test_an_end_that_was_moved(watch: Watch) -> None:
    """Slurm is asked before a warning: no false alarm, and a right one later."""
    watch.set(60.0, left=61.0)
    watch.end = time.time() + 62

    watch.told.get(timeout=10)

    assert watch.end - time.time() <= 60.02
    assert 2 == watch.asked


def test_a_limit_that_was_lifted(watch: Watch) -> None:
    """Without an end there is nothing to tell."""
    watch.set(60.0, left=61.0)
    watch.end = None

    watch.over()

    assert (1, True) == (watch.asked, watch.told.empty())


def test_slurm_that_is_silent(watch: Watch) -> None:
    """The end is taken to be as it was."""
    watch.fails = True
    watch.set(60.0, left=61.0)

    assert re.search(ONE_MINUTE, watch.told.get(timeout=10))


def test_an_end_that_has_come(watch: Watch) -> None:
    """A job that is over needs no warning."""
    watch.set(60.0, left=61.0)
    watch.end = time.time() - 1

    watch.over()

    assert watch.told.empty()


@pytest.mark.parametrize("act", [Warnings.cancel, lambda w: w.set([], time.time())])
def test_no_more(watch: Watch, act: Callable[[Warnings], object]) -> None:
    """`off`, or other times in their place, and the thread ends at once."""
    watch.set(60.0, left=1000.0)

    act(watch.warnings)

    watch.over()
    assert 0 == watch.asked
    assert not watch.warnings.cancel()


def test_other_times(watch: Watch) -> None:
    """They replace those before, and the thread stays the same."""
    watch.set(60.0, left=1000.0)
    (thread,) = threads()

    assert [100.0] == watch.set(100.0, left=101.0)

    assert [thread] == threads()
    assert re.search(r"1 min (40|3\d) s left", watch.told.get(timeout=10))
