"""agent.exec: processes on channels of a real session, with pipes and terminals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from relay.joined import Joined, joined, until

from remote_kernels.agent import exec as module
from remote_kernels.agent.exec import Executions
from remote_kernels.agent.node_dir import noted_session
from remote_kernels.agent.processes import started
from remote_kernels.agent.streams import CHUNK
from remote_kernels.relay.channel import Channel
from remote_kernels.wire import exec as wire
from remote_kernels.wire.channels import WINDOW
from remote_kernels.wire.codes import Farewell
from remote_kernels.wire.exec import FrameKind, Request

pytestmark = pytest.mark.asyncio

TIMEOUT = 20.0
MAIN = "import sys; from remote_kernels.agent.__main__ import main; "
MAIN += "sys.exit(main(sys.argv[1:]))"
MIB = 1024 * 1024


class Person:
    """Who started a process, at the login end of its channel."""

    def __init__(self, session: Joined, request: Request | bytes) -> None:
        self.channel = session.login.channel("k", "exec")
        self.said = {kind: bytearray() for kind in FrameKind}
        self.is_over = asyncio.Event()
        self.reason = ""
        self.last: FrameKind | None = None
        self._decoder = wire.ExecDecoder()
        self._news = asyncio.Event()
        self.channel.join(self)
        self.send(request if isinstance(request, bytes) else request.encode())

    def send(self, frame: bytes) -> None:
        self.channel.send(frame)

    async def until(self, text: bytes, kind: FrameKind = FrameKind.STDOUT) -> None:
        async def come() -> None:
            while text not in self.said[kind]:
                self._news.clear()
                await self._news.wait()

        try:
            await asyncio.wait_for(come(), TIMEOUT)
        except asyncio.TimeoutError:
            pytest.fail(f"no {text!r}: {self.said}")

    async def end(self) -> int:
        """Its return code."""
        await asyncio.wait_for(self.is_over.wait(), TIMEOUT)
        assert self.said[FrameKind.EXIT], (self.reason, self.said[FrameKind.FAILED])
        said = bytes(self.said[FrameKind.EXIT])
        return wire.decode_numbers(FrameKind.EXIT, said)[0]

    # Called by the channel

    def receive(self, data: bytes) -> None:
        for kind, payload in self._decoder.feed(data):
            self.said[kind] += payload
            self.last = kind
        self._news.set()

    def finished(self) -> None:
        self.is_over.set()
        self.channel.close()

    def drained(self) -> None:
        pass

    def closed(self, reason: str) -> None:
        self.reason = reason
        self.is_over.set()


@asynccontextmanager
async def job(node_dir: Path | None = None) -> AsyncIterator[tuple[Joined, Executions]]:
    """A session, and the agent's side of it; by way of inside.py if there is a directory."""

    def argv(request: Request) -> Sequence[str]:
        if node_dir is None:
            return request.command
        options: dict[str, Any] = {"cwd": str(node_dir), "env": dict(request.env)}
        options["terminal"] = request.terminal is not None
        words = ["inside", "exec", str(node_dir), "k", json.dumps(options)]
        return [sys.executable, "-c", MAIN, *words, *request.command]

    executions = Executions(argv, str(node_dir or os.devnull))

    async def connect(kernel: str, target: str, channel: Channel) -> None:
        executions.attach(channel)

    async with joined(connect) as session:
        try:
            yield session, executions
        finally:
            await executions.end(1.0)


@pytest.fixture
def node_dir(tmp_path: Path) -> Path:
    """Of an agent that is this process, without a kernel."""
    return tmp_path


def sh(script: str, **more: Any) -> Request:
    return Request("exec", ["sh", "-c", script], **more)


