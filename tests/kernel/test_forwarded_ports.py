"""kernel.ports: a kernel's forwarded ports, over a session that is played."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from remote_kernels.errors import PortError
from remote_kernels.kernel.ports import MOST, Ports
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire.target import Target, Tcp, Unix


async def _nothing() -> None:
    """While a port is being opened."""


class PlayedForward:
    """Listens nowhere, and has been asked whether it should."""

    def __init__(self, target: Target, path: Path) -> None:
        self.target = target
        self.path = path
        self.port: int | None = None
        self.trouble = ""
        self.connections: set[int] = set()
        self.closed = False
        self.fails: OSError | None = None
        self.during: Callable[[], Awaitable[None]] = _nothing

    async def open(self, local_port: int | None) -> None:
        if self.fails is not None:
            raise self.fails
        self.port = local_port and local_port + 1
        await self.during()

    async def try_out(self, seconds: float) -> bool | None:
        self.trouble = "nobody listens there"
        return False

    async def close(self) -> None:
        self.closed = True


class PlayedTunnel:
    """Reaches an agent, or not; `carrier` None: not yet."""

    def __init__(self) -> None:
        self.carrier: str | None = "ssh"
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.made: list[PlayedForward] = []
        self.fails: OSError | None = None
        self.during: Callable[[], Awaitable[None]] = _nothing

    def forward(self, kernel: str, target: Target, path: Path) -> PlayedForward:
        made = PlayedForward(target, path)
        made.fails, made.during = self.fails, self.during
        self.made.append(made)
        return made


def ports(directory: Path, tunnel: PlayedTunnel | None) -> Ports:
    return Ports("k1", directory, "c1", lambda: cast("Tunnel | None", tunnel))


@pytest.mark.asyncio
async def test_a_port(tmp_path: Path) -> None:
    """As REST and the command line show it, and found by its number until it is closed."""
    tunnel = PlayedTunnel()
    mine = ports(tmp_path, tunnel)

    port = await mine.open(Tcp(8787, "gpu1"), 9000)

    expected: dict[str, Any] = {
        "id": "1",
        "port": 8787,
        "host": "gpu1",
        "socket": None,
        "node": "c1",
        "local_socket": str(tmp_path / "p1"),
        "local_port": 9001,
        "connections": 0,
        "listening": False,
        "trouble": "nobody listens there",
    }
    assert expected == port.as_json()
    assert [port] == mine.all() == [mine.find("1")]
    await mine.close("1")
    await mine.close("1")
    assert tunnel.made[0].closed
    assert [] == mine.all()
    assert mine.find("1") is None


@pytest.mark.asyncio
async def test_a_socket_of_the_node(tmp_path: Path) -> None:
    """It has neither host nor port; numbers are not used twice."""
    mine = ports(tmp_path, PlayedTunnel())
    await mine.open(Tcp(1))
    await mine.close("1")

    shown = (await mine.open(Unix("/tmp/s"))).as_json()

    assert ("2", "/tmp/s", None) == (shown["id"], shown["socket"], shown["port"])
    assert (None, None) == (shown["host"], shown["local_port"])


@pytest.mark.asyncio
async def test_a_directory_that_was_made_anew(tmp_path: Path) -> None:
    """What is opened from then on is there."""
    mine = ports(tmp_path / "old", PlayedTunnel())
    mine.move(tmp_path / "new")

    port = await mine.open(Tcp(1))

    assert tmp_path / "new" / "p1" == port.local_socket


@pytest.mark.asyncio
@pytest.mark.parametrize("state", ["none", "not reached", "over"])
async def test_no_agent_to_carry_it(tmp_path: Path, state: str) -> None:
    """It is said, and nothing is left of the attempt."""
    tunnel = PlayedTunnel()
    if state == "not reached":
        tunnel.carrier = None
    elif state == "over":
        tunnel.ended.set_result(None)
    mine = ports(tmp_path, None if state == "none" else tunnel)

    with pytest.raises(PortError, match="kernel k1 on c1 is not reached yet"):
        await mine.open(Tcp(1))

    assert [] == mine.all()
    assert [] == tunnel.made


@pytest.mark.asyncio
async def test_as_many_as_there_may_be(tmp_path: Path) -> None:
    """One less, and another may come."""
    mine = ports(tmp_path, PlayedTunnel())
    for number in range(MOST):
        await mine.open(Tcp(number + 1))

    with pytest.raises(PortError, match=f"^{MOST} ports"):
        await mine.open(Tcp(1))

    await mine.close("7")
    await mine.open(Tcp(1))
    assert MOST == len(mine.all())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "port", "said"),
    [
        (OSError(errno.EADDRINUSE, "bind"), 80, "port 80 of this host: Address alr"),
        (OSError(errno.EADDRINUSE, "bind"), 80, "Choose another one, or 0 for any."),
        (OSError(errno.ENOENT, "bind"), None, "p1 of this host: No such file or d"),
        (OSError("too long"), None, "p1 of this host: too long."),
    ],
)
async def test_a_place_where_nobody_can_listen(
    tmp_path: Path, error: OSError, port: int | None, said: str
) -> None:
    """Which, why, and what can be chosen; it is closed again."""
    tunnel = PlayedTunnel()
    tunnel.fails = error
    mine = ports(tmp_path, tunnel)

    with pytest.raises(PortError) as caught:
        await mine.open(Tcp(1), port)

    assert said in str(caught.value)
    assert ("Choose another" in str(caught.value)) == (port is not None)
    assert tunnel.made[0].closed
    assert [] == mine.all()
    assert "Address already in use" == os.strerror(errno.EADDRINUSE)


@pytest.mark.asyncio
async def test_a_kernel_that_ends_meanwhile(tmp_path: Path) -> None:
    """Nothing that was just opened outlives it."""
    tunnel = PlayedTunnel()
    mine = ports(tmp_path, tunnel)
    await mine.open(Tcp(1))
    tunnel.during = mine.close_all

    with pytest.raises(PortError, match=r"ended while its socket /tmp/s was"):
        await mine.open(Unix("/tmp/s"))

    assert [True, True] == [made.closed for made in tunnel.made]
