"""SSH to the node, there a Unix socket. With ssh_keys.py the only one to import asyncssh.

asyncssh because host keys, keys and forwards are data and calls, not a command line
and its temper; it is imported when first used (0.1 s and 20 MB that a server without
such kernels need not pay).
"""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from remote_kernels import harmless
from remote_kernels.bounded import spread, within

from . import adoption, host_based, ssh_keys
from .adoption import Node
from .base import CarrierError, P
from .dial import Dialer, Line, Way

if TYPE_CHECKING:
    import asyncssh
    from asyncssh.channel import SSHChannel

log = harmless.logger(__name__)

CONNECT_TIMEOUT = 10.0  # seconds for TCP and the login of one address
CLOSE_TIMEOUT = 3.0  # seconds
JOIN_TIMEOUT = 2.0  # seconds for a connection that works to carry one session more
LOGINS = 6  # attempts while sshd hangs up on us before we are logged in
FIRST_RETRY = 0.2  # seconds; doubled at each
STDERR_BYTES = 4096
WINDOW = 4 * 1024 * 1024  # bytes; asyncssh's default of 2 MiB halves a long link

# By host: the program that signs for it, where no key would do.
_signers: dict[str, str] = {}

KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True)
class Destination:
    """Where the agent is.

    Parameters
    ----------
    hosts:
        Names and addresses of the node, the likeliest first.
    host_keys:
        The node's public host keys, as its agent reported them through the job; empty
        to go by the user's and the system's known_hosts.
    socket:
        The agent's Unix socket.
    connect:
        The command that joins its standard streams to that socket, for nodes whose
        sshd does not forward.
    job:
        The ID of the job that the agent is.
    template:
        The option 'address' that made the host's name, if it was given.
    """

    hosts: tuple[str, ...]
    host_keys: tuple[str, ...]
    socket: str
    connect: tuple[str, ...]
    job: str
    template: str = ""


class SshPipe:
    """A connection that carries a session."""

    def __init__(
        self,
        connection: asyncssh.SSHClientConnection,
        channel: SSHChannel[bytes],
        said: _Errors,
    ) -> None:
        self.connection = connection
        self.channel = channel
        self.said = said

    async def close(self) -> str:
        self.connection.close()
        try:
            await within(self.connection.wait_closed(), CLOSE_TIMEOUT)
        except asyncio.TimeoutError:
            self.connection.abort()
        return self.said.meaning()


