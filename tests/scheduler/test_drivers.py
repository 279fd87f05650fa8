"""scheduler.drivers and scheduler.jobs: what others bring, and say, harms only them."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from remote_kernels.errors import ControllerError
from remote_kernels.scheduler import drivers
from remote_kernels.scheduler.drivers import DRIVERS, GROUP
from remote_kernels.scheduler.job import Completed, Query
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.local.driver import Local


class Twice(Local):
    """Another package's, by a name that is taken."""


TWICE = Twice()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_package:DRIVER", "No module named"),
        ("json:nothing", "has no attribute"),
        ("json:loads", "is no Driver"),
        (f"{__name__}:TWICE", "a second batch system 'local'"),
    ],
)
def test_a_package_that_is_broken(
    value: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is named and left out; all others are there, as they were."""
    point = EntryPoint("bad", value, GROUP)
    monkeypatch.setattr(drivers, "entry_points", lambda group: [point])

    found = drivers._found()

    assert {*found} <= {*DRIVERS}
    assert all(found[name] is DRIVERS[name] for name in found)
    assert why in caplog.text


@pytest.mark.parametrize("said", ["half an ans", "[1", "{}"])
def test_an_answer_that_is_none(said: str) -> None:
    """The batch system has not answered; that says nothing of any job."""

    async def run(argv: Any, **_: Any) -> Completed:
        return Completed(tuple(argv), 0, said, "")

    def parse(done: Completed) -> str:
        return str(json.loads(done.stdout)["jobs"])

    with pytest.raises(ControllerError, match="is not understood") as caught:
        asyncio.run(Jobs(DRIVERS["local"], run=run).ask(Query(["status"], parse)))

    assert said in str(caught.value)
