"""JSON into dataclasses, by their types; an error says where it was met.

Knows the types that results.py uses, and no others; keys that a dataclass does not have
are passed over. Called by results.py.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


class NotAReport(ValueError):
    """What was to be read is not a benchmark report."""


def read(kind: Any, value: Any, where: str) -> Any:
    """`value` as `kind`; `where` is its place, such as `report.figures[2].unit`."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _read_union(args, value, where)
    if origin is Literal:
        return _of(value in args, value, where, f"one of {', '.join(map(repr, args))}")
    if origin is list:
        _of(isinstance(value, list), value, where, "a list")
        return [read(args[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is tuple:
        right = isinstance(value, list) and len(value) == len(args)
        _of(right, value, where, f"a list of {len(args)}")
        items = enumerate(zip(args, value, strict=True))
        return tuple(read(each, item, f"{where}[{i}]") for i, (each, item) in items)
    if origin is dict:
        _of(isinstance(value, dict), value, where, "an object")
        return {k: read(args[1], item, f"{where}[{k!r}]") for k, item in value.items()}
    if is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    return _read_plain(kind, value, where)


def _read_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if type(value) in kinds:
        return value
    for kind in kinds:
        try:
            return read(kind, value, where)
        except NotAReport:
            if kind is not type(None) and kinds[-1] is type(None) and len(kinds) == 2:
                raise  # an optional thing: what is wrong with it says more
    names = ", ".join(kind.__name__ for kind in kinds)
    return _of(False, value, where, f"one of {names}")


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    _of(isinstance(value, dict), value, where, "an object")
    hints = get_type_hints(kind)
    arguments = {}
    for field in fields(kind):
        if field.name in value:
            place = f"{where}.{field.name}"
            arguments[field.name] = read(hints[field.name], value[field.name], place)
        elif field.default is MISSING:
            msg = f"{where} has no {field.name!r}"
            raise NotAReport(msg)
    try:
        return kind(**arguments)
    except ValueError as error:
        msg = f"{where}: {error}"
        raise NotAReport(msg) from error


def _read_plain(kind: type, value: Any, where: str) -> Any:
    if kind is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return _of(number, value, where, "a number")
    if kind is datetime:
        try:
            return datetime.fromisoformat(_of(isinstance(value, str), value, where, ""))
        except ValueError as error:
            msg = f"{where} is not a time: {value!r}"
            raise NotAReport(msg) from error
    return _of(type(value) is kind, value, where, f"of type {kind.__name__}")


def _of(right: bool, value: Any, where: str, expected: str) -> Any:
    if not right:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        msg = f"{where} is not {expected}: {shown}"
        raise NotAReport(msg)
    return value
