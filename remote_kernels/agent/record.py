"""The JSON files of a record, at the agent's end. See records/__init__.py."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from remote_kernels.relay import private


def read(record: str, name: str) -> dict[str, Any]:
    """Return the object in a file of a record. Raises OSError, ValueError."""
    with _opened(record, name) as (directory, file):
        text = private.read(directory, file)
    try:
        body = json.loads(text)
    except RecursionError:
        body = None
    if not isinstance(body, dict):
        msg = f"{name} in {record} holds no object"
        raise ValueError(msg)  # noqa: TRY004 - what json raises
    return body


def write(record: str, name: str, body: dict[str, Any]) -> None:
    """Write beside and rename, so that it is never half there. Raises OSError."""
    with _opened(record, name) as (directory, file):
        private.write(directory, file, json.dumps(body).encode())


def check(record: str, *names: str) -> None:
    """Raise OSError where others could have changed what is there."""
    with _opened(record, "") as (directory, _):
        for name in names:
            private.read(directory, name)


@contextlib.contextmanager
def _opened(record: str, name: str) -> Iterator[tuple[int, str]]:
    """Its directory, or the one in it that the name begins with; and the file's name."""
    above, id = os.path.split(record)
    base, kind = os.path.split(above)
    *below, file = name.split("/")
    with private.opened(base, kind, id, *below) as directory:
        yield directory, file
