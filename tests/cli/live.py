"""Real kernels, servers and terminals, for the tests of kernels that run."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import http.server
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from remote_kernels import records
from remote_kernels.config import parse
from remote_kernels.kernel import Launch, RemoteKernel
from remote_kernels.kernel.inventory import cancel
from remote_kernels.kernel.job import as_facts, id_in
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.records import Record
from remote_kernels.scheduler.job import JobId, JobRequest
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.local.driver import Local

TIMEOUT = 90.0
START = 120.0  # of a server: its imports alone took 20 s on a busy machine
GONE = JobId("1-1", "/nowhere/job.log")
CONFIG: dict[str, object] = {"scheduler": "local", "dead_after": 2, "silence": 60}
ARGV = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")


def command(*args: str) -> list[str]:
    """The command line, as a program of its own."""
    program = "from remote_kernels.cli.main import main; main()"
    return [sys.executable, "-c", program, *args]


def attach(*args: str) -> list[str]:
    return command("attach", *args)


def left_alone(directory: Path) -> Record:
    """A kernel whose server ended."""
    argv = [sys.executable, __file__, str(directory)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return Record(records.state_dir(None), done.stdout.strip())


async def _leave_alone(directory: str) -> None:
    """What that server did."""
    kernel_id = str(uuid.uuid4())
    kernel = RemoteKernel(
        *(kernel_id, parse(CONFIG), "Left", "left"), runtime=Runtime(), outlives=True
    )
    key = os.urandom(16).hex().encode()
    await kernel.start(Launch(ARGV, {}, directory, key))
    await kernel.detach()
    print(kernel.kernel_id)


def job(directory: Path, name: str = "test") -> JobId:
    """A job that does nothing for a long time."""
    request = JobRequest(name, str(directory / f"{name}.log"))
    return asyncio.run(Jobs(Local(grace=1.0)).submit("exec sleep 300\n", request))


def is_over(job_id: JobId, timeout: float = TIMEOUT) -> bool:
    queue = Jobs(Local(), poll_interval=0.05)
    return asyncio.run(queue.wait_ended(job_id, timeout)) is not None


def end(job_id: JobId) -> None:
    asyncio.run(cancel(Runtime(), "local", job_id))
    assert is_over(job_id)


def job_of(record: Record) -> JobId:
    return id_in(record.read("record.json") or {})


def record_of(kernel: str, job_id: JobId | str, **facts: Any) -> Record:
    made = Record(records.state_dir(None), kernel)
    made.create()
    made.write("spec.json", {})
    used = {"pid": 17, "host": "login1", "node": "n1", "name": "Python"}
    known = as_facts(job_id if isinstance(job_id, JobId) else JobId(job_id))
    body = {"scheduler": "local", **known, **used, **facts}
    made.write("record.json", body)
    return made


@contextlib.contextmanager
def client(file: Path | str) -> Iterator[BlockingKernelClient]:
    made = BlockingKernelClient()
    made.load_connection_file(str(file))
    made.start_channels()
    try:
        made.wait_for_ready(timeout=TIMEOUT)
        yield made
    finally:
        made.stop_channels()


def run_code(file: Path | str, code: str) -> str:
    """What the kernel prints of it."""
    printed: list[str] = []
    with client(file) as made:

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        made.execute_interactive(code, output_hook=hear, timeout=TIMEOUT)
    return "".join(printed)


def runs(kernel: str) -> Record:
    """Once its agent is there."""
    record = Record(records.state_dir(None), kernel)
    deadline = time.monotonic() + TIMEOUT
    while not (record.path / "agent.json").exists():
        assert time.monotonic() < deadline, record.logs()
        time.sleep(0.05)
    return record


def install_kernelspec(jupyter: Path, **config: object) -> None:
    """The kernelspec `left`."""
    config = {**CONFIG, **config}
    stanza = {"provisioner_name": "remote-kernels", "config": config}
    spec = {"argv": ARGV, "display_name": "Left", "language": "python"}
    directory = jupyter / "kernels" / "left"
    directory.mkdir(parents=True)
    body = {**spec, "metadata": {"kernel_provisioner": stanza}}
    (directory / "kernel.json").write_text(json.dumps(body))


class Terminal:
    """A program in a terminal, and all that it shows."""

    def __init__(self, argv: list[str]) -> None:
        self.fd, theirs = pty.openpty()
        self.resize(40, 200)
        self._seen = ""
        self._watch = threading.Timer(3 * TIMEOUT, self.kill)  # a read has no limit
        self._watch.start()
        env = {**os.environ, "TERM": "xterm"}
        env["JUPYTER_CONSOLE_TEST"] = "1"  # a prompt without colours
        self.program = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
        )
        os.close(theirs)

    def kill(self) -> None:
        self.program.kill()

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("4H", rows, columns, 0, 0)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, text: str) -> str:
        """Until it shows `text`; what came before, which is not looked at again."""
        while text not in self._seen:
            try:
                self._seen += os.read(self.fd, 10000).decode(errors="replace")
            except OSError:
                pytest.fail(f"no {text!r} in {self._seen!r}")
        before, _, self._seen = self._seen.partition(text)
        return before

    def close(self) -> None:
        self._watch.cancel()
        os.close(self.fd)  # hangs up
        self.program.wait(TIMEOUT)


@contextlib.contextmanager
def terminal(*args: str) -> Iterator[Terminal]:
    """`attach` in a terminal."""
    with shown(*attach(*args)) as made:
        yield made


@contextlib.contextmanager
def shown(*argv: str) -> Iterator[Terminal]:
    """A program in a terminal."""
    made = Terminal([*argv])
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def started(*args: str) -> Iterator[subprocess.Popen[str]]:
    """The command line without a terminal, while it runs."""
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        command(*args), stdin=none, stdout=pipe, stderr=pipe, text=True
    ) as program:
        watch = threading.Timer(TIMEOUT, program.kill)  # a read has no limit
        watch.start()
        try:
            yield program
        finally:
            watch.cancel()
            if program.poll() is None:
                program.kill()


def line(program: subprocess.Popen[str]) -> str:
    """The next one that it prints."""
    assert program.stdout is not None
    return program.stdout.readline()


@contextlib.contextmanager
def pages(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a dashboard that answers so."""
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made.server_port
    made.shutdown()
    thread.join()
    made.server_close()


