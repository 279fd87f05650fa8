"""jupyter.emitter: what happens to kernels, as the server's events."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import ValidationError
from jupyter_events import EventLogger, yaml
from jupyter_events.schema import EventSchema
from served.server import TOKEN, home, served
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

from remote_kernels.jupyter.api.document import DOCUMENT
from remote_kernels.jupyter.emitter import SCHEMA, SCHEMA_ID, Emitter, event
from remote_kernels.jupyter.process import NewsWire
from remote_kernels.kernel.model import STATES, UNKNOWN, KernelModel
from remote_kernels.records import JobEnd
from remote_kernels.scheduler.job import JobId

ACTIONS = [
    "submitted",
    "pending",
    "running",
    "attached",
    "lost",
    "resumed",
    "warning",
    "out-of-memory",
    "ended",
]
TIMEOUT = 60.0
VIEW = KernelModel(
    kernel_id="k1",
    name="Python",
    spec_name="python",
    notebooks=("a.ipynb",),
    scheduler="slurm",
    cluster="tux",
    job=JobId("17"),
    state="waiting",
    text="It waits for other jobs to end.",
    job_state="PENDING",
    reason="Resources",
    place=3,
    node=None,
    carrier=None,
    host="login1",
    pid=42,
    submitted=1.0,
    ready=None,
    expected_start=None,
    ends=None,
    usage=None,
)


def schema() -> Any:
    return yaml.load(SCHEMA)


@asynccontextmanager
async def emitter(news: NewsWire) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
    """The events that a server's logger gives to a listener."""
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listener(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        assert threading.current_thread() is threading.main_thread()
        events.put_nowait({"schema_id": schema_id, **data})

    logger = EventLogger()
    made = Emitter(news, logger, IOLoop.current())
    logger.add_listener(schema_id=SCHEMA_ID, listener=listener)
    try:
        yield events
    finally:
        made.stop()


def tell_all(news: NewsWire) -> None:
    for action in ACTIONS:
        news.tell(action, VIEW, "")


@pytest.mark.asyncio
async def test_every_kind_of_news() -> None:
    """In their order; told in another thread, emitted on the server's loop."""
    news = NewsWire()
    async with emitter(news) as events:
        await asyncio.to_thread(tell_all, news)
        got = [await asyncio.wait_for(events.get(), TIMEOUT) for _ in ACTIONS]

    assert ACTIONS == [one["action"] for one in got]
    assert {SCHEMA_ID} == {one["schema_id"] for one in got}


@pytest.mark.asyncio
async def test_a_server_that_has_stopped() -> None:
    """Hears nothing more, while another one does."""
    news = NewsWire()
    async with emitter(news) as first:
        async with emitter(news) as second:
            pass
        news.tell("lost", VIEW, "")
        await asyncio.wait_for(first.get(), TIMEOUT)

    assert second.empty()


def test_what_an_event_says() -> None:
    """The scheduler's own word is the reason; the text is for people."""
    body = event("pending", VIEW, "Resources")

    assert {
        "action": "pending",
        "kernel_id": "k1",
        "job_id": "17",
        "node": None,
        "scheduler": "slurm",
        "state": "waiting",
        "reason": "Resources",
        "text": "It waits for other jobs to end.",
        "end": None,
    } == body
    assert "Save!" == event("warning", VIEW, "Save!")["text"]


def test_an_end_in_an_event() -> None:
    """The same as in the REST API, whose document describes the same fields."""
    view = replace(VIEW, end=JobEnd("TIMEOUT", 0, 15, "It ran out of time."))

    body = event("ended", view, "")

    assert view.as_json()["end"] == body["end"]
    EventSchema(SCHEMA).validate(body)
    described = yaml.load(DOCUMENT)["components"]["schemas"]["JobEnd"]
    schema_of_end = schema()["properties"]["end"]
    assert [*body["end"]] == described["required"] == schema_of_end["required"]
    assert (
        [*body["end"]] == [*described["properties"]] == [*schema_of_end["properties"]]
    )


def test_the_schema() -> None:
    """It knows all states and actions, requires all, and allows nothing else."""
    body = schema()

    assert (SCHEMA_ID, "1") == (body["$id"], body["version"])
    assert [*STATES, UNKNOWN] == body["properties"]["state"]["enum"]
    assert ACTIONS == body["properties"]["action"]["enum"]
    assert [*event("ended", VIEW, "")] == body["required"] == [*body["properties"]]
    EventSchema(SCHEMA).validate(event("ended", VIEW, ""))
    with pytest.raises(ValidationError, match="exploded"):
        EventSchema(SCHEMA).validate(event("exploded", VIEW, ""))


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_a_page_that_subscribes() -> None:
    """It hears of a real kernel from its submission to its end."""
    with home() as here, served(here) as server:
        url = f"ws{server.url.removeprefix('http')}/api/events/subscribe?token={TOKEN}"
        socket = await websocket_connect(url)
        start = asyncio.create_task(asyncio.to_thread(server.start))
        got: list[dict[str, Any]] = []
        while not got or got[-1]["action"] != "ended":
            message = await asyncio.wait_for(socket.read_message(), TIMEOUT)
            assert message is not None
            heard = json.loads(message)
            if heard.pop("schema_id") == SCHEMA_ID:
                got.append(heard)
            if got and got[-1]["action"] == "attached":
                path = f"/kernels/{await start}"
                await asyncio.to_thread(server.api, "DELETE", path)
        socket.close()
        left = here.left()

    for one in got:
        EventSchema(SCHEMA).validate(one)
    told = [one["action"] for one in got]
    # A job of this machine may start before anybody has asked for it.
    assert ["submitted", "attached", "ended"] == [
        action for action in told if action not in ("pending", "running")
    ]
    assert told == sorted(told, key=ACTIONS.index)
    assert {await start} == {one["kernel_id"] for one in got}
    assert 1 == len({one["job_id"] for one in got})
    assert [] == left
