"""What comes out of a session: what the bytes from its pipe mean. Made by session.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from . import control
from .codes import Farewell


@dataclass(frozen=True)
class Opened:
    """The other end has opened a channel."""

    channel: int
    kernel: str
    target: str


@dataclass  # not frozen: there are many, and freezing one takes longer than its use
class Data:
    """Bytes have come on a channel."""

    channel: int
    data: bytes


@dataclass(frozen=True)
class Finished:
    """The other end sends no more on this channel."""

    channel: int


@dataclass(frozen=True)
class Reset:
    """The other end has given a channel up."""

    channel: int
    reason: str


@dataclass(frozen=True)
class Drained:
    """A channel's queue at this end is short again: read on from the local socket."""

    channel: int


@dataclass(frozen=True)
class Controlled:
    """A control message has come."""

    message: control.Message


@dataclass(frozen=True)
class Goodbye:
    """The other end closes this pipe on purpose; `detail` is for people."""

    code: Farewell
    detail: str = ""


Event = Union[Opened, Data, Finished, Reset, Drained, Controlled, Goodbye]
