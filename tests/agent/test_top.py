"""agent.top: what is measured of real processes, and when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.agent.node_dir import note_session
from remote_kernels.agent.processes import Process
from remote_kernels.agent.top import Look

TIMEOUT = 30.0
# A kernel of this process's, which computes.
BURN = "import os\nos.write(1, b'x')\nwhile True: pass"
STREAM = "import sys; from remote_kernels.agent.__main__ import main; "
STREAM += "sys.exit(main(['inside', 'top', *sys.argv[1:]]))"


@pytest.fixture
def node_dir(tmp_path: Path) -> str:
    """Of an agent, which is this process."""
    return str(tmp_path)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[int]:
    """Its pid."""
    with subprocess.Popen(
        [sys.executable, "-c", BURN], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        note_session(str(tmp_path), "k1", process.pid)
        yield process.pid
        process.kill()


def sampler(node_dir: str, **options: Any) -> subprocess.Popen[str]:
    asked = json.dumps({"interval": 0.1, "once": False, **options})
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", STREAM, node_dir, "k1", asked],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


def test_a_line_for_each_look(node_dir: str, kernel: int) -> None:
    """Until its input ends."""
    with sampler(node_dir) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        first, second = (json.loads(process.stdout.readline()) for _ in "ab")
        process.stdin.close()
        rest = process.stdout.read()
        assert 0 == process.wait(TIMEOUT)
    rows = {row["pid"]: row for row in second["processes"]}
    assert kernel == second["kernel_pid"] == second["processes"][0]["pid"]
    assert process.pid not in rows
    assert os.getpid() in rows
    assert os.getpid() == rows[kernel]["parent"]
    assert rows[kernel]["cpu_percent"] > 1
    assert rows[kernel]["memory"] > 2**20
    assert first["time"] < second["time"]
    assert rest.count("\n") == rest.count("kernel_pid")  # whole lines only


def test_once(node_dir: str, kernel: int) -> None:
    """One line, and the end, while its input is still there."""
    with sampler(node_dir, once=True) as process:
        assert process.stdout is not None
        lines = process.stdout.readlines()
        assert 0 == process.wait(TIMEOUT)
    assert 1 == len(lines)


def test_nobody_reads(node_dir: str, kernel: int) -> None:
    """It ends, without a word."""
    with sampler(node_dir) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert 0 == process.wait(TIMEOUT)
    assert "" == said


def test_a_process_is_measured_from_its_start(node_dir: str) -> None:
    """Its pid may have been another's before."""

    def seen(started: int, cpu: float) -> Process:
        return Process(5, 1, 5, "a", "R", cpu, 1, 0, started)

    look = Look(node_dir, "k1")
    look._before = {(5, 100): 10.0}
    look._at = 0.0
    assert 50.0 == look._speed(seen(100, 11.0), 2.0)
    assert 25.0 == look._speed(seen(101, 0.5), 2.0)
