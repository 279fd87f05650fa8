"""Ports of a compute node at the login host: a page, a websocket, a debugger.

The servers run in a kernel's process or beside it, on the node; cables are cut.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from on_cluster.notebook import HEADERS, Page, Server, notebook
from on_cluster.system import SYSTEM
from on_cluster.test_cuts import Client, client, cut, mended
from on_cluster.traces import BIN, Desk, left_over, traces
from testbed.api import Cluster
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

__all__ = ["client", "mended"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

USER = "bob"

# A dashboard: a page, and a websocket that says all it hears.
DASHBOARD = """
import socket, tornado.netutil, tornado.httpserver, tornado.web, tornado.websocket

class Page(tornado.web.RequestHandler):
    def get(self):
        self.write("a page on " + socket.gethostname())

class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)

app = tornado.web.Application([("/ws", Echo), ("/", Page)])
(listening,) = tornado.netutil.bind_sockets(0, {address})
tornado.httpserver.HTTPServer(app).add_socket(listening)
print(listening.getsockname()[1])
"""
LOOPBACK = '"127.0.0.1"'
NAMED = "socket.gethostbyname(socket.gethostname())"

FETCH = """
import sys, socket
from http.client import HTTPConnection
connection = HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX if "/" in sys.argv[1] else socket.AF_INET)
where = sys.argv[1] if "/" in sys.argv[1] else ("127.0.0.1", int(sys.argv[1]))
try:
    connection.sock.connect(where)
    connection.request("GET", "/")
    print(connection.getresponse().read().decode())
except OSError as error:
    print(type(error).__name__)
"""

# Numbers through the dashboard's websocket until somebody says "stop"; how often the
# kernel's connection was lost meanwhile.
NUMBERS = """
import asyncio, json, pathlib
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

headers = {headers}
states = []

async def watch():
    while True:
        ask = HTTPRequest("http://{address}/remote-kernels/api/kernels/{kernel}",
                          headers=headers)
        answer = await AsyncHTTPClient().fetch(ask)
        states.append(json.loads(answer.body)["state"])
        await asyncio.sleep(0.1)

async def say(socket):
    number = 0
    while not pathlib.Path("stop").exists():
        await socket.write_message(str(number))
        number += 1
        await asyncio.sleep(0.005)
    await socket.write_message("end")

async def main():
    where = HTTPRequest("ws://{address}{url}ws", headers=headers)
    socket = await websocket_connect(where)
    tasks = [asyncio.create_task(watch()), asyncio.create_task(say(socket))]
    heard = []
    while (message := await socket.read_message()) not in (None, "end"):
        heard.append(int(message))
        pathlib.Path("begun").touch()
    tasks[0].cancel()
    whole = message == "end" and heard == list(range(len(heard)))
    result = dict(whole=whole, count=len(heard), lost=states.count("lost"))
    pathlib.Path("result.json").write_text(json.dumps(result))

