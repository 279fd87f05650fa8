"""relay.link: the end of a link is its end. The rest: tests/tunnel/test_chaos.py."""

from __future__ import annotations

import asyncio

import pytest

from relay.joined import HIGH_WATER, SECRET
from remote_kernels.relay.link import Link
from remote_kernels.relay.mux import Mux
from remote_kernels.wire import control
from remote_kernels.wire.frames import Type, encode
from remote_kernels.wire.hello import AgentHello, Ask, LoginHello
from remote_kernels.wire.session import Session


class Command(asyncio.Transport):
    """As in carriers.stdio: close() closes the input, output may still come."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        pass

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True


@pytest.mark.asyncio
async def test_what_comes_after_the_end_is_not_taken() -> None:
    """It was half a frame when the link was given up; its rest joins no other bytes."""
    heard: list[control.Message] = []
    mux = Mux(Session("s", 1, HIGH_WATER), heard.append)
    link, command = Link(LoginHello(SECRET, Ask("s")), lambda: mux), Command()
    agent = AgentHello(SECRET, "a", lambda *positions: 0)
    frame = encode(Type.CONTROL, 0, 1, control.encode(control.Signal("k", 2)))
    link.connection_made(command)
    link.data_received(agent.start())
    link.data_received(agent.receive(command.written) + frame[:30])

    link.close("nothing heard for 15 s")
    link.data_received(frame[30:])

    assert ([], None) == (heard, mux.link)
