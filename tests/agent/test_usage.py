"""agent.usage: what real processes use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_kernels.agent import cgroup, usage
from remote_kernels.agent.usage import Sampler, resident, usable_cpus

MIB = 1024 * 1024
BURN = 0.5  # seconds
# Does as it is told, and says when it is done.
CHILD = """
import os, sys, time
kept = []
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
def allocate(mib):
    kept.append(bytearray(os.urandom(1) * (mib * 2**20)))
def fork(count):
    for _ in range(count):
        if not os.fork():
            os.write(1, b"x")
            while True:
                time.sleep(1000)
def child(seconds):
    if not os.fork():
        burn(seconds)
        os._exit(0)
    os.wait()
for line in sys.stdin:
    exec(line)
    os.write(1, b"\\n")
"""


class Child:
    """A process that leads a session."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.does("pass")

    def does(self, line: str, others: int = 0) -> None:
        """Until it is done, and so many of its children are there."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(line.encode() + b"\n")
        stdin.flush()
        answer = b"".join(stdout.read(1) for _ in range(others + 1))
        assert sorted(b"\n" + b"x" * others) == sorted(answer)

    def end(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.end()


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not this machine's, if it has any."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def percent(child: Child, sampler: Sampler, line: str) -> tuple[float, float]:
    """Of one CPU, as measured while it does `line`; and as it was."""
    sampler.sample()
    begin = time.monotonic()
    child.does(line)
    end = time.monotonic()
    measured = sampler.sample()["cpu_percent"]
    assert isinstance(measured, float)
    return measured, 100 * BURN / (end - begin)


@pytest.mark.parametrize("line", [f"burn({BURN})", f"child({BURN})"])
def test_a_process_that_computes(child: Child, line: str) -> None:
    """100 is one CPU in full use, also by a child that has ended meanwhile."""
    measured, expected = percent(child, Sampler(lambda: [child.pid]), line)

    assert measured == pytest.approx(expected, abs=10)


def test_a_process_that_waits(child: Child) -> None:
    """What was used before the sample before does not count."""
    child.does(f"burn({BURN})")

    measured, _ = percent(child, Sampler(lambda: [child.pid]), "time.sleep(0.3)")

    assert measured < 10


def test_the_first_sample(child: Child) -> None:
    """There is none before it to compare with; all else is told."""
    sample = Sampler(lambda: [child.pid]).sample()

    job = ["cpu_percent", "cpus", "memory", "memory_limit", "gpus"]
    assert [*job, "node_memory", "node_available"] == list(sample)
    assert sample["node_memory"] > sample["node_available"] > 0
    assert sample["cpu_percent"] is None
    assert sample["memory"] > MIB
    assert [] == sample["gpus"]


def test_another_process_after_a_restart(child: Child) -> None:
    """Its time has nothing to do with that of the one before."""
    sessions: list[int] = []
    sampler = Sampler(lambda: list(sessions))
    sampler.sample()
    sessions[:] = [child.pid]
    child.does(f"burn({BURN})")

    assert sampler.sample()["cpu_percent"] is None
    assert sampler.sample()["cpu_percent"] is not None


def test_processes_that_took_their_time_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """No use below nothing; the next sample counts from there."""
    used = iter((5.0, 3.0, 3.0))
    monkeypatch.setattr(usage, "cpu_seconds", lambda *_: (next(used), False))
    sampler = Sampler(list)

    measured = [sampler.sample()["cpu_percent"] for _ in range(3)]

    assert [None, None, 0.0] == measured


def test_a_process_that_allocates(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a limit on the job it is the processes' own memory."""
    monkeypatch.setattr(cgroup, "memory", lambda: None)
    sampler = Sampler(lambda: [child.pid])
    before = sampler.sample()["memory"]

    child.does("allocate(64)")
    sample = sampler.sample()

    assert sample["memory"] - before == pytest.approx(64 * MIB, abs=4 * MIB)
    assert sample["memory_limit"] is None


def test_a_job_with_a_limit(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is in it fills it."""
    monkeypatch.setattr(cgroup, "memory", lambda: (3 * MIB, 4 * MIB))

    sample = Sampler(lambda: [child.pid]).sample()

    assert (3 * MIB, 4 * MIB) == (sample["memory"], sample["memory_limit"])


def test_memory_that_processes_share(child: Child) -> None:
    """It counts once: workers that were forked have not used anything yet."""
    child.does("allocate(64)")
    before = resident([child.pid])

    child.does("fork(3)", others=3)

    assert resident([child.pid]) - before < 48 * MIB


def test_memory_of_sessions_that_were_not_asked_for(child: Child) -> None:
    """Other people's processes are on this node, too."""
    assert 0 == resident([])
    assert resident([child.pid]) < resident([child.pid, os.getsid(0)])


def test_memory_of_one_process(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """To ask what it shares would take long if it is large, and change little."""
    monkeypatch.setattr(usage, "_share", lambda directory, size: 0)

    child.does("allocate(64)")
    assert resident([child.pid]) > 64 * MIB

    child.does("fork(1)", others=1)
    assert 0 == resident([child.pid])


def test_the_size_of_a_process(child: Child) -> None:
    """What is in memory, not what is mapped: proc(5), statm."""
    child.does("import mmap; kept.append(mmap.mmap(-1, 2**30))")
    words = Path(f"/proc/{child.pid}/statm").read_text().split()
    mapped, used, *_ = (int(word) * os.sysconf("SC_PAGE_SIZE") for word in words)

    assert mapped > 2**30
    assert resident([child.pid]) == pytest.approx(used, abs=MIB)


def test_a_process_that_does_not_tell_what_it_shares(tmp_path: Path) -> None:
    """Its resident size is known all the same."""
    assert 5 == usage._share(str(tmp_path), 5)

    (tmp_path / "smaps_rollup").write_text("Rss:   99 kB\nPss:    3 kB\n")
    assert 3072 == usage._share(str(tmp_path), 5)


def test_cpus_that_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quota counts where it is smaller than what we may run on."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3, 5, 7})
    quota: int | None
    for quota, expected in ((None, 4), (3, 3), (8, 4)):
        monkeypatch.setattr(cgroup, "cpus", lambda quota=quota: quota)
        assert expected == usable_cpus()