asyncio.run(main())
"""


async def printed(page: Page, code: str) -> str:
    """What a cell prints."""
    return "\n".join(await page.finish(page.run(code)))


@asynccontextmanager
async def dashboard(
    cluster: Cluster, desk: Desk, address: str = LOOPBACK, **config: Any
) -> AsyncIterator[tuple[Server, Page, int]]:
    """Of a kernel on c1, and its port."""
    desk.spec({**SYSTEM.on("c1"), **config})
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        code = DASHBOARD.format(address=address)
        yield server, page, int(await printed(page, code))


async def forwarded(server: Server, page: Page, **body: Any) -> Any:
    path = f"/remote-kernels/api/kernels/{page.kernel_id}/ports"
    return await server.ask("POST", path, body)


def fetch(cluster: Cluster, user: str, where: object) -> str:
    argv = [str(BIN / "python"), "-c", FETCH, str(where)]
    return cluster.run("login1", user, argv).stdout.strip()


async def status(server: Server, path: str, **headers: str) -> tuple[int, str]:
    request = HTTPRequest(
        f"http://{server.address}{path}", headers=headers, follow_redirects=False
    )
    answer = await AsyncHTTPClient().fetch(request, raise_error=False)
    return answer.code, answer.body.decode()


@pytest.mark.asyncio
async def test_a_page(cluster: Cluster, desk: Desk) -> None:
    """By each way that `forward` tells; then it takes them back, and nothing is left."""
    said = "a page on c1"
    async with dashboard(cluster, desk) as (server, page, number):
        before = traces(cluster, USER)
        argv = [str(BIN / "remote-kernels"), "forward", page.kernel_id, str(number)]
        program = cluster.popen(
            "login1",
            USER,
            [*argv, "--port", "0", "--json"],
            env=desk.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        (port,) = json.loads(await asyncio.to_thread(program.stdout.readline))
        url = f"/remote-kernels/proxy/{page.kernel_id}/{number}/"

        assert ("c1", True) == (port["node"], port["listening"])
        assert f"http://{server.address}{url}" == port["url"]
        assert said == fetch(cluster, USER, port["local_socket"])
        assert said == fetch(cluster, USER, port["local_port"])
        assert (200, said) == await status(server, url, **HEADERS)
        assert 302 == (await status(server, url))[0]
        # As it is said where it is chosen: the port is anybody's, the socket is not.
        assert said == fetch(cluster, "alice", port["local_port"])
        assert "PermissionError" == fetch(cluster, "alice", port["local_socket"])

        program.send_signal(signal.SIGTERM)
        assert 0 == await asyncio.to_thread(program.wait, 30)
        program.stdout.close()
        assert "ConnectionRefusedError" == fetch(cluster, USER, port["local_port"])
        assert 404 == (await status(server, url, **HEADERS))[0]
        assert [] == left_over(cluster, USER, before)
        await server.ask("DELETE", f"sessions/{page.session_id}")


@pytest.mark.asyncio
async def test_who_listens_where(cluster: Cluster, desk: Desk) -> None:
    """At the node's own name, on another node, nobody, another user."""
    serve = ["/usr/bin/python3", "-m", "http.server", "-d", "/proc/sys/kernel"]
    others = [
        cluster.popen("c2", USER, [*serve, "8701"], stderr=subprocess.DEVNULL),
        cluster.popen("c1", "alice", [*serve, "8702"], stderr=subprocess.DEVNULL),
    ]
    try:
        async with dashboard(cluster, desk, NAMED) as (server, page, number):
            named = await forwarded(server, page, port=number)
            other = await forwarded(server, page, port=8701, host="c2")
            foreign = await forwarded(server, page, port=8702)
            nobody = await forwarded(server, page, port=8703)

            assert "a page on c1" == fetch(cluster, USER, named["local_socket"])
            assert "hostname" in fetch(cluster, USER, other["local_socket"])
            code, text = await status(server, other["url"], **HEADERS)
            assert (200, True) == (code, "hostname" in text)
            assert "port 8702 of c1 is another user's" == foreign["trouble"]
            # Which one depends on how far the request has come when the connection ends.
            refused = fetch(cluster, USER, foreign["local_socket"])
            assert refused in (
                "RemoteDisconnected",
                "ConnectionResetError",
                "BrokenPipeError",
            )
            assert "nothing listens on port 8703 of c1" == nobody["trouble"]
            code, text = await status(server, nobody["url"], **HEADERS)
            assert 502 == code
            assert "nothing listens on port 8703 of c1" in text
            await server.ask("DELETE", f"sessions/{page.session_id}")
    finally:
        for one in others:
            one.kill()
            one.wait()


