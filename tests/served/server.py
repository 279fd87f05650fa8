"""A real notebook server with the extension, in a process and a home of its own.

No configuration of this machine is read. Records, run-time files and kernelspecs lie
in the home; at the end nothing of kernels may be left there.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from login.specs import write_spec

from remote_kernels.scheduler.drivers import DRIVERS

TIMEOUT = 60.0
TOKEN = "4b5c6d-of-this-server"  # noqa: S105 - it is there for a second
API = "/remote-kernels/api"
CONFIG = """
c.ServerApp.jpserver_extensions = {"remote_kernels.jupyter.extension": True}
c.ServerApp.allow_root = True
c.ServerApp.open_browser = False
c.ServerApp.port_retries = 0
c.RemoteKernelsApp.on_stop = "shutdown"
"""


class Home:
    """Where a server's files are; this process's environment points there."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.records = path / "state" / "remote_kernels" / "kernels"
        self.root = path / "notebooks"
        self.root.mkdir()
        self.config = path / "config.py"
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            directory = path / name.lower()
            directory.mkdir()
            patch.setenv(name, str(directory))
        patch.setenv("JUPYTER_NO_CONFIG", "1")  # but `self.config`
        patch.setenv("XDG_STATE_HOME", str(path / "state"))
        patch.setenv("HOME", str(path))  # a login shell reads nobody's start-up files
        patch.delenv("XDG_RUNTIME_DIR", raising=False)
        self.spec("quick", scheduler="local", poll_interval=0.1)

    def spec(self, name: str, **config: object) -> None:
        """Install a kernelspec."""
        sockets = str(self.path / "sockets")
        write_spec(name, {"runtime_dir": sockets, **config})

    def hide_batch_systems(self, patch: pytest.MonkeyPatch) -> None:
        """Have a PATH with all programs of this machine but theirs."""
        theirs = {name for each in DRIVERS.values() for name in (each.command, "qconf")}
        programs = self.path / "bin"
        programs.mkdir()
        patch.setenv("PATH", str(programs))
        for program in [*Path("/usr/bin").iterdir(), *Path("/bin").iterdir()]:
            link = programs / program.name
            if program.name not in theirs and not os.path.lexists(link):
                link.symlink_to(program)

    def left(self) -> list[str]:
        """What is there of kernels."""
        files = [*self.records.glob("*"), *self.path.glob("sockets/*")]
        files += self.path.glob("jupyter_runtime_dir/kernel-*")
        return [str(file.relative_to(self.path)) for file in files]


@contextlib.contextmanager
def home() -> Iterator[Home]:
    # Not in pytest's directory: the path of a socket has 107 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="served-") as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        yield Home(Path(name), patch)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class Server:
    """The server's process."""

    def __init__(self, home: Home, base_url: str = "/") -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.base_url = base_url.rstrip("/")
        self.url = f"http://127.0.0.1:{self.port}{self.base_url}"
        self.log = home.path / f"server-{self.port}.log"
        options = [
            f"--config={home.config}",
            f"--ServerApp.port={self.port}",
            f"--ServerApp.root_dir={home.root}",
            f"--ServerApp.base_url={base_url}",
            f"--IdentityProvider.token={TOKEN}",
        ]
        program = "from jupyter_server.serverapp import main; main()"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, *options],
                stdout=log,
                stderr=log,
                cwd=home.root,
            )

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + TIMEOUT
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask("GET", "/api/status").status == 200
        return False

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str = TOKEN,
        **headers: str,
    ) -> Answer:
        """One request; `body` goes as JSON, or as it is if it is bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, TIMEOUT)
        given = {"Authorization": f"token {token}"} if token else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            connection.request(method, self.base_url + path, body, {**given, **headers})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def api(self, method: str, path: str, body: object = None, **more: str) -> Answer:
        return self.ask(method, API + path, body, **more)

    def start(self, **options: object) -> str:
        """A kernel's ID."""
        answer = self.api("POST", "/kernels", {"name": "quick", "options": options})
        assert 201 == answer.status, answer.body
        return str(answer.json["kernel_id"])

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextlib.contextmanager
def served(home: Home, config: str = "", base_url: str = "/") -> Iterator[Server]:
    """A server that answers; it takes its kernels with it."""
    home.config.write_text(CONFIG + config)
    made = Server(home, base_url)
    try:
        made.wait()
        yield made
    finally:
        made.stop()
