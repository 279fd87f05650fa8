"""tunnel.tunnel with a real agent on this machine, its carrier killed under it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from agent.test_bundle import KERNEL, SECRET, Agent, python

from remote_kernels.errors import TunnelError
from remote_kernels.tunnel.carriers.stdio import StdioCarrier
from remote_kernels.tunnel.tunnel import Tunnel, _Suitor
from remote_kernels.wire import control
from remote_kernels.wire.frames import Type

TIMEOUT = 30.0

# A kernel whose shell socket echoes.
ECHO = KERNEL.replace(
    "signal.pause()",
    """
c, _ = held[0].accept()
while True:
    if c.recv(1, socket.MSG_PEEK) == b"":
        c, _ = held[0].accept()
    else:
        c.sendall(c.recv(65536))
""",
)


class Recorder(StdioCarrier):
    """Remembers the processes that it started."""

    pids: list[int]

    async def connect(self, make):  # type: ignore[no-untyped-def]
        pipe, link = await super().connect(make)
        self.pids = [*getattr(self, "pids", []), pipe.process.get_pid()]
        return pipe, link


@asynccontextmanager
async def tunnel(tmp_path: Path) -> AsyncIterator[tuple[Tunnel, Recorder, Path]]:
    """An agent with an echoing kernel, a tunnel to it, and the local end of `shell`."""
    agent = Agent(tmp_path)
    agent.start(python(ECHO))
    running = asyncio.Event()

    def heard(message: control.Message) -> None:
        if isinstance(message, control.KernelState) and message.state == "running":
            running.set()

    while not (agent.record / "agent.json").exists():
        await asyncio.sleep(0.01)
    facts = json.loads((agent.record / "agent.json").read_text())
    argv = [sys.executable, "-I", "-S", facts["pyz"], "connect", facts["socket"]]
    carrier = Recorder("pipe", argv, {"PATH": os.defpath})
    made = Tunnel([carrier], bytes.fromhex(SECRET), heard)
    try:
        await made.open()
        await asyncio.wait_for(running.wait(), TIMEOUT)
        local = tmp_path / "up"
        await made.listen(local, "k1", "shell")
        yield made, carrier, local
    finally:
        await made.close()
        agent.end()


@pytest.mark.asyncio
async def test_bytes_come_back_as_they_went(tmp_path: Path) -> None:
    """Three megabytes there and back through the tunnel."""
    payload = random.Random(1).randbytes(3_000_000)

    async with tunnel(tmp_path) as (_, _, local):
        reader, writer = await asyncio.open_unix_connection(local)
        writer.write(payload)
        echoed = await asyncio.wait_for(reader.readexactly(len(payload)), TIMEOUT)
        writer.close()

    assert payload == echoed


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "rubbish",
    [b"[" * 3000, b'{"type": "signal", "kernel": "k1", "signum": ""}', b"\xff"],
    ids=["deep", "type", "bytes"],
)
async def test_a_frame_that_breaks_the_rules(tmp_path: Path, rubbish: bytes) -> None:
    """The agent ends the pipe; the session goes on, with all that was around it."""
    payload = random.Random(3).randbytes(1_000_000)

    async with tunnel(tmp_path) as (made, carrier, local):
        reader, writer = await asyncio.open_unix_connection(local)
        writer.write(payload)
        echoed = await asyncio.wait_for(reader.readexactly(1000), TIMEOUT)
        made._mux.session._first.append((Type.CONTROL, 0, rubbish))
        made.send(control.Signal("k1", 0))
        await asyncio.wait_for(made.lost(), TIMEOUT)
        await asyncio.wait_for(made.resumed(), TIMEOUT)
        echoed += await asyncio.wait_for(reader.readexactly(999_000), TIMEOUT)
        writer.close()

    assert 2 == len(carrier.pids)
    assert payload == echoed


@pytest.mark.asyncio
async def test_a_message_that_is_too_large(tmp_path: Path) -> None:
    """It is not sent, which its sender hears; the session does not suffer."""
    async with tunnel(tmp_path) as (made, carrier, local):
        with pytest.raises(TunnelError, match="'start' message has 300"):
            made.send(control.StartKernel("k1", {"argv": ["x" * 300_000]}))
        reader, writer = await asyncio.open_unix_connection(local)
        writer.write(b"x")
        assert b"x" == await asyncio.wait_for(reader.readexactly(1), TIMEOUT)
        writer.close()

    assert 1 == len(carrier.pids)


@pytest.mark.asyncio
async def test_nothing_is_lost_when_the_carrier_is_killed(tmp_path: Path) -> None:
    """SIGKILL while bytes are under way, five times: the stream notices nothing."""
    generator = random.Random(2)
    payload = generator.randbytes(5_000_000)

    async with tunnel(tmp_path) as (made, carrier, local):
        reader, writer = await asyncio.open_unix_connection(local)
        writer.write(payload)
        echoed = b""
        for _ in range(5):
            echoed += await asyncio.wait_for(reader.readexactly(100_000), TIMEOUT)
            os.kill(carrier.pids[-1], signal.SIGKILL)
            await asyncio.wait_for(made.lost(), TIMEOUT)
            await asyncio.wait_for(made.resumed(), TIMEOUT)
        rest = reader.readexactly(len(payload) - len(echoed))
        echoed += await asyncio.wait_for(rest, TIMEOUT)
        writer.close()

    assert 6 == len(carrier.pids)
    assert payload == echoed


@pytest.mark.asyncio
async def test_a_wrong_secret_reaches_nobody(tmp_path: Path) -> None:
    """No carrier arrives, and the reason names it."""
    async with tunnel(tmp_path) as (_, carrier, _):
        stranger = Tunnel([carrier], b"x" * 32, lambda message: None)

        with pytest.raises(TunnelError, match="pipe: "):
            await stranger.open()
        await stranger.close()


@pytest.mark.asyncio
async def test_each_rejected_carrier_says_why(tmp_path: Path) -> None:
    """What it printed is in the text."""
    silent = StdioCarrier("one", ["sh", "-c", "echo no route >&2"], {})
    missing = StdioCarrier("two", ["/no/such/command"], {})
    made = Tunnel([silent, missing], b"x" * 32, lambda message: None)

    with pytest.raises(TunnelError, match="No carrier") as caught:
        await made.open()
    await made.close()

    assert "one: the other end closed the pipe; no route" in str(caught.value)
    assert "two: cannot run /no/such/command" in str(caught.value)


@pytest.mark.asyncio
async def test_a_carrier_that_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has the time that it says it needs before the agent is heard of."""
    monkeypatch.setattr("remote_kernels.tunnel.tunnel.HELLO_TIMEOUT", 0.0)
    mute = StdioCarrier("mute", ["sleep", "60"], {}, slow=0.1)
    made = Tunnel([mute], b"x" * 32, lambda message: None)

    with pytest.raises(TunnelError, match=r"no hello within 0\.1 s"):
        await made.open()
    await made.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_comes_at_the_end(tmp_path: Path, turns: int) -> None:
    """It is closed, whatever had become of it when the tunnel was."""
    async with tunnel(tmp_path) as (made, _, local):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(local))
            for _ in range(turns):
                await asyncio.sleep(0)

            await made.close()

            client.settimeout(TIMEOUT)
            with contextlib.suppress(ConnectionResetError):
                assert b"" == await asyncio.to_thread(client.recv, 1)
    gc.collect()  # an unclosed one would complain


