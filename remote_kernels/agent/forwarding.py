"""From the agent to a forwarded port: its own node's, another host's, a Unix socket.

Where several users share a node, a port on it may be anybody's, and the pages of a
stranger would be shown as the user's own. So on this node only listeners of this user,
or of root, are connected to. Called by kernel_session.py.
"""

from __future__ import annotations

import asyncio
import os
import socket

from remote_kernels.relay.channel import Channel
from remote_kernels.relay.socket_channel import SocketChannel
from remote_kernels.wire.target import Target, Tcp, Unix

from .listening import listeners, peer

CONNECT = 10.0  # seconds
QUEUE_BYTES = 1024 * 1024  # from one connection, before it is read no further
LOOPBACK = ("127.0.0.1", "::1")
_ALL = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened at


async def connect(target: Target, channel: Channel, *, trial: bool = False) -> None:
    """Join `channel` to what `target` names. Raises OSError.

    With `trial` the channel ends at once, and nobody on this node notices.
    """
    if trial and isinstance(target, Tcp) and not target.host:
        await _where(target.port)
        channel.close()
        return
    sock = await (_unix(target) if isinstance(target, Unix) else _tcp(target))
    if trial:
        sock.close()
        channel.close()
        return
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(
            lambda: SocketChannel(channel, QUEUE_BYTES), sock=sock
        )
    except BaseException:
        sock.close()
        raise


async def _unix(target: Unix) -> socket.socket:
    sock = await _connected(socket.AF_UNIX, target.path)
    if not _is_trusted(peer(sock)[1]):
        sock.close()
        msg = f"{target} of {socket.gethostname()} is another user's"
        raise PermissionError(msg)
    return sock


async def _tcp(target: Tcp) -> socket.socket:
    """By the first of its addresses that answers; the last one's reason."""
    reason = OSError(f"{target.host} has no address")
    host = target.host
    for ip in await (_resolved(host) if host else _where(target.port)):
        try:
            owner = _owner(_listening(target.port), ip) if ip in LOOPBACK else None
            if owner is not None:
                _require_trusted(owner, target.port)
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            return await _connected(family, (ip, target.port))
        except OSError as exc:
            reason = exc
    raise reason


async def _resolved(host: str) -> list[str]:
    """Return the addresses of a host. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as exc:
        msg = f"{socket.gethostname()} does not know the host {host}: {exc}"
        raise OSError(msg) from exc
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def _connected(
    family: socket.AddressFamily, address: str | tuple[str, int]
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    loop = asyncio.get_running_loop()
    try:
        sock.setblocking(False)
        await asyncio.wait_for(loop.sock_connect(sock, address), CONNECT)
    except asyncio.TimeoutError:
        sock.close()
        msg = f"{_shown(address)} did not answer within {CONNECT:g} s"
        raise OSError(msg) from None
    except OSError as exc:
        sock.close()
        msg = f"{_shown(address)}, from {socket.gethostname()}: {exc.strerror or exc}"
        raise OSError(exc.errno, msg) from exc
    except BaseException:
        sock.close()
        raise
    return sock


def _shown(address: str | tuple[str, int]) -> str:
    return address if isinstance(address, str) else f"port {address[1]} of {address[0]}"


# Who listens on this node


async def _where(port: int) -> list[str]:
    """Addresses of this node at which the user listens. Raises OSError.

    Loopback first, then what the node's own name resolves to: some dashboards listen
    only there.
    """
    here = socket.gethostname()
    try:
        named = await _resolved(here)
    except OSError:
        named = []
    owners = _listening(port)
    ips = [ip for ip in (*LOOPBACK, *named, *owners) if ip not in _ALL]
    found = {ip: owner for ip in ips if (owner := _owner(owners, ip)) is not None}
    ours = [ip for ip, owner in found.items() if _is_trusted(owner)]
    if ours:
        return ours
    for owner in found.values():
        _require_trusted(owner, port)
    msg = f"nothing listens on port {port} of {here}"
    raise ConnectionRefusedError(msg)


def _require_trusted(uid: int, port: int) -> None:
    if not _is_trusted(uid):
        msg = f"port {port} of {socket.gethostname()} is another user's"
        raise PermissionError(msg)


def _is_trusted(uid: int) -> bool:
    return uid in (os.getuid(), 0)


def _owner(owners: dict[str, int], ip: str) -> int | None:
    """Of the socket that a connection to `ip` would reach."""
    if ip in owners:
        return owners[ip]
    v4, v6 = _ALL
    return owners.get(v6) if ":" in ip else owners.get(v4, owners.get(v6))


def _listening(port: int) -> dict[str, int]:
    """Address and user ID of each that listens on this port."""
    return {found.ip: found.uid for found in listeners() if found.port == port}
