"""front.heartbeat: beats go to the kernel as they are, and come back."""

from __future__ import annotations

import pytest

from remote_kernels.front.heartbeat import Heartbeat
from remote_kernels.relay.channel import Channel, ChannelHandler
from remote_kernels.wire import zmtp

BEAT = [b"client", b"", b"ping"]


class Heart(Channel):
    """A channel to a kernel's heartbeat, and that heartbeat: it says all again."""

    def __init__(self) -> None:
        self.end: ChannelHandler | None = None
        self.is_open = True
        self._peer = zmtp.Peer("ROUTER")
        self._said = b""

    def join(self, end: ChannelHandler) -> None:
        self.end = end

    def send(self, data: bytes) -> bool:
        assert self.is_open
        self._said += data
        return False

    def close(self, broken: str = "") -> None:
        self.is_open = False

    def beat(self) -> None:
        """Take what has been said, and answer."""
        assert self.end is not None
        said, self._said = self._said, b""
        answer, messages = self._peer.feed(said)
        if answer:
            self.end.receive(self._peer.greeting + answer)
        for message in messages:
            self.end.receive(zmtp.message(message.parts))


class Chest:
    """The front's socket, and the hearts to which it was connected."""

    def __init__(self) -> None:
        self.came: list[list[bytes]] = []
        self.hearts: list[Heart] = []
        self.is_reached = True
        self.heartbeat = Heartbeat(self.came.append, self._channel)

    def _channel(self) -> Channel | None:
        if self.is_reached:
            self.hearts.append(Heart())
        return self.hearts[-1] if self.is_reached else None


@pytest.fixture
def chest() -> Chest:
    return Chest()


def test_a_beat_comes_back(chest: Chest) -> None:
    """Also one that was sent before the kernel's socket has greeted us."""
    chest.heartbeat.send(BEAT)
    chest.hearts[0].beat()
    chest.hearts[0].beat()
    chest.heartbeat.send(BEAT)
    chest.hearts[0].beat()

    assert [BEAT, BEAT] == chest.came
    assert 1 == len(chest.hearts)


def test_a_beat_that_meets_no_kernel(chest: Chest) -> None:
    """It is lost, and the next one tries again."""
    chest.is_reached = False
    chest.heartbeat.send(BEAT)
    assert [] == chest.hearts

    chest.is_reached = True
    chest.heartbeat.send(BEAT)

    assert 1 == len(chest.hearts)


@pytest.mark.parametrize("how", ["junk", "finished", "closed"])
def test_a_kernel_that_ends(chest: Chest, how: str) -> None:
    """The next beat goes over a new channel."""
    chest.heartbeat.send(BEAT)
    end = chest.hearts[0].end
    assert end is not None
    if how == "junk":
        end.receive(b"x" * 100)
    elif how == "finished":
        end.finished()
    else:
        end.closed("no such kernel")

    chest.heartbeat.send(BEAT)
    for _ in range(2):
        chest.hearts[1].beat()

    assert 2 == len(chest.hearts)
    assert [BEAT] == chest.came


def test_the_front_lets_go(chest: Chest) -> None:
    """The channel is closed, once; nothing to be closed is no error."""
    chest.heartbeat.close()
    chest.heartbeat.send(BEAT)
    for _ in range(2):
        chest.heartbeat.close()

    assert not chest.hearts[0].is_open
