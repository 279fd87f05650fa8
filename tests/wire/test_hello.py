"""wire.hello: both ends prove themselves before any frame; banners do not matter."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from remote_kernels.wire.codes import RefusalCode
from remote_kernels.wire.frames import RemoteProtocolError
from remote_kernels.wire.hello import MARKER, AgentHello, Ask, LoginHello, Refused

SECRET = b"s" * 32


def talk(login: LoginHello, agent: AgentHello, banner: bytes = b"") -> None:
    """Pass bytes to and fro, one at a time, until neither has anything to say."""
    to_login, to_agent = banner + agent.start(), login.start()
    while to_login or to_agent:
        new_login = b"".join(agent.receive(bytes([b])) for b in to_agent)
        new_agent = b"".join(login.receive(bytes([b])) for b in to_login)
        to_login, to_agent = new_login, new_agent


def accept(ask: Ask) -> int:
    return 17


def test_positions_are_exchanged() -> None:
    """Each end learns how far the other one is."""
    login = LoginHello(SECRET, Ask("s", 5, resume=True))
    agent = AgentHello(SECRET, "a", accept)

    talk(login, agent)

    assert (login.peer_received, agent.peer_received) == (17, 5)
    assert login.done
    assert agent.done


def test_a_banner_is_skipped() -> None:
    """What a login shell prints before us is not ours."""
    login = LoginHello(SECRET, Ask("s"))

    talk(login, AgentHello(SECRET, "a", accept), b"Welcome to the cluster!\n\0\n")

    assert login.done
    assert login.banner == b"Welcome to the cluster!\n\0\n"


def test_frames_behind_the_hello_are_kept() -> None:
    """What came in the same read as the last line is the first frame's beginning."""
    login = LoginHello(SECRET, Ask("s"))
    agent = AgentHello(SECRET, "a", accept)

    login.receive(agent.receive(login.receive(agent.start())) + b"frame")

    assert login.rest == b"frame"


def test_a_wrong_secret_is_noticed_by_the_agent() -> None:
    """Whoever does not know the secret gets no answer."""
    login = LoginHello(b"x" * 32, Ask("s"))
    agent = AgentHello(SECRET, "a", accept)

    with pytest.raises(RemoteProtocolError, match="secret"):
        talk(login, agent)

    assert not agent.done


def test_a_wrong_secret_is_noticed_by_the_login_end() -> None:
    """An impostor that accepts everybody does not get our frames."""

    class Impostor(AgentHello):
        def _signed(self, line: bytes, *parts: bytes) -> bytes:
            return line.rpartition(b" ")[0]

    login = LoginHello(SECRET, Ask("s"))

    with pytest.raises(RemoteProtocolError, match="secret"):
        talk(login, Impostor(b"x" * 32, "a", accept))

    assert not login.done


def test_a_replayed_hello_is_not_accepted() -> None:
    """Each pipe has its own nonce: an overheard line opens no second pipe."""
    first, second = AgentHello(SECRET, "a", accept), AgentHello(SECRET, "a", accept)
    overheard = LoginHello(SECRET, Ask("s")).receive(first.start())
    second.start()

    with pytest.raises(RemoteProtocolError, match="secret"):
        second.receive(overheard)


def test_a_refusal_says_why() -> None:
    """The login end can tell an unknown session from a broken pipe."""

    def refuse(ask: Ask) -> int:
        raise Refused(RefusalCode.UNKNOWN_SESSION, "another one", 1.5)

    login = LoginHello(SECRET, Ask("s", resume=True))

    with pytest.raises(Refused, match="another one") as caught:
        talk(login, AgentHello(SECRET, "a", refuse))

    assert caught.value.code is RefusalCode.UNKNOWN_SESSION
    assert caught.value.heard == 1.5


def test_an_endless_banner_is_given_up() -> None:
    """Something else is behind this carrier; its words are quoted."""
    login = LoginHello(SECRET, Ask("s"))

    with pytest.raises(RemoteProtocolError, match="no agent behind"):
        login.receive(b"login: " * 20_000)
    with pytest.raises(RemoteProtocolError, match="no agent behind"):
        LoginHello(SECRET, Ask("s")).receive(b"x" * 200_000 + MARKER)


def test_an_endless_line_is_given_up() -> None:
    """No line of a hello is longer than 4096 bytes."""
    login = LoginHello(SECRET, Ask("s"))

    with pytest.raises(RemoteProtocolError, match="a line of"):
        login.receive(MARKER + b"x" * 5000)


RUBBISH = {
    "no JSON": b"rubbish",
    "deep": b"[" * 3000,
    "deep object": b'{"a":' * 101 + b"1" + b"}" * 101,
    "UTF-16": '{"nonce": ""}'.encode("utf-16"),
    "no object": b"[]",
    "digits": b'{"nonce": %b}' % (b"9" * 4000),
    "half of a pair": b'{"\\ud800": 1}',
}


@pytest.mark.parametrize("line", RUBBISH.values(), ids=RUBBISH.keys())
def test_rubbish_is_a_protocol_error(line: bytes) -> None:
    """A line that is no JSON ends the hello, whoever said it."""
    login = LoginHello(SECRET, Ask("s"))

    with pytest.raises(RemoteProtocolError, match="a line of the hello"):
        login.receive(MARKER + line + b"\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("received", value) for value in (b"true", b"-1", b"1.0", b"null", b'"1"')),
        *(("session", value) for value in (b"1", b"null", b"{}")),
        ("resume", b"1"),
        ("kernel", b"[]"),
    ],
)
def test_what_is_asked_for_is_of_another_type(name: str, value: bytes) -> None:
    """By somebody who knows the secret."""
    agent = AgentHello(SECRET, "a", lambda ask: 0)
    offer = agent.start().removeprefix(MARKER).rstrip(b"\n")
    text = b'{"session": "s", "received": 0, "%b": %b}' % (name.encode(), value)
    mac = hmac.new(SECRET, b"\0".join((b"login", offer, text)), hashlib.sha256)

    with pytest.raises(RemoteProtocolError, match=f"that is none, by its {name}"):
        agent.receive(text + b" " + mac.hexdigest().encode() + b"\n")
