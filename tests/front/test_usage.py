"""front.usage: what jupyter-resource-usage asks a kernel for, and gets of any."""

from __future__ import annotations

from typing import Any

from front.conftest import Serve
from front.reception import Client, Reception
from front.world import Agent, Browser, timeless
from remote_kernels.front.usage import MOST, content

MIB = 2**20
SAMPLE: dict[str, Any] = {
    "cpu_percent": 150.0,
    "cpus": 4,
    "memory": 30 * MIB,
    "memory_limit": 120 * MIB,
    "node_memory": 1000 * MIB,
    "node_available": 400 * MIB,
    "gpus": [{"index": 0, "name": "g", "utilization": 7, "memory": 1}],
}


@timeless
async def test_who_asks_is_answered_with_the_next_sample(
    agent: Agent, serve: Serve
) -> None:
    """Nothing reaches the kernel, and nobody hears of a kernel that is busy."""
    server, browser = serve(), Browser("one")
    asked = browser.session.msg("usage_request", {})
    parts = browser.session.serialize(asked, ident=b"one")
    for _ in range(2):
        server.clients.request("control", parts)

    server.clients.measured(content(SAMPLE, "c1", 7))
    server.clients.measured(content(SAMPLE, "c1", 7))

    assert [] == agent.requests
    assert ["control", "control"] == [target for target, _ in server.sent]
    first = server.seen()[0]
    assert ("usage_reply", "c1", 7) == (
        first["msg_type"],
        *(first["content"][key] for key in ("hostname", "pid")),
    )
    assert asked["header"]["msg_id"] == first["parent_header"]["msg_id"]


@timeless
async def test_nobody_measures(serve: Serve) -> None:
    """Whoever has asked in vain has given up; not all of them are remembered."""
    server, browser = serve(), Browser("one")
    asked = browser.session.msg("usage_request", {})
    for _ in range(2 * MOST):
        parts = browser.session.serialize(asked, ident=b"one")
        server.clients.request("control", parts)

    server.clients.measured({})

    assert MOST == len(server.sent)


def test_the_job_is_the_host() -> None:
    """Its memory limit, and its share of the node's CPUs."""
    found = content(SAMPLE)

    assert (150.0, 30 * MIB, 4) == tuple(
        found[key] for key in ("kernel_cpu", "kernel_memory", "cpu_count")
    )
    assert 37.5 == found["host_cpu_percent"]
    memory = found["host_virtual_memory"]
    assert (120 * MIB, 90 * MIB, 25.0) == tuple(
        memory[key] for key in ("total", "available", "percent")
    )
    assert SAMPLE["gpus"] == found["gpus"]


def test_without_a_limit_the_node_is_the_host() -> None:
    """Others may use of its memory, too."""
    memory = content({**SAMPLE, "memory_limit": None})["host_virtual_memory"]

    assert (1000 * MIB, 400 * MIB, 60.0) == tuple(
        memory[key] for key in ("total", "available", "percent")
    )


def test_nothing_is_known_yet() -> None:
    """Who shows it finds numbers all the same."""
    for sample in ({}, {**SAMPLE, "cpu_percent": None, "node_memory": None}):
        found = content(sample)
        assert 0.0 == found["kernel_cpu"] == found["host_cpu_percent"]


def test_a_kernel_that_is_not_there(reception: Reception, client: Client) -> None:
    """It uses nothing; who asks need not wait for that."""
    request = client.ask("usage_request", "control")

    (reply,) = reception.answers(request)
    assert ("usage_reply", 0) == (reply["msg_type"], reply["content"]["kernel_memory"])
    assert [] == reception.standin.hand_over()
