"""What a kernel writes to its standard output: kept to a bound, and always read."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.test_bundle import KERNEL, Agent, python, states
from remote_kernels.agent.kernel_log import LOG_BYTES

MIB = 1024 * 1024
# Writes as much as it is told, says so, and tells when that has been taken.
WRITER = KERNEL.replace(
    "signal.pause()",
    """
sys.stdin = open(sys.argv[2])
for line in sys.stdin:
    for _ in range(int(line)):
        os.write(1, b"." * (1 << 20))
    open(sys.argv[3], "w").write("written\\n")
""",
)


class Writer:
    """A kernel under an agent that writes at our word."""

    def __init__(self, agent: Agent, directory: Path) -> None:
        self._agent = agent
        self._asked, self._told = directory / "asked", directory / "told"
        for path in (self._asked, self._told):
            os.mkfifo(path)
        argv = python(WRITER)
        agent.start([*argv, str(self._asked), str(self._told)])
        states(agent, "running")
        self._out = self._asked.open("w")

    def close(self) -> None:
        self._out.close()

    def write(self, mebibytes: int) -> str:
        """Once it has been taken from the kernel."""
        self._out.write(f"{mebibytes}\n")
        self._out.flush()
        return self._told.read_text()

    @property
    def descriptors(self) -> dict[str, int]:
        """What the agent holds open: where it leads, and how many bytes it has."""
        assert self._agent.process is not None
        found = {}
        for path in Path(f"/proc/{self._agent.process.pid}/fd").iterdir():
            found[f"{path.name} {path.readlink()}"] = path.stat().st_size
        return found

    def limit_descriptors(self) -> None:
        """The agent gets no more than it has."""
        assert self._agent.process is not None
        pid = self._agent.process.pid
        used = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
        free = min(set(range(len(used) + 1)) - used)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, free))


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end()


@pytest.mark.timeout(30)
def test_the_log_is_bounded(agent: Agent, tmp_path: Path) -> None:
    """On the disk, also of files without a name, and in descriptors."""
    with closing(Writer(agent, tmp_path)) as writer:
        assert "written\n" == writer.write(5 * LOG_BYTES // MIB)
        held = writer.descriptors

    held = {name: size for name, size in held.items() if ".log" in name}
    named = sum(path.stat().st_size for path in agent.record.glob("kernel.log*"))
    assert (True, 1) == (named < 2 * LOG_BYTES + MIB, len(held)), held
    assert sum(held.values()) < LOG_BYTES + MIB


@pytest.mark.timeout(30)
@pytest.mark.parametrize("harm", ["no record", "no descriptor"])
def test_what_becomes_of_the_log_stops_no_kernel(
    agent: Agent, tmp_path: Path, harm: str
) -> None:
    """It is read on, though nothing can be written, renamed or opened."""
    with closing(Writer(agent, tmp_path)) as writer:
        writer.write(1)
        harms: dict[str, Callable[[], None]] = {
            "no record": lambda: shutil.rmtree(agent.record),
            "no descriptor": writer.limit_descriptors,
        }

        harms[harm]()

        assert "written\n" == writer.write(2 * LOG_BYTES // MIB)
