"""jupyter.api and jupyter.proxied: a real server and kernel, and real requests.

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

from remote_kernels.errors import StateError
from remote_kernels.jupyter.api.errors import Refusal, status_of
from remote_kernels.jupyter.proxied import Proxied
from remote_kernels.kernel import service
from remote_kernels.kernel.service import Known

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

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST

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


def test_a_connection_that_breaks_before_it_was_asked() -> None:
    """A refused port does so at times: tornado (6.5) lets the system's error through."""

    async def broken(*_: object) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    port = SimpleNamespace(trouble="", target="port 8787")
    handler: Any = SimpleNamespace(proxy=broken, _port=port, _number=8787)
    handler._headers_written = False

    with pytest.raises(Refusal, match=r"port 8787 of the kernel's node: .*reset") as no:
        asyncio.run(Proxied._pass_on(handler, "/"))

    assert 502 == no.value.status_code


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
def test_a_kernel_that_has_no_ports(state: str, ours: bool, why: str) -> None:
    """It is said what it waits for, or who is to be asked."""
    view: Any = SimpleNamespace(
        kernel_id="k1",
        state=state,
        text="text",
        job="4711",
        pid=17,
        host="login1",
    )
    waiting: Any = SimpleNamespace(status=SimpleNamespace(connection=None))
    record: Any = None

    with pytest.raises(StateError, match=why) as caught:
        service.ports(Known(view, record, ours=ours), waiting if ours else None)

    assert 409 == status_of(caught.value)


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


@pytest.fixture(scope="module")
def cookies(server: Server) -> str:
    """A browser's, after the login: of this server, and of others on its host."""
    answers = [
        server.ask("GET", path, token="")
        for path in ("/login", f"/api/me?token={TOKEN}")
    ]
    set_ = [c for a in answers for c in a.headers.get_all("Set-Cookie", [])]
    given = [cookie.partition(";")[0] for cookie in set_]
    assert {"_xsrf", "username-127-0-0-1-"} <= {
        c.partition("=")[0].rstrip("0123456789") for c in given
    }
    return "; ".join(
        [*given, "username-localhost-1=x", "mine=1", "jupyterhub-user-a=x"]
    )


def asked(
    server: Server, method: str, path: str, cookies: str, **headers: str
) -> Answer:
    """By a browser."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.ask(method, path, token="", Cookie=cookies, **named)


ELSEWHERE = {
    "another host": {"Origin": "http://evil.example"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "null": {"Origin": "null"},
    "referer": {"Referer": "http://evil.example/"},
    "referer with our host in its user": {"Referer": "http://{host}@evil.example/"},
    "site": {"Sec_Fetch_Site": "same-site"},
    "site and a right origin": {"Sec_Fetch_Site": "cross-site", "Origin": "{own}"},
    "nothing": {},
}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("headers", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_request_from_elsewhere(
    server: Server,
    forwarded: dict[str, Any],
    cookies: str,
    method: str,
    headers: dict[str, str],
) -> None:
    """It is refused, though the browser sends the cookie along."""
    host = f"127.0.0.1:{server.port}"
    said = {k: v.format(host=host, own=server.url) for k, v in headers.items()}
    answer = asked(server, method, forwarded["url"], cookies, **said)

    assert answer.status in (403, 404)
    assert b"username" not in answer.body


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_what_another_page_would_read(
    server: Server, forwarded: dict[str, Any], cookies: str, origin: str
) -> None:
    """It gets nothing; a link on it works."""
    read = asked(server, "GET", forwarded["url"], cookies, Origin=origin)
    followed = asked(server, "GET", forwarded["url"], cookies, Referer=origin)

    assert (403, b"Asked by a page of another origin.\n") == (read.status, read.body)
    assert 200 == followed.status


OWN = {
    "origin": {"Origin": "{own}"},
    "referer": {"Referer": "{own}/remote-kernels/proxy/"},
    "site": {"Sec_Fetch_Site": "same-origin", "Origin": "null"},
    "XSRF": {"X_XSRFToken": "{xsrf}"},
}


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN.keys())
def test_a_request_of_the_page_itself(
    server: Server, forwarded: dict[str, Any], cookies: str, headers: dict[str, str]
) -> None:
    """It passes without the server's XSRF token, or else with it; none passes on."""
    xsrf = next(c for c in cookies.split("; ") if c.startswith("_xsrf="))[6:]
    said = {k: v.format(own=server.url, xsrf=xsrf) for k, v in headers.items()}
    answer = asked(server, "POST", forwarded["url"], cookies, **said)

    assert 200 == answer.status
    assert "mine=1" == answer.json["cookie"]
    assert xsrf.encode() not in answer.body