@pytest.mark.asyncio
async def test_a_carrier_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next is tried beside it; then it goes, and leaves no process."""
    monkeypatch.setattr("remote_kernels.tunnel.tunnel.HEAD_START", 0.1)
    async with tunnel(tmp_path) as (made, carrier, _):
        await made.close()
        hangs = Recorder("hangs", ["sleep", "1000"], {"PATH": os.defpath})
        second = Tunnel([hangs, carrier], bytes.fromhex(SECRET), lambda message: None)

        await asyncio.wait_for(second.open(), 5)

        assert second.carrier is carrier
        assert {"hangs": "was not there yet when pipe was"} == second.rejected
        await second.close()
        assert not Path(f"/proc/{hangs.pids[0]}").exists()


@pytest.mark.asyncio
async def test_two_carriers_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both get there: the agent is asked for the session by one of them alone."""
    monkeypatch.setattr("remote_kernels.tunnel.tunnel.HEAD_START", 0.0)
    async with tunnel(tmp_path) as (made, carrier, _):
        await made.close()
        asked = []
        ask = _Suitor.ask

        def counted(link: _Suitor) -> None:
            asked.append(link)
            ask(link)

        monkeypatch.setattr(_Suitor, "ask", counted)
        for _ in range(5):
            others = [Recorder(str(n), carrier._argv, carrier._env) for n in range(3)]
            session = Tunnel(others, bytes.fromhex(SECRET), lambda message: None)

            await asyncio.wait_for(session.open(), TIMEOUT)
            lost = asyncio.ensure_future(session.lost())
            while session._endings:
                await asyncio.sleep(0.01)
            assert session.connected
            assert not lost.done()
            lost.cancel()
            await session.close()

        assert 5 == len(asked)
