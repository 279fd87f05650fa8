"""agent.servers: who listens in a job, of real processes."""

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

LISTEN = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""
MAIN = "import sys; from remote_kernels.agent.__main__ import main; "
MAIN += "sys.exit(main(['inside', 'listening', *sys.argv[1:]]))"


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The pid of a kernel of an agent, which is this process, and its port."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN], stdin=pipe, stdout=pipe, start_new_session=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        note_session(str(tmp_path), "k1", process.pid)
        yield process.pid, port
        process.kill()


def told(tmp_path: Path, **env: str) -> list[dict[str, Any]]:
    argv = [sys.executable, "-c", MAIN, str(tmp_path), "k1", "{}"]
    done = subprocess.run(
        argv, check=True, capture_output=True, text=True, env={**os.environ, **env}
    )
    assert "" == done.stderr
    return list(json.loads(done.stdout))


def test_a_server_of_the_kernel(tmp_path: Path, kernel: tuple[int, int]) -> None:
    """It is told of, and that it is the kernel's own process."""
    pid, port = kernel
    (one,) = [each for each in told(tmp_path) if each["port"] == port]

    assert ("127.0.0.1", pid, True) == (one["host"], one["pid"], one["is_kernel"])
    assert one["command"].startswith(sys.executable)


def test_the_kernel_s_own_sockets(tmp_path: Path, kernel: tuple[int, int]) -> None:
    """They are none of these; a file that is no connection file does not matter."""
    _, port = kernel
    body = {"transport": "tcp", "ip": "127.0.0.1", "shell_port": port}
    (tmp_path / "k1-1.json").write_text(json.dumps(body))
    (tmp_path / "other.json").write_text("[1")

    assert port not in [each["port"] for each in told(tmp_path)]


def test_one_whose_environment_is_gone(tmp_path: Path) -> None:
    """As of a program with a title of its own: it is the job's by who has started it."""
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LISTEN!r}]"
    parent = f"{child}, env={{}})"
    away = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {parent!r}]"
    )
    mark = {"A_TEST_S_JOB": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", f"{away}, start_new_session=True)"],
        stdin=pipe,
        stdout=pipe,
        env={**os.environ, **mark},
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        process.wait(60)  # what it started is below nobody here
        without = told(tmp_path)
        found = told(tmp_path, RK_JOB_MARK=f"A_TEST_S_JOB={tmp_path}")

    assert port not in [each["port"] for each in without]
    assert port in [each["port"] for each in found]


def test_what_starts_helpers(tmp_path: Path) -> None:
    """It listens for these, and is no server for people."""
    pipe = subprocess.PIPE
    starter = "/x/remote_kernels/cluster/node.py"
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN, starter], stdin=pipe, stdout=pipe
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        found = told(tmp_path)

    assert port not in [each["port"] for each in found]