LEAKS: dict[str, tuple[str, dict[str, str]]] = {
    "name": ("a?b=c&token={t}", {}),
    "percent": ("a?b=c&%74oken={t}", {}),
    "all percent": ("a?%74%6f%6B%65%6e={t}&b=c", {}),
    "twice": ("a?token={t}&b=c&token={t}", {}),
    "plus": ("a?b=c&token=+{t}", {}),
    "other name": ("a?b=c&Token={t}&access={t}", {}),
    "XSRF": ("a?b=c&_xsrf={t}", {}),
    "referer": ("a?b=c", {"Referer": "{own}/lab?token={t}&d=e"}),
    "referer percent": ("a?b=c", {"Referer": "{own}/lab?%74oken={t}"}),
    "referer fragment": ("a?b=c", {"Referer": "{own}/lab#token={t}"}),
    "referer user": ("a?b=c", {"Referer": "http://u:{t}@127.0.0.1/lab"}),
    "bearer": ("a?b=c", {"Authorization": "Bearer {t}"}),
    "tab": ("a?b=c", {"Authorization": "tOKEN\t {t}"}),
    "own header": ("a?b=c", {"X-Access": "key={t}"}),
    "subprotocol": ("a?b=c", {"Sec-WebSocket-Protocol": "a, {t}"}),
}


@pytest.mark.parametrize(("path", "headers"), LEAKS.values(), ids=LEAKS.keys())
def test_the_server_s_token(
    server: Server, forwarded: dict[str, Any], path: str, headers: dict[str, str]
) -> None:
    """It opens the way, and stays behind."""
    said = {k: v.format(t=TOKEN, own=server.url) for k, v in headers.items()}
    if "Authorization" not in said:
        path += "&token={t}"
    url = f"{forwarded['url']}{path.format(t=TOKEN)}"
    answer = server.ask("GET", url, token="", **said)

    assert (200, "/a?b=c") == (answer.status, answer.json["path"])
    assert TOKEN.encode() not in answer.body


def test_what_is_a_program_s_own(
    server: Server, forwarded: dict[str, Any], cookies: str
) -> None:
    """Its credentials, its parameters and the page that asked reach it as they are."""
    headers = {"Authorization": "Bearer its-own", "Referer": f"{server.url}/a?b=c&d"}
    url = f"{forwarded['url']}a?b=c;d&e=%20f&tokens=1"
    heard = asked(server, "GET", url, cookies, **headers).json

    assert "/a?b=c;d&e=%20f&tokens=1" == heard["path"]
    assert headers == {name: heard[name.lower()] for name in headers}


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

    shaken: list[str] = []

    class Echo(tornado.websocket.WebSocketHandler):
        def open(self) -> None:
            shaken.append(f"{self.request.uri} {[*self.request.headers.get_all()]}")

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
        where = server.url.replace("http", "ws") + port["url"] + f"ws?%74oken={TOKEN}"
        headers = {
            "Authorization": f"token {TOKEN}",
            "Referer": f"{server.url}/lab?token={TOKEN}",
            "Cookie": "username-127-0-0-1=x; mine=1",
        }
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
    assert TOKEN not in shaken[0]
    assert "username" not in shaken[0]
    assert "mine=1" in shaken[0]


def test_a_websocket_from_elsewhere(
    server: Server, forwarded: dict[str, Any], cookies: str
) -> None:
    """It is refused before the program hears of it; the token stays behind, too."""
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        answer = asked(
            server, "GET", forwarded["url"], cookies, Origin=origin, **upgrade
        )
        assert 403 == answer.status


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
