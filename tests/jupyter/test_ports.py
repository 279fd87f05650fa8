"""jupyter.api_ports and jupyter.proxied: a real server and kernel, and real requests.

What the ports lead to is played by this process: the kernel's node is this machine.
"""

from __future__ import annotations

import asyncio
import http.client
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket
from cli.live import pages
from served.server import API, TOKEN, Answer, Home, Server, home, served
from tornado.httpclient import HTTPRequest

from remote_kernels.jupyter import api_ports
from remote_kernels.jupyter.api_errors import Refusal
from remote_kernels.jupyter.api_kernels import Known

pytestmark = pytest.mark.timeout(120)

MISSING = "00000000-0000-4000-8000-000000000000"
LIMITED = """
from jupyter_server.auth import Authorizer

class Some(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action != "execute"

c.ServerApp.authorizer_class = Some
"""
HIDDEN = 'import sys\nsys.modules["jupyter_server_proxy"] = None\n'


class Page(http.server.BaseHTTPRequestHandler):
    """Says what it was asked; /away sends elsewhere."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "/there")
        self.end_headers()
        heard = {"path": self.path, **{k.lower(): v for k, v in self.headers.items()}}
        self.wfile.write(json.dumps(heard).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Not to stderr."""


@pytest.fixture(scope="module")
def page() -> Iterator[int]:
    """The port of a dashboard."""
    with pages(Page) as port:
        yield port


@pytest.fixture(scope="module")
def here() -> Iterator[Home]:
    with home() as made:
        yield made
        assert [] == made.left()


@pytest.fixture(scope="module")
def server(here: Home) -> Iterator[Server]:
    with served(here) as made:
        yield made


def running(server: Server) -> str:
    """A kernel that has a node."""
    kernel = server.start()
    for _ in range(600):
        if server.api("GET", f"/kernels/{kernel}").json["state"] == "running":
            return kernel
        threading.Event().wait(0.1)
    raise AssertionError(server.log.read_text())


@pytest.fixture(scope="module")
def kernel(server: Server) -> Iterator[str]:
    made = running(server)
    yield made
    server.api("DELETE", f"/kernels/{made}")


@pytest.fixture
def forwarded(server: Server, kernel: str, page: int) -> Iterator[dict[str, Any]]:
    """The dashboard's port."""
    yield opened(server, kernel, port=page)
    for port in server.api("GET", f"/kernels/{kernel}/ports").json:
        server.api("DELETE", f"/kernels/{kernel}/ports/{port['id']}")


def opened(server: Server, kernel: str, **body: Any) -> dict[str, Any]:
    answer = server.api("POST", f"/kernels/{kernel}/ports", body)
    assert 201 == answer.status, answer.body
    location = f"{API}/kernels/{kernel}/ports/{answer.json['id']}"
    assert answer.headers["Location"].endswith(location)
    return dict(answer.json)


class Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def fetched(connection: http.client.HTTPConnection) -> Any:
    connection.request("GET", "/a?b=c")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["path"]


# --- the API --------------------------------------------------------------------------


def test_a_port_that_is_forwarded(
    server: Server, kernel: str, page: int, forwarded: dict[str, Any]
) -> None:
    """It is told alike by the answer, by itself, and in the list; it can be used."""
    path = f"/kernels/{kernel}/ports"
    alone = server.api("GET", f"{path}/{forwarded['id']}")
    listed = server.api("GET", path)

    assert [forwarded] == listed.json == [alone.json]
    assert (page, None, None) == tuple(forwarded[k] for k in ("port", "host", "socket"))
    assert (True, "", None) == tuple(
        forwarded[k] for k in ("listening", "trouble", "local_port")
    )
    assert f"/remote-kernels/proxy/{kernel}/{page}/" == forwarded["url"]
    local = Path(forwarded["local_socket"])
    assert 0o700 == local.parent.stat().st_mode & 0o777
    assert "/a?b=c" == fetched(Unix(str(local)))


def test_a_port_that_is_closed(
    server: Server, kernel: str, forwarded: dict[str, Any]
) -> None:
    """Nothing is left of it."""
    path = f"/kernels/{kernel}/ports/{forwarded['id']}"
    closed = server.api("DELETE", path)

    assert (204, b"") == (closed.status, closed.body)
    assert [404, 404] == [server.api(m, path).status for m in ("GET", "DELETE")]
    assert not Path(forwarded["local_socket"]).exists()
    assert 404 == server.ask("GET", forwarded["url"]).status


