"""`remote-kernels forward`, with a real notebook server and a kernel of this machine."""

from __future__ import annotations

import http.client
import http.server
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cli.conftest import FakeSlurm
from cli.live import (
    Server,
    end,
    install_kernelspec,
    job,
    line,
    pages,
    record_of,
    runs,
    said,
    server,
    started,
)
from cli.test_main import complete
from click.testing import Result

from remote_kernels.cli import servers
from remote_kernels.records import JobEnd, Record

Run = Callable[..., Result]

pytestmark = [pytest.mark.usefixtures("place"), pytest.mark.timeout(120)]


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a page")

    def log_message(self, format: str, *args: Any) -> None:
        """Not to stderr."""


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a dashboard."""
    with pages(Page) as port:
        yield port


@pytest.fixture
def notebooks(jupyter: Path) -> Iterator[Server]:
    install_kernelspec(jupyter)
    with server() as made:
        yield made


@pytest.fixture
def kernel(notebooks: Server, run: Run) -> Iterator[Record]:
    """A kernel of that server's, running."""
    record = runs(notebooks.kernels(start="left")["id"])
    told = threading.Event()
    for _ in range(600):
        shown = json.loads(run("info", record.kernel_id, "--json").stdout)
        if shown["state"] == "running":
            break
        told.wait(0.1)
    yield record
    run("stop", "--all", "-y")


def over_unix(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return sock.makefile("rb").read()


def fetched(url: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", parts.path, headers={"Authorization": "token t"})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_until_it_is_ended(kernel: Record, page: int, tmp_path: Path) -> None:
    """By either signal; the port is there by each way, and then no more."""
    link = tmp_path / "link"
    options = ["--port", "0", "--socket", str(link), "--json"]
    for signum in (signal.SIGINT, signal.SIGTERM):
        with started("forward", kernel.kernel_id[:8], str(page), *options) as program:
            (port,) = json.loads(line(program))
            local = f"http://127.0.0.1:{port['local_port']}/"
            assert (200, b"a page") == fetched(local) == fetched(port["url"])
            assert over_unix(str(link)).endswith(b"a page")
            program.send_signal(signum)
            assert "" == said(program)
            assert 0 == program.returncode

        assert not link.is_symlink()
        assert not Path(port["local_socket"]).exists()
        assert 404 == fetched(port["url"])[0]


def test_what_is_told(kernel: Record, page: int) -> None:
    """Of each port each way to it, with who can use it, and what is wrong."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        free = sock.getsockname()[1]
    ports = [str(page), str(free)]
    options = ["--port", "0", "--port", "0"]
    with started("forward", kernel.kernel_id, *ports, *options) as program:
        lines = [line(program) for _ in range(11)]
        program.send_signal(signal.SIGINT)
        assert "Until Ctrl-C.\n" == said(program)

    first, second = lines[:5], lines[5:]
    assert first[0].startswith(f"port {page} on ")
    assert f"/remote-kernels/proxy/{kernel.kernel_id}/{page}/  (in a br" in first[1]
    assert "(a Unix socket that only you can use)" in first[2]
    assert "(any user of this host can connect to it)" in first[3]
    assert "ssh -N -L" in first[4]
    assert f"Not yet: nothing listens on port {free} of " in second[5]


def test_a_kernel_that_ends(kernel: Record, page: int, run: Run) -> None:
    """So does the command, and says why."""
    with started("forward", kernel.kernel_id, str(page), "--json") as program:
        line(program)
        run("stop", kernel.kernel_id, "-y")
        assert said(program).startswith("No longer forwarded: ")
    assert 1 == program.returncode


def test_a_local_port_that_is_taken(kernel: Record, page: int, run: Run) -> None:
    """Nothing is forwarded, the ports before it neither."""
    ports = [str(page), str(page), "--port", "0", "--port", str(page)]
    result = run("forward", kernel.kernel_id, *ports)

    assert 1 == result.exit_code
    assert f"Cannot listen at port {page} of this host" in result.stderr
    (server,) = servers.here()
    path = f"remote-kernels/api/kernels/{kernel.kernel_id}/ports"
    assert (200, b"[]") == fetched(f"{server.url}{path}")


def test_a_path_that_is_taken(
    kernel: Record, page: int, run: Run, tmp_path: Path
) -> None:
    """It is left as it is."""
    taken = tmp_path / "taken"
    taken.write_text("mine")
    result = run("forward", kernel.kernel_id, str(page), "--socket", str(taken))

    assert 1 == result.exit_code
    assert f"Cannot make the link {taken}: File exists" in result.stderr
    assert "mine" == taken.read_text()


# --- what cannot be -----------------------------------------------------------------


def test_a_kernel_without_a_server(run: Run, tmp_path: Path) -> None:
    """It is said who had it, and what to do."""
    job_id = job(tmp_path)
    record_of("k1", job_id)
    try:
        result = run("forward", "k1", "80")
    finally:
        end(job_id)

    assert 1 == result.exit_code
    assert "it was last used by process 17 on login1.\nIf that runs" in result.stderr


def test_a_kernel_that_waits(run: Run, slurm: FakeSlurm) -> None:
    """It is said for what."""
    slurm.says("17|PENDING|Resources|n/a||N/A|N/A")
    record_of("k1", "17", scheduler="slurm", node=None)
    result = run("forward", "17", "80")

    assert 1 == result.exit_code
    assert "its job 17 waits (waiting for free nodes" in result.stderr


def test_a_kernel_that_is_not_there(run: Run) -> None:
    """As with all commands."""
    assert "No kernel of yours waits or runs" in run("forward", "k1", "80").stderr


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["k1"], "Missing argument 'PORT...'"),
        (["k1", "0"], "'0' is not a port"),
        (["k1", "65536"], "'65536' is not a port"),
        (["k1", "a b:80"], "'a b:80' is not a port"),
        (["k1", "socket"], "'socket' is not a port"),
        (["k1", "80", "81", "--port", "82"], "Give --port once for each PORT: 2"),
        (["k1", "80", "--socket", "a", "--socket", "b"], "--socket once for each"),
    ],
)
def test_what_cannot_be_understood(run: Run, args: list[str], why: str) -> None:
    """It is said before anybody is asked."""
    result = run("forward", *args)

    assert 2 == result.exit_code
    assert why in result.stderr


def test_completion() -> None:
    """Of kernels that run."""
    record_of("k1", "17")
    record_of("k2", "18").seal(JobEnd("CANCELLED", text="It ended."))
    assert ["k1"] == complete("forward", "k")
