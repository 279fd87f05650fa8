"""The program that runs several commands as one, as a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from remote_kernels.cluster import spread

WAIT = 30.0
CAT = "echo ready; cat; echo done"


def spreads(*scripts: str) -> subprocess.Popen[str]:
    order = {"commands": [["sh", "-c", script] for script in scripts], "ready": "ready"}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", spread.__file__, json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lines(process: subprocess.Popen[str], input: str = "") -> list[str]:
    return sorted(process.communicate(input, WAIT)[0].splitlines())


def test_input_and_output() -> None:
    """Each gets all of it, and its lines have its number; the end of it is passed on."""
    process = spreads(CAT, CAT)

    said = lines(process, "one\ntwo\n")

    assert said == sorted(
        f"{number}: {line}"
        for number in (0, 1)
        for line in ("ready", "one", "two", "done")
    )
    assert 0 == process.returncode


def test_input_as_it_comes() -> None:
    """A line is passed on before the next one is there."""
    process = spreads("read line; echo got $line; cat")
    assert process.stdin is not None
    assert process.stdout is not None

    process.stdin.write("one\n")
    process.stdin.flush()

    assert "0: got one\n" == process.stdout.readline()
    assert [] == lines(process)


def test_one_that_fails_at_once() -> None:
    """The others end, and the exit code is its own."""
    process = spreads("echo no such host; exit 7", "echo ready; exec sleep 600")

    assert "0: no such host" in lines(process)
    assert process.returncode in (7, 128 + 15)


def test_one_that_fails_later() -> None:
    """The others go on, as long as they are wanted."""
    process = spreads("echo ready; exit 7", CAT)

    assert {"1: one", "1: done"} < {*lines(process, "one\n")}
    assert 7 == process.returncode


def test_sigterm() -> None:
    """It is passed on."""
    process = spreads(
        "trap 'echo told; exit 3' TERM; exec 3<&0; echo ready; cat <&3 & wait"
    )
    assert process.stdout is not None
    assert "0: ready\n" == process.stdout.readline()

    process.terminate()

    assert "0: told\n" == process.stdout.readline()
    assert [] == lines(process)
    assert 3 == process.returncode


def test_one_within_another() -> None:
    """A line has one label: the outer one's, which is the node's."""
    inner = json.dumps({"commands": [["echo", "hello"]] * 2, "ready": "x"})
    outer = f"{sys.executable} -I -S {spread.__file__} '{inner}'"

    assert ["0: hello", "0: hello"] == lines(spreads(outer))


def test_the_agent_knows_it() -> None:
    """By its name, so that a kernel with workers counts as busy."""
    process = spreads(CAT)
    assert process.stdout is not None
    process.stdout.readline()

    name = Path(f"/proc/{process.pid}/comm").read_text().strip()

    assert spread.NAME == name
    lines(process)
