"""agent.forwarding: where a forwarded port leads, and where it does not."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from relay.joined import joined
from tunnel.test_forward import (
    LOOPBACK,
    connect,
    echo,
    forwarded,
    free_port,
    nothing,
    read_all,
    serving,
    serving_at,
)
from tunnel.test_tunnel import TIMEOUT

from remote_kernels.agent import forwarding
from remote_kernels.wire.target import Target, Tcp, Unix, target_of

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("host", ["", "localhost", LOOPBACK])
async def test_where_somebody_listens(tmp_path: Path, host: str) -> None:
    """It is said; a server on this node is not even connected to."""
    calls: list[int] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(1)

    async with (
        serving(count) as target,
        joined(connect) as session,
        forwarded(session, Tcp(target.port, host), tmp_path) as port,
    ):
        assert await port.try_out(TIMEOUT)
        assert host or not calls


async def test_where_nobody_listens(tmp_path: Path) -> None:
    """The local connection is closed, and why is told; the port stays forwarded."""
    target = Tcp(free_port())
    async with (
        joined(connect) as session,
        forwarded(session, target, tmp_path) as port,
    ):
        assert not await port.try_out(TIMEOUT)
        port.trouble = ""
        reader, writer = await asyncio.open_unix_connection(port.path)
        assert b"" == await read_all(reader)
        writer.close()
        here = socket.gethostname()
        assert f"nothing listens on port {target.port} of {here}" == port.trouble

        async with serving(echo, target.port):
            reader, writer = await asyncio.open_unix_connection(port.path)
            writer.write(b"now")
            assert b"now" == await asyncio.wait_for(reader.readexactly(3), TIMEOUT)
            assert "" == port.trouble
            writer.close()


async def test_a_socket_of_the_node(tmp_path: Path) -> None:
    """By its path."""
    async with (
        serving_at(echo, tmp_path / "s") as target,
        joined(connect) as session,
        forwarded(session, target, tmp_path) as port,
    ):
        assert await port.try_out(TIMEOUT)
        reader, writer = await asyncio.open_unix_connection(port.path)
        writer.write(b"abc")
        assert b"abc" == await asyncio.wait_for(reader.readexactly(3), TIMEOUT)
        writer.close()


async def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    """It is said."""
    missing = Unix(str(tmp_path / "none"))
    async with (
        joined(connect) as session,
        forwarded(session, missing, tmp_path) as port,
    ):
        assert not await port.try_out(TIMEOUT)
        assert "No such file" in port.trouble


@pytest.mark.parametrize("kind", ["tcp", "tcp by name", "unix"])
async def test_another_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """On a node that is shared, a port may be anybody's; it is not connected to."""
    monkeypatch.setattr(forwarding, "_is_trusted", lambda uid: uid == os.getuid() + 1)
    async with (
        serving(nothing) as tcp,
        serving_at(nothing, tmp_path / "s") as unix,
        joined(connect) as session,
    ):
        targets: dict[str, Target] = {
            "tcp": tcp,
            "tcp by name": Tcp(tcp.port, "localhost"),
            "unix": unix,
        }
        async with forwarded(session, targets[kind], tmp_path) as port:
            assert not await port.try_out(TIMEOUT)
            tried, port.trouble = port.trouble, ""
            reader, writer = await asyncio.open_unix_connection(port.path)
            assert b"" == await read_all(reader)
            writer.close()
            assert "is another user's" in tried
            assert tried == port.trouble


ALL = forwarding._ALL[0]
TABLE = {LOOPBACK: 1, "10.0.0.1": 2, "::": 3}


@pytest.mark.parametrize(
    ("owners", "ip", "expected"),
    [
        (TABLE, LOOPBACK, 1),
        (TABLE, "10.0.0.1", 2),
        (TABLE, "10.0.0.2", 3),
        (TABLE, "::1", 3),
        ({ALL: 4}, LOOPBACK, 4),
        ({ALL: 4}, "::1", None),
        ({}, LOOPBACK, None),
    ],
)
async def test_whom_a_connection_reaches(
    owners: dict[str, int], ip: str, expected: int | None
) -> None:
    """Several users may listen on one port, at different addresses."""
    assert expected == forwarding._owner(owners, ip)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp:8787", (Tcp(8787), False)),
        ("tcp:c2:8787", (Tcp(8787, "c2"), False)),
        ("tcp:fe80::1:8787", (Tcp(8787, "fe80::1"), False)),
        ("unix:/a:b", (Unix("/a:b"), False)),
        ("try:tcp:8787", (Tcp(8787), True)),
        ("shell", (None, False)),
        ("tcp:", (None, False)),
        ("tcp:0", (None, False)),
        ("tcp:65536", (None, False)),
        ("tcp:0000199999", (None, False)),
        ("tcp:1e3", (None, False)),
        ("tcp:" + "9" * 5000, (None, False)),
        ("unix:a", (None, False)),
    ],
)
async def test_what_an_open_asks_for(text: str, expected: object) -> None:
    """What is none of these is the name of a kernel's own socket, or wrong."""
    assert expected == target_of(text)