class SshCarrier:
    """Carry a session over SSH.

    Parameters
    ----------
    destination:
        Where the agent is.
    port:
        The node's sshd.
    """

    name = "ssh"

    def __init__(self, destination: Destination, port: int = 22) -> None:
        self._to = destination
        self._port = port
        self._node = Node.named(destination.hosts[0])
        self.answers = False

    def __repr__(self) -> str:
        return f"<SshCarrier {', '.join(self._to.hosts)}>"

    async def connect(self, make: Callable[[], P]) -> tuple[SshPipe, P]:
        while True:
            await self._node.look()
            made = await self._connect(make)
            if made is not None:
                return made

    async def _connect(self, make: Callable[[], P]) -> tuple[SshPipe, P] | None:
        """None: a job that is ending has adopted the session."""
        import asyncssh

        dialer = Dialer(self._to.hosts, self._way, CONNECT_TIMEOUT)
        reasons: dict[str, str] = {}
        denied = ""
        self.answers = False
        while line := await dialer.next():
            self.answers = line.sock is not None
            host = line.host
            try:
                connection, login = await self._log_in(line)
            except CarrierError as exc:
                reasons[host] = str(exc)
                if isinstance(exc, _HungUp):
                    break  # under its other names it is the same sshd
                denied = denied or (host if isinstance(exc, _Denied) else "")
                continue
            try:
                reached = await within(
                    self._reach_agent(connection, login, make), CONNECT_TIMEOUT
                )
            except (OSError, asyncssh.Error, asyncio.TimeoutError) as exc:
                connection.abort()  # it broke, or the network is gone since the login
                reasons[host] = str(exc) or f"no answer in {CONNECT_TIMEOUT:g} s"
                continue
            except BaseException:
                connection.abort()
                raise
            if reached is None:
                return None
            channel, protocol, said = reached
            return SshPipe(connection, channel, said), protocol
        if denied:
            reasons[denied] += f"\n{await self._advice(denied)}"
        raise self._unreached(dialer.errors, reasons)

    def _undialled(self, exc: CarrierError) -> str:
        if self._to.template and isinstance(exc.__cause__, socket.gaierror):
            return (
                f"{exc}. The name is made by the option 'address' (--address), which is "
                f"{self._to.template!r}: there 'getent hosts NAME' must find it on this "
                "host. Change it, or take it out."
            )
        return str(exc)

    async def _advice(self, host: str) -> str:
        """What to do about a refusal."""
        import asyncssh

        found = await asyncssh.SSHClientConnectionOptions.construct(
            host=host, port=self._port, client_keys=None, known_hosts=None
        )
        files = cast("list[str]", found.config.get("IdentityFile", []))
        agent = ssh_keys.agent_of(found.config.get("IdentityAgent"))
        return await ssh_keys.advice(host, files, agent)

    async def _way(self, host: str) -> Way:
        """As ~/.ssh/config has it."""
        import asyncssh

        try:
            found = await asyncssh.SSHClientConnectionOptions.construct(
                host=host, port=self._port, client_keys=None, known_hosts=None
            )
        except (OSError, ValueError) as exc:
            msg = f"asyncssh cannot read ~/.ssh/config as it is: {exc}"
            raise CarrierError(msg) from exc
        around = found.tunnel or found.proxy_command or found.local_addr
        direct = not around and not found.canonicalize_hostname
        return Way(found.host, found.port, found.family, direct)

    def _unreached(
        self, undialled: Mapping[str, CarrierError], reasons: Mapping[str, str]
    ) -> CarrierError:
        texts = {host: self._undialled(exc) for host, exc in undialled.items()}
        texts.update(reasons)
        lines = [f"{host}: {texts[host]}" for host in self._to.hosts if host in texts]
        silent = not reasons and all(exc.no_answer for exc in undialled.values())
        return CarrierError("\n".join(lines), no_answer=silent)

    async def _log_in(self, line: Line) -> tuple[asyncssh.SSHClientConnection, _Login]:
        """When a class begins, dozens log in at the same moment.

        sshd then drops some at random, more than ten by default, and without a word:
        sshd_config(5), MaxStartups.
        """
        for attempt in range(1, LOGINS):
            try:
                return await self._log_in_as(line)
            except _HungUp as exc:
                log.debug("= sshd on %s hung up: %s", line.host, exc)
                await asyncio.sleep(spread(FIRST_RETRY * 2 ** (attempt - 1)))
                line = await line.again(CONNECT_TIMEOUT)
        return await self._log_in_as(line)

    async def _log_in_as(
        self, line: Line
    ) -> tuple[asyncssh.SSHClientConnection, _Login]:
        """With a key of the user's; if none will do, by what the host itself signs."""
        known = _signers.get(line.host)
        try:
            return await self._log_in_once(line, known)
        except _Denied:
            _signers.pop(line.host, None)
            if known or line.sock is None:
                raise
            signer = await host_based.keysign(line.host)
            if signer is None:
                raise
        made = await self._log_in_once(await line.again(CONNECT_TIMEOUT), signer)
        _signers[line.host] = signer
        return made

    async def _log_in_once(
        self, line: Line, signer: str | None
    ) -> tuple[asyncssh.SSHClientConnection, _Login]:
        import asyncssh

        # Its INFO tells each step of each connection: too much for a server's log.
        asyncssh.set_log_level("WARNING")
        login = _Login(self._lost)
        try:
            connection, _ = await asyncssh.create_connection(
                lambda: cast(asyncssh.SSHClient, _client(login)),
                line.host,
                self._port,
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
            raise _Denied(_with(login.banner, text)) from exc
        except (ConnectionResetError, asyncssh.ConnectionLost) as exc:
            raise _HungUp(_with(login.banner, str(exc))) from exc
        except (OSError, ValueError, asyncssh.Error, asyncio.TimeoutError) as exc:
            text = str(exc) or f"no answer in {CONNECT_TIMEOUT:g} s"
            raise CarrierError(_with(login.banner, text)) from exc
        finally:
            if not login.begun and line.sock is not None:
                line.sock.close()
        _say_nothing_in_vain(connection)
        return connection, login

    def _lost(self, login: _Login) -> None:
        """The node has ended the connection."""
        if login.job and login.job != self._to.job:
            log.info("job %s, which adopted this ssh session, ended it", login.job)
            self._node.ended(login.job)

    def _options(self, host: str, signer: str | None) -> dict[str, Any]:
        name = self._to.hosts[0]
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
        for line in self._to.host_keys:
            try:
                keys.append(asyncssh.import_public_key(line))
            except asyncssh.KeyImportError:
                log.debug("= a host key of a kind that asyncssh does not know")
        if keys:
            return (keys, [], [])
        paths = [Path(path).expanduser() for path in KNOWN_HOSTS]
        return [str(path) for path in paths if path.exists()]

    async def _reach_agent(
        self,
        connection: asyncssh.SSHClientConnection,
        login: _Login,
        make: Callable[[], P],
    ) -> tuple[SSHChannel[bytes], P, _Errors] | None:
        """The forwarded socket; or, where sshd does not forward, a command's streams.

        None: a job that is ending has adopted the session.
        """

        # sshd turns Nagle's algorithm off only once a session channel has run a
        # command (9.2p1): without this one, small messages wait 40 ms for an ACK.
        idle = await self._run(
            connection,
            ("cat", adoption.SAYS, "-"),
            lambda: cast("asyncssh.SSHClientSession[bytes]", _teller(login)),
        )
        if self._node.in_doubt:
            await login.told.wait()
            if not self._node.keeps(login.job):
                connection.close()
                return None
        return await self._open(connection, make, idle)

    async def join(
        self, pipe: SshPipe, make: Callable[[], P]
    ) -> tuple[SshPipe, P] | None:
        """One session more on this connection; None if that is dead, or takes no more."""
        import asyncssh

        # Not cancelled: asyncssh (2.24) does not close what is opened after that, and
        # the connection is others', too.
        opening = asyncio.ensure_future(self._open(pipe.connection, make))
        try:
            await asyncio.wait((opening,), timeout=JOIN_TIMEOUT)
        except BaseException:
            opening.add_done_callback(_let_go)
            raise
        if not opening.done():
            opening.add_done_callback(_let_go)
            log.debug("= no answer in %g s", JOIN_TIMEOUT)
            return None
        try:
            channel, protocol, said = opening.result()
        except (OSError, asyncssh.Error, CarrierError) as exc:
            log.debug("= %r", exc)
            return None
        return SshPipe(pipe.connection, channel, said), protocol

    async def _open(
        self,
        connection: asyncssh.SSHClientConnection,
        make: Callable[[], P],
        idle: asyncssh.SSHClientChannel[bytes] | None = None,
    ) -> tuple[SSHChannel[bytes], P, _Errors]:
        """`idle` is closed where a command takes its place."""
        import asyncssh

        protocol = make()
        said = _Errors()
        channel: SSHChannel[bytes]
        try:
            channel, _ = await connection.create_unix_connection(
                lambda: cast(
                    "asyncssh.SSHUNIXSession[bytes]", _session(protocol, said)
                ),
                self._to.socket,
                encoding=None,
                window=WINDOW,
            )
        except asyncssh.ChannelOpenError as exc:
            log.debug("= no forward to the agent's socket: %s", exc)
            if idle is not None:
                idle.close()
            channel = await self._run(
                connection,
                self._to.connect,
                lambda: cast(
                    "asyncssh.SSHClientSession[bytes]", _session(protocol, said)
                ),
            )
        return channel, protocol, said

    async def _run(
        self,
        connection: asyncssh.SSHClientConnection,
        argv: Sequence[str],
        session: Callable[[], asyncssh.SSHClientSession[bytes]],
    ) -> asyncssh.SSHClientChannel[bytes]:
        import shlex

        import asyncssh

        try:
            channel, _ = await connection.create_session(
                session, shlex.join(argv), encoding=None, window=WINDOW
            )
        except asyncssh.ChannelOpenError as exc:
            msg = f"sshd opens no session: {exc}"
            raise CarrierError(msg) from exc
        return channel


def _let_go(
    opening: asyncio.Future[tuple[SSHChannel[bytes], P, _Errors]],
) -> None:
    """Of a session that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


def _say_nothing_in_vain(connection: asyncssh.SSHClientConnection) -> None:
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


class _Denied(CarrierError):
    """sshd answered, and let nobody in."""


class _HungUp(CarrierError):
    """sshd ended the connection before we were logged in."""


class _Login:
    """What is known of a connection."""

    def __init__(self, lost: Callable[[_Login], None]) -> None:
        self.lost = lost
        self.banner: list[str] = []  # pam_slurm_adopt says there why it refuses
        self.job = ""  # that adopted it; empty: none, or not yet known
        self.told = asyncio.Event()
        self.begun = False  # its socket is asyncssh's


def _client(login: _Login) -> object:
    import asyncssh

    class Client(asyncssh.SSHClient):
        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            login.begun = True

        def auth_banner_received(self, msg: str, lang: str) -> None:
            login.banner.append(msg.strip())

        def connection_lost(self, exc: Exception | None) -> None:
            if exc is not None:
                login.lost(login)

    return Client()


def _teller(login: _Login) -> object:
    """An SSH session that hears who has adopted it."""
    import asyncssh

    class Session(asyncssh.SSHClientSession[bytes]):
        def data_received(self, data: bytes, datatype: Any) -> None:
            # The user's shell may say something first.
            if not login.told.is_set() and adoption.is_told(data):
                login.job = adoption.adopter(data)
                login.told.set()

        def connection_lost(self, exc: Exception | None) -> None:
            login.told.set()

    return Session()


class _Transport(asyncio.Transport):
    """An SSH channel as a transport."""

    def __init__(self, channel: asyncssh.SSHClientChannel[bytes]) -> None:
        super().__init__()
        self._channel = channel

    def write(self, data: Any) -> None:
        if not self._channel.is_closing():
            self._channel.write(data)

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        self._channel.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return int(self._channel.get_write_buffer_size())

    def pause_reading(self) -> None:
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        self._channel.resume_reading()

    def is_closing(self) -> bool:
        return bool(self._channel.is_closing())

    def close(self) -> None:
        self._channel.close()

    def abort(self) -> None:
        self._channel.abort()


class _Errors:
    """What a command wrote on standard error, its end."""

    def __init__(self) -> None:
        self._text = b""

    def add(self, data: bytes) -> None:
        self._text = (self._text + data)[-STDERR_BYTES:]

    def meaning(self) -> str:
        text = self._text.decode(errors="replace").strip()
        if "can't open file" in text:
            text += (
                "\nThe agent runs, but an ssh session on the node does not see its "
                "directory: this site gives each job a /tmp of its own (Slurm: "
                "job_container/tmpfs). Use carrier srun, or set 'node_dir' (--node-dir) "
                "to a directory that is no job's own."
            )
        return text


def _session(protocol: asyncio.Protocol, said: _Errors) -> object:
    """An SSH session that passes what its channel does on to `protocol`."""
    import asyncssh

    class Session(asyncssh.SSHUNIXSession[bytes], asyncssh.SSHClientSession[bytes]):
        def connection_made(self, chan: Any) -> None:
            protocol.connection_made(_Transport(chan))

        def data_received(self, data: bytes, datatype: Any) -> None:
            if datatype is None:
                protocol.data_received(data)
            else:  # standard error
                said.add(data)

        def eof_received(self) -> bool:
            return bool(protocol.eof_received())

        def pause_writing(self) -> None:
            protocol.pause_writing()

        def resume_writing(self) -> None:
            protocol.resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            protocol.connection_lost(exc)

    return Session()
