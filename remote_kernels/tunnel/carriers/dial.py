"""TCP to a node that has several names and addresses: side by side, and none twice.

Only the connection is raced for (RFC 8305, section 5): who logs in twice at once is
two sessions in a site's logs. Used by ssh.py.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from remote_kernels.bounded import within
from remote_kernels.tunnel.race import race

from .base import CarrierError

APART = 0.3  # seconds; RFC 8305 has 0.25 s for addresses, 0.1 to 2 s as bounds

Address = tuple[Any, ...]  # (family, type, protocol, sockaddr)


class Way(NamedTuple):
    """Where a host is to be looked for.

    Parameters
    ----------
    host, port, family
        As the user's ~/.ssh/config has it.
    direct : bool
        Whether it is reached by TCP from here, not through another program or host.
    """

    host: str
    port: int
    family: int
    direct: bool


class Line(NamedTuple):
    """A connection: to which of the hosts; `sock` is None where it is not direct."""

    host: str
    sock: socket.socket | None
    address: Address | None

    async def again(self, timeout: float) -> Line:
        """Connect once more to the same place. Raises CarrierError."""
        if self.address is None:
            return self
        return self._replace(sock=await _connected(self.address, timeout))


class _Known(Exception):
    """All addresses of this host are being tried, or were."""


class Dialer:
    """The ways to one node, each taken once.

    Parameters
    ----------
    hosts : sequence of str
        Its names and addresses, the likeliest first.
    way : callable
        Where such a host is to be looked for.
    timeout : float
        Seconds for one address.
    """

    def __init__(
        self, hosts: Sequence[str], way: Callable[[str], Awaitable[Way]], timeout: float
    ) -> None:
        self._left = list(hosts)
        self._way = way
        self._timeout = timeout
        self._tried: set[Address] = set()
        self.errors: dict[str, CarrierError] = {}

    async def next(self) -> Line | None:
        """Return the next connection that can be had; None: there are no more."""
        hosts = list(self._left)
        outcome = await race(
            [partial(self._host, host) for host in hosts], _apart, _hang_up
        )
        for number, error in sorted(outcome.errors.items()):
            if isinstance(error, CarrierError):
                self.errors[hosts[number]] = error
            elif not isinstance(error, _Known):
                raise error
        if outcome.winner is None:
            return None
        number, line = outcome.winner
        gone = {number, *outcome.errors}
        self._left = [host for n, host in enumerate(hosts) if n not in gone]
        await asyncio.gather(*outcome.losers, return_exceptions=True)
        return line

    async def _host(self, host: str) -> Line:
        way = await self._way(host)
        if not way.direct:
            return Line(host, None, None)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                way.host, way.port, family=way.family, type=socket.SOCK_STREAM
            )
        except OSError as exc:
            raise CarrierError(exc.strerror or str(exc)) from exc
        except ValueError as exc:  # of a name that cannot be one: UnicodeError
            msg = f"{way.host!r} is no host name: {exc}"
            raise CarrierError(msg) from exc
        addresses = [(*entry[:3], entry[4]) for entry in found]
        fresh = [address for address in addresses if address not in self._tried]
        outcome = await race(
            [partial(self._address, host, at) for at in fresh], _apart, _hang_up
        )
        if outcome.winner is not None:
            await asyncio.gather(*outcome.losers, return_exceptions=True)
            return outcome.winner[1]
        errors = [e for e in outcome.errors.values() if not isinstance(e, _Known)]
        if not errors:
            raise _Known
        silent = all(isinstance(exc, CarrierError) and exc.no_answer for exc in errors)
        text = "; ".join(dict.fromkeys(map(str, errors)))
        raise CarrierError(text, no_answer=silent) from errors[0]

    async def _address(self, host: str, address: Address) -> Line:
        if address in self._tried:
            raise _Known
        self._tried.add(address)
        try:
            return Line(host, await _connected(address, self._timeout), address)
        except asyncio.CancelledError:
            self._tried.discard(address)
            raise


async def _connected(address: Address, timeout: float) -> socket.socket:
    family, kind, protocol, to = address
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    try:
        connecting = asyncio.get_running_loop().sock_connect(sock, to)
        await within(connecting, timeout)
    except asyncio.TimeoutError as exc:
        sock.close()
        msg = f"no answer in {timeout:g} s from {to[0]}, port {to[1]}"
        raise CarrierError(msg, no_answer=True) from exc
    except OSError as exc:
        sock.close()
        msg = f"{to[0]}, port {to[1]}: {exc.strerror or exc}"
        raise CarrierError(msg) from exc
    except BaseException:
        sock.close()
        raise
    return sock


def _hang_up(line: Line) -> None:
    if line.sock is not None:
        line.sock.close()


async def _apart(number: int) -> None:
    await asyncio.sleep(APART)
