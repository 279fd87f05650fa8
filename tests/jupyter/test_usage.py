"""What a kernel in a job uses, as a client of its control channel is told."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator

import pytest
from served.page import SECONDS, Page
from served.server import Server, home, served

pytestmark = [pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with home() as made, served(made) as server:
        yield server


@pytest.mark.parametrize("options", [{}, {"usage": 0}])
def test_what_is_used_is_told(server: Server, options: dict[str, object]) -> None:
    """Also while a cell runs, and whether or not it is measured now and then."""

    async def ask(kernel: str) -> None:
        page = await Page(server, kernel).open()
        await page.idle(await page.run("", "import os\nprint(os.getpid())"))
        *_, pid = [m["content"]["text"] for m in page.heard if "text" in m["content"]]
        code = "import time\nfill = bytes(100 << 20)\nwhile True: pass"
        await page.run("", code)
        for _ in range(2):
            asked = await page.send("usage_request", {}, "control")
            reply = await page.answer(asked)
        assert ("control", "usage_reply") == (reply["channel"], reply["msg_type"])
        content = reply["content"]
        assert (int(pid), socket.gethostname()) == (content["pid"], content["hostname"])
        assert 1 <= content["cpu_count"] <= (os.cpu_count() or 1)
        assert content["kernel_memory"] > 0
        assert content["host_virtual_memory"]["total"] > content["kernel_memory"]
        await page.close()

    kernel = server.start(**options)
    asyncio.run(ask(kernel))
    assert 204 == server.ask("DELETE", f"/api/kernels/{kernel}").status


def test_a_kernel_under_a_server_is_measured(server: Server) -> None:
    """Unless somebody does not want it."""
    kernel, other = server.start(), server.start(usage=0)
    deadline = time.monotonic() + SECONDS
    while server.api("GET", f"/kernels/{kernel}").json["usage"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert server.api("GET", f"/kernels/{other}").json["usage"] is None
    for each in (kernel, other):
        assert 204 == server.ask("DELETE", f"/api/kernels/{each}").status
