"""kernel.launch: what is to start, and what spec.json keeps of it."""

from __future__ import annotations

from typing import Any

import pytest

from remote_kernels.config import parse
from remote_kernels.kernel.launch import Launch, ProcessSpec, transport_for

PAIR = b"public", b"secret"


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_what_is_kept_is_what_is_started(transport: str) -> None:
    """A server that comes later starts the same; CURVE is for TCP alone."""
    settings = parse(
        {"transport": transport, "prefix": ["apptainer", "exec"], "spool": 3}
    )
    launch = Launch(
        argv=("R", "--kernel"),
        env={"A": "1"},
        env_lines={"B": "${A}"},
        cwd="/home/alice",
        key=b"key",
        language="R",
        curve=PAIR,
    )

    process = launch.process(settings)

    assert process == ProcessSpec.read(process.as_json())
    assert ("apptainer", "exec", "R", "--kernel") == process.argv
    assert 3 * 1024 * 1024 == process.spool
    assert (PAIR if transport == "tcp" else None) == process.curve
    assert ("/home/alice", "R", b"key") == (process.cwd, process.language, process.key)


def test_what_an_older_version_kept() -> None:
    """What it did not know of is not there."""
    body: dict[str, Any] = {
        "argv": ["R"],
        "env": {},
        "connection": {"transport": "tcp", "key": "k"},
    }

    process = ProcessSpec.read(body)

    assert ({}, None, "") == (process.env_lines, process.cwd, process.language)
    assert (None, None, None) == (process.curve, process.spool, process.gpus)


@pytest.mark.parametrize(
    ("config", "argv", "transport"),
    [
        ({}, ("python", "-m", "ipykernel_launcher"), "ipc"),
        ({}, ("R", "-e", "IRkernel::main()"), "tcp"),
        ({"transport": "tcp"}, ("python", "-m", "ipykernel_launcher"), "tcp"),
        ({"transport": "ipc"}, ("R",), "ipc"),
    ],
)
def test_where_a_kernel_listens(
    config: dict[str, Any], argv: tuple[str, ...], transport: str
) -> None:
    """As configured; else on Unix sockets, if it is known that it can."""
    assert transport == transport_for(parse(config), argv)


@pytest.mark.parametrize(
    ("argv", "interpreter"),
    [
        (("/opt/env/bin/python3.12", "-m", "ipykernel"), "/opt/env/bin/python3.12"),
        (("R",), None),
        ((), None),
    ],
)
def test_who_may_run_the_agent(argv: tuple[str, ...], interpreter: str | None) -> None:
    """The kernel's own command, if it is a Python."""
    assert interpreter == Launch(argv).interpreter
