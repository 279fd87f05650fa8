"""jupyter.watched: a real server, real jobs of this machine, and a page that listens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from jupyter_events.schema import EventSchema
from served.server import TOKEN, home, served
from tornado.websocket import WebSocketClientConnection, websocket_connect

from remote_kernels.jupyter.watched import EVENTS, TOPICS

pytestmark = pytest.mark.timeout(120)

TIMEOUT = 60.0
SCRIPT = "#!/bin/sh\nexec sleep 300\n"


async def told(socket: WebSocketClientConnection, topic: str) -> dict[str, Any]:
    """The next event of a topic; it is as its schema says."""
    while True:
        message = await asyncio.wait_for(socket.read_message(), TIMEOUT)
        assert message is not None
        heard: dict[str, Any] = json.loads(message)
        if heard.get("schema_id", "").endswith(f"/{topic}/v1"):
            del heard["schema_id"]
            EventSchema(EVENTS / f"{topic}_v1.yaml").validate(heard)
            return heard


@pytest.mark.asyncio
async def test_a_page_that_looks_at_jobs() -> None:
    """It hears of a job that another page has learnt of, as the REST API tells it."""
    with home() as here, served(here) as server:
        url = f"ws{server.url.removeprefix('http')}/api/events/subscribe?token={TOKEN}"
        socket = await websocket_connect(url)
        (here.root / "run.sh").write_text(SCRIPT)

        assert [] == (await asyncio.to_thread(server.api, "GET", "/jobs")).json["jobs"]
        body = {"script": "run.sh", "options": {"scheduler": "local"}}
        made = await asyncio.to_thread(server.api, "POST", "/jobs", body)
        job_id = made.json["job_id"]
        other = (await asyncio.to_thread(server.api, "GET", "/jobs")).json
        heard = await told(socket, "jobs")
        for path in (f"/jobs/{job_id}", f"/jobs/{job_id}"):  # ended, then forgotten
            await asyncio.to_thread(server.api, "DELETE", path)
        socket.close()
        assert None is await socket.read_message()

    assert [job_id] == [job["job_id"] for job in heard["jobs"]]
    assert {**other, "stale": False} == heard


def test_the_schemas() -> None:
    """There is one for each topic, with its name."""
    for topic in TOPICS:
        schema = EventSchema(EVENTS / f"{topic}_v1.yaml")
        assert f"https://events.remote-kernels.org/{topic}/v1" == schema.id
