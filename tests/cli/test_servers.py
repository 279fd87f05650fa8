"""cli.servers: my notebook servers on this host, and what they tell."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli.live import Telling, mine, telling, write_server_file
from cli.test_words import VIEW

from remote_kernels.cli import servers
from remote_kernels.kernel.model import KernelModel

pytestmark = pytest.mark.usefixtures("place")

HERE = socket.gethostname()
OURS = replace(VIEW, host=HERE, pid=os.getpid())
USAGE = {"memory": 5}


@pytest.fixture
def server() -> Iterator[Telling]:
    with telling() as made:
        yield made


def entry(**facts: Any) -> dict[str, Any]:
    """What a server says of a kernel of its own."""
    of_ours = {"kernel_id": "k1", "host": HERE, "pid": os.getpid()}
    lost = {"state": "lost", "text": "the connection is lost", "usage": USAGE}
    return {**of_ours, **lost, **facts}


def over(view: KernelModel = OURS) -> KernelModel:
    (found,) = asyncio.run(servers.laid_over([view]))
    return found


# --- what they tell -----------------------------------------------------------------


def test_what_only_the_server_knows(server: Telling) -> None:
    """Its words replace those of the record; it is asked with its token."""
    server.says = 200, json.dumps(entry(place=3))

    view = over()

    assert ("lost", "the connection is lost") == (view.state, view.text)
    assert (USAGE, 3) == (view.usage, view.place)
    assert ["GET /b/remote-kernels/api/kernels/k1 token t"] == server.asked


def test_a_server_is_asked_for_its_own(server: Telling) -> None:
    """And not for those of others: then it would have to ask the scheduler."""
    server.says = 200, json.dumps(entry())
    views = [OURS, replace(OURS, kernel_id="k/2"), replace(VIEW, kernel_id="k3")]

    found = asyncio.run(servers.laid_over(views))

    assert [USAGE, USAGE, None] == [view.usage for view in found]
    paths = [asked.split()[1] for asked in server.asked]
    api = "/b/remote-kernels/api/kernels"
    assert [f"{api}/k%2F2", f"{api}/k1"] == sorted(paths)


@pytest.mark.parametrize(
    "said",
    [
        (200, "[]"),
        (200, "[1]"),
        (200, "{"),
        (200, '{"message": "hello"}'),
        (404, "[]"),
        (403, "<html>"),
        (200, json.dumps(entry(pid=1))),
        (200, json.dumps(entry(host="elsewhere"))),
        (200, json.dumps([entry()])),
        (200, json.dumps({"kernel_id": "k1"})),
    ],
)
def test_one_that_tells_nothing_of_use(server: Telling, said: tuple[int, str]) -> None:
    """An older version, a login page, another server's kernel: as on record."""
    server.says = said
    assert OURS == over()


def test_what_a_server_leaves_out(server: Telling) -> None:
    """It is as on record."""
    server.says = 200, json.dumps(entry(state=None, text="", usage=None))
    assert OURS == over()


def test_a_kernel_that_has_ended(server: Telling) -> None:
    """Its server may not have noticed."""
    server.says = 200, json.dumps(entry(state="running"))
    ended = replace(OURS, kernel_id="k2", state="ended", text="It was cancelled.")
    assert ended == asyncio.run(servers.laid_over([OURS, ended]))[1]
    assert 1 == len(server.asked)


def test_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for."""
    monkeypatch.setattr(servers, "ANSWER", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        write_server_file(port=silent.getsockname()[1])
        assert OURS == over()


def test_one_that_does_not_speak_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernels."""
    with socket.create_server(("127.0.0.1", 0)) as rude:
        write_server_file(port=rude.getsockname()[1])

        def answer() -> None:
            sock, _ = rude.accept()
            with sock:
                sock.recv(10_000)
                sock.sendall(b"220 mail\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert OURS == over()
        thread.join()


# --- which they are -----------------------------------------------------------------


def test_those_that_run() -> None:
    """Files of dead servers are not servers, and stay where they are."""
    with telling() as server:
        dead = write_server_file(pid=2**22 + 1)
        odd = dead.with_name("jpserver-x.json")
        odd.write_text("{}")

        (found,) = servers.here()

        url = f"http://localhost:{server.server_port}/b/"
        assert (os.getpid(), url) == (found.pid, found.url)
        assert dead.exists()
        assert odd.exists()


def test_none() -> None:
    """No runtime directory, no servers."""
    Path(os.environ["JUPYTER_RUNTIME_DIR"]).rmdir()
    assert [] == servers.here()


def test_another_host_s_server() -> None:
    """It may have the same number as a process here."""
    write_server_file()
    assert servers.of(HERE, os.getpid()) is not None
    assert servers.of("elsewhere", os.getpid()) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"url": 1}', "null"])