def is_there(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"Z" not in Path(f"/proc/{pid}/stat").read_bytes().split()[2]
    return False


async def test_streams_apart_and_exit_code() -> None:
    """What goes in and comes out is as it was; the code comes last."""
    data = os.urandom(3 * wire.WINDOW)
    async with job() as (session, _):
        person = Person(session, sh("cat; echo beside >&2; exit 3"))
        taken, sent = 0, 0
        while sent < len(data):
            granted = bytes(person.said[FrameKind.CREDIT])
            taken = sum(
                wire.decode_numbers(FrameKind.CREDIT, granted[n : n + 4])[0]
                for n in range(0, len(granted), 4)
            )
            piece = data[sent : wire.WINDOW + taken][:50_000]
            sent += len(piece)
            if piece:
                person.send(wire.encode(FrameKind.STDIN, piece))
            await asyncio.sleep(0.001)
        person.send(wire.encode(FrameKind.STDIN_END))
        assert 3 == await person.end()
    assert data == person.said[FrameKind.STDOUT]
    assert b"beside\n" == person.said[FrameKind.STDERR]


async def test_killed_by_a_signal() -> None:
    async with job() as (session, _):
        person = Person(session, sh("kill -TERM $$"))
        assert -signal.SIGTERM == await person.end()


async def test_signals_overtake_what_is_not_read() -> None:
    """They reach the whole process group, unchanged."""
    script = "trap 'echo got it; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    async with job() as (session, _):
        person = Person(session, sh(script))
        await person.until(b"ready")
        person.send(wire.encode(FrameKind.STDIN, bytes(wire.WINDOW)))
        person.send(wire.encode_numbers(FrameKind.SIGNAL, signal.SIGINT))
        assert 4 == await person.end()
    assert b"ready\ngot it\n" == person.said[FrameKind.STDOUT]


async def test_a_slow_reader_stops_the_process() -> None:
    """What is on its way is bounded; nothing is lost of what comes later."""
    size = 40 * MIB
    async with job() as (session, executions):
        person = Person(session, sh(f"head -c {size} /dev/zero"))
        person.channel.pause()
        await until(lambda: len(person.said[FrameKind.STDOUT]) > WINDOW // 2)
        (execution,) = executions._running
        await until(lambda: execution._full)
        before = len(person.said[FrameKind.STDOUT])
        (channel,) = session.agent.session._channels.values()
        assert WINDOW >= before
        assert module.QUEUE_BYTES + 2 * CHUNK > channel.queued
        assert execution._process is not None
        assert execution._process.poll() is None
        person.channel.resume()
        assert 0 == await person.end()
    assert size == len(person.said[FrameKind.STDOUT])


IN_TERMINAL = """
import os, signal, sys

def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")

def size(*_):
    columns, rows = os.get_terminal_size(0)
    say(rows, columns)

assert os.isatty(1) and os.isatty(2)
signal.signal(signal.SIGWINCH, size)
signal.signal(signal.SIGINT, lambda *_: say("caught"))
size()
say("ready")
for line in sys.stdin:
    say("got", line.strip())
say(os.environ["TERM"])
sys.exit(6)
"""


async def test_a_process_in_a_terminal(node_dir: Path) -> None:
    """It is its own: keys, Ctrl-C, size and new sizes, and its end."""
    argv = [sys.executable, "-c", IN_TERMINAL]
    request = Request("exec", argv, {}, {"TERM": "dumb"}, (40, 100))
    async with job(node_dir) as (session, _):
        person = Person(session, request)
        await person.until(b"ready")
        person.send(wire.encode(FrameKind.STDIN, b"word\n"))
        await person.until(b"got word")
        person.send(wire.encode_numbers(FrameKind.RESIZE, 50, 120))
        person.send(wire.encode(FrameKind.STDIN, b"x\n"))
        await person.until(b"50 120")
        person.send(wire.encode(FrameKind.STDIN, b"\x03"))
        await person.until(b"caught")
        person.send(wire.encode(FrameKind.STDIN, b"\x04"))
        assert 6 == await person.end()
    assert person.said[FrameKind.STDOUT].startswith(b"40 100\r\n")
    assert person.said[FrameKind.STDOUT].endswith(b"dumb\r\n")
    assert b"" == person.said[FrameKind.STDERR]


async def test_a_command_that_is_not_there(node_dir: Path) -> None:
    """It says so on standard error, as a shell does."""
    async with job(node_dir) as (session, _):
        person = Person(session, Request("exec", ["no-such-command"]))
        assert 127 == await person.end()
    assert b"no-such-command cannot be started" in person.said[FrameKind.STDERR]


@pytest.mark.parametrize("terminal", [None, (24, 80)])
async def test_a_channel_that_is_closed_ends_its_process(
    node_dir: Path, monkeypatch: pytest.MonkeyPatch, terminal: tuple[int, int] | None
) -> None:
    """By SIGHUP; who ignores that is killed, with all that is in its session."""
    monkeypatch.setattr(module, "GRACE", 0.3)
    script = "trap '' HUP; (trap '' HUP; sleep 300) & echo $$ $! end; sleep 300"
    async with job(node_dir) as (session, executions):
        polite = Person(session, sh("echo $$ end; sleep 300", terminal=terminal))
        stubborn = Person(session, sh(script, terminal=terminal))
        pids = []
        for person in (polite, stubborn):
            await person.until(b"end")
            pids += [
                int(w) for w in person.said[FrameKind.STDOUT].split() if w.isdigit()
            ]
            person.channel.close()
        await until(lambda: not executions._running)
        assert [] == [pid for pid in pids if is_there(pid)]


async def test_the_end_of_the_session_ends_it() -> None:
    async with job() as (session, executions):
        person = Person(session, sh("echo $$; sleep 300"))
        await person.until(b"\n")
        session.agent.close(Farewell.REPLACED)
        await until(lambda: not executions._running)
        assert not is_there(int(person.said[FrameKind.STDOUT]))


async def test_the_end_of_the_job_kills() -> None:
    """Whatever was started, within the time that is given."""
    async with job() as (session, executions):
        person = Person(session, sh("trap '' HUP; echo $$; sleep 300"))
        await person.until(b"\n")
        await executions.end(0.1)
        await until(lambda: not is_there(int(person.said[FrameKind.STDOUT])))


async def test_what_it_leaves_running_ends_with_it() -> None:
    """Its end does not wait for that, though it holds its output open."""
    async with job() as (session, _):
        person = Person(session, sh("sleep 300 & echo $!"))
        assert 0 == await person.end()
        await until(lambda: not is_there(int(person.said[FrameKind.STDOUT])))


@pytest.mark.parametrize(
    "frames",
    [
        wire.encode(FrameKind.STDIN, b"x"),
        wire.encode(FrameKind.REQUEST, b"{}"),
        b"\xff" * 10,
        sh("sleep 300").encode() + wire.encode(FrameKind.STDIN, bytes(wire.WINDOW + 1)),
        sh("sleep 300").encode() + wire.encode(FrameKind.RESIZE, b"x"),
        sh("sleep 300").encode() + wire.encode(FrameKind.EXIT, b"x"),
        sh("sleep 300").encode() * 2,
    ],
)
async def test_rubbish_ends_this_process_only(frames: bytes) -> None:
    """The channel is reset; others of the session go on."""
    async with job() as (session, executions):
        other = Person(session, sh("read line; echo $line"))
        person = Person(session, frames)
        await asyncio.wait_for(person.is_over.wait(), TIMEOUT)
        assert person.reason
        await until(lambda: len(executions._running) == 1)
        other.send(wire.encode(FrameKind.STDIN, b"goes on\n"))
        assert 0 == await other.end()
    assert b"goes on\n" == other.said[FrameKind.STDOUT]


async def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused with a reason."""
    monkeypatch.setattr(module, "MOST", 1)
    async with job() as (session, _):
        first = Person(session, sh("read line"))
        second = Person(session, sh("true"))
        await asyncio.wait_for(second.is_over.wait(), TIMEOUT)
        assert b"1 processes that people started" in second.said[FrameKind.FAILED]
        first.send(wire.encode(FrameKind.STDIN_END))
        await first.end()


async def test_one_that_has_ended_is_no_more_in_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though what it left is still being looked for."""
    looked = threading.Event()
    monkeypatch.setattr(module, "MOST", 1)
    monkeypatch.setattr(module, "_left", lambda pid: looked.wait(TIMEOUT) and {})
    async with job() as (session, _):
        first = Person(session, sh("exit 3"))
        while not first.said[FrameKind.EXIT]:
            await asyncio.sleep(0.001)
        second = Person(session, sh("exit 4"))
        while not second.said[FrameKind.EXIT] and not second.is_over.is_set():
            await asyncio.sleep(0.001)
        looked.set()
        assert (3, 4) == (await first.end(), await second.end())


@pytest.mark.parametrize("terminal", [None, (24, 80)])
async def test_what_it_leaves_writing_does_not_keep_its_end(
    node_dir: Path, terminal: tuple[int, int] | None
) -> None:
    """Nor is more told of that than was written before."""
    async with job(node_dir) as (session, _):
        person = Person(
            session, sh("yes & yes & yes & yes & exit 5", terminal=terminal)
        )
        assert 5 == await person.end()


async def test_nothing_follows_the_exit_code() -> None:
    """No credit either, for input that the process did not take."""
    script = "exec 3<&0; sleep 300 & trap 'exit 7' INT; echo ready; wait"
    async with job() as (session, _):
        person = Person(session, sh(script))
        await person.until(b"ready")
        person.send(wire.encode(FrameKind.STDIN, bytes(wire.WINDOW)))
        person.send(wire.encode_numbers(FrameKind.SIGNAL, signal.SIGINT))
        assert 7 == await person.end()
    assert FrameKind.EXIT is person.last


async def test_whoever_tidies_up_knows_of_it(node_dir: Path) -> None:
    """Its session is noted as long as it lives: an agent may be killed."""
    async with job(node_dir) as (session, _):
        person = Person(session, sh("echo $$; read line"))
        await person.until(b"\n")
        pid = int(person.said[FrameKind.STDOUT])
        noted = noted_session(str(node_dir), f"exec-{pid}")
        assert (pid, started(pid)) == noted
        person.send(wire.encode(FrameKind.STDIN_END))
        await person.end()
        await until(lambda: not [*node_dir.glob("session-*")])


async def test_no_descriptor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is told, and no process is left, nor a descriptor."""
    before = {*Path("/proc/self/fd").iterdir()}

    def dup(fd: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with job() as (session, executions):
        monkeypatch.setattr(os, "dup", dup)
        person = Person(session, sh("sleep 300", terminal=(24, 80)))
        await asyncio.wait_for(person.is_over.wait(), TIMEOUT)
        monkeypatch.undo()
        assert b"Too many open files" in person.said[FrameKind.FAILED]
        assert not executions._running
        assert "" == Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    assert before == {*Path("/proc/self/fd").iterdir()}


async def test_who_leaves_before_a_request_leaves_nothing_behind() -> None:
    """The channel is gone at both ends."""
    async with job() as (session, _):
        person = Person(session, sh("true").encode()[:3])
        person.channel.finish()
        await asyncio.wait_for(person.is_over.wait(), TIMEOUT)
        await until(lambda: not session.agent.session._channels)
        assert not session.agent.channels
