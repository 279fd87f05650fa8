"""cli.words: a view as a person reads it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from remote_kernels.cli import words
from remote_kernels.kernel.model import UNKNOWN, KernelModel
from remote_kernels.scheduler.job import JobId

VIEW = KernelModel(
    kernel_id="k1",
    name="Python",
    spec_name="python",
    notebooks=(),
    scheduler="slurm",
    cluster="c",
    job=JobId("17", "c"),
    state="running",
    text="runs on n1",
    job_state="RUNNING",
    reason="",
    place=None,
    node="n1",
    carrier="ssh",
    host="login1",
    pid=17,
    submitted=None,
    ready=None,
    expected_start=None,
    ends=None,
    usage=None,
)
GIB, MIB = 2**30, 2**20


@pytest.mark.parametrize(
    ("state", "text", "expected"),
    [
        ("running", "runs on n1", "running"),
        ("waiting", "waiting for free nodes (Resources)", None),
        ("waiting", "other jobs are ahead", "waiting: other jobs are ahead"),
        ("lost", "the connection\nis lost", "lost: the connection is lost"),
        (UNKNOWN, "unknown; it does not say", "unknown; it does not say"),
        ("ended", "It was\tcancelled.", "ended: It was cancelled."),
        ("a state of tomorrow", "new", "a state of tomorrow: new"),
    ],
)
def test_state(state: str, text: str, expected: str | None) -> None:
    """One line, nothing said twice."""
    assert (expected or text) == words.state(replace(VIEW, state=state, text=text))


def test_when_it_is_expected_to_start() -> None:
    """The scheduler's guess, while it is one."""
    waits = replace(VIEW, state="waiting", text="waiting")
    soon, past = time.time() + 3599.8, time.time() - 10
    assert "waiting; starts in about 1 h, says the scheduler" == words.state(
        replace(waits, expected_start=soon)
    )
    assert "waiting" == words.state(replace(waits, expected_start=past))


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (None, ""),
        ({}, ""),
        ({"memory": None, "memory_limit": GIB}, ""),
        ({"memory": 1.2 * GIB, "memory_limit": 4 * GIB}, "1.2 of 4.0 GiB"),
        ({"memory": 52 * MIB, "memory_limit": 512 * MIB}, "52 of 512 MiB"),
        ({"memory": 52 * MIB, "memory_limit": None}, "52 MiB"),
        ({"memory": 2 * GIB}, "2.0 GiB"),
    ],
)
def test_memory(usage: dict[str, Any] | None, text: str) -> None:
    """In the unit of the limit; blank where it is not measured."""
    assert text == words.memory(usage)


def test_processors() -> None:
    """Of how many, where that is known."""
    assert "" == words.processors({"cpu_percent": None, "cpus": 4})
    assert "130 % of 4 CPUs" == words.processors({"cpu_percent": 130.2, "cpus": 4})
    assert "3 % of 1 CPU" == words.processors({"cpu_percent": 3.0, "cpus": 1})


def test_gpus() -> None:
    """What a GPU does not tell is left out."""
    told = {"index": 0, "name": "A100", "utilization": 35}
    full = {**told, "memory": 2 * GIB, "memory_total": 40 * GIB}
    silent = {"index": 1, "name": None, "utilization": None, "memory": None}
    usage = {"gpus": [full, silent]}
    assert ["0 A100, 35 %, 2.0 of 40.0 GiB", "1"] == words.gpus(usage)
    assert [] == words.gpus(None)


def test_moments() -> None:
    """Of both sides of now."""
    assert "" == words.moment(None)
    assert words.moment(time.time() - 60).endswith("(1 min ago)")
    assert words.moment(time.time() + 3600.4).endswith("(in 1 h)")


def test_columns() -> None:
    """The scheduler's own number; a kernel without a notebook is shown by its name."""
    assert "17" == VIEW.job_id
    assert "Python" == VIEW.called
    assert "a.ipynb, b.ipynb" == replace(VIEW, notebooks=("a.ipynb", "b.ipynb")).called
    assert "" == words.time_left(VIEW)
    assert "2 min" == words.time_left(replace(VIEW, ends=time.time() + 120.3))
