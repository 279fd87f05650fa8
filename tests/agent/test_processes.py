"""agent.processes, agent.stack and agent.inside: with real processes of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.agent import inside, processes, stack
from remote_kernels.agent.node_dir import kernel_pid, note_session

# Starts another, which sleeps; both have said so when the line is there.
PAIR = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "print('x', flush=True); input()"],
    stdin=sys.stdin, start_new_session=True)
child.wait()
"""


class Kernel:
    """A process that leads a session, as a kernel of this process's, and its child."""

    def __init__(self, *args: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PAIR, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "MARK": self.__class__.__name__},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert b"x\n" == self._process.stdout.readline()
        self.pid = self._process.pid

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def node_dir(tmp_path: Path) -> str:
    """Of an agent, which is this process."""
    return str(tmp_path)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    with closing(Kernel()) as made:
        note_session(str(tmp_path), "k1", made.pid)
        yield made


def test_what_a_kernel_started(node_dir: str, kernel: Kernel) -> None:
    """It is the agent's child; below it are its own, whatever session they are in."""
    there = processes.every()
    assert kernel.pid == kernel_pid(node_dir, "k1", there)
    pid, child = processes.below([kernel.pid], there)
    assert (kernel.pid, kernel.pid) == (pid, there[child].parent)
    assert there[child].session == child


def test_which_of_two(node_dir: str, tmp_path: Path) -> None:
    """As the agent has noted them; what else leads a session is none of them."""
    with ExitStack() as started:
        started.enter_context(closing(Kernel()))
        made = {}
        for name in ("k1", "k2"):
            made[name] = started.enter_context(closing(Kernel()))
            note_session(str(tmp_path), name, made[name].pid)
        there = processes.every()
        found = {name: kernel_pid(node_dir, name, there) for name in made}
    assert {name: kernel.pid for name, kernel in made.items()} == found


def test_a_kernel_without_a_process(node_dir: str) -> None:
    """While it is started anew: the environment is the agent's."""
    assert 0 == kernel_pid(node_dir, "k1", processes.every())
    assert processes.environ(os.getppid()) == inside.environment(0)


def test_its_environment(kernel: Kernel) -> None:
    assert "Kernel" == inside.environment(kernel.pid)["MARK"]


def test_a_directory_that_was_removed(tmp_path: Path) -> None:
    """A command runs in the agent's environment; there is no traceback."""
    package = "from remote_kernels.agent.__main__ import main; import sys; "
    program = f"{package}sys.exit(main(['inside', *sys.argv[1:]]))"
    options = json.dumps({"cwd": "/", "env": {"OURS": "1"}, "terminal": False})
    words = ["exec", str(tmp_path / "gone"), "k", options, "sh", "-c", "echo $OURS"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "1\n", "") == (done.returncode, done.stdout, done.stderr)


# --- py-spy -------------------------------------------------------------------------


def spy(directory: Path, script: str) -> str:
    """A program called as py-spy is."""
    path = directory / "py-spy"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return str(path)


def ask(node_dir: str, path: str, **options: bool) -> dict[str, Any]:
    usual = {"all": False, "locals": False, "native": False, "json": False}
    return stack.stack(node_dir, "k1", {**usual, **options, "spies": [path]})


@pytest.fixture
def no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """No py-spy beside this Python."""
    is_program = stack._is_program
    beside = str(Path(sys.executable).with_name("py-spy"))
    monkeypatch.setattr(
        stack, "_is_program", lambda path: path != beside and is_program(path)
    )


@pytest.mark.usefixtures("no_other")
def test_how_py_spy_is_called(node_dir: str, kernel: Kernel, tmp_path: Path) -> None:
    """For each Python process, with what was asked for."""
    path = spy(tmp_path, 'echo "$@"')
    told = ask(node_dir, path, all=True, locals=True, native=True)
    first, second = told["processes"]
    assert path == told["spy"]
    words = f"dump --pid {kernel.pid} --locals --native\n"
    assert (kernel.pid, words) == (first["pid"], first["text"])
    assert kernel.pid == second["parent"]
    assert 1 == len(ask(node_dir, path)["processes"])


@pytest.mark.usefixtures("no_other")
def test_one_that_cannot_be_stopped(
    node_dir: str, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read as it runs."""
    monkeypatch.setattr(stack, "PATIENCE", 0.5)
    script = 'case "$*" in *--nonblocking) echo read;; *) exec sleep 60;; esac'
    (process,) = ask(node_dir, spy(tmp_path, script))["processes"]
    assert "read\n" == process["text"]
    (process,) = ask(node_dir, spy(tmp_path, "exec sleep 60"))["processes"]
    assert "py-spy did not end within 0.5 s" == process["error"]


@pytest.mark.usefixtures("no_other")
def test_no_py_spy(node_dir: str, kernel: Kernel, tmp_path: Path) -> None:
    """Where it was looked for."""
    told = ask(node_dir, str(tmp_path / "py-spy"))
    beside = str(Path(sys.executable).with_name("py-spy"))
    assert "" == told["spy"]
    assert {beside, str(tmp_path / "py-spy")} <= set(told["tried"])
