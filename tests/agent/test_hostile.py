"""A live agent whose peer has the secret and keeps no rule, beside one that keeps all.

Each frame is almost right. It costs the hostile end its pipe, or has no effect: the
agent lives, nothing escapes in it, and another kernel's stream does not notice. A few
hundred frames here; `make soak` has 100,000.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from test_decoders import BODIES, traffic
from wire.mutate import Mutator

from agent.shared import SECRET, Place, Straight, until
from agent.test_bundle import KERNEL, python
from remote_kernels.bundle import agent_pyz
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire import control
from remote_kernels.wire.codes import ProcessState, RefusalCode
from remote_kernels.wire.frames import (
    HEADER,
    MAX_PAYLOAD,
    FrameDecoder,
    ProtocolError,
    Type,
    encode,
)
from remote_kernels.wire.hello import Ask, LoginHello, Refused

SMALL, LARGE = 600, 100_000  # frames
SECONDS = 30.0
CONNECTION = {
    "transport": "ipc",
    "key": "",
    "signature_scheme": "hmac-sha256",
    "curve_publickey": "p",  # so that bytes pass as they are
    "curve_secretkey": "s",
}
VICTIM, OWN = "k", "mine"  # kernels; BODIES are about the victim's

# Its shell socket sends everything back, to any number of clients.
ECHO = KERNEL.replace(
    "signal.pause()",
    """
import threading
def echo(client):
    try:
        while data := client.recv(65536):
            client.sendall(data)
    except OSError:
        pass
    client.close()
while True:
    client = held[0].accept()[0]
    threading.Thread(target=echo, args=(client,), daemon=True).start()
