"""A stand-in, and clients that speak to it; the sockets between are a list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from jupyter_client.session import Session

from front.world import KEY, Msg, Parts, read, show
from remote_kernels.front.interfaces import Request
from remote_kernels.front.standin import StandIn

RUN, ASK = "execute_request", "kernel_info_request"
# What a client hears of a cell, by type; of a status, the state.
FAILED = ["busy", "error", "execute_reply", "idle"]
CLEARED = ["clear_output", "stream"]
ABORTED = ["busy", "execute_reply", "idle"]


def id_of(message: Msg) -> str:
    return str(message["header"]["msg_id"])


@dataclass
class Due:
    """A call to come."""

    seconds: float
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Reception:
    """A stand-in, what it told its owner, and what its clients see of it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Parts]] = []
        self.shutdowns = 0
        self.told = 0
        self.noted: list[list[Request]] = []
        self.is_reached = True
        self.resumed: list[str] = []
        self.due: Due | None = None  # what the stand-in will do by itself, the last
        self._dues: list[Due] = []
        self.standin = StandIn(
            KEY, self._shut_down, self._tell, self._note, self._later
        )
        self.standin.serve(self)

    def _shut_down(self) -> None:
        self.shutdowns += 1

    def _tell(self) -> None:
        self.told += 1

    def _later(self, seconds: float, call: Callable[[], None]) -> Due:
        assert all(due.cancelled or due.call != call for due in self._dues)
        self.due = Due(seconds, call)
        self._dues.append(self.due)
        return self.due

    def _note(self, held: list[Request], known: int) -> None:
        assert not known or self.noted[-1][:known] == held[:known]
        self.noted.append([*held])

    # Called by the stand-in

    def send(self, target: str, parts: Parts) -> None:
        self.sent.append((target, parts))

    def resume(self, target: str) -> None:
        self.resumed.append(target)

    def has_client(self, target: str, identity: bytes) -> bool:
        return self.is_reached

    def awaits_subscriptions(self) -> bool:
        raise AssertionError

    def begin(self, parts: Parts, left: int) -> NoReturn:
        raise AssertionError

    # For tests

    def seen(self) -> list[tuple[str, Msg]]:
        """All that was sent, by socket; read and verified by jupyter_client."""
        return [(target, read(parts)) for target, parts in self.sent]

    def kinds(self) -> list[str]:
        """The types of all that was sent; of a status, the state."""
        return [kind_of(msg) for _, msg in self.seen()]

    def answers(self, request: Msg) -> list[Msg]:
        """All that answers this request."""
        asked = id_of(request)
        return [m for _, m in self.seen() if m["parent_header"].get("msg_id") == asked]

    def fate(self, request: Msg) -> list[str]:
        return [kind_of(msg) for msg in self.answers(request)]

    def texts(self, cell: Msg) -> list[str]:
        """What a notebook shows below this cell."""
        shown: dict[str, list[str]] = defaultdict(list)
        for _, msg in self.seen():
            show(msg, shown)
        return shown[id_of(cell)]


def kind_of(message: Msg) -> str:
    return str(message["content"].get("execution_state", message["msg_type"]))


class Client:
    """A notebook page, or whoever else speaks to a kernel."""

    def __init__(self, reception: Reception, name: str = "one") -> None:
        self.session = Session(key=KEY, session=name)
        self._reception = reception

    def ask(self, kind: str = RUN, target: str = "shell", **content: Any) -> Msg:
        """A request; it is the parent of what answers it."""
        msg = self.session.msg(kind, content)
        self._reception.standin.request(target, self.parts(msg))
        return msg

    def parts(self, message: Msg) -> Parts:
        return self.session.serialize(message, ident=self.session.bsession)


def ids(held: list[Request]) -> list[str]:
    """Of what is held, in order."""
    return [id_of(read(parts)) for _, parts in held]
