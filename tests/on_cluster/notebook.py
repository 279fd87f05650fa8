"""A notebook server on a login host, and a page: what a browser tab does, as a client.

A `Page` talks to the server as JupyterLab does (REST, one websocket under a session ID
of its own), keeps the outputs of its cells as a notebook would, and comes back by
itself when the connection breaks. Used by tests of what survives what.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from on_cluster.traces import BIN, PLAIN, Desk
from testbed.api import Cluster
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

PORT = 8918
TOKEN = "token-of-a-test"  # noqa: S105
HEADERS = {"Authorization": f"token {TOKEN}"}
AWAY = (OSError, HTTPClientError)


class Server:
    """jupyter-server as the desk's user, on one login host after the other."""

    def __init__(self, cluster: Cluster, desk: Desk, *options: str) -> None:
        self._cluster = cluster
        self._desk = desk
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.host = "login1"

    @property
    def directory(self) -> str:
        """Where its files are."""
        return str(self._desk.path)

    @property
    def address(self) -> str:
        return f"{self._cluster.address(self.host)}:{PORT}"

    async def start(self, host: str = "login1") -> None:
        """Start it there, and wait until it answers."""
        self.host = host
        if self._process is not None:
            self._process.wait(10)
        ip = self._cluster.address(host)
        command = [str(BIN / "jupyter-server"), f"--ServerApp.ip={ip}"]
        command += [f"--port={PORT}", "--ServerApp.port_retries=0", "--no-browser"]
        command += [f"--IdentityProvider.token={TOKEN}", *self._options]
        log = self._desk.given("server.log")
        self._process = self._cluster.popen(
            host,
            self._desk.user,
            ["sh", "-c", f'exec "$@" >>{log} 2>&1', "sh", *command],
            env=self._desk.env,
            cwd=str(self._desk.given("")),
            stdin=subprocess.DEVNULL,
        )
        await until("the server", self._answers, 120)

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        with suppress(*AWAY):
            await self.ask("GET", "status")
            return True
        return False

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """One request of the REST API, or of another one (/path); its answer."""
        where = path if path.startswith("/") else f"/api/{path}"
        request = HTTPRequest(
            f"http://{self.address}{where}",
            method=method,
            headers=HEADERS,
            body=None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
            request_timeout=60,
        )
        response = await AsyncHTTPClient().fetch(request)
        return json.loads(response.body) if response.body else None

    async def knock(self, kernel_id: str) -> float:
        """Seconds until a new websocket to a kernel has opened, or is refused."""
        url = f"ws://{self.address}/api/kernels/{kernel_id}/channels"
        session = uuid.uuid4().hex
        request = HTTPRequest(f"{url}?session_id={session}", headers=HEADERS)
        begun = time.monotonic()
        with suppress(HTTPClientError):
            (await websocket_connect(request)).close()
        return time.monotonic() - begun

    def end(self, signum: int = signal.SIGTERM) -> None:
        """End it, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(signum)
            try:
                self._process.wait(45)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise AssertionError(f"it did not end: {self.log}") from None

    @property
    def log(self) -> str:
        return self._desk.read("server.log")


@dataclass
class Cell:
    """A cell that was run, and what the notebook shows below it."""

    text: str = ""
    states: list[str] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    cleared: int = 0
    prompts: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.reply is not None and "idle" in self.states

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


class Page:
    """A tab with one notebook."""

    def __init__(self, server: Server, name: str = "a.ipynb") -> None:
        self._server = server
        self._name = name
        self._session = uuid.uuid4().hex
        self._socket: WebSocketClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self.cells: dict[str, Cell] = {}
        self.states: list[str] = []
        self.kernel_id = ""
        self.session_id = ""
        self.waited = 0.0  # seconds until the last websocket opened

    async def open(self, spec: str = "k") -> None:
        """Start the notebook's kernel, and connect to it."""
        body = {"path": self._name, "name": self._name, "type": "notebook"}
        session = await self._server.ask(
            "POST", "sessions", {**body, "kernel": {"name": spec}}
        )
        self.session_id = session["id"]
        self.kernel_id = session["kernel"]["id"]
        await self.close()
        self._reader = asyncio.create_task(self._read())
        await until("the websocket", lambda: self._socket is not None, 30)

    @property
    def connected(self) -> bool:
        return self._socket is not None

    async def _read(self) -> None:
        while True:
            with suppress(*AWAY):
                await self._connect()
                await self._listen()
            self._socket = None
            await asyncio.sleep(0.2)

    async def _connect(self) -> None:
        url = f"ws://{self._server.address}/api/kernels/{self.kernel_id}/channels"
        request = HTTPRequest(f"{url}?session_id={self._session}", headers=HEADERS)
        begun = time.monotonic()
        self._socket = await websocket_connect(
            request, max_message_size=1 << 30, ping_interval=3, ping_timeout=3
        )
        self.waited = time.monotonic() - begun
        self._send("kernel_info_request", {})  # as JupyterLab does

    async def _listen(self) -> None:
        assert self._socket is not None
        try:
            while (data := await self._socket.read_message()) is not None:
                self._take(json.loads(data))
        finally:
            protocol = self._socket.protocol
            self._socket.close()
            if protocol is not None and protocol.stream is not None:
                protocol.stream.close()  # without tornado's 5 s for the other side

    def _take(self, message: dict[str, Any]) -> None:
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "status":
            self.states.append(content["execution_state"])
        cell = self.cells.get(message["parent_header"].get("msg_id", ""))
        if cell is None or cell.done:  # JupyterLab forgets a cell that is done
            return
        if kind == "stream":
            cell.text += content["text"]
        elif kind == "clear_output":
            cell.text = ""
            cell.cleared += 1
        elif kind == "status":
            cell.states.append(content["execution_state"])
        elif kind == "execute_reply":
            cell.reply = content
        elif kind == "input_request":
            cell.prompts.append(content["prompt"])

    def run(self, code: str, *, allow_stdin: bool = False) -> Cell:
        """Run a cell; returns at once."""
        cell = Cell()
        content = {"code": code, "silent": False, "store_history": True}
        content |= {"user_expressions": {}, "allow_stdin": allow_stdin}
        self.cells[self._send("execute_request", content)] = cell
        return cell

    def answer(self, text: str) -> None:
        """Fill in the field that a cell shows."""
        self._send("input_reply", {"status": "ok", "value": text}, "stdin")

    def _send(self, kind: str, content: dict[str, Any], channel: str = "shell") -> str:
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "date": ""}
        header |= {"session": self._session, "username": "", "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": {}}
        assert self._socket is not None
        self._socket.write_message(
            json.dumps({**message, "content": content, "channel": channel})
        )
        return header["msg_id"]

    async def finish(self, cell: Cell, seconds: float = 60) -> list[str]:
        """Until the cell is done; its lines."""
        await until("the cell's end", lambda: cell.done, seconds)
        return cell.lines

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._socket = None


@asynccontextmanager
async def notebook(
    cluster: Cluster, desk: Desk, *options: str
) -> AsyncIterator[tuple[Server, Page]]:
    """A server and a page of its; both end with the test."""
    server = Server(cluster, desk, *PLAIN, *options)
    page = Page(server)
    try:
        await server.start()
        yield server, page
    finally:
        await page.close()
        server.end(signal.SIGKILL)


async def until(what: str, ready: Callable[[], Any], seconds: float) -> None:
    """Wait until `ready()`, which may be a coroutine function."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        answer = ready()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        await asyncio.sleep(0.05)
