"""agent.listening: who has a port, and who is at the other end of a socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from remote_kernels.agent.listening import TcpListener, listeners, peer

HEAD = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"
)
ROW = (
    "   0: {}:22B8 00000000:0000 {} 00000000:00000000 00:00000000 00000000  1000 0 4711"
)


@pytest.mark.parametrize(
    ("name", "address", "ip"),
    [
        ("tcp", "0200000A", "10.0.0.2"),
        ("tcp", "0" * 8, "0.0.0.0"),  # noqa: S104 - compared with
        ("tcp6", "0" * 32, "::"),
        ("tcp6", "0000000000000000FFFF00000200000A", "10.0.0.2"),
    ],
)
def test_addresses(tmp_path: Path, name: str, address: str, ip: str) -> None:
    """As Linux prints them; an IPv4 address in IPv6's form is one of IPv4."""
    rows = [HEAD, ROW.format(address, "01"), ROW.format(address, "0A")]
    (tmp_path / name).write_text("\n".join(rows) + "\n")

    assert [TcpListener(ip, 0x22B8, 1000, "4711")] == [*listeners(str(tmp_path))]


def test_one_of_our_own() -> None:
    """This host's own tables are read."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (found,) = [each for each in listeners() if each.port == port]
        link = str(Path(f"/proc/self/fd/{server.fileno()}").readlink())

    assert ("127.0.0.1", os.getuid()) == (found.ip, found.uid)
    assert link == f"socket:[{found.inode}]"


def test_the_other_end() -> None:
    """Of a pair, both ends are this process's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert (os.getpid(), os.getuid()) == peer(ours)
