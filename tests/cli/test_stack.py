"""`remote-kernels stack`: what it says when py-spy cannot. Rules: no kernel here.

What it shows of one is in `login/test_inside.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cli.conftest import FakeSlurm, Run
from cli.in_job import Played, in_job
from cli.live import record_of

pytestmark = pytest.mark.usefixtures("place")

TOLD: dict[str, Any] = {
    "node": "c1",
    "pid": 5,
    "command": "python -m ipykernel_launcher",
    "tried": ["/env/bin/py-spy"],
    "spy": "/env/bin/py-spy",
    "ptrace_scope": None,
    "processes": [{"pid": 5, "parent": 4, "command": "python", "text": "Thread 5\n"}],
}
DENIED = {"pid": 5, "parent": 4, "command": "python", "error": "Denied", "denied": True}


@pytest.fixture
def node(slurm: FakeSlurm) -> Iterator[Played]:
    """A kernel that runs in a played Slurm."""
    slurm.says("17|RUNNING|None|c1|c1|2026-11-21T11:08:18|N/A")
    facts = {"scheduler": "slurm", "node": "c1", "times": {"ready": 1.0}}
    with in_job(record_of("k1", "17", **facts)) as job:
        yield job


def tell(node: Played, **facts: Any) -> None:
    """What comes from the node."""
    node.instead = ["printf", "%s", json.dumps({**TOLD, **facts})]


def test_text(node: Played, run: Run) -> None:
    """As py-spy has it; what is wanted is told to the node."""
    tell(node)
    result = run("stack", "--locals", "--native")
    assert ("Thread 5\n\n", 0) == (result.stdout, result.exit_code)
    (request,) = node.asked
    options = {**request.options}
    spies = options.pop("spies")
    assert {"all": False, "locals": True, "native": True, "json": False} == options
    assert all(path.endswith("py-spy") for path in spies)


@pytest.mark.parametrize(
    ("facts", "texts"),
    [
        ({"pid": 0, "processes": []}, ["no process on c1 now", "being restarted?"]),
        (
            {"command": "R --slave", "processes": []},
            ["is not a Python kernel: process 5 on c1 is R --slave", "gdb -p 5"],
        ),
        ({"spy": ""}, ["py-spy was not found on c1", "/env/bin/py-spy", "pip install"]),
        (
            {"processes": [DENIED]},
            ["process 5 on c1: Denied", "may be in a container", "faulthandler"],
        ),
        (
            {"processes": [DENIED], "ptrace_scope": 1},
            ["ptrace_scope is 1", "setpriv --ptracer any", "faulthandler"],
        ),
        (
            {"processes": [DENIED], "ptrace_scope": 2},
            ["only administrators", "ptrace_scope is 2", "faulthandler"],
        ),
    ],
)
def test_what_is_wrong(
    node: Played, run: Run, facts: dict[str, Any], texts: list[str]
) -> None:
    """And what to do."""
    tell(node, **facts)
    result = run("stack", "k1")
    assert (1, "") == (result.exit_code, result.stdout)
    assert [] == [text for text in texts if text not in result.stderr]


def test_a_process_that_ended_meanwhile(node: Played, run: Run) -> None:
    """The others are shown all the same; advice on ptrace is not for this."""
    gone = {**DENIED, "pid": 6, "error": "No such process", "denied": False}
    tell(node, processes=[gone, *TOLD["processes"]])
    result = run("stack", "--all")
    assert (1, "Thread 5\n\n") == (result.exit_code, result.stdout)
    assert "Error: process 6 on c1: No such process\n" == result.stderr
