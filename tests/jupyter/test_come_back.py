"""Pages that come back to a cell that ran on, also under another server.

Real kernels of the local scheduler, under real notebook servers that are killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from login.specs import write_spec
from served.page import SECONDS, Page, filled
from served.server import CONFIG, Home, Server, home

from remote_kernels.front.delivery import REPORT_AFTER

pytestmark = [pytest.mark.timeout(180)]

OVER = 3 * REPORT_AFTER  # seconds in which the agent is told what was delivered


@pytest.fixture
def here() -> Iterator[Home]:
    with home() as made:
        made.config.write_text(CONFIG)
        yield made


@contextmanager
def lives(here: Home, kernel: str = "") -> Iterator[Server]:
    """A server, with this kernel; it is killed."""
    server = Server(here)
    try:
        server.wait()
        end = time.monotonic() + SECONDS
        while kernel and server.ask("GET", f"/api/kernels/{kernel}").status != 200:
            assert time.monotonic() < end, server.log.read_text()
            time.sleep(0.05)
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def end(here: Home, kernel: str) -> None:
    with lives(here, kernel) as server:
        assert 204 == server.ask("DELETE", f"/api/kernels/{kernel}").status


def waiting(flag: Path) -> str:
    """Code that prints when a file is there."""
    return (
        "import pathlib, time\n"
        "print('before', flush=True)\n"
        f"while not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.05)\n"
        "for number in range(500): print('line', number)\n"
        "'the result'"
    )


def test_the_server_is_killed_while_a_cell_runs(here: Home, tmp_path: Path) -> None:
    """Another page, at the next one: all is there, once, in order, and then freed."""
    flag = tmp_path / "flag"
    printing = "for number in range(300): print(number)\ndisplay('shown')\n1 + 1"

    async def begin(server: Server, kernel: str) -> list[str]:
        page = await Page(server, kernel).open()
        assert {"cells": [], "dropped": 0} == await page.cells()
        first = await page.run("a", printing)
        await page.idle(first)
        others = [await page.run("b", waiting(flag)), await page.run("c", "1 / 0")]
        await page.until(lambda msg: "before" in msg["content"].get("text", ""))
        await asyncio.sleep(OVER)
        await page.close()
        return [first, *others]

    async def go_on(server: Server, kernel: str, asked: list[str]) -> None:
        page = await Page(server, kernel).open()
        found = await page.cells()
        flag.touch()
        await page.idle(asked[2])

        a, b = found["cells"]
        assert asked[:2] == [a["request"], b["request"]]
        assert ("finished", 1, "ok") == (
            *(a[key] for key in ("state", "execution_count")),
            a["reply"]["status"],
        )
        assert ("running", 2, None) == tuple(
            b[key] for key in ("state", "execution_count", "reply")
        )
        assert (printing, waiting(flag)) == (a["code"], b["code"])
        numbers = [str(number) for number in range(300)]
        lines = [f"line {number}" for number in range(500)]
        shown = filled(found, page.heard)
        assert [*numbers, "'shown'", "2"] == shown["a"]
        assert ["before", *lines, "'the result'"] == shown["b"]
        assert ["ZeroDivisionError"] == shown["c"]

        now = (await page.cells())["cells"]
        assert [("finished", 1), ("finished", 2), ("finished", 3)] == [
            (cell["state"], cell["execution_count"]) for cell in now
        ]
        await page.shown(*asked)
        assert [] == (await page.cells())["cells"]
        await asyncio.sleep(OVER)
        await page.close()

    async def look(server: Server, kernel: str) -> None:
        page = await Page(server, kernel).open()
        assert {"cells": [], "dropped": 0} == await page.cells()
        await page.close()

    with lives(here) as server:
        kernel = server.start()
        asked = asyncio.run(begin(server, kernel))
    with lives(here, kernel) as server:
        asyncio.run(go_on(server, kernel, asked))
    with lives(here, kernel) as server:
        asyncio.run(look(server, kernel))
    end(here, kernel)


def test_two_pages_at_one_notebook(here: Home, tmp_path: Path) -> None:
    """Whoever comes later sees what the other one runs, from its start, and live."""
    flag = tmp_path / "flag"

    async def both(server: Server, kernel: str) -> None:
        one = await Page(server, kernel).open()
        await one.cells()
        request = await one.run("a", waiting(flag))
        await one.until(lambda msg: "before" in msg["content"].get("text", ""))
        other = await Page(server, kernel).open()
        found = await other.cells()
        flag.touch()
        await asyncio.gather(one.idle(request), other.idle(request))

        shown = filled(found, other.heard)
        assert shown == filled({"cells": []}, one.heard)
        assert ["before", "line 0", "line 1"] == shown["a"][:3]
        assert (502, "'the result'") == (len(shown["a"]), shown["a"][-1])
        await one.close()
        await other.close()

    with lives(here) as server:
        kernel = server.start()
        asyncio.run(both(server, kernel))
    end(here, kernel)


def test_the_process_dies(here: Home, tmp_path: Path) -> None:
    """What it was working on is over, and a page that comes back hears that."""
    flag = tmp_path / "flag"

    async def see(server: Server, kernel: str) -> None:
        page = await Page(server, kernel).open()
        await page.cells()
        await page.run("a", f"{waiting(flag)}\nimport os\nos._exit(1)")
        await page.until(lambda msg: "before" in msg["content"].get("text", ""))
        flag.touch()
        await page.until(
            lambda msg: "restarting" == msg["content"].get("execution_state")
        )
        await page.idle(await page.run("b", "print('b')"))

        found = await page.cells()
        await page.close()
        states = {cell["cell_id"]: cell["state"] for cell in found["cells"]}
        assert {"a": "aborted", "b": "finished"} == states
        shown = filled(found, [])
        assert ["b"] == shown["b"]
        assert "before" == shown["a"][0]
        assert any("ended with exit code 1" in line for line in shown["a"])

    with lives(here) as server:
        kernel = server.start()
        asyncio.run(see(server, kernel))
    end(here, kernel)


def test_the_job_ends_and_nobody_is_there(here: Home) -> None:
    """As at its time limit, by night: what the cell has printed is still there."""

    async def begin(server: Server, kernel: str) -> str:
        page = await Page(server, kernel).open()
        await page.cells()
        code = "print('before', flush=True)\nimport time\ntime.sleep(600)"
        request = await page.run("a", code)
        await page.until(lambda msg: "before\n" == msg["content"].get("text", ""))
        await page.close()
        return request

    async def see(server: Server, kernel: str, request: str) -> None:
        page = Page(server, kernel)
        found = await page.cells()
        (cell,) = found["cells"]
        assert ("aborted", request) == (cell["state"], cell["request"])
        printed, *why = filled(found, [])["a"]
        assert "before" == printed
        assert any("[remote_kernels]" in line for line in why)
        await page.shown(request)
        assert [] == (await page.cells())["cells"]

    with lives(here) as server:
        kernel = server.start()
        request = asyncio.run(begin(server, kernel))
        job = server.api("GET", f"/kernels/{kernel}").json["job_id"]
        os.kill(int(job.partition("-")[0]), signal.SIGTERM)
        end = time.monotonic() + SECONDS
        while server.ask("GET", f"/api/kernels/{kernel}").status != 404:
            assert time.monotonic() < end, server.log.read_text()
            time.sleep(0.1)
        asyncio.run(see(server, kernel, request))


def test_a_kernel_with_curve(here: Home) -> None:
    """Nobody reads its messages: there are no cells, and no error."""
    config = {"scheduler": "local", "poll_interval": 0.1, "transport": "tcp"}
    own = {"runtime_dir": str(here.path / "sockets"), **config}
    stanza = {"provisioner_name": "remote-kernels", "config": own}
    metadata = {"kernel_provisioner": stanza, "supported_encryption": ["curve"]}
    write_spec("quick", own, metadata=metadata)

    async def see(server: Server, kernel: str) -> None:
        page = await Page(server, kernel).open()
        await page.idle(await page.run("a", "print('a')"))
        assert {"cells": [], "dropped": 0} == await page.cells()
        await page.close()

    with lives(here) as server:
        kernel = server.start()
        asyncio.run(see(server, kernel))
    end(here, kernel)
