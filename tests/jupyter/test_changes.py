"""jupyter.changes: how kernels are now, as the server's events."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jupyter_events import EventLogger, yaml
from jupyter_events.schema import EventSchema
from served.server import TOKEN, home, served
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

from remote_kernels.jupyter.api.document import DOCUMENT
from remote_kernels.jupyter.changes import SCHEMA, SCHEMA_ID, Changes, event, seen
from remote_kernels.jupyter.process import ChangeWire
from remote_kernels.kernel.model import STATES, UNKNOWN, KernelModel
from remote_kernels.kernel.service import Known
from remote_kernels.records import JobEnd, Record

from .test_events import VIEW

TIMEOUT = 60.0
SAMPLE = {
    "cpu_percent": 50.2,
    "cpus": 8,
    "memory": 500 * 1024 * 1024,
    "memory_limit": 1024**3,
    "gpus": [],
    "time": 100.0,
}


class Kernels:
    """What a server has; `asked` is for whom it was looked."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self.models: dict[str, KernelModel] = {}
        self.asked: list[set[str]] = []

    def is_now(self, id: str, **how: Any) -> None:
        self.models[id] = replace(VIEW, kernel_id=id, **how)

    async def own(self, ids: Iterable[str]) -> list[Known]:
        self.asked.append({*ids})
        there = [self.models[id] for id in ids if id in self.models]
        return [Known(m, Record(self._base, m.kernel_id), ours=True) for m in there]

    def has(self, kernel_id: str) -> bool:
        return kernel_id in self.models


Events = asyncio.Queue[dict[str, Any]]


