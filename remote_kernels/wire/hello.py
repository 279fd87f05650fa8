"""Who are you, which session, where did we stop. SPEC.md section 1.

Two small state machines, one for each end: `receive()` takes bytes and returns
bytes to send; `done` turns true when frames may follow; what came after the hello
is in `rest`. Joined to a pipe by relay.link.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import math
import secrets
from typing import Any, Callable

from . import objects
from .codes import RefusalCode
from .frames import ProtocolError, RemoteProtocolError

MARKER = b"\0remote-kernels/1 "
MAX_LINE = 4096
MAX_BANNER = 64 * 1024
_LINE = "a line of the hello"


@dataclasses.dataclass(eq=False)
class Refused(ProtocolError):
    """The other end answered, and said no.

    Parameters
    ----------
    code : RefusalCode
        Why.
    detail : str
        The same for people.
    heard : float
        Seconds since the agent heard the login end that has the kernel, if one has it.
    """

    code: RefusalCode
    detail: str = ""
    heard: float = math.inf

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else str(self.code)


def _mac(secret: bytes, *parts: bytes) -> bytes:
    digest = hmac.new(secret, b"\0".join(parts), hashlib.sha256)
    return digest.hexdigest().encode("ascii")


def _dump(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def _load(text: bytes) -> dict[str, Any]:
    return objects.decode(text, _LINE, MAX_LINE)


@dataclasses.dataclass(frozen=True)
class Ask:
    """What a login end wants: a session, and how far it is in it.

    Parameters
    ----------
    session : str
        The session's ID.
    received : int
        Highest frame number received so far.
    resume : bool
        Whether the session goes on, rather than begins.
    take : bool
        Whether a new session may end one that is in use.
    kernel : str
        Which of the agent's kernels; empty: the one that its job was made for.
    record : str
        The directory of that kernel's record; the agent starts a kernel that it does
        not have by what is there.
    beside : bool
        Whether the session is one for processes only, beside that of whoever has the
        kernel.
    """

    session: str
    received: int = 0
    resume: bool = False
    take: bool = True
    kernel: str = ""
    record: str = ""
    beside: bool = False


@dataclasses.dataclass(frozen=True)
class _Acceptance:
    received: int


class Hello:
    """What both ends share: lines in, one step of the conversation each."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._buffer = b""
        self.done = False
        self.peer_received = 0

    @property
    def rest(self) -> bytes:
        """What came behind the hello: the first frames."""
        return self._buffer if self.done else b""

    def start(self) -> bytes:
        """Return what to send before anything was received."""
        return b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes, and return those to send back. Raises RemoteProtocolError, Refused."""
        self._buffer += data
        out = b""
        while not self.done:
            if not self._skip_banner():
                break
            line, newline, rest = self._buffer.partition(b"\n")
            if len(line) > MAX_LINE:
                msg = f"a line of {len(line)} bytes in the hello: {line[:200]!r}"
                raise RemoteProtocolError(msg)
            if not newline:
                break
            self._buffer = rest
            out += self._step(line)
        return out

    def _skip_banner(self) -> bool:
        return True

    def _step(self, line: bytes) -> bytes:
        raise NotImplementedError

    def _signed(self, line: bytes, *parts: bytes) -> bytes:
        """Return the JSON of a line whose MAC is right over `parts` and that JSON."""
        text, _, mac = line.rpartition(b" ")
        if not hmac.compare_digest(mac, _mac(self._secret, *parts, text)):
            msg = f"the other end does not know this job's secret ({line[:200]!r})"
            raise RemoteProtocolError(msg)
        return text


class LoginHello(Hello):
    """The login end's part.

    Parameters
    ----------
    secret : bytes
        The job's secret.
    ask : Ask
        What to ask for.
    """

    def __init__(self, secret: bytes, ask: Ask) -> None:
        super().__init__(secret)
        self._ask = dataclasses.asdict(ask)
        self._offer = b""
        self._request = b""
        self.banner = b""

    def _skip_banner(self) -> bool:
        if self._offer:
            return True
        before, marker, rest = self._buffer.partition(MARKER)
        self.banner = before[:MAX_LINE]
        if len(before) > MAX_BANNER:
            msg = f"no agent behind this carrier; it said {self.banner[:400]!r}"
            raise RemoteProtocolError(msg)
        if not marker:
            return False
        if b"\n" not in rest and len(rest) <= MAX_LINE:
            return False
        self._buffer = rest
        return True

    def _step(self, line: bytes) -> bytes:
        if not self._offer:
            _load(line)
            self._offer = line
            self._request = _dump({"nonce": secrets.token_hex(16), **self._ask})
            mac = _mac(self._secret, b"login", self._offer, self._request)
            return self._request + b" " + mac + b"\n"
        text = self._signed(line, b"agent", self._offer, self._request)
        answer = _load(text)
        if "code" in answer:
            raise objects.build(Refused, answer, _LINE)
        self.peer_received = objects.build(_Acceptance, answer, _LINE).received
        self.done = True
        return b""


class AgentHello(Hello):
    """The agent's part.

    Parameters
    ----------
    secret : bytes
        The job's secret.
    agent : str
        The agent's ID, for logs.
    decide : callable
        Called once the other end has proved itself; returns our own position or
        raises Refused.
    """

    def __init__(self, secret: bytes, agent: str, decide: Callable[[Ask], int]) -> None:
        super().__init__(secret)
        self._offer = _dump({"nonce": secrets.token_hex(16), "agent": agent})
        self._decide = decide

    def start(self) -> bytes:
        """Return the marker, and what the agent says first."""
        return MARKER + self._offer + b"\n"

    def _step(self, line: bytes) -> bytes:
        text = self._signed(line, b"login", self._offer)
        ask = objects.build(Ask, _load(text), _LINE)
        self.peer_received = ask.received
        try:
            received = self._decide(ask)
            answer: dict[str, Any] = {"received": received}
            self.done = True
        except Refused as exc:
            answer = {"code": exc.code, "detail": exc.detail}
            if math.isfinite(exc.heard):
                answer["heard"] = exc.heard
        body = _dump(answer)
        mac = _mac(self._secret, b"agent", self._offer, text, body)
        return body + b" " + mac + b"\n"