@pytest.mark.asyncio
@pytest.mark.parametrize("carrier", ["ssh", SYSTEM.carrier])
async def test_a_websocket_through_cuts(
    cluster: Cluster, desk: Desk, client: Callable[..., Client], carrier: str
) -> None:
    """It stays open, and nothing of it is lost, over either carrier."""
    config: dict[str, Any] = {"carrier": carrier, "dead_after": 3}
    async with dashboard(cluster, desk, **config) as (server, page, number):
        port = await forwarded(server, page, port=number)
        program = NUMBERS.format(
            address=server.address,
            kernel=page.kernel_id,
            url=port["url"],
            headers=HEADERS,
        )
        numbers = await asyncio.to_thread(client, program)
        for seconds in (0.5, 8):
            await asyncio.to_thread(cut, cluster, seconds)
        numbers.stop()
        result = await asyncio.to_thread(numbers.result, 60)

        assert result["whole"], numbers.said
        assert result["count"] > 200
        assert result["lost"], "the carrier was not lost"
        await server.ask("DELETE", f"sessions/{page.session_id}")


# --- a debugger -----------------------------------------------------------------------


class Editor:
    """What an editor says to debugpy: the Debug Adapter Protocol, one message at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._events: list[dict[str, Any]] = []
        self._answers: dict[int, dict[str, Any]] = {}

    def send(self, command: str, **arguments: Any) -> int:
        number = next(self._numbers)
        body = {"seq": number, "type": "request", "command": command}
        data = json.dumps({**body, "arguments": arguments}).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        return number

    async def _hear(self) -> None:
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.split(b":")[1])
        message = json.loads(await self._reader.readexactly(length))
        if message["type"] == "event":
            self._events.append(message)
        elif message["type"] == "response":
            self._answers[message["request_seq"]] = message

    async def answer(self, number: int) -> dict[str, Any]:
        while number not in self._answers:
            await asyncio.wait_for(self._hear(), 30)
        answer = self._answers.pop(number)
        assert answer["success"], answer
        return dict(answer.get("body") or {})

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return await self.answer(self.send(command, **arguments))

    async def event(self, name: str) -> dict[str, Any]:
        while not any(event["event"] == name for event in self._events):
            await asyncio.wait_for(self._hear(), 30)
        (first, *_) = [event for event in self._events if event["event"] == name]
        self._events.remove(first)
        return dict(first.get("body") or {})


PROGRAM = "def double(number):\n    result = 2 * number\n    return result\n"
LISTEN = """
import debugpy
print(debugpy.listen(("127.0.0.1", 0))[1])
"""
RUN = """
import runpy
debugpy.wait_for_client()
print(runpy.run_path({path!r})["double"](21))
"""


@pytest.mark.asyncio
async def test_a_debugger(cluster: Cluster, desk: Desk) -> None:
    """An editor attaches to debugpy on the node, and a cable is cut while it debugs."""
    path = str(desk.write("program.py", PROGRAM))
    desk.spec({**SYSTEM.on("c1"), "dead_after": 3})
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        number = int(await printed(page, LISTEN))
        port = await forwarded(server, page, port=number)
        cell = page.run(RUN.format(path=path))
        local = cluster.path("login1", port["local_socket"])
        reader, writer = await asyncio.open_unix_connection(local)
        editor = Editor(reader, writer)
        await editor.ask("initialize", adapterID="python", pathFormat="path")
        attach = editor.send("attach", justMyCode=False)
        await editor.event("initialized")
        lines = [{"line": 3}]
        await editor.ask("setBreakpoints", source={"path": path}, breakpoints=lines)
        await editor.ask("configurationDone")
        await editor.answer(attach)
        stopped = await editor.event("stopped")
        await asyncio.to_thread(cut, cluster, 6)
        thread = stopped["threadId"]
        trace = await editor.ask("stackTrace", threadId=thread, levels=1)
        (frame,) = trace["stackFrames"]
        value = await editor.ask(
            "evaluate", expression="result", frameId=frame["id"], context="watch"
        )
        await editor.ask("setBreakpoints", source={"path": path}, breakpoints=[])
        await editor.ask("continue", threadId=thread)
        await editor.ask("disconnect", terminateDebuggee=False)
        writer.close()

        assert ("double", 3) == (frame["name"], frame["line"])
        assert "42" == value["result"]
        assert ["42"] == await page.finish(cell)
        await server.ask("DELETE", f"sessions/{page.session_id}")
