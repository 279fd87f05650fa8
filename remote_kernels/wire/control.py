"""The messages of channel 0. SPEC.md section 4.

Frozen dataclasses at both ends; JSON only here.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Union

from . import objects
from .codes import Cause, Code, ProcessState
from .frames import MAX_PAYLOAD, LocalProtocolError, RemoteProtocolError


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
    memory and memory_total.
    """

    kernel: str
    cpu_percent: float | None
    cpus: int
    memory: int
    memory_limit: int | None
    gpus: list[dict[str, Any]]


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
    StartKernel, Signal, Delivered, Stop, KernelState, Usage, Stalled, Stopping, Unknown
]

_TYPES: dict[str, Any] = {
    "start": StartKernel,
    "signal": Signal,
    "delivered": Delivered,
    "stop": Stop,
    "kernel": KernelState,
    "usage": Usage,
    "stalled": Stalled,
    "stopping": Stopping,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}

_CODES: dict[str, type[Code]] = {"ProcessState": ProcessState, "Cause": Cause}

# What JSON may have for a field, by its annotation.
_ACCEPTED: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (float, int),
    "float | None": (float, int, type(None)),
    "dict[str, Any]": (dict,),
    "list[dict[str, Any]]": (list,),
    **dict.fromkeys(_CODES, (str,)),
}


def encode(message: Message) -> bytes:
    """Return the payload of a CONTROL frame.

    Raises LocalProtocolError for a message that is too large for one.
    """
    name, body = _NAMES[type(message)], dataclasses.asdict(message)
    payload = json.dumps({"type": name, **body}).encode()
    if len(payload) > MAX_PAYLOAD:
        msg = f"a {name!r} message has {len(payload)} bytes (at most {MAX_PAYLOAD})"
        raise LocalProtocolError(msg)
    return payload


def decode(payload: bytes) -> Message:
    """Return the message in `payload`. Raises RemoteProtocolError if it is none.

    Fields that this version does not know are left out.
    """
    body = objects.decode(payload, "a control message", MAX_PAYLOAD)
    name = body.pop("type", None)
    if not isinstance(name, str):
        msg = f"a control message that is none: {payload[:200]!r}"
        raise RemoteProtocolError(msg)
    cls = _TYPES.get(name)
    if cls is None:
        return Unknown(name)
    kinds = {field.name: str(field.type) for field in dataclasses.fields(cls)}
    values = {k: v for k, v in body.items() if k in kinds}
    for field, value in values.items():
        kind = kinds[field]
        if not _fits(value, _ACCEPTED[kind]):
            msg = f"a control message that is none, by its {field}: {payload[:200]!r}"
            raise RemoteProtocolError(msg)
        if kind in _CODES:
            values[field] = _CODES[kind](value)
    try:
        message: Message = cls(**values)
    except TypeError as exc:  # a field is missing
        msg = f"a control message that is none: {payload[:200]!r}"
        raise RemoteProtocolError(msg) from exc
    return message


def _fits(value: object, types: tuple[type, ...]) -> bool:
    if isinstance(value, list):
        return list in types and all(isinstance(item, dict) for item in value)
    return isinstance(value, types) and not isinstance(value, bool)
