"""The one JSON Schema (draft 2020-12) of what may be in a config: forms and doors alike.

Rules: made of the tables of options alone. What it refuses, `parse` refuses; the readers of
the tables refuse a little more, which JSON Schema cannot say: further arguments of the
batch system's command that would undo ours, and what a calendar has no place for. The
library is loaded with the first value, as commands that parse none do not wait for it.
Called by `parse` and `schema`, in `__init__.py` here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from remote_kernels.options import PORTABLE, Kind, Option
from remote_kernels.scheduler.driver import Driver

from .options import OPTIONS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SIMPLE = ("time", "memory", "cores", "gpus", "queue", "account")
"""What most choose, by the names that all batch systems share."""


def refuses(kind: Kind, value: object) -> bool:
    """Return whether the schema of an option does not take this value."""
    return not _validator(kind).is_valid(value)


@functools.cache
def _validator(kind: Kind) -> Any:
    from jsonschema import Draft202012Validator  # 0.1 s

    return Draft202012Validator(kind.schema)


def schema_of(driver: Driver, defaults: Mapping[str, object]) -> dict[str, Any]:
    """Return the schema of a config for a batch system.

    Its options have their own names, and the portable ones besides. What a form needs to
    know beyond JSON Schema is in words with "x-": `x-simple`, the names for a first
    page; of a property, `x-option`, whose other name it is, `x-portable`, that other name,
    and `x-execute`, where only who may run code may set it.

    Parameters
    ----------
    driver : Driver
        The batch system.
    defaults : mapping
        What counts where nothing is given, as JSON, by its own names.
    """
    others = {
        own.portable: own.name
        for own in driver.options
        if own.portable and own.portable != own.name
    }
    portable = {own.portable: own for own in driver.options if own.portable}
    found: dict[str, Any] = {}
    for name in PORTABLE:
        if name in portable:
            found[name] = property_of(portable[name], defaults)
        if name in others:
            found[name]["x-option"] = others[name]
    for option in (*driver.options, *OPTIONS):
        found.setdefault(option.name, property_of(option, defaults))
    for name, own_name in others.items():
        found[own_name]["x-portable"] = name
    twice = [{"required": [*names]} for names in others.items()]
    return {
        "$schema": DIALECT,
        "title": driver.title,
        "type": "object",
        "properties": found,
        "additionalProperties": False,
        **({"not": {"anyOf": twice}} if twice else {}),
        "x-simple": [name for name in SIMPLE if name in portable],
    }


def property_of(option: Option, defaults: Mapping[str, object]) -> dict[str, Any]:
    """Return the schema of an option, with what people are told of it."""
    found = {
        "title": option.label,
        "description": option.help,
        **option.kind.schema,
        "examples": [option.example],
    }
    if option.name in defaults:
        found["default"] = defaults[option.name]
    return found if option.is_plain else {**found, "x-execute": True}


def or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a value that may be null as well, which takes an option out."""
    types = schema["type"]
    found = {
        **schema,
        "type": [*([types] if isinstance(types, str) else types), "null"],
    }
    return {**found, "enum": [*schema["enum"], None]} if "enum" in schema else found


def properties(options: Iterable[Option]) -> dict[str, Any]:
    """Return the schemas of options, by all their names."""
    return {
        name: property_of(option, {})
        for option in options
        for name in filter(None, (option.name, option.portable))
    }
