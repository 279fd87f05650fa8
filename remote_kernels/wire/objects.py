"""JSON that another process wrote: what it must be, or a RemoteProtocolError, and nothing else.

Python's own reader lets RecursionError out, and takes what nobody can write again:
NaN, numbers of any length, halves of surrogate pairs. Used by every decoder of JSON,
here and in front/.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any, NoReturn, TypeVar

from .codes import Code
from .frames import LocalProtocolError, RemoteProtocolError

DEPTH = 100  # objects and lists within each other; Python gives up at about 1000
_DIGITS = 20  # with a sign; reading more takes long
_INTEGERS = range(-(2**63), 2**64)
_CODES = {kind.__name__: kind for kind in Code.__subclasses__()}
# The types that a field may have, by its annotation.
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (float, int),
    "float | None": (float, int, type(None)),
    "dict[str, Any]": (dict,),
    "Mapping[str, Any]": (dict,),
    "Mapping[str, str]": (dict,),
    "list[dict[str, Any]]": (list,),
    "Sequence[str]": (list,),
    "Sequence[int] | None": (list, type(None)),
    **dict.fromkeys(_CODES, (str,)),
}
# And what is in them.
_ITEMS = {
    "Mapping[str, str]": "str",
    "list[dict[str, Any]]": "dict[str, Any]",
    "Sequence[str]": "str",
    "Sequence[int] | None": "int",
}
T = TypeVar("T")
_HALF_OF_A_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")


def _integer(text: str) -> int:
    if len(text) > _DIGITS or int(text) not in _INTEGERS:
        msg = f"a number of {len(text)} digits"
        raise ValueError(msg)
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        msg = f"{text[:40]} is too large"
        raise ValueError(msg)
    return number


def _constant(text: str) -> NoReturn:
    msg = f"{text} is no JSON"
    raise ValueError(msg)


_decoder = json.JSONDecoder(
    parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def encode(body: dict[str, Any], what: str, limit: int) -> bytes:
    """Return an object as JSON. Raises LocalProtocolError above `limit` bytes."""
    data = json.dumps(body).encode()  # what is not UTF-8 is escaped
    if len(data) > limit:
        msg = f"{what} has {len(data)} bytes (at most {limit})"
        raise LocalProtocolError(msg)
    return data


def decode(
    data: bytes, what: str, limit: int, errors: str = "surrogateescape"
) -> dict[str, Any]:
    """Return the object in `data`. Raises RemoteProtocolError.

    Parameters
    ----------
    data : bytes
        UTF-8.
    what : str
        What it is, for the error's text.
    limit : int
        How many bytes it may have.
    errors : str
        How its strings must let themselves be encoded: "surrogateescape", as file
        names and environments do, or "strict".
    """
    if len(data) > limit:
        msg = f"{what} has {len(data)} bytes (at most {limit})"
        raise RemoteProtocolError(msg)
    try:
        body = _decoder.decode(data.decode())
        if _HALF_OF_A_PAIR.search(data):
            json.dumps(body, ensure_ascii=False).encode(errors=errors)
    except (ValueError, RecursionError) as exc:
        msg = f"{what} is not JSON ({str(exc)[:200]}): {data[:200]!r}"
        raise RemoteProtocolError(msg) from exc
    if not isinstance(body, dict):
        msg = f"{what} is not an object: {data[:200]!r}"
        raise RemoteProtocolError(msg)
    if data.count(b"{") + data.count(b"[") > DEPTH and _is_deep(body):
        msg = f"{what} is nested more than {DEPTH} deep: {data[:200]!r}"
        raise RemoteProtocolError(msg)
    return body


def _is_deep(body: dict[str, Any]) -> bool:
    level: list[Any] = [body]
    for _ in range(DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def build(cls: type[T], body: dict[str, Any], what: str) -> T:
    """Return an object of a dataclass, made of what JSON has. Raises RemoteProtocolError.

    Its numbers are unsigned. What `body` has besides is of another version, and left out.
    """
    values = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type] # is a dataclass
        name, kind = field.name, str(field.type)
        if name in body:
            value = body[name]
            if not _fits(value, kind):
                msg = f"{what} that is none, by its {name}: {body!r:.200}"
                raise RemoteProtocolError(msg)
            values[name] = _CODES[kind](value) if kind in _CODES else value
    try:
        return cls(**values)
    except TypeError as exc:  # a field is missing
        msg = f"{what} that is none: {body!r:.200}"
        raise RemoteProtocolError(msg) from exc


def _fits(value: Any, kind: str) -> bool:
    if type(value) not in _TYPES[kind] or (isinstance(value, int) and value < 0):
        return False
    if kind not in _ITEMS or value is None:
        return True
    items = value.values() if isinstance(value, dict) else value
    return all(_fits(item, _ITEMS[kind]) for item in items)
