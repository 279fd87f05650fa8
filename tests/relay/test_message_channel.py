"""relay.message_channel: whole messages over a channel, as fast as the slower end takes them."""

from __future__ import annotations

import asyncio

import pytest
from wire.pair import idle

from relay.joined import Talker, joined, until
from remote_kernels.relay.channel import Channel
from remote_kernels.relay.link import Link
from remote_kernels.relay.message_channel import QUEUE_BYTES, MessageChannel
from remote_kernels.wire.channels import WINDOW
from remote_kernels.wire.messages import Message, encode

MIB = bytes(1024 * 1024)
MANY = (QUEUE_BYTES + WINDOW) // len(MIB) + 1  # more than fits on the way


class Door:
    """The agent's end: makes a channel of what the login end opens."""

    def __init__(self) -> None:
        self._opened: asyncio.Queue[Talker] = asyncio.Queue()
        self.ready = asyncio.Event()
        self.ready.set()

    async def __call__(self, kernel: str, target: str, channel: Channel) -> None:
        await self.ready.wait()
        self._opened.put_nowait(Talker(channel))

    async def channel(self) -> Talker:
        return await asyncio.wait_for(self._opened.get(), 10)


@pytest.mark.asyncio
async def test_messages_pass_both_ways() -> None:
    """In order, with number and lost."""
    door = Door()
    async with joined(door) as session:
        login = session.open("shell")
        agent = await door.channel()

        login.send(b"one", b"")
        login.send(b"two")
        agent.channel.send(encode([b"three"], 7, 5))

        assert Message(0, [b"one", b""]) == await agent.receive()
        assert Message(0, [b"two"]) == await agent.receive()
        assert Message(7, [b"three"], 5) == await login.receive()


@pytest.mark.asyncio
async def test_a_message_larger_than_a_frame() -> None:
    """It comes as one."""
    door = Door()
    async with joined(door) as session:
        login = session.open("shell")

        login.send(MIB * 10, b"end")

        agent = await door.channel()
        assert [MIB * 10, b"end"] == (await agent.receive()).parts


@pytest.mark.asyncio
async def test_what_came_before_the_other_end_was_there() -> None:
    """It is kept, and so is that no more will come."""
    door = Door()
    door.ready.clear()
    async with joined(door) as session:
        login = session.open("shell")
        login.send(b"early")
        login.channel.close()
        await until(lambda: idle(session.login.session))

        door.ready.set()
        agent = await door.channel()

        assert [b"early"] == (await agent.receive()).parts
        assert agent.channel.is_closed


@pytest.mark.asyncio
async def test_a_full_channel_pauses_until_there_is_room() -> None:
    """The other end holds; once it goes on, everything arrives."""
    door = Door()
    async with joined(door) as session:
        login = session.open("iopub")
        agent = await door.channel()
        agent.channel.pause()

        for _ in range(MANY):
            login.send(MIB)
        await until(lambda: idle(session.login.session))
        held = agent.rest()

        assert WINDOW // len(MIB) - 1 == len(held)
        assert (True, False) == (login.channel.full, login.room.is_set())

        agent.channel.resume()
        rest = [await agent.receive() for _ in range(MANY - len(held))]

        assert (False, True) == (login.channel.full, login.room.is_set())
        assert {1} == {len(message.parts) for message in held + rest}


@pytest.mark.asyncio
async def test_a_channel_is_not_full_at_once() -> None:
    """Its queue has bytes enough for a burst of output."""
    async with joined(Door()) as session:
        login = session.open("iopub")

        for _ in range(QUEUE_BYTES // len(MIB) - 1):
            login.send(MIB)

        assert not login.channel.full


@pytest.mark.asyncio
async def test_a_channel_that_is_taken_from_never_pauses_for_long() -> None:
    """Credit comes back by itself."""
    door = Door()
    async with joined(door) as session:
        login = session.open("iopub")
        agent = await door.channel()

        for number in range(3 * MANY):
            login.send(b"%d" % number, MIB)
        received = [await agent.receive() for _ in range(3 * MANY)]

        assert [b"%d" % n for n in range(3 * MANY)] == [m.parts[0] for m in received]


@pytest.mark.asyncio
async def test_closing_closes_the_other_end_too() -> None:
    """After what was sent before; what is sent later goes nowhere."""
    door = Door()
    async with joined(door) as session:
        login = session.open("shell")
        agent = await door.channel()

        login.send(b"last")
        login.channel.close()
        login.send(b"too late")

        assert [b"last"] == (await agent.receive()).parts
        await until(lambda: agent.channel.is_closed)
        assert [] == agent.rest()


@pytest.mark.asyncio
async def test_a_refused_channel_is_closed() -> None:
    """The agent cannot reach what was asked for."""

    async def refuse(kernel: str, target: str, channel: Channel) -> None:
        raise OSError("no such socket")

    async with joined(refuse) as session:
        login = session.open("shell")

        await until(lambda: login.channel.is_closed)


@pytest.mark.asyncio
async def test_there_is_no_room_in_what_is_closed() -> None:
    """Whoever waits for it is not called any more."""
    door = Door()
    async with joined(door) as session:
        login = session.open("iopub")
        agent = await door.channel()

        login.channel.close()
        login.channel.drained()

        assert not login.room.is_set()
        assert not agent.room.is_set()


@pytest.mark.asyncio
async def test_rubbish_ends_the_pipe() -> None:
    """Not what was promised: the other end is not what we think it is."""
    door = Door()
    async with joined(door) as session:
        login = session.open("shell")
        await door.channel()
        link = session.agent.link
        assert isinstance(link, Link)

        login.channel.send(bytes(24))

        lost = await asyncio.wait_for(asyncio.shield(link.lost), 10)
        assert "do not fit" in str(lost)


@pytest.mark.asyncio
async def test_a_message_that_cannot_be_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Those behind it are, and the log tells of it."""
    taken: list[Message] = []

    def take(message: Message) -> None:
        taken.append(message)
        assert message.parts != [b"bad"]

    async def connect(kernel: str, target: str, channel: Channel) -> None:
        MessageChannel(channel, take)

    async with joined(connect) as session:
        login = session.open("shell")
        login.channel.send(encode([b"bad"]) + encode([b"good"]))
        login.send(b"later")
        await until(lambda: len(taken) == 3)

        assert session.agent.link is not None
    assert "message 0 of a channel was not taken" in caplog.text


@pytest.mark.asyncio
async def test_a_channel_that_is_given_up() -> None:
    """Its owner learns of it, at the end of which the other end resets it."""
    broken = asyncio.Event()

    async def connect(kernel: str, target: str, channel: Channel) -> None:
        raise OSError(target)

    async with joined(connect) as session:
        channel = session.login.channel("k", "shell")
        messages = MessageChannel(channel, lambda message: None, on_broken=broken.set)
        await asyncio.wait_for(broken.wait(), 10)

        assert (True, True) == (messages.full, messages.is_closed)
