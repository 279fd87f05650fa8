"""What a kernel can be started with, as a user on a login host: by REST, of the batch system."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator
from served.server import Server, home, served
from testbed.layout import default_scheduler
from testbed.systems import named

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
SCHEDULER = named(default_scheduler()).scheduler


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with home() as here:
        here.spec("compute", time="5m")
        with served(here) as made:
            yield made


def test_what_there_is_to_choose_from(server: Server) -> None:
    """Its kernelspec, its options, and its queues with what is free now."""
    (spec,) = (
        s for s in server.api("GET", "/kernelspecs").json if s["name"] == "compute"
    )
    options = server.api("GET", "/options?name=compute").json
    queues = server.api("GET", f"/queues?scheduler={spec['scheduler']}").json

    assert (SCHEDULER, True) == (spec["scheduler"], spec["is_here"])
    Draft202012Validator.check_schema(options)
    assert "5m" == options["properties"]["time"]["default"]
    assert SCHEDULER == queues["scheduler"]
    assert 60 > time.time() - queues["asked"]
    assert any(queue["state"] == "up" for queue in queues["queues"])


@pytest.mark.only("slurm", "gridengine", "others do not say")
def test_when_it_would_start(server: Server) -> None:
    """At once, on a cluster that idles; what no node has is no start, but a problem."""

    def estimate(**options: object) -> dict[str, object]:
        body = {"name": "compute", "options": options}
        found: dict[str, object] = server.api("POST", "/estimate", body).json
        print(found)
        return found

    now = estimate()
    never = estimate(cores=1000, time="9000h", nodes=None)

    start = now["start"]
    assert isinstance(start, float)
    assert 120 > start - time.time() > -60
    assert [] == now["problems"]
    assert never["start"] is None
    assert never["problems"]