def test_a_loopback_port(
    server: Server, kernel: str, forwarded: dict[str, Any]
) -> None:
    """One that is free, if it is asked for; one that is taken is refused."""
    port = opened(server, kernel, port=forwarded["port"], local_port=0)["local_port"]
    assert "/a?b=c" == fetched(http.client.HTTPConnection("127.0.0.1", port))

    body = {"port": forwarded["port"], "local_port": port}
    refused = server.api("POST", f"/kernels/{kernel}/ports", body)

    assert 409 == refused.status
    assert f"Cannot listen at port {port} of this host: Address" in refused.message
    assert "or 0 for any" in refused.message


def test_a_port_at_which_nobody_listens(
    server: Server, kernel: str, forwarded: dict[str, Any]
) -> None:
    """It is forwarded all the same, and what is wrong is told."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        free = sock.getsockname()[1]
    port = opened(server, kernel, port=free)
    answer = server.ask("GET", port["url"])

    assert False is port["listening"]
    assert port["trouble"].startswith(f"nothing listens on port {free} of ")
    assert 502 == answer.status
    assert f"nothing listens on port {free}".encode() in answer.body


def test_a_socket_of_the_node(
    server: Server, kernel: str, forwarded: dict[str, Any]
) -> None:
    """It has no URL."""
    through = opened(server, kernel, socket=forwarded["local_socket"])

    assert (None, True) == (through["url"], through["listening"])
    assert "/a?b=c" == fetched(Unix(through["local_socket"]))


def test_a_kernel_that_is_restarted(server: Server, page: int) -> None:
    """Its ports stay forwarded; they end with its job."""
    kernel = running(server)
    port = opened(server, kernel, port=page)
    server.ask("POST", f"/api/kernels/{kernel}/restart")
    after = server.api("GET", f"/kernels/{kernel}/ports").json

    assert [port] == after
    assert "/a?b=c" == fetched(Unix(port["local_socket"]))
    server.api("DELETE", f"/kernels/{kernel}")
    assert not Path(port["local_socket"]).exists()


BAD = [
    ({}, "'port' is missing"),
    ({"port": 0}, "'port' must be from 1 to 65535"),
    ({"port": "80"}, "'port' must be a whole number"),
    ({"port": True}, "'port' must be a whole number"),
    ({"port": 80, "host": "a b"}, "'host' must be"),
    ({"port": 80, "host": ""}, "'host' must be"),
    ({"port": 80, "local_port": -1}, "'local_port' must be from 0 to 65535"),
    ({"port": 80, "socket": "/a"}, "'socket' goes without"),
    ({"socket": "a"}, "'socket' must be the path"),
    ({"socket": "/a\0"}, "'socket' must be the path"),
    ({"port": 80, "path": "/"}, "unknown field 'path'"),
]


@pytest.mark.parametrize(("body", "why"), BAD, ids=[why for _, why in BAD])
def test_what_makes_no_sense(server: Server, body: object, why: str) -> None:
    """It is refused by name, before anybody is asked."""
    answer = server.api("POST", f"/kernels/{MISSING}/ports", body)

    assert 400 == answer.status
    assert why in answer.message


@pytest.mark.parametrize(
    ("state", "ours", "why"),
    [
        ("ended", True, "Its job has ended: text"),
        ("running", False, "last was with process 17 on login1"),
        ("waiting", True, r"no node yet: its job 4711 is waiting \(text\)"),
    ],
)
def test_a_kernel_that_has_no_ports(
    monkeypatch: pytest.MonkeyPatch, state: str, ours: bool, why: str
) -> None:
    """It is said what it waits for, or who is to be asked."""
    view: Any = SimpleNamespace(
        kernel_id="k1", state=state, text="text", job_id="4711;c", pid=17, host="login1"
    )
    waiting = SimpleNamespace(connection=None)
    monkeypatch.setattr(api_ports, "kernel_of", lambda manager, kernel_id: waiting)
    record: Any = None

    with pytest.raises(Refusal, match=why) as caught:
        api_ports.ports_of(None, Known(view, record, ours=ours))

    assert 409 == caught.value.status_code


# --- the proxy ------------------------------------------------------------------------


def test_its_url(server: Server, kernel: str, forwarded: dict[str, Any]) -> None:
    """The page is there, is told where it is, and learns no secret of the server."""
    cookies = {"Cookie": "_xsrf=ab; mine=1"}
    answer = server.ask("GET", f"{forwarded['url']}a?b=c&token={TOKEN}", **cookies)
    heard = answer.json

    assert 200 == answer.status
    assert "/a?b=c" == heard["path"]
    assert forwarded["url"].rstrip("/") == heard["x-forwarded-prefix"]
    assert "mine=1" == heard["cookie"]
    assert "authorization" not in heard


def test_where_a_page_sends(server: Server, forwarded: dict[str, Any]) -> None:
    """It stays below the URL; a URL without its last slash gets one."""
    away = server.ask("GET", f"{forwarded['url']}away")
    bare = server.ask("GET", f"{forwarded['url'].rstrip('/')}?a=1")

    assert f"{forwarded['url']}there" == away.headers["Location"]
    assert (302, f"{forwarded['url']}?a=1") == (bare.status, bare.headers["Location"])


@pytest.mark.parametrize("token", ["", "wrong"])
def test_somebody_unknown(
    server: Server, forwarded: dict[str, Any], token: str
) -> None:
    """Is sent to the login page; a websocket of theirs is refused."""
    plain = server.ask("GET", forwarded["url"], token=token)
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    live = server.ask("GET", forwarded["url"], token=token, **upgrade)

    assert 302 == plain.status
    assert "/login" in plain.headers["Location"]
    assert 403 == live.status


def test_what_is_not_forwarded(
    server: Server, kernel: str, forwarded: dict[str, Any]
) -> None:
    """Another port, another kernel: it is said how."""
    there_is = forwarded["url"]
    for url in (
        there_is.replace(f"/{forwarded['port']}/", "/1/"),
        "/remote-kernels/proxy/k/1/",
    ):
        answer = server.ask("GET", url)
        assert 404 == answer.status
        assert b"remote-kernels forward" in answer.body


def test_a_websocket(server: Server, kernel: str) -> None:
    """Both ways, text and bytes."""

    class Echo(tornado.websocket.WebSocketHandler):
        def on_message(self, message: str | bytes) -> None:
            self.write_message(message, binary=isinstance(message, bytes))

    async def talk() -> list[Any]:
        (sock,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
        app = tornado.web.Application([("/ws", Echo)])
        backend = tornado.httpserver.HTTPServer(app)
        backend.add_socket(sock)
        body = {"port": sock.getsockname()[1]}
        url = f"/kernels/{kernel}/ports"
        port = (await asyncio.to_thread(server.api, "POST", url, body)).json
        where = server.url.replace("http", "ws") + port["url"] + "ws"
        headers = {"Authorization": f"token {TOKEN}"}
        client = await tornado.websocket.websocket_connect(
            HTTPRequest(where, headers=headers)
        )
        heard = []
        for message in ("text", b"bytes"):
            await client.write_message(message, binary=isinstance(message, bytes))
            heard.append(await client.read_message())
        client.close()
        assert await client.read_message() is None
        backend.stop()
        await backend.close_all_connections()
        return heard

    assert ["text", b"bytes"] == asyncio.run(talk())


def test_a_user_who_may_not_run_code(here: Home, page: int) -> None:
    """May not use what such code serves; here below a base_url."""

    def asks(method: str, path: str, body: object = None) -> Answer:
        return limited.ask(method, path, body)

    with served(here, LIMITED, base_url="/user/me/") as limited:
        kernel = running(limited)
        path = f"{API}/kernels/{kernel}/ports"
        refused = asks("POST", path, {"port": page})
        proxied = asks("GET", f"/remote-kernels/proxy/{kernel}/{page}/")
        limited.api("DELETE", f"/kernels/{kernel}")

    assert [403, 403] == [refused.status, proxied.status]
    assert "may not use their ports" in refused.message


def test_where_it_is_not_installed(here: Home, page: int) -> None:
    """Ports are forwarded, have no URL, and it is said what is missing."""
    with served(here, HIDDEN) as bare:
        kernel = running(bare)
        port = opened(bare, kernel, port=page)
        used = fetched(Unix(port["local_socket"]))
        answer = bare.ask("GET", f"/remote-kernels/proxy/{kernel}/{page}/")
        bare.api("DELETE", f"/kernels/{kernel}")

    assert (None, "/a?b=c") == (port["url"], used)
    assert 501 == answer.status
    assert b"jupyter-server-proxy is not installed" in answer.body
