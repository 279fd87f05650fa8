"""A class: the server of every user starts a kernel, all within one second.

Says how long it took and what a server weighs, and never fails because of either.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from on_cluster.notebook import HEADERS, TOKEN, Page, Server, until
from on_cluster.traces import BIN, Desk, left_over, traces
from testbed.api import Cluster
from testbed.layout import STUDENTS
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio]

HOST = "login1"
PARTITION = "class"
FIRST_PORT = 8930
AT_ONCE = 4  # servers that start, or end, at the same time
PATIENCE = 600  # seconds: a class wants minutes of two cores
WHO = "import os; print(os.getuid(), os.environ['SLURM_JOB_ID'], 6 * 7)"
# Notes its calls, and whether an earlier one of the same server was still at it.
SQUEUE = """\
exec 9>>{0}/squeue.lock
flock --nonblock 9 || echo "two at once" >>{0}/squeue.log
echo "call: $*" >>{0}/squeue.log
/usr/bin/squeue "$@"
"""


class Tab(Page):
    """A page with more patience."""

    async def open(self, spec: str = "k") -> None:
        with suppress(AssertionError):
            await super().open(spec)
        await until("the websocket", lambda: self._socket is not None, PATIENCE)


class Seat(Server):
    """One student: a server with a port of its own, a page, and figures."""

    def __init__(self, cluster: Cluster, desk: Desk, port: int) -> None:
        super().__init__(cluster, desk)
        self.desk = desk
        self.user = desk.user
        self.page = Tab(self)
        self.seconds = 0.0
        self.weights: list[int] = []  # MB
        self.job = ""
        self._port = port
        desk.spec({"partition": PARTITION})
        desk.program("squeue", SQUEUE.format(desk.given("")))
        self._before = traces(cluster, desk.user)
        self._others = len(cluster.processes(HOST, desk.user))

    @property
    def address(self) -> str:
        return f"{self._cluster.address(HOST)}:{self._port}"

    async def start(self, host: str = HOST) -> None:
        """Start it, and wait until it answers."""
        command = [f"--ServerApp.ip={self._cluster.address(host)}"]
        command += [f"--port={self._port}", "--ServerApp.port_retries=0"]
        command += ["--no-browser", f"--IdentityProvider.token={TOKEN}"]
        log = self.desk.given("server.log")
        program = str(BIN / "jupyter-server")
        self._process = self._cluster.popen(
            host,
            self.user,
            ["sh", "-c", f'exec "$@" >>{log} 2>&1', "sh", program, *command],
            env=self.desk.env,
            cwd=str(self.desk.given("")),
        )
        await until(f"the server of {self.user}", self._answers, PATIENCE)

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """One request of the REST API, with more patience; its answer."""
        request = HTTPRequest(
            f"http://{self.address}/api/{path}",
            method=method,
            headers=HEADERS,
            body=None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
            connect_timeout=PATIENCE,
            request_timeout=PATIENCE,
        )
        response = await AsyncHTTPClient().fetch(request)
        return json.loads(response.body) if response.body else None

    async def begin(self) -> None:
        """Start a kernel, and use it; how long that takes."""
        begun = time.monotonic()
        try:
            await self.page.open()
            lines = await self.page.finish(self.page.run(WHO), PATIENCE)
        except AssertionError:
            print(self.log)
            raise
        self.seconds = time.monotonic() - begun
        uid, self.job, answer = lines[-1].split()
        assert (STUDENTS[self.user], "42") == (int(uid), answer)

    async def shut_down(self) -> None:
        """End the kernel, as a user does."""
        await self.page.close()
        await self.ask("DELETE", f"sessions/{self.page.session_id}")

    async def leave(self) -> None:
        """End the server."""
        await asyncio.to_thread(self.end)

    def alone(self) -> bool:
        """Whether only the server runs on the login host, and what ran before."""
        return len(self._cluster.processes(HOST, self.user)) == 1 + self._others

    def weigh(self) -> None:
        """What the user's processes on the login host take, shared pages divided."""
        total = 0
        for process in self._cluster.processes(HOST, self.user):
            with suppress(OSError):  # gone
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                total += int(re.findall(r"^Pss: +(\d+) kB", text, re.MULTILINE)[0])
        self.weights.append(total // 1024)

    def queries(self) -> list[str]:
        """What was noted of calls of squeue."""
        return self.desk.read("squeue.log").splitlines()

    def left_over(self) -> list[str]:
        return left_over(self._cluster, self.user, self._before)


async def by_few(calls: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """All of them, a few at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with room:
            await call()

    await asyncio.gather(*(one(call) for call in calls))


@asynccontextmanager
async def students(cluster: Cluster, number: int) -> AsyncIterator[list[Seat]]:
    """So many servers that answer; whatever happens, they and their jobs end."""
    # The first one asked for in a loop is the one that all get.
    AsyncHTTPClient(max_clients=2 * number)
    seats: list[Seat] = []
    try:
        for port, user in enumerate([*STUDENTS][:number], FIRST_PORT):
            seats.append(Seat(cluster, Desk(cluster, user), port))
        await by_few([seat.start for seat in seats])
        for seat in seats:  # jupyter_lsp asks npm for something first
            await until("npm's end", seat.alone, PATIENCE)
        yield seats
    finally:
        for seat in seats:
            await seat.page.close()
            with suppress(AssertionError):
                seat.end(signal.SIGKILL)
            cluster.run("ctl", "root", ["scancel", f"--user={seat.user}"])
        mine = {seat.user for seat in seats}
        await until("the end of jobs", lambda: not running(cluster, mine), 60)
        for seat in seats:
            seat.desk.remove()


def running(cluster: Cluster, users: set[str]) -> set[tuple[str, str]]:
    """Jobs that are still there, with their users."""
    return {(job.user, job.id) for job in cluster.jobs() if job.user in users}


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(4, marks=pytest.mark.timeout(300)),
        pytest.param(30, marks=[pytest.mark.timeout(1800), pytest.mark.soak]),
    ],
)
async def test_a_class_starts_its_kernels_together(
    cluster: Cluster, number: int
) -> None:
    """Each gets a kernel in a job of their own, asks gently, and leaves nothing."""
    async with students(cluster, number) as seats:
        mine = {seat.user for seat in seats}
        for seat in seats:
            seat.weigh()

        await asyncio.gather(*(seat.begin() for seat in seats))

        for seat in seats:
            seat.weigh()
        assert {(s.user, s.job) for s in seats} == running(cluster, mine)
        assert not [seat.user for seat in seats if "two at once" in seat.queries()]
        await asyncio.gather(*(seat.shut_down() for seat in seats))
        await by_few([seat.leave for seat in seats])
        assert [] == [line for seat in seats for line in seat.left_over()]
        print(report(seats))


def report(seats: list[Seat]) -> str:
    """The figures."""
    seconds = [seat.seconds for seat in seats]
    before, after = ([seat.weights[i] for seat in seats] for i in (0, 1))
    calls = [len(seat.queries()) for seat in seats]
    return (
        f"\n{len(seats)} kernels at once: median {median(seconds):.1f} s, "
        f"slowest {max(seconds):.1f} s; a server's memory on the login host "
        f"{median(before):.0f} MB before (at most {max(before)}), "
        f"{median(after):.0f} MB after (at most {max(after)}); "
        f"calls of squeue {median(calls):.0f} (at most {max(calls)})"
    )
