"""A kernel's job, played: the agent's processes and the way to them are real.

Between the command line and a process is all that is in between otherwise, in this
process: the socket of who has the kernel, a session over a pipe, agent.exec.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from relay.joined import joined

from remote_kernels.agent.exec import Executions
from remote_kernels.kernel.connection import WAY_IN
from remote_kernels.records import Record
from remote_kernels.relay.channel import Channel
from remote_kernels.relay.socket_channel import SocketChannel
from remote_kernels.wire.exec import Request

MAIN = "import sys; from remote_kernels.agent.__main__ import main; "
MAIN += "sys.exit(main(sys.argv[1:]))"


class Played:
    """What was asked for in a job, and who answers: `inside.py` or another program."""

    def __init__(self, record: Record, directory: str) -> None:
        self.asked: list[Request] = []
        self.instead: Sequence[str] = ()
        self._record = record
        self._directory = directory

    def argv(self, request: Request) -> Sequence[str]:
        self.asked.append(request)
        if self.instead:
            return self.instead
        spec = self._record.read("spec.json") or {}
        kernel = spec.get("kernels", {}).get(self._record.kernel_id, {})
        options = {
            **request.options,
            "cwd": kernel.get("cwd", "/"),
            "env": dict(request.env),
            "terminal": request.terminal is not None,
        }
        words = [request.program, self._directory, self._record.kernel_id]
        argv = [sys.executable, "-c", MAIN, "inside", *words, json.dumps(options)]
        return [*argv, *request.command]


@contextlib.contextmanager
def in_job(record: Record) -> Iterator[Played]:
    """Let this kernel be with a process of this host."""
    with tempfile.TemporaryDirectory(prefix="rk-") as directory:
        place = {"node": "c1", "hostname": "c1", "addresses": [], "host_keys": []}
        paths = {"socket": f"{directory}/agent", "pyz": f"{directory}/agent.pyz"}
        about = {"pid": os.getpid(), "python": sys.executable, **place, **paths}
        record.write("agent.json", about)
        facts = record.read("record.json") or {}
        here = {"host": socket.gethostname(), "directory": directory}
        record.write("record.json", {**facts, **here})
        played = Played(record, directory)
        with _served(Path(directory) / WAY_IN, played.argv):
            yield played


@contextlib.contextmanager
def _served(path: Path, argv: Callable[[Request], Sequence[str]]) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        executions = Executions(argv, os.devnull)

        async def connect(kernel: str, target: str, channel: Channel) -> None:
            executions.attach(channel)

        async with joined(connect) as session:
            server = await loop.create_unix_server(
                lambda: SocketChannel(session.login.channel("k", "exec")), path
            )
            ready.set()
            await over.wait()
            server.close()
        await executions.end(1.0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