def test_a_file_that_is_none(text: str) -> None:
    """It may be half written."""
    write_server_file().write_text(text)
    assert servers.of(HERE, os.getpid()) is None


def test_a_process_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked, whatever a file says."""
    write_server_file()
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert servers.of(HERE, os.getpid()) is None


# --- over which socket --------------------------------------------------------------

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid timeout inode
   0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  {other} 0 21
   1: {address}:22B8 00000000:0000 {state} 00000000:00000000 00:0000 000000  {uid} 0 22
"""
ALL, ALL6 = "0" * 8, "0" * 32
SELF6 = "00000000000000000000000001000000"


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("tcp", "0100007F", "127.0.0.1"),
        ("tcp", "0200000A", "10.0.0.2"),
        ("tcp", ALL, "127.0.0.1"),
        ("tcp6", ALL6, "::1"),
        ("tcp6", SELF6, "::1"),
    ],
)
def test_where_a_port_of_ours_is(
    tmp_path: Path, name: str, address: str, expected: str
) -> None:
    """Another user has the same port at another address."""
    uid, other = os.getuid(), os.getuid() + 1
    table = TABLE.format(address=address, state="0A", uid=uid, other=other)
    (tmp_path / name).write_text(table)
    _, found = servers.listens_at(0x22B8, str(tmp_path))
    assert (expected, 0x22B8) == found


@pytest.mark.parametrize(("state", "more"), [("0A", 1), ("01", 0)])
def test_a_port_that_is_not_ours(tmp_path: Path, state: str, more: int) -> None:
    """Another user listens there, or nobody: no token is sent."""
    uid = os.getuid()
    table = TABLE.format(address=ALL, state=state, uid=uid + more, other=uid + 1)
    (tmp_path / "tcp").write_text(table)
    with pytest.raises(ConnectionRefusedError, match="listens on port 8888"):
        servers.listens_at(0x22B8, str(tmp_path))


def test_a_token_is_not_sent_to_another_user(
    server: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a connection made."""
    (found,) = servers.here()
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert "no process of yours listens" in asyncio.run(servers.end(found, "k1"))
    assert [] == server.asked


@pytest.mark.parametrize("ours", [True, False])
def test_a_unix_socket(
    server: Telling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    """Its other end must be ours, too."""
    path = str(tmp_path / "s")
    write_server_file(sock=path, port=0)
    (found,) = servers.here()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        got = []

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                got.append(sock.recv(10_000))
                if got[0]:
                    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        if not ours:
            monkeypatch.setattr(os, "getuid", lambda: 4711)
        trouble = asyncio.run(servers.end(found, "k1"))
        thread.join()
    assert trouble == ("" if ours else f"{path} is not yours")
    assert ours == (b"token t" in got[0])


def test_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the certificate that the server made for itself; a plain one is no answer."""
    context = servers._tls()
    assert (False, ssl.CERT_NONE) == (context.check_hostname, context.verify_mode)
    with telling() as plain:
        write_server_file(port=plain.server_port, secure=True)
        assert OURS == over()


# --- to end a kernel ----------------------------------------------------------------


def test_end(server: Telling) -> None:
    """By the REST API of every notebook server."""
    mine("k1", "17")
    (found,) = servers.here()
    server.says = 204, ""
    assert "" == asyncio.run(servers.end(found, "k1"))
    assert ["DELETE /b/api/kernels/k1 token t"] == server.asked


def test_one_that_does_not_end_it(
    server: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what the server said."""
    (found,) = servers.here()
    server.says = 403, ""
    assert "it answered 403" == asyncio.run(servers.end(found, "k1"))
    monkeypatch.setattr(servers, "ENDING", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = replace(found, port=silent.getsockname()[1])
        assert "it did not answer within 0.2 s" == asyncio.run(servers.end(slow, "k1"))


def test_a_server_without_a_token(server: Telling) -> None:
    """None is sent."""
    (found,) = servers.here()
    asyncio.run(servers.end(replace(found, token=""), "k1"))
    assert ["DELETE /b/api/kernels/k1 "] == server.asked
