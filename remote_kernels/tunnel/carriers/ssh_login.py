"""Logging in to a node by SSH, without a prompt. Used by ssh.py.

With the user's keys; where none will do, by what the login host itself signs.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote_kernels import harmless
from remote_kernels.bounded import backoff

from . import host_based
from .base import Adoption, CarrierError
from .destination import Destination
from .dial import Line

if TYPE_CHECKING:
    import asyncssh

log = harmless.logger(__name__)

CONNECT_TIMEOUT = 10.0  # seconds for TCP and the login of one address
LOGINS = 6  # attempts while sshd hangs up on us before we are logged in
FIRST_RETRY, LAST_RETRY = 0.2, 3.2  # seconds
KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


class LoginDeniedError(CarrierError):
    """sshd answered, and let nobody in."""


class HungUpError(CarrierError):
    """sshd ended the connection before we were logged in."""


class Visit:
    """A connection to a node, and what the node says in it."""

    def __init__(self, adoption: Adoption) -> None:
        self.adoption = adoption
        self.banner: list[str] = []  # there sshd says why it refuses
        self.said = b""  # by the command that each session runs
        self.told = asyncio.Event()  # it has said it, or will not
        self.begun = False  # its socket is asyncssh's


@dataclass(frozen=True)
class Login:
    """How one logs in to the node of a destination.

    Parameters
    ----------
    to : Destination
        Where the agent is.
    port : int
        The node's sshd.
    signers : dict
        By host, the program that signs for it where no key would do: known to all
        carriers of a process, and added to.
    adoption : Adoption
        What the node does with ssh sessions.
    """

    to: Destination
    port: int
    signers: dict[str, str]
    adoption: Adoption

    async def log_in(self, line: Line) -> tuple[asyncssh.SSHClientConnection, Visit]:
        """Log in; again if sshd hangs up, as when a class begins and dozens log in at once.

        sshd then drops some at random, more than ten by default, and without a word:
        sshd_config(5), MaxStartups.
        """
        for pause in islice(backoff(FIRST_RETRY, LAST_RETRY), LOGINS - 1):
            try:
                return await self._log_in_as(line)
            except HungUpError as exc:
                log.debug("= sshd on %s hung up: %s", line.host, exc)
                await asyncio.sleep(pause)
                line = await line.again(CONNECT_TIMEOUT)
        return await self._log_in_as(line)

    async def _log_in_as(
        self, line: Line
    ) -> tuple[asyncssh.SSHClientConnection, Visit]:
        """With a key of the user's; if none will do, by what the host itself signs."""
        known = self.signers.get(line.host)
        try:
            return await self._log_in_once(line, known)
        except LoginDeniedError:
            self.signers.pop(line.host, None)
            if known or line.sock is None:
                raise
            signer = await host_based.keysign(line.host)
            if signer is None:
                raise
        made = await self._log_in_once(await line.again(CONNECT_TIMEOUT), signer)
        self.signers[line.host] = signer
        return made

    async def _log_in_once(
        self, line: Line, signer: str | None
    ) -> tuple[asyncssh.SSHClientConnection, Visit]:
        import asyncssh

        # Its INFO tells each step of each connection: too much for a server's log.
        asyncssh.set_log_level("WARNING")
        visit = Visit(self.adoption)
        try:
            connection, _ = await asyncssh.create_connection(
                lambda: _client(visit),
                line.host,
                self.port,
                sock=line.sock,
                **self._options(line.host, signer),
            )
        except asyncssh.HostKeyNotVerifiable as exc:
            msg = (
                f"the node's SSH host key is not the one that it reported through its "
                f"job ({exc}). Someone may stand in between, or sshd was given new "
                "keys while the job ran: ask the site's staff."
            )
            raise CarrierError(msg) from exc
        except asyncssh.PermissionDenied as exc:
            text = f"{exc}. sshd let nobody in without a prompt."
            raise LoginDeniedError(_with(visit.banner, text)) from exc
        except (ConnectionResetError, asyncssh.ConnectionLost) as exc:
            raise HungUpError(_with(visit.banner, str(exc))) from exc
        except (OSError, ValueError, asyncssh.Error, asyncio.TimeoutError) as exc:
            text = str(exc) or f"no answer in {CONNECT_TIMEOUT:g} s"
            raise CarrierError(_with(visit.banner, text)) from exc
        finally:
            if not visit.begun and line.sock is not None:
                line.sock.close()
        _skip_ignore_packets(connection)
        return connection, visit

    def _options(self, host: str, signer: str | None) -> dict[str, Any]:
        name = self.to.hosts[0]
        alias = {} if host == name else {"host_key_alias": name}
        return {
            **alias,
            "username": getpass.getuser(),
            "known_hosts": self._known_hosts(),
            "encryption_algs": "^aes128-gcm@openssh.com",
            "compression_algs": ["none"],
            "client_host_keysign": signer or False,
            "password_auth": False,
            "kbdint_auth": False,
            "agent_forwarding": False,
            "connect_timeout": CONNECT_TIMEOUT,
            "login_timeout": CONNECT_TIMEOUT,
        }

    def _known_hosts(self) -> Any:
        """Pin what the job reported; else the files that ssh(1) goes by."""
        import asyncssh

        keys = []
        for line in self.to.host_keys:
            try:
                keys.append(asyncssh.import_public_key(line))
            except asyncssh.KeyImportError:
                log.debug("= a host key of a kind that asyncssh does not know")
        if keys:
            return (keys, [], [])
        paths = [Path(path).expanduser() for path in KNOWN_HOSTS]
        return [str(path) for path in paths if path.exists()]


def _skip_ignore_packets(connection: asyncssh.SSHClientConnection) -> None:
    """Leave out the SSH_MSG_IGNORE that asyncssh (2.24) sends before each packet.

    It protects ciphers in CBC mode (RFC 4251, section 9.3.1). With others it is one more
    TCP segment, and one more time that sshd wakes, for each of ours.
    """
    from asyncssh.constants import MSG_IGNORE

    if "cbc" in str(connection.get_extra_info("send_cipher")):
        return
    send_packet = connection.send_packet

    def send(pkttype: int, *args: bytes, **options: Any) -> None:
        if pkttype != MSG_IGNORE:
            send_packet(pkttype, *args, **options)

    connection.send_packet = send  # type: ignore[method-assign]


def _with(said: Sequence[str], text: str) -> str:
    return f"{text} (the node said: {' '.join(said)})" if said else text


def _client(visit: Visit) -> Any:
    import asyncssh

    class Client(asyncssh.SSHClient):
        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            visit.begun = True

        def auth_banner_received(self, msg: str, lang: str) -> None:
            visit.banner.append(msg.strip())

        def connection_lost(self, exc: Exception | None) -> None:
            if exc is not None:
                visit.adoption.lost(visit.said)

    return Client()
