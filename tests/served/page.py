"""A page at a real server: it runs cells by name, and fills in what it finds."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

from served.server import TOKEN, Server

SECONDS = 60.0
SHOWN = ("stream", "display_data", "execute_result", "error", "clear_output")
Msg = dict[str, Any]


class Page:
    """One that has a kernel's websocket."""

    def __init__(self, server: Server, kernel: str, session: str = "") -> None:
        self.session = session or uuid.uuid4().hex
        self.heard: list[Msg] = []
        self._server = server
        self._kernel = kernel
        self._socket: WebSocketClientConnection | None = None

    async def open(self) -> Page:
        url = f"ws{self._server.url.removeprefix('http')}/api/kernels/{self._kernel}"
        query = f"token={TOKEN}&session_id={self.session}"
        self._socket = await websocket_connect(f"{url}/channels?{query}")
        return self

    async def send(
        self, kind: str, content: Msg, channel: str = "shell", **more: Any
    ) -> str:
        """A request's ID."""
        assert self._socket is not None
        head = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": ""}
        head |= {"session": self.session, "version": "5.3", "date": ""}
        body = {"header": head, "parent_header": {}, "metadata": {}, "content": content}
        await self._socket.write_message(
            json.dumps({**body, "channel": channel, **more})
        )
        return head["msg_id"]

    async def run(self, cell: str, code: str) -> str:
        """The request's ID."""
        content = {"code": code, "silent": False, "store_history": True}
        return await self.send("execute_request", content, metadata={"cellId": cell})

    async def until(self, is_so: Callable[[Msg], bool]) -> Msg:
        """Listen until a message comes of which it is so."""
        assert self._socket is not None
        while True:
            said = await asyncio.wait_for(self._socket.read_message(), SECONDS)
            assert isinstance(said, str), self.heard
            self.heard.append(json.loads(said))
            if is_so(self.heard[-1]):
                return self.heard[-1]

    async def answer(self, request: str) -> Msg:
        """The reply to a request."""
        return await self.until(
            lambda msg: (
                msg["parent_header"].get("msg_id") == request
                and msg["channel"] != "iopub"
            )
        )

    async def idle(self, request: str) -> Msg:
        return await self.until(
            lambda msg: (
                msg["parent_header"].get("msg_id") == request
                and msg["content"].get("execution_state") == "idle"
            )
        )

    async def cells(self) -> Msg:
        """What the server has kept."""
        path = f"/kernels/{self._kernel}/cells"
        answer = await asyncio.to_thread(self._server.api, "GET", path)
        assert 200 == answer.status, answer.body
        return dict(answer.json)

    async def shown(self, *requests: str) -> None:
        path, body = f"/kernels/{self._kernel}/cells/shown", {"requests": requests}
        answer = await asyncio.to_thread(self._server.api, "POST", path, body)
        assert 204 == answer.status, answer.body

    async def close(self) -> None:
        assert self._socket is not None
        self._socket.close()
        while await self._socket.read_message() is not None:
            pass


def filled(found: Msg, heard: list[Msg]) -> dict[str, list[str]]:
    """What a page shows by cell: what was there, then what it heard, each once."""
    shown: dict[str, list[str]] = {}
    known: set[str] = set()
    for cell in found["cells"]:
        shown[cell["cell_id"]] = []
        known |= {*cell["gone"], *(said["msg_id"] for said in cell["messages"])}
        for said in cell["messages"]:
            _show(shown[cell["cell_id"]], said)
    for msg in heard:
        cell_id = msg["parent_header"].get("cell")
        if cell_id and msg["header"]["msg_id"] not in known:
            _show(shown.setdefault(cell_id, []), msg)
    return shown


def _show(texts: list[str], said: Msg) -> None:
    """A stream's text comes in pieces, as the kernel sends it: here in lines."""
    content, kind = said["content"], said["msg_type"]
    if kind == "clear_output":
        texts.clear()
    elif kind == "stream":
        texts += content["text"].splitlines()
    elif kind in ("display_data", "execute_result"):
        texts.append(content["data"]["text/plain"])
    elif kind == "error":
        texts.append(content["ename"])