""",
)


class Hostile:
    """A login end of the kernel OWN that is almost right.

    Parameters
    ----------
    path:
        The agent's socket.
    record:
        The kernel's.
    seed:
        Of all that it says.
    """

    def __init__(self, path: str, record: Path, seed: int) -> None:
        self._path = path
        self._record = str(record)
        self._mutator = Mutator(seed)
        self._random = self._mutator.random
        # Without what would be obeyed.
        self._streams = [data.replace(b'"stop"', b'"STOP"') for data in traffic()]
        self._session = ""
        self._sent = self._seen = 0  # positions
        self._opened = -1  # our last channel
        self._sock: socket.socket | None = None
        self.pipes = 0
        self.kinds: Counter[str] = Counter()

    def run(self, count: int) -> None:
        for number in range(count):
            if self._sock is None:
                self._connect()
            try:
                self._say(number)
            except OSError:
                self._close()
        self._close()

    # One pipe

    def _connect(self) -> None:
        resume = self._session != ""
        if not resume:
            self._session = f"{self._random.getrandbits(128):032x}"
            self._sent, self._seen, self._opened = 0, 0, -1
        ask = Ask(self._session, self._seen, resume, True, OWN, self._record)
        hello = LoginHello(SECRET, ask)
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(SECONDS)
        self._sock.connect(self._path)
        self.pipes += 1
        try:
            while not hello.done:
                data = self._sock.recv(65536)
                assert data, "the agent says nothing"
                self._sock.sendall(hello.receive(data))
        except Refused as exc:
            if exc.code not in (RefusalCode.UNKNOWN_SESSION, RefusalCode.POSITION):
                raise
            self._session = ""
            self._close()
            self._connect()
            return
        self._decoder = FrameDecoder()
        self._sent = hello.peer_received
        self._hear(hello.rest)

    def _close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _hear(self, data: bytes) -> bool:
        """Whether PONG is in it."""
        pong = False
        for frame in self._decoder.feed(data):
            pong |= frame.type is Type.PONG
            if frame.type.numbered:
                self._seen = max(self._seen, frame.seq)
        return pong

    def _until_answered(self) -> None:
        """PONG, or the end of the pipe."""
        assert self._sock is not None
        while data := self._sock.recv(1 << 18):
            if self._hear(data):
                return
        self._close()

    # One frame

    def _say(self, number: int) -> None:
        assert self._sock is not None
        pick = self._random.random()
        if pick < 0.15:
            self.kinds["bytes"] += 1
            self._sock.sendall(self._mutator.bent(self._random.choice(self._streams)))
            self._sock.shutdown(socket.SHUT_WR)  # it may wait for more of a frame
        else:
            frame = self._frame(pick, number)
            self._sock.sendall(frame + encode(Type.PING, 0, 0))
            if Type(frame[0]).numbered:
                self._sent += 1
        self._until_answered()

    def _frame(self, pick: float, number: int) -> bytes:
        choice = self._random.choice
        kind, channel = (
            choice([*Type]),
            choice((0, 1, 2, max(self._opened, 0), 2**32 - 1)),
        )
        seq = self._sent + 1
        payload = b""
        if pick < 0.5:  # JSON
            self.kinds["json"] += 1
            kind, channel, payload = self._json(number)
        elif pick < 0.6:
            self.kinds["number"] += 1
            seq = choice((0, 1, self._sent, seq + 1, 2**63, 2**64 - 1))
        elif pick < 0.7:  # right
            self.kinds["right"] += 1
            if self._opened < 0 or self._random.random() < 0.3:
                kind, channel, payload = self._open(b"shell")
            else:
                kind, channel, payload = Type.DATA, self._opened, b"x" * 1000
        else:
            self.kinds["payload"] += 1
            size = choice((0, 1, 4, 9, 65536, 65537, MAX_PAYLOAD))
            payload = choice((self._mutator.bent(b"abc"), b"\xff" * size))
        if not kind.numbered:
            seq = choice((0, 0, seq, 2**64 - 1))
        return HEADER.pack(kind, 0, 0, channel, len(payload), seq) + payload

    def _open(self, target: bytes) -> tuple[Type, int, bytes]:
        self._opened = self._opened + 2 if self._opened > 0 else 1
        text = target.decode(errors="replace")
        body = json.dumps({"kernel": OWN, "target": text}).encode()
        return Type.OPEN, self._opened, body

    def _json(self, number: int) -> tuple[Type, int, bytes]:
        if self._random.random() < 0.4:
            names = (b"shell", b"hb", b"tcp:9", b"unix:/a", b"try:tcp:[::1]:9", b"\0")
            kind, channel, payload = self._open(
                self._mutator.bent(self._random.choice(names))
            )
            if self._random.random() < 0.5:
                name = self._random.choice((OWN, VICTIM))
                payload = self._mutator.json({"kernel": name, "target": "hb"})
            return kind, channel, payload[:MAX_PAYLOAD]
        if number % 97 == 0:  # as often as a process can be started
            spec: dict[str, Any] = {"argv": ["true"], "env": {"A": "b"}}
            spec["connection"] = CONNECTION
            body = {"type": "start", "kernel": OWN, "spec": spec}
        else:
            body = self._random.choice(BODIES)
        payload = self._mutator.json(body)[:MAX_PAYLOAD]
        try:
            if isinstance(control.decode(payload), control.Stop):
                payload += b"?"  # that would be obeyed
        except ProtocolError:
            pass
        return Type.CONTROL, 0, payload


class Counting(Straight):
    """Of the pipes that it made."""

    pipes = 0

    async def connect(self, make: Any) -> Any:
        self.pipes += 1
        return await super().connect(make)


@asynccontextmanager
async def agent(tmp_path: Path) -> AsyncIterator[tuple[Place, str, Path]]:
    """A process, its place, its socket and the file of what it writes."""
    place, node_dir, log = Place(tmp_path, keep=60.0), tmp_path / "n", tmp_path / "log"
    node_dir.mkdir()
    (node_dir / "agent.pyz").write_bytes(agent_pyz())
    kernel = {"argv": python(ECHO), "connection": CONNECTION}
    for name in (VICTIM, OWN):
        record = place.add(name)
        place.write(record, "spec.json", {"kernels": {name: kernel}, "linger": 9999})
    words = ["run", "--record", str(place.path), "--node-dir", str(node_dir)]
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(node_dir / "agent.pyz"), *words),
            stdin=subprocess.PIPE,
            stderr=file,
        )
    try:
        await until("agent.json", (place.path / "agent.json").exists)
        path = json.loads((place.path / "agent.json").read_text())["socket"]
        yield place, path, log
        assert process.returncode is None, log.read_text()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def talks(path: Path, over: asyncio.Event) -> int:
    """Sends, and gets the same back, until it is over; how many bytes."""
    reader, writer = await asyncio.open_unix_connection(path)
    source, count = random.Random(1), 0
    while not over.is_set():
        data = source.randbytes(source.randrange(1, 20_000))
        writer.write(data)
        back = await asyncio.wait_for(reader.readexactly(len(data)), SECONDS)
        assert data == back
        count += len(data)
        await asyncio.sleep(0.002)
    writer.close()
    return count


async def attack(tmp_path: Path, seed: int, frames: int) -> None:
    async with agent(tmp_path) as (place, path, log):
        carrier, running, over = Counting(Path(path)), asyncio.Event(), asyncio.Event()
        ended: list[control.KernelState] = []

        def heard(message: control.Message) -> None:
            if isinstance(message, control.KernelState):
                running.set() if message.state is ProcessState.RUNNING else None
                ended.extend([message] * message.state.is_over)

        record = str(place.record(VICTIM))
        tunnel = Tunnel([carrier], SECRET, heard, kernel=VICTIM, record=record)
        await tunnel.open()
        await asyncio.wait_for(running.wait(), SECONDS)
        await tunnel.listen(tmp_path / "up", VICTIM, "shell")
        stream = asyncio.create_task(talks(tmp_path / "up", over))
        hostile = Hostile(path, place.record(OWN), seed)
        begin = time.perf_counter()
        attacking = asyncio.create_task(asyncio.to_thread(hostile.run, frames))
        await asyncio.wait((attacking, stream), return_when=asyncio.FIRST_COMPLETED)
        assert not stream.done(), stream.result()
        seconds = time.perf_counter() - begin
        over.set()
        count = await stream
        print(
            f"{frames} frames {dict(hostile.kinds)} over {hostile.pipes} pipes in "
            f"{seconds:.0f} s, {count / 1e6:.1f} MB beside them"
        )
        attacking.result()
        assert (1, []) == (carrier.pipes, ended)
        assert not tunnel.ended.done()
        assert count > 0
        await tunnel.close()
    assert "Traceback" not in log.read_text()


@pytest.mark.asyncio
async def test_frames_that_are_almost_right(tmp_path: Path) -> None:
    """They end pipes of who sent them, and nothing else."""
    await attack(tmp_path, 1, SMALL)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.asyncio
async def test_100_000_frames(tmp_path: Path) -> None:
    """As above, of another seed."""
    await attack(tmp_path, 2, LARGE)
