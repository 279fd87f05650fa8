"""The program of each node, as a real process: what it makes, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote_kernels.cluster import node
from remote_kernels.cluster.slurm import Srun
from remote_kernels.cluster.step import Order

WAIT = 30.0
# Says what it finds, then stays until it is ended.
TELL = """\
import os, sys, time
top = os.environ["TMPDIR"]
name = os.path.join(top, "keys", "key")
print(sys.argv[1], oct(os.stat(top).st_mode), oct(os.stat(name).st_mode), open(name).read())
print(os.environ["WORKER"], os.getcwd(), flush=True)
time.sleep(600)
"""
STUBBORN = """\
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
# Leaves somebody behind who has something to remove.
SURVIVED = """\
import os, signal, subprocess, sys
mark = sys.argv[1]
open(mark, "w").close()
script = "trap '' TERM; echo up; read line; sleep 0.5; rm -f " + mark
end = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE)
signal.pause()
"""


@contextmanager
def started(tmp_path: Path, order: Order) -> Iterator[subprocess.Popen[str]]:
    """It, after its first line."""
    env = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "SLURMD_NODENAME": "c1"}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(node.__file__))],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdin is not None
            process.stdin.write(order.line("127.0.0.1", Srun()).decode())
            process.stdin.flush()
            yield process
        finally:
            # By SIGKILL it would leave its command behind.
            assert process.stdin is not None
            process.stdin.close()
            process.wait(WAIT)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def ready(process: subprocess.Popen[str]) -> dict[str, str]:
    mark, told = line(process).split(" ", 1)
    assert node.READY.strip() == mark
    return dict(json.loads(told))


def python(code: str, *words: str) -> Sequence[str]:
    return ["{python}", "-c", code, *words]


def test_the_command_finds_its_files(tmp_path: Path) -> None:
    """In a private directory, with what stands for the words on this node."""
    values: Mapping[str, Mapping[str, str]] = {"c1": {"cpus": "4"}, "c2": {}}
    order = Order(
        python(TELL, "{node} {address} {cpus}"),
        env={"WORKER": "{node}"},
        files={"keys/key": "secret of {node}"},
        values=values,
    )
    with started(tmp_path, order) as process:
        told = ready(process)
        assert "c1" == told["node"]
        assert Path(told["directory"]).parent == tmp_path
        words = "c1 127.0.0.1 4 0o40700 0o100600 secret of c1"
        assert words == line(process)
        assert f"c1 {Path.cwd()}" == line(process)


@pytest.mark.parametrize("how", ["end of input", "SIGTERM"])
@pytest.mark.parametrize("code", [TELL, STUBBORN], ids=["tame", "stubborn"])
def test_the_end(tmp_path: Path, how: str, code: str) -> None:
    """The command ends, whatever it thinks of it, and the directory is gone."""
    order = Order(python(code, "x"), env={"WORKER": "w"}, files={"keys/key": ""})
    with started(tmp_path, order) as process:
        ready(process)
        line(process)
        if how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        else:
            assert process.stdin is not None
            process.stdin.close()
        assert 0 == process.wait(WAIT)
        # Whoever holds the other end of the pipe has ended, too.
        assert process.stdout is not None
        process.stdout.read()
    assert [] == list(tmp_path.iterdir())


def test_who_outlives_the_command_may_finish(tmp_path: Path) -> None:
    """multiprocessing's resource tracker removes what the command has left."""
    mark = tmp_path / "mark"
    with started(tmp_path, Order(python(SURVIVED, str(mark)))) as process:
        ready(process)
        assert "up" == line(process)
        assert mark.exists()
        assert process.stdin is not None
        process.stdin.close()
        assert 0 == process.wait(WAIT)
    assert not mark.exists()


def test_a_command_that_ends(tmp_path: Path) -> None:
    """Its exit code is told, and the directory is gone."""
    with started(tmp_path, Order(python("raise SystemExit(7)"))) as process:
        ready(process)
        assert 7 == process.wait(WAIT)
    assert [] == list(tmp_path.iterdir())


def test_a_directory_alone(tmp_path: Path) -> None:
    """Without a command it is held until the end of input."""
    with started(tmp_path, Order()) as process:
        held = Path(ready(process)["directory"])
        assert held.is_dir()
        assert process.stdin is not None
        process.stdin.close()
        assert 0 == process.wait(WAIT)
        assert not held.exists()
