"""Notebook servers of this user on this host, and what they tell of their kernels.

Rules: a server's token is given only to a process of this user, and only over a socket
of this host. Runtime files may be in a home directory that login nodes share: then the
file of a server elsewhere looks like one here, and the port that it names may be
anybody's. So the owner of the listening socket is looked up, no proxy is used, and the
files are left alone (jupyter_server's own list removes those of dead processes, and
takes another host's for such). Called by `ls`, `info`, `stop` and `forward`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyter_core.paths import jupyter_runtime_dir

from remote_kernels import harmless
from remote_kernels.agent.listening import listeners, peer
from remote_kernels.bounded import within
from remote_kernels.errors import ServerError
from remote_kernels.kernel.model import KernelModel

log = harmless.logger(__name__)

ANSWER = 2.0  # seconds
ENDING = 60.0  # seconds that a server may take to end a kernel

_SELF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- at all addresses


@dataclass(frozen=True)
class Server:
    """A notebook server, as its file in the runtime directory describes it."""

    pid: int
    url: str
    base_url: str
    port: int
    sock: str
    secure: bool
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} here, {self.url}"


def of(host: str, pid: int) -> Server | None:
    """Return the server that is this process; None if it is none, or not here."""
    if host != socket.gethostname() or not _is_mine(pid):
        return None
    file = Path(jupyter_runtime_dir()) / f"jpserver-{pid}.json"
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        return Server(
            pid,
            str(body["url"]),
            str(body["base_url"]),
            int(body["port"] or 0),
            str(body["sock"]),
            bool(body["secure"]),
            str(body["token"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        log.debug("no server in %s: %s", file, exc)
        return None


def that_has(view: KernelModel) -> Server | None:
    """Return the server here that has this kernel, if one has it."""
    return of(view.host, view.pid)


def here() -> list[Server]:
    """Return all of this user's servers that run on this host."""
    files = Path(jupyter_runtime_dir()).glob("jpserver-*.json")
    pids = [file.stem.removeprefix("jpserver-") for file in files]
    found = [of(socket.gethostname(), int(pid)) for pid in pids if pid.isdigit()]
    return [server for server in found if server is not None]


def _is_mine(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}").stat().st_uid == os.getuid()
    except OSError:
        return False


# --- what they tell -----------------------------------------------------------------


async def laid_over(views: list[KernelModel]) -> list[KernelModel]:
    """Return the views with what only servers know: a kernel's use, and its connection.

    Each kernel is asked for by itself: for a list of all, a server would ask the batch
    system.
    """
    return list(await asyncio.gather(*map(_laid_over, views)))


async def _laid_over(view: KernelModel) -> KernelModel:
    """Return a view with what its server tells.

    A kernel whose job has ended has ended, even if its server has not noticed yet.
    """
    server = None if view.state == "ended" else that_has(view)
    if server is None:
        return view
    news = await _told(server, view.kernel_id)
    if (news.get("host"), news.get("pid")) != (view.host, view.pid):
        return view  # of another server: that one told what is on record, as we know
    usage, place = news.get("usage"), news.get("place")
    return replace(
        view,
        state=str(news.get("state") or view.state),
        text=str(news.get("text") or view.text),
        place=place if isinstance(place, int) else view.place,
        usage=usage if isinstance(usage, dict) else view.usage,
    )


async def _told(server: Server, kernel_id: str) -> dict[str, Any]:
    """Return a server's view of a kernel; {} if it gives no sensible answer."""
    path = f"kernels/{quote(kernel_id, safe='')}"
    try:
        status, told = await request(server, "GET", path, seconds=ANSWER)
    except ServerError as exc:
        log.debug("%s", exc)
        return {}
    return told if status == HTTPStatus.OK and isinstance(told, dict) else {}


async def end(server: Server, kernel_id: str) -> str:
    """Have a server end a kernel. Returns what went wrong; "" if nothing did."""
    path = f"api/kernels/{quote(kernel_id, safe='')}"
    try:
        status, body = await _answer(server, "DELETE", path, ENDING)
    except ServerError as exc:
        return str(exc)
    log.debug("%s: %s %r", server, status, body)
    return "" if status == HTTPStatus.NO_CONTENT else f"it answered {status}"


async def request(
    server: Server,
    method: str,
    path: str,
    body: object = None,
    *,
    seconds: float = ENDING,
) -> tuple[int, Any]:
    """Ask a server's REST API of ours, for so many seconds at most.

    Returns
    -------
    tuple of int and object
        The status of the answer, and its JSON; None if it is empty.

    Raises
    ------
    ServerError
        It does not answer, or not in JSON.
    """
    data = b"" if body is None else json.dumps(body).encode()
    path = f"remote-kernels/api/{path}"
    try:
        status, answer = await _answer(server, method, path, seconds, data)
        return status, json.loads(answer) if answer else None
    except (ServerError, ValueError) as exc:
        msg = f"The server ({server}) does not answer as one of ours: {exc}."
        raise ServerError(msg) from exc


async def _answer(
    server: Server, method: str, path: str, seconds: float, body: bytes = b""
) -> tuple[int, bytes]:
    """Return the status and the body of an answer. Raises ServerError if none comes."""
    try:
        return await within(_ask(server, method, path, body), seconds)
    except asyncio.TimeoutError as exc:
        msg = f"it did not answer within {seconds:g} s"
        raise ServerError(msg) from exc
    except (OSError, ValueError) as exc:
        msg = str(exc) or type(exc).__name__
        raise ServerError(msg) from exc


async def _ask(
    server: Server, method: str, path: str, body: bytes
) -> tuple[int, bytes]:
    """Return the status and the body of an answer. Raises OSError and ValueError."""
    tls = _tls() if server.secure else None
    reader, writer = await asyncio.open_connection(
        sock=await _connected(server),
        ssl=tls,
        server_hostname="localhost" if tls else None,
    )
    try:
        lines = [f"{method} {server.base_url}{path} HTTP/1.0", "Host: localhost"]
        if server.token:
            lines.append(f"Authorization: token {server.token}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        answer = await reader.read()  # HTTP/1.0: until it hangs up
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.\d (\d+)", head)
    if found is None:
        msg = f"this is not HTTP: {head[:100]!r}"
        raise ValueError(msg)
    return int(found[1]), body


def _tls() -> ssl.SSLContext:
    """Return a context without checks of certificates, which may be self-signed.

    That the server is this user's own is known already.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _connected(server: Server) -> socket.socket:
    """To the socket on which that server listens, and to nobody else's."""
    address: str | tuple[str, int]
    if server.sock:
        family, address = socket.AF_UNIX, server.sock
    else:
        family, address = listens_at(server.port)
    sock = socket.socket(family)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        if family == socket.AF_UNIX and peer(sock)[1] != os.getuid():
            msg = f"{server.sock} is not yours"
            raise PermissionError(msg)
    except BaseException:
        sock.close()
        raise
    return sock


def listens_at(
    port: int, directory: str = "/proc/net"
) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Return the family and address at which a process of ours listens on this port.

    Raises ConnectionRefusedError if there is none.
    """
    for found in listeners(directory):
        if (found.port, found.uid) == (port, os.getuid()):
            family = socket.AF_INET6 if ":" in found.ip else socket.AF_INET
            return family, (_SELF.get(found.ip, found.ip), port)
    msg = f"no process of yours listens on port {port}"
    raise ConnectionRefusedError(msg)
