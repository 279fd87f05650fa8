"""A batch system, real or played, and a small job for it; for what any driver must do."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.layout import default_scheduler
from testbed.systems import named

from contracts.systems import ON_CLUSTERS, SYSTEMS, System
from remote_kernels.scheduler.job import JobRequest

# Of the test cluster that is up.
SCHEDULER = named(default_scheduler()).scheduler


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.cluster) if name in ON_CLUSTERS else name
        for name in SYSTEMS
        if name not in ON_CLUSTERS or name == SCHEDULER
    ]
)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> System:
    return SYSTEMS[request.param](tmp_path)


@pytest.fixture
def request_(system: System, tmp_path: Path) -> JobRequest:
    """A small job, with a name of ours."""
    home = Path.home() if os.getuid() else tmp_path  # which the nodes see
    name = f"jupyter-{uuid.uuid4().hex[:8]}"
    output = home / f"{name}.log"
    return JobRequest(name, str(output), system.options, str(os.getuid()))


@pytest.fixture
def log(request_: JobRequest) -> Iterator[Path]:
    path = Path(request_.output)
    yield path
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