@asynccontextmanager
async def emitted(
    wire: ChangeWire, kernels: Kernels, pace: float = 0.0, usage_pace: float = 0.0
) -> AsyncIterator[Events]:
    """The events that a server's logger gives to a listener."""
    events: Events = asyncio.Queue()

    async def listener(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        assert threading.current_thread() is threading.main_thread()
        events.put_nowait(data)

    logger = EventLogger()
    made = Changes(wire, logger, IOLoop.current(), kernels, pace, usage_pace)
    logger.add_listener(schema_id=SCHEMA_ID, listener=listener)
    try:
        yield events
    finally:
        made.stop()


async def the_next(events: Events) -> tuple[list[str], list[str]]:
    """The IDs of those that changed, and of those that are gone."""
    body = await asyncio.wait_for(events.get(), TIMEOUT)
    EventSchema(SCHEMA).validate({name: body[name] for name in ("kernels", "gone")})
    return [one["kernel_id"] for one in body["kernels"]], body["gone"]


@pytest.mark.asyncio
async def test_what_changes_together_is_told_together(tmp_path: Path) -> None:
    """In one event, however often and in whatever thread it was said."""
    wire, kernels = ChangeWire(), Kernels(tmp_path)
    for id in ("a", "b", "c"):
        kernels.is_now(id)

    def all_change() -> None:
        for id in 3 * ["a", "b", "c"]:
            wire.tell(id, False)

    async with emitted(wire, kernels) as events:
        all_change()
        changed, gone = await the_next(events)
        await asyncio.to_thread(wire.tell, "a", False)
        kernels.is_now("b", state="running")
        wire.tell("b", False)
        second = await the_next(events)

    assert (["a", "b", "c"], []) == (sorted(changed), gone)
    assert (["b"], []) == second
    assert events.empty()


@pytest.mark.asyncio
async def test_a_kernel_that_is_as_it_was(tmp_path: Path) -> None:
    """Nothing is told of it."""
    wire, kernels = ChangeWire(), Kernels(tmp_path)
    kernels.is_now("a", usage=SAMPLE)
    async with emitted(wire, kernels) as events:
        wire.tell("a", False)
        await the_next(events)
        kernels.is_now("a", usage={**SAMPLE, "time": 110.0, "cpu_percent": 50.4})
        wire.tell("a", True)
        kernels.is_now("b")
        wire.tell("b", False)
        second = await the_next(events)

    assert (["b"], []) == second
    assert events.empty()


@pytest.mark.asyncio
async def test_a_kernel_that_is_gone(tmp_path: Path) -> None:
    """It is told once, and only of one that was there."""
    wire, kernels = ChangeWire(), Kernels(tmp_path)
    kernels.is_now("a")
    async with emitted(wire, kernels) as events:
        wire.tell("a", False)
        await the_next(events)
        end = JobEnd("TIMEOUT", 0, 15, "It ran out of time.")
        kernels.is_now("a", state="ended", end=end)
        wire.tell("a", False)
        ended = await asyncio.wait_for(events.get(), TIMEOUT)
        del kernels.models["a"]
        wire.tell("never there", False)
        wire.tell("a", False)
        gone = await the_next(events)
        wire.tell("a", False)
        kernels.is_now("b")
        wire.tell("b", False)
        last = await the_next(events)

    assert "TIMEOUT" == ended["kernels"][0]["end"]["word"]
    assert ([], ["a"]) == gone
    assert (["b"], []) == last


@pytest.mark.asyncio
async def test_what_kernels_use(tmp_path: Path) -> None:
    """It is gathered, while what they do is told at once."""
    wire, kernels = ChangeWire(), Kernels(tmp_path)
    async with emitted(wire, kernels, usage_pace=1e6) as events:
        for id in ("a", "b"):
            kernels.is_now(id, usage=SAMPLE)
        wire.tell("a", True)
        first = await the_next(events)
        kernels.is_now("a", usage={**SAMPLE, "cpu_percent": 99.0})
        wire.tell("a", True)
        wire.tell("b", False)
        second = await the_next(events)

    assert (["a"], []) == first
    assert (["b"], []) == second
    assert [{"a"}, {"b"}] == kernels.asked


@pytest.mark.asyncio
async def test_a_server_that_has_stopped(tmp_path: Path) -> None:
    """It emits nothing more, not even what it had heard before."""
    wire, kernels = ChangeWire(), Kernels(tmp_path)
    kernels.is_now("a")
    async with emitted(wire, kernels) as first:
        wire.tell("a", False)
    async with emitted(wire, kernels) as second:
        wire.tell("a", False)
        await the_next(second)

    assert first.empty()


def test_what_nobody_sees() -> None:
    """When it was measured, and less than a percent or a MiB; all else is news."""
    view = replace(VIEW, usage=SAMPLE)
    gpu = {"index": 0, "name": "H200", "utilization": 7, "memory": 0, "memory_total": 1}

    def uses(**more: Any) -> KernelModel:
        return seen(replace(VIEW, usage={**SAMPLE, **more}))

    assert seen(view) == uses(time=200.0, memory=SAMPLE["memory"] + 1000)  # type: ignore[operator]
    assert seen(view) != uses(cpu_percent=51.2)
    assert seen(view) != uses(cpu_percent=None)
    assert seen(view) != uses(gpus=[gpu])
    assert uses(gpus=[gpu]) != uses(gpus=[{**gpu, "utilization": 8}])
    assert seen(view) != seen(replace(view, usage=None))


def test_texts_that_are_not_harmless() -> None:
    """They are shown so that they can only be read; paths are what they are."""
    end = JobEnd("\x1b[31mTIMEOUT", text="one\ntwo\x1b]0;x\x07\u202e")
    view = replace(
        VIEW, name="a\nb", text="x\x9b1m", reason="\u202egpj", notebooks=("\u202ea",)
    )
    body = event([replace(view, end=end)], [])["kernels"][0]

    assert ("a\\nb", "x\\x9b1m", "\\u202egpj") == (
        body["name"],
        body["text"],
        body["reason"],
    )
    assert "\\x1b[31mTIMEOUT" == body["end"]["word"]
    assert "one\ntwo\\x1b]0;x\\x07\\u202e" == body["end"]["text"]
    assert ["\u202ea"] == body["notebooks"]


def test_the_schema() -> None:
    """A kernel in it is the one that the REST API's document describes."""
    body = yaml.load(SCHEMA)
    kernel = body["properties"]["kernels"]["items"]
    schemas = yaml.load(DOCUMENT)["components"]["schemas"]
    described, end = schemas["Kernel"], schemas["JobEnd"]

    assert (SCHEMA_ID, "1") == (body["$id"], body["version"])
    assert described["required"] == kernel["required"] == [*kernel["properties"]]
    assert [*STATES, UNKNOWN] == kernel["properties"]["state"]["enum"]
    assert end["required"] == kernel["properties"]["end"]["required"]
    for name, one in kernel["properties"].items():
        if name != "end":
            assert described["properties"][name]["type"] == one["type"], name
    EventSchema(SCHEMA).validate(event([VIEW], ["k2"]))


# --- a real server --------------------------------------------------------------------


class Page:
    """One that subscribes; `kernels` are as its events tell."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.kernels: dict[str, dict[str, Any]] = {}
        self.got: list[dict[str, Any]] = []

    async def hear(self) -> None:
        """The next event."""
        message = await asyncio.wait_for(self._socket.read_message(), TIMEOUT)
        assert message is not None
        heard = json.loads(message)
        if heard["schema_id"] == SCHEMA_ID:
            self.got.append({name: heard[name] for name in ("kernels", "gone")})
            EventSchema(SCHEMA).validate(self.got[-1])
            self.kernels.update({one["kernel_id"]: one for one in heard["kernels"]})
            for id in heard["gone"]:
                del self.kernels[id]

    async def until(self, id: str, **how: Any) -> dict[str, Any]:
        """A kernel is so."""
        while not how.items() <= self.kernels.get(id, {}).items():
            await self.hear()
        return self.kernels[id]


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_a_page_that_keeps_itself_by_events() -> None:
    """It shows what the REST API does, from a kernel's start to its end."""
    with home() as here, served(here) as server:
        url = f"ws{server.url.removeprefix('http')}/api/events/subscribe?token={TOKEN}"
        sockets = [await websocket_connect(url) for _ in range(2)]
        page, other = map(Page, sockets)
        id = await asyncio.to_thread(server.start, usage=1)
        await page.until(id, state="running")
        while page.kernels[id]["usage"] is None:
            await page.hear()
        asked = await asyncio.to_thread(server.api, "GET", f"/kernels/{id}")
        shown = page.kernels[id]
        session = {
            "path": "a.ipynb",
            "name": "a",
            "type": "notebook",
            "kernel": {"id": id},
        }
        made = await asyncio.to_thread(server.ask, "POST", "/api/sessions", session)
        await page.until(id, notebooks=["a.ipynb"])
        where = f"/api/sessions/{made.json['id']}"
        await asyncio.to_thread(server.ask, "PATCH", where, {"path": "b.ipynb"})
        await page.until(id, notebooks=["b.ipynb"])
        await asyncio.to_thread(server.api, "DELETE", f"/kernels/{id}")
        while id in page.kernels:
            await page.hear()
        while len(other.got) < len(page.got):
            await other.hear()
        for socket in sockets:
            socket.close()

    assert 201 == made.status
    assert {**asked.json, "usage": shown["usage"]} == shown
    assert {"cpus", "memory"} < {*shown["usage"]}
    assert other.got == page.got
