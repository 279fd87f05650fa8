"""A kernel, its agent, notebook servers that die, and browsers, in one process.

`Clients` and `Spool` are the real ones, messages are made and checked by
jupyter_client; the network between is a list. `timeless` is for its clock.
"""

from __future__ import annotations

import asyncio
import functools
import json
import selectors
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session

from remote_kernels.front.clients import Clients
from remote_kernels.front.delivery import SETTLE
from remote_kernels.relay.message_channel import MessageChannel
from remote_kernels.relay.spool import Spool
from remote_kernels.wire import messages
from remote_kernels.wire.kernel_sockets import KEPT
from remote_kernels.wire.messages import Message

KEY = b"k" * 32
INFO = {"status": "ok", "implementation": "test"}
DISK = 1 << 20

P = ParamSpec("P")
Parts = list[bytes]
Msg = dict[str, Any]


class _Clock(asyncio.SelectorEventLoop):
    """Time passes at once when everybody waits for it, and never otherwise."""

    def __init__(self) -> None:
        self._skipped = 0.0
        clock = self

        class Selector(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> Any:
                clock._skipped += timeout or 0.0
                return super().select(0)

        super().__init__(Selector())

    def time(self) -> float:
        return self._skipped


def timeless(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a loop where sleeping takes no time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = _Clock()
        try:
            loop.run_until_complete(test(*args, **kwargs))
        finally:
            loop.close()

    return run


class Line(MessageChannel):
    """One channel, seen from the login end."""

    def __init__(self, take: Callable[[Parts], None]) -> None:
        self._take = take
        self.full = False

    def send(self, encoded: bytes) -> None:
        (message,) = messages.MessageDecoder().feed(encoded)
        self._take(message.parts)


class Agent:
    """Keeps what the kernel says, as agent/message_buffer.py does, and hands it on."""

    def __init__(self, directory: Path, disk: int = DISK, memory: int = DISK) -> None:
        self.spools = {t: Spool(str(directory), disk, memory) for t in KEPT}
        self.delivered = dict.fromkeys(KEPT, 0)
        self.requests: list[tuple[str, Parts]] = []
        self.lines: dict[str, Line] = {}
        self.has_room: dict[str, Callable[[], None]] = {}
        self.breaks: dict[str, Callable[[], None]] = {}
        self._next = dict.fromkeys(KEPT, (1, 0))
        self._to: dict[str, Callable[[Message], None]] = {}

    def open(
        self,
        target: str,
        on_message: Callable[[Message], None],
        on_room: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> MessageChannel:
        self._to[target] = on_message
        self.has_room[target] = on_room
        self.breaks[target] = on_broken
        self._next[target] = 1, 0
        first = self.spools[target].first
        about = {"delivered": self.delivered[target], "first": first}
        on_message(Message(0, [json.dumps(about).encode()]))
        line = Line(lambda parts: self.requests.append((target, parts)))
        self.lines[target] = line
        return line

    def close(self) -> None:
        """The server is dead."""
        self._to.clear()

    def say(self, target: str, message: Message) -> None:
        """What no agent of ours says."""
        self._to[target](message)

    def flow(self, count: int = 1 << 30) -> None:
        """At most `count` messages of each channel reach the server."""
        for target, take in self._to.items():
            for _ in range(count):
                number, piece = self._next[target]
                found = self.spools[target].read(number, piece)
                if found is None:
                    break
                (message,) = messages.MessageDecoder().feed(found[1])
                self._next[target] = found[0] + 1, 0
                if message.left:
                    self._next[target] = found[0], piece + 1
                take(message)

    def fill(self, say: Callable[[], None], lost: int) -> None:
        """Let the kernel speak until so many more messages have been dropped."""
        spool = self.spools["iopub"]
        full, size = 0, -1
        while full < lost:
            size = spool.size
            say()
            full += spool.size <= size

    def told(self, target: str, through: int, forget: int) -> None:
        self.delivered[target] = max(self.delivered[target], through)
        self.spools[target].forget(forget)

    def end(self) -> None:
        for spool in self.spools.values():
            spool.close()


class Kernel:
    """Says what a kernel says, to its agent."""

    def __init__(self, agent: Agent) -> None:
        self.session = Session(key=KEY)
        self.piece = 1 << 30  # bytes that a large message's pieces have
        self._agent = agent

    def _say(
        self, target: str, kind: str, content: Msg, cell: Msg | None, ident: bytes
    ) -> None:
        msg = self.session.msg(kind, content, parent=cell)
        parts = self.session.serialize(msg, ident=ident)
        if target != "iopub" or len(parts[-1]) <= self.piece:
            self._agent.spools[target].append(parts)
            return
        *before, last = parts
        for at in range(0, len(last), self.piece):
            chunk = last[at : at + self.piece]
            left = len(last) - at - len(chunk)
            self._agent.spools[target].append([*before, chunk], at, left)
            before = []

    def publish(self, kind: str, content: Msg, cell: Msg | None) -> None:
        self._say("iopub", kind, content, cell, kind.encode())

    def break_off(self, cell: Msg, text: str) -> None:
        """Die while a large message is on its way."""
        msg = self.session.msg("stream", {"name": "stdout", "text": text}, parent=cell)
        *before, last = self.session.serialize(msg, ident=b"stream")
        spool = self._agent.spools["iopub"]
        spool.append([*before, last[: self.piece]], 0, len(last) - self.piece)
        spool.append([], self.piece)

    def status(self, state: str, cell: Msg | None) -> None:
        self.publish("status", {"execution_state": state}, cell)

    def busy(self, cell: Msg) -> None:
        self.status("busy", cell)

    def idle(self, cell: Msg) -> None:
        self.status("idle", cell)

    def print(self, cell: Msg, *texts: str) -> None:
        for text in texts:
            self.publish("stream", {"name": "stdout", "text": text}, cell)

    def reply(self, cell: Msg, **more: Any) -> None:
        kind = cell["header"]["msg_type"].replace("request", "reply")
        content = INFO if kind == "kernel_info_reply" else {"status": "ok", **more}
        self._say("shell", kind, content, cell, cell["header"]["session"].encode())

    def echo(self, cell: Msg, count: int = 1) -> None:
        content = {"code": cell["content"]["code"], "execution_count": count}
        self.publish("execute_input", content, cell)

    def ask_for_input(self, cell: Msg) -> None:
        ident = cell["header"]["session"].encode()
        self._say("stdin", "input_request", {"prompt": "?"}, cell, ident)

    def run(self, cell: Msg, *texts: str) -> None:
        self.busy(cell)
        self.print(cell, *texts)
        self.reply(cell)
        self.idle(cell)


class Sink:
    """A large message; it is sent when it is whole."""

    def __init__(self, server: Server, parts: Parts, left: int) -> None:
        self._server = server
        self._parts = parts
        self._left = left
        self.is_cut = False
        server.sinks.append(self)

    def write(self, data: bytes) -> None:
        self._parts[-1] += data
        self._left -= len(data)
        assert self._left >= 0
        if not self._left:
            self._server.send("iopub", self._parts)

    def abort(self) -> None:
        self.is_cut = True


class Server:
    """A notebook server's life: a `Clients`, and who is connected to it."""

    def __init__(
        self, agent: Agent, directory: Path, info: dict[str, Any] | None = None
    ) -> None:
        self.agent = agent
        self.sent: list[tuple[str, Parts]] = []
        self.reports: list[tuple[str, int, int]] = []
        self.rooms: list[str] = []
        self.is_subscribing = False
        self.has_room = True  # as the last request was told
        self.sinks: list[Sink] = []
        self.learnt: list[dict[str, Any]] = []
        self.clients = Clients(KEY, directory, self._told, info, self.learnt.append)

    def start(self) -> None:
        self.clients.connect(self.agent.open)
        self.clients.serve(self)

    def die(self) -> None:
        self.agent.close()
        self.clients.close()

    def _told(self, target: str, through: int, forget: int) -> None:
        self.reports.append((target, through, forget))
        self.agent.told(target, through, forget)

    # Called by Clients

    def send(self, target: str, parts: Parts) -> None:
        self.sent.append((target, parts))

    def resume(self, target: str) -> None:
        self.rooms.append(target)

    def has_client(self, target: str, identity: bytes) -> bool:
        raise AssertionError

    def awaits_subscriptions(self) -> bool:
        return self.is_subscribing

    def begin(self, parts: Parts, left: int) -> Sink:
        return Sink(self, parts, left)

    # For tests

    def seen(self) -> list[Msg]:
        """All that was sent to clients, read and verified by jupyter_client."""
        return [read(parts) for _, parts in self.sent]

    def texts(self, cell: Msg) -> list[str]:
        """What a notebook that listened from the start shows below this cell."""
        shown: dict[str, list[str]] = defaultdict(list)
        for msg in self.seen():
            show(msg, shown)
        return shown[cell["header"]["msg_id"]]

    def kinds(self) -> list[str]:
        """The types of all that was sent; of a status, the state."""
        return [
            str(msg["content"].get("execution_state", msg["msg_type"]))
            for msg in self.seen()
        ]


def read(parts: Parts) -> Msg:
    session = Session(key=KEY)
    _, rest = session.feed_identities(parts)
    return session.deserialize(rest)


def date_of(header: Msg) -> str:
    """Its date as it is sent. ipyparallel (9.2), once imported, has jupyter_client not read it."""
    date = header["date"]
    return date if isinstance(date, str) else str(json_default(date))


def show(msg: Msg, shown: dict[str, list[str]]) -> None:
    """What a notebook does with a message."""
    cell = msg["parent_header"].get("msg_id", "")
    if msg["msg_type"] == "stream":
        shown[cell].append(msg["content"]["text"])
    elif msg["msg_type"] == "clear_output":
        shown[cell].clear()


class Browser:
    """A notebook page."""

    def __init__(self, name: str) -> None:
        self.session = Session(key=KEY, session=name)

    def ask(self, server: Server, kind: str = "execute_request") -> Msg:
        """Send a request; it is the parent of what the kernel says."""
        msg = self.session.msg(kind, {})
        self.repeat(server, msg)
        return msg

    def run(self, server: Server, cell: str, code: str = "code") -> Msg:
        """Run a cell of a notebook by its ID; the request as the kernel has it."""
        msg = self.session.msg(
            "execute_request", {"code": code}, metadata={"cellId": cell}
        )
        self.repeat(server, msg)
        return read(server.agent.requests[-1][1])

    def repeat(self, server: Server, msg: Msg) -> None:
        parts = self.session.serialize(msg, ident=self.session.bsession)
        server.has_room = server.clients.request("shell", parts)

    def come_back(self, server: Server) -> None:
        self.ask(server, "kernel_info_request")


@dataclass
class Scene:
    """The usual beginnings: one page, its cell, and the server of the moment."""

    agent: Agent
    kernel: Kernel
    serve: Callable[..., Server]

    def here(self, *texts: str) -> tuple[Browser, Msg, Server]:
        """A page whose cell is running, and that has got what it has printed."""
        server, browser = self.serve(), Browser("one")
        cell = self._run(browser, server, *texts)
        self.agent.flow()
        return browser, cell, server

    def away(
        self, *texts: str, ends: bool = False, info: Msg | None = None
    ) -> tuple[Browser, Msg, Server]:
        """A page that is away; another server has got what its cell has printed.

        The cell is running, unless it `ends`. `info`: what that server knows.
        """
        browser = Browser("one")
        cell = self._run(browser, self.serve(), *texts)
        if ends:
            self.kernel.reply(cell)
            self.kernel.idle(cell)
        server = self.serve(info)
        self.agent.flow()
        return browser, cell, server

    async def delivered(self, *texts: str) -> tuple[Browser, Msg]:
        """A page whose cell is running; the agent knows that it has got all of it."""
        browser, cell, _ = self.here(*texts)
        await asyncio.sleep(SETTLE * 3)
        return browser, cell

    def _run(self, browser: Browser, server: Server, *texts: str) -> Msg:
        cell = browser.ask(server)
        self.kernel.busy(cell)
        self.kernel.print(cell, *texts)
        return cell