@contextlib.contextmanager
def held(file: Path) -> Iterator[subprocess.Popen[str]]:
    """`attach --file`, once the file is there."""
    argv = attach("--file", str(file))
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as program:
        watch = threading.Timer(TIMEOUT, program.kill)
        watch.start()
        try:
            assert program.stdout is not None
            assert f"{file}\n" == program.stdout.readline()
            yield program
        finally:
            watch.cancel()
            if program.poll() is None:
                program.terminate()


def said(program: subprocess.Popen[str]) -> str:
    return program.communicate(timeout=TIMEOUT)[1]


def done(*args: str) -> subprocess.CompletedProcess[str]:
    """The command line's end, without a terminal."""
    return subprocess.run(
        command(*args),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


class Server:
    """A notebook server, of which the kernels are asked and used."""

    def __init__(self) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self._port = sock.getsockname()[1]
        options = "--allow-root --no-browser --IdentityProvider.token=t "
        options += f"--ServerApp.port={self._port} --ServerApp.port_retries=0"
        program = "from jupyter_server.serverapp import main; main()"
        self.program = subprocess.Popen(
            [sys.executable, "-c", program, *options.split()],
        )

    def wait(self) -> None:
        """Until it answers: jupyter_server says so before it listens."""
        deadline = time.monotonic() + START
        while not self._answers():
            assert self.program.poll() is None, f"ended: {self.program.returncode}"
            assert time.monotonic() < deadline, "no server"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self.kernels() is not None
        except OSError:
            return False

    def kernels(self, start: str = "") -> Any:
        body = json.dumps({"name": start}).encode() if start else None
        url = f"http://127.0.0.1:{self._port}/api/kernels?token=t"
        with urllib.request.urlopen(url, body, TIMEOUT) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.program.terminate()
        try:
            self.program.wait(2 * TIMEOUT)  # it may take half of that at its exit
        except subprocess.TimeoutExpired:
            self.program.kill()  # or it is the next test's trouble
            self.program.wait()
            raise


@contextlib.contextmanager
def server() -> Iterator[Server]:
    made = Server()
    try:
        made.wait()
        yield made
    finally:
        made.stop()


class Answers(http.server.BaseHTTPRequestHandler):
    """What a server says, of a notebook server's file that names this process."""

    def answer(self) -> None:
        server = self.server
        assert isinstance(server, Telling)
        authorization = self.headers.get("Authorization", "")
        server.asked.append(f"{self.command} {self.path} {authorization}")
        status, body = server.says
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Not to stderr."""


class Telling(http.server.ThreadingHTTPServer):
    """Plays a notebook server of this process, with what it was asked."""

    daemon_threads = True
    says: tuple[int, str] = 200, "[]"

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Answers)
        self.asked: list[str] = []
        write_server_file(port=self.server_port)


def write_server_file(**facts: Any) -> Path:
    """As jupyter_server writes it."""
    pid = facts.get("pid", os.getpid())
    file = Path(os.environ["JUPYTER_RUNTIME_DIR"]) / f"jpserver-{pid}.json"
    usual = {"base_url": "/b/", "port": 1, "sock": "", "secure": False, "token": "t"}
    url = f"http://localhost:{facts.get('port', 1)}/b/"
    file.write_text(json.dumps({**usual, "url": url, **facts, "pid": pid}))
    return file


@contextlib.contextmanager
def telling() -> Iterator[Telling]:
    made = Telling()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def mine(kernel: str, job_id: JobId | str, **facts: Any) -> Record:
    """On record as a kernel of this process."""
    here = {"host": socket.gethostname(), "pid": os.getpid()}
    return record_of(kernel, job_id, **{**here, **facts})


if __name__ == "__main__":
    asyncio.run(_leave_alone(sys.argv[1]))
