"""The messages of channel 0. SPEC.md section 4.

Frozen dataclasses at both ends; JSON only here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Union

from . import objects
from .codes import Cause, ProcessState
from .frames import MAX_PAYLOAD, RemoteProtocolError


@dataclass(frozen=True)
class StartKernel:
    """End what runs of this kernel and start it again, as `spec` says."""

    kernel: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Signal:
    """Send `signum` to the kernel's process group."""

    kernel: str
    signum: int


@dataclass(frozen=True)
class Delivered:
    """Clients have this kernel's messages up to `through`.

    What is up to `forget` will not be asked for again. SPEC.md section 5.
    """

    kernel: str
    target: str
    through: int
    forget: int


@dataclass(frozen=True)
class Measure:
    """Tell what this kernel uses of its node: a `Usage` follows."""

    kernel: str


@dataclass(frozen=True)
class Stop:
    """End all kernels, then the agent, then the job."""


@dataclass(frozen=True)
class KernelState:
    """How a kernel is, and why: `cause` for programs, `detail` for people.

    `lacks`: a directory that it should have. Of a kernel that runs, the one where it
    was to begin; of one that failed, the node directory.
    """

    kernel: str
    incarnation: int
    state: ProcessState
    pid: int = 0
    exit_code: int | None = None
    signum: int | None = None
    output: str = ""
    cause: Cause = Cause.NONE
    detail: str = ""
    lacks: str = ""


@dataclass(frozen=True)
class Usage:
    """What a kernel uses of its node: percent of one CPU, bytes.

    None: not known (yet), or no limit. A GPU has index, name, utilization (percent),
    memory and memory_total. The last two are the node's memory, and what is free of it.
    """

    kernel: str
    cpu_percent: float | None
    cpus: int
    memory: int
    memory_limit: int | None
    gpus: list[dict[str, Any]]
    node_memory: int | None = None
    node_available: int | None = None


@dataclass(frozen=True)
class Stalled:
    """The agent did not run for so many seconds, and a kernel said much meanwhile.

    At least as much as its own socket keeps: it may have dropped the rest.
    """

    kernel: str
    seconds: float


@dataclass(frozen=True)
class Stopping:
    """The agent's last message."""


@dataclass(frozen=True)
class Unknown:
    """A message of another version: to be logged and ignored."""

    type: str


Message = Union[
    StartKernel,
    Signal,
    Delivered,
    Measure,
    Stop,
    KernelState,
    Usage,
    Stalled,
    Stopping,
    Unknown,
]

_TYPES: dict[str, Any] = {
    "start": StartKernel,
    "signal": Signal,
    "delivered": Delivered,
    "measure": Measure,
    "stop": Stop,
    "kernel": KernelState,
    "usage": Usage,
    "stalled": Stalled,
    "stopping": Stopping,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}


def encode(message: Message) -> bytes:
    """Return the payload of a CONTROL frame.

    Raises LocalProtocolError for a message that is too large for one.
    """
    name = _NAMES[type(message)]
    body = {"type": name, **dataclasses.asdict(message)}
    return objects.encode(body, f"a {name!r} message", MAX_PAYLOAD)


def decode(payload: bytes) -> Message:
    """Return the message in `payload`. Raises RemoteProtocolError if it is none.

    Fields that this version does not know are left out.
    """
    body = objects.decode(payload, "a control message", MAX_PAYLOAD)
    name = body.pop("type", None)
    if not isinstance(name, str):
        msg = f"a control message that is none: {payload[:200]!r}"
        raise RemoteProtocolError(msg)
    if name not in _TYPES:
        return Unknown(name)
    message: Message = objects.build(_TYPES[name], body, "a control message")
    return message
