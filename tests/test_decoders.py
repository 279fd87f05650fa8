"""All that reads what another process wrote, fed with what is almost right.

Nothing but ProtocolError leaves it, and it takes neither long nor much memory. A few
thousand inputs here; `make soak` has 300,000.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from front.reception import Reception
from front.world import INFO, Agent, Server, timeless
from jupyter_client.session import DELIM
from wire.mutate import Mutator
from wire.pair import Pair

from remote_kernels.front import jupyter_message
from remote_kernels.front.delivery import Delivery
from remote_kernels.records import KernelInfoCache
from remote_kernels.relay.spool import Spool
from remote_kernels.wire import control, messages, target, zmtp
from remote_kernels.wire.codes import Farewell
from remote_kernels.wire.frames import (
    MAX_PAYLOAD,
    LocalProtocolError,
    ProtocolError,
    Type,
    encode,
)
from remote_kernels.wire.hello import MARKER, AgentHello, Ask, LoginHello
from remote_kernels.wire.kernel_sockets import KEPT
from remote_kernels.wire.messages import Message
from remote_kernels.wire.session import Session

SMALL = 1000  # inputs for each decoder
LARGE = 30_000
FILES = 20  # times fewer where each input is a file
SECONDS = 2.0  # for one input, on a machine that does something else, too
MEMORY = 512 * 1024 * 1024  # bytes, for all
ROUND = 100  # inputs for one instance of what remembers

SECRET = b"s" * 32
BODIES: list[dict[str, Any]] = [
    {"type": "start", "kernel": "k", "spec": {"argv": ["a", "b"], "env": {"A": "b"}}},
    {"type": "signal", "kernel": "k", "signum": 2},
    {"type": "delivered", "kernel": "k", "target": "iopub", "through": 3, "forget": 2},
    {"type": "stop"},
    {"type": "kernel", "kernel": "k", "incarnation": 1, "state": "exited", "signum": 9},
    {
        "type": "usage",
        "kernel": "k",
        "cpu_percent": 1.5,
        "cpus": 4,
        "memory": 2**34,
        "memory_limit": None,
        "gpus": [{"index": 0, "name": "g", "utilization": 5, "memory": 1}],
        "node_memory": 2**35,
        "node_available": None,
    },
    {"type": "measure", "kernel": "k"},
    {"type": "stopping"},
]
OPEN = {"kernel": "k", "target": "shell"}
HEADER = {
    "msg_id": "m1",
    "session": "s1",
    "username": "u",
    "date": "2026-01-01T00:00:00Z",
    "msg_type": "execute_request",
    "version": "5.4",
}
CONTENT = {"code": "1", "execution_state": "busy", "allow_stdin": True, "value": "x"}
TYPES = [
    "execute_request",
    "kernel_info_request",
    "kernel_info_reply",
    "complete_request",
    "inspect_request",
    "interrupt_request",
    "shutdown_request",
    "input_reply",
    "status",
    "stream",
]
Feed = Callable[[], object]


def _drop(call: Callable[..., object], *words: object) -> None:
    call(*words)


def a_message(mutator: Mutator) -> list[bytes]:
    """A client's or a kernel's."""
    header = {**HEADER, "msg_type": mutator.random.choice(TYPES)}
    parent = {**HEADER, "msg_id": mutator.random.choice(["m1", "m2"])}
    bodies: list[dict[str, Any]] = [header, parent, {"a": {"b": 1}}, CONTENT]
    dumped = [json.dumps(body).encode() for body in bodies]
    return mutator.parts([b"s1", DELIM, b"0" * 64, *dumped], bodies)


def traffic() -> tuple[bytes, bytes]:
    """What two sessions say to each other: to the login end, and to the agent."""
    pair = Pair()
    channel = pair.login.open("k", "iopub")
    pair.login.send(channel, messages.encode([b"one", b"two"]))
    for body in BODIES:
        pair.login.control(control.decode(json.dumps(body).encode()))
    pair.deliver()
    pair.agent.send(channel, messages.encode([b"three"], 1) * 100)
    pair.agent._first.append((Type.CREDIT, channel, b"\0\x10\0\0"))
    pair.agent.open("k", "tcp:80")
    pair.agent.finish(channel)
    pair.agent.ping()
    pair.agent.goodbye(Farewell.ENDING, "text")
    again = pair.login.data_to_send(1 << 20)[0]
    pair.login.connected(0)
    return pair.agent.data_to_send(1 << 20)[0], pair.login.data_to_send(1 << 20)[
        0
    ] + again


def frames(mutator: Mutator) -> Iterator[Feed]:
    """Streams of both ends with wrong bytes, and right frames with a wrong payload."""
    to_login, to_agent = traffic()
    kinds = [*Type]
    while True:
        session = Session("s", mutator.random.choice((1, 2)), 1 << 20)
        own = session.open("k", "shell")
        session.data_to_send(1000)
        if mutator.random.random() < 0.4:
            data = mutator.bent(mutator.random.choice((to_login, to_agent)))
        else:
            body = mutator.random.choice([*BODIES, OPEN])
            payload = mutator.json(body)[: MAX_PAYLOAD + 1]
            kind = Type.OPEN if body is OPEN else Type.CONTROL
            if mutator.random.random() < 0.3:
                kind, payload = mutator.random.choice(kinds), mutator.bent(b"abc")
            channel = mutator.random.choice((0, own, own + 1, 2**32 - 1))
            data = encode(kind, channel, 1, payload) + encode(kind, channel, 2, payload)

        def feed(session: Session = session, data: bytes = data) -> None:
            for piece in mutator.pieces(data):
                for _ in session.receive(piece):
                    pass

        yield feed


def controls(mutator: Mutator) -> Iterator[Feed]:
    """Control messages."""
    while True:
        data = mutator.json(mutator.random.choice(BODIES))
        yield partial(_drop, control.decode, data)


def hellos(mutator: Mutator) -> Iterator[Feed]:
    """Of both ends; also such as only those say who know the secret."""
    ask = {
        "nonce": "0" * 32,
        "session": "s",
        "received": 1,
        "resume": False,
        "kernel": "",
    }
    while True:
        if mutator.random.random() < 0.5:
            hello: LoginHello | AgentHello = LoginHello(SECRET, Ask("s"))
            line = mutator.json({"nonce": "0" * 32, "agent": "a"})
            data = mutator.random.choice((b"", b"banner\n")) + MARKER + line + b"\n"
            if mutator.random.random() < 0.3:
                data = mutator.bent(data)
        else:
            hello = AgentHello(SECRET, "a", lambda ask: 0)
            offer = hello.start().removeprefix(MARKER).rstrip(b"\n")
            text = mutator.json(ask)
            mac = hmac.new(SECRET, b"\0".join((b"login", offer, text)), hashlib.sha256)
            data = text + b" " + mac.hexdigest().encode() + b"\n"

        def feed(hello: LoginHello | AgentHello = hello, data: bytes = data) -> None:
            for piece in mutator.pieces(data):
                hello.receive(piece)

        yield feed


def whole_messages(mutator: Mutator) -> Iterator[Feed]:
    """Of a channel."""
    one = messages.encode([b"one", b"", b"three" * 20], 7, 1)
    data = one + messages.encode([b"a", b"b"], 8, 0, 0, 5) + messages.encode([], 9)
    while True:
        wrong = mutator.bent(data)

        def feed(wrong: bytes = wrong) -> None:
            decoder = messages.MessageDecoder()
            for piece in mutator.pieces(wrong):
                decoder.feed(piece)

        yield feed


def sockets(mutator: Mutator) -> Iterator[Feed]:
    """ZMTP, as libzmq and other programs speak it."""
    ready = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x02id"
    said = zmtp.message([b"one", b"x" * 300]) + zmtp.frame(b"\x05ERROR\x03400", 4)
    data = zmtp.Peer.greeting + zmtp.frame(ready, zmtp.COMMAND) + said
    while True:
        begin = mutator.random.choice((0, 0, 64))
        wrong = data[:begin] + mutator.bent(data[begin:])
        peer = zmtp.Peer("ROUTER", piece=mutator.random.choice((None, 100)))

        def feed(peer: zmtp.Peer = peer, wrong: bytes = wrong) -> None:
            for piece in mutator.pieces(wrong):
                peer.feed(piece)

        yield feed


def targets(mutator: Mutator) -> Iterator[Feed]:
    """What an OPEN names."""
    names = [b"shell", b"tcp:80", b"tcp:host:80", b"unix:/a/b", b"try:tcp:[::1]:65535"]
    while True:
        name = mutator.bent(mutator.random.choice(names)).decode(errors="replace")
        yield partial(_drop, target.target_of, name)


def heads(mutator: Mutator) -> Iterator[Feed]:
    """Jupyter's messages: never an error, so the caller's is not caught."""
    while True:
        parts = a_message(mutator)

        def feed(parts: list[bytes] = parts) -> None:
            head = jupyter_message.read(parts)
            if head is not None:
                told = [head.id, head.type, head.session, head.parent_id]
                json.dumps(
                    [*told, head.header, head.content()], allow_nan=False
                ).encode()
                assert head.is_of_client in (True, False)

        yield feed


def clients(mutator: Mutator, directory: Path) -> Iterator[Feed]:
    """From a kernel and to it, also in pieces, and for clients that are away."""
    while True:
        agent = Agent(directory)
        server = Server(agent, directory, mutator.random.choice((None, INFO)))
        server.start()
        numbers = dict.fromkeys(KEPT, 0)
        for _ in range(ROUND):
            parts, where = a_message(mutator), mutator.random.choice(KEPT)
            if mutator.random.random() < 0.4:
                yield partial(server.clients.request, where, parts)
                continue
            numbers[where] += mutator.random.choice((0, 1, 1, 1, 3))
            parts = mutator.random.choice((parts, parts, [], [b"x"]))
            offset, left = mutator.random.choice(
                ((0, 0), (0, 0), (0, 9), (5, 4), (9, 0))
            )
            lost = mutator.random.choice((0, 0, 7))
            message = Message(numbers[where], parts, lost, offset, left)
            yield partial(agent.say, where, message)
            server.clients.notice("text")
        server.die()
        agent.end()


def standins(mutator: Mutator) -> Iterator[Feed]:
    """While the job waits; what was held goes to the next server."""
    while True:
        reception = Reception()
        standin = reception.standin
        reception.is_reached = True
        if mutator.random.random() < 0.5:
            standin.introduce(INFO)
        if mutator.random.random() < 0.3:
            standin.ask("question", ">", lambda answer: None)
        for _ in range(ROUND):
            parts, where = a_message(mutator), mutator.random.choice(KEPT)
            if reception.due is not None:
                reception.due.cancelled = True
            yield partial(standin.request, where, parts)
        standin.show("text")
        later = Reception()
        later.standin.restore(reception.noted[-1] if reception.noted else [])
        later.standin.fail("text")


def files(mutator: Mutator, directory: Path) -> Iterator[Feed]:
    """What a kernel said of itself, and is remembered."""
    known = KernelInfoCache(directory, ["kernel"])
    known.remember(INFO)
    (file,) = (directory / "kernel_info").iterdir()
    while True:
        file.write_bytes(mutator.json({**INFO, "language_info": {"name": "python"}}))
        yield partial(_drop, known.recall)


def spools(mutator: Mutator, directory: Path) -> Iterator[Feed]:
    """Whatever the login end says of what was delivered."""
    while True:
        spool, progress = Spool(str(directory), 4096, 4096), Delivery()
        for number in range(ROUND):
            spool.append([b"x" * 100])
            odd = mutator.random.choice((number, -1, 0, 2**63, number + 2))

            yield partial(_forget, spool, progress, odd)
        spool.close()


def _forget(spool: Spool, progress: Delivery, number: int) -> None:
    spool.forget(number)
    spool.read(number)
    progress.handed_on(number, 0.0)
    progress.positions(9.0)


WIRE = {
    f.__name__: f for f in (frames, controls, hellos, whole_messages, sockets, targets)
}
FRONT = {f.__name__: f for f in (heads, standins)}
ON_DISK = {f.__name__: f for f in (clients, files, spools)}
ALL = {**WIRE, **FRONT, **ON_DISK}
SILENT = {"targets", "heads", "standins", "files", "spools"}  # raise nothing at all


def feed(name: str, seed: int, count: int, directory: Path) -> tuple[int, float]:
    """How many were refused, and the seconds of the one that took longest."""
    mutator = Mutator(seed)
    on_disk = name in ON_DISK
    inputs = ALL[name](mutator, directory) if on_disk else ALL[name](mutator)  # type: ignore[operator]
    refused, longest = 0, 0.0
    for number in range(count):
        one = next(inputs)
        begin = time.process_time()
        try:
            one()
        except LocalProtocolError:
            print(f"{name}: seed {seed}, input {number}")
            raise
        except ProtocolError:
            assert name not in SILENT, f"seed {seed}, input {number}"
            refused += 1
        except BaseException:
            print(f"{name}: seed {seed}, input {number}")
            raise
        longest = max(longest, time.process_time() - begin)
    inputs.close()
    return refused, longest


def all_of(name: str, seed: int, count: int, directory: Path) -> None:
    count = count // FILES if name == "files" else count

    @timeless
    async def run() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        refused, longest = feed(name, seed, count, directory)
        seconds = time.perf_counter() - begin
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(
            f"{name}: {count} inputs, {refused} refused, {seconds:.1f} s, the longest "
            f"{1000 * longest:.1f} ms, {grown / 1024:.0f} MiB more"
        )
        assert longest < SECONDS
        assert grown * 1024 < MEMORY
        assert name in SILENT or refused > count // 20

    run()


@pytest.mark.parametrize("name", ALL)
def test_what_is_almost_right(name: str, tmp_path: Path) -> None:
    """Only ProtocolError leaves a decoder, soon, and with little memory."""
    all_of(name, 1, SMALL, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ALL)
def test_300_000_inputs(name: str, tmp_path: Path) -> None:
    """As above, of another seed."""
    all_of(name, 2, LARGE, tmp_path)
