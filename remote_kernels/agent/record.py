"""The JSON files of a record, at the agent's end. See registry.py."""

from __future__ import annotations

import json
import os
from typing import Any


def read(record: str, name: str) -> dict[str, Any]:
    """Raises OSError, ValueError."""
    with open(os.path.join(record, name), encoding="utf-8") as file:
        body = json.load(file)
    if not isinstance(body, dict):
        msg = f"{name} in {record} holds no object"
        raise ValueError(msg)  # noqa: TRY004 - what json raises
    return body


def write(record: str, name: str, body: dict[str, Any]) -> None:
    """Written beside and renamed, so never half there. Raises OSError."""
    path = os.path.join(record, name)
    fd = os.open(f"{path}.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(body, file)
    os.replace(f"{path}.tmp", path)
