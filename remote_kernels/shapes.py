"""What the files of a record hold.

A file may be half a file, another program's, or one of a version to come: what has not
its shape is a ValueError that says where, and never a surprise later on. Keys that are
not known are kept, those that are missing get what older versions meant by that.
Called by records/, for each file by its name.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

FORMAT = 1  # of record.json; a higher one is a newer version's

Reader = Callable[[Any, str], Any]
_LARGEST = 2**53  # whole numbers that every JSON reader takes
_LAST_YEAR = 2.5e11  # seconds since the epoch; datetime goes no further
_JOB = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")  # its driver knows more
_REQUIRED = object()


def shaped(name: str, body: Any) -> dict[str, Any]:
    """Return the body of the file of that name, if it can be one. Raises ValueError."""
    reader = _agent if name.startswith("nodes/") else _FILES.get(name, _map(_any))
    found: dict[str, Any] = reader(body, "")
    return found


# What there may be


def _wrong(value: Any, where: str, wanted: str) -> ValueError:
    found = json.dumps(value)
    short = found if len(found) < 40 else f"{found[:40]}..."
    return ValueError(f"{where.lstrip('.') or 'it'} is {short}, not {wanted}")


def _any(value: Any, where: str) -> Any:
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _wrong(value, where, "a text")
    return value


def _number(value: Any, where: str) -> float:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not known or abs(value) > _LARGEST:
        raise _wrong(value, where, "a number")
    return float(value) if isinstance(value, float) else int(value)


def _time(value: Any, where: str) -> float:
    if not 0 <= _number(value, where) < _LAST_YEAR:
        raise _wrong(value, where, "a time")
    return _number(value, where)


def _whole(value: Any, where: str) -> int:
    if type(value) is not int:
        raise _wrong(value, where, "a whole number")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, where, "true or false")
    return value


def _pid(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise _wrong(value, where, "a process")
    return value


def _job(value: Any, where: str) -> str:
    """One that is none would spoil the question that is asked for all."""
    if not _JOB.fullmatch(_text(value, where)):
        raise _wrong(value, where, "a job")
    return str(value)


def _hexadecimal(value: Any, where: str) -> str:
    try:
        bytes.fromhex(_text(value, where))
    except ValueError:
        raise ValueError(f"{where.lstrip('.')} is not hexadecimal") from None  # noqa: EM102
    return str(value)


def _format(value: Any, where: str) -> int:
    if type(value) is not int:
        raise _wrong(value, where, "a number")
    if value > FORMAT:
        msg = (
            f"a newer version of remote_kernels wrote it (format {value}, not {FORMAT})"
        )
        raise ValueError(msg)
    return value


def _maybe(reader: Reader) -> Reader:
    return lambda value, where: None if value is None else reader(value, where)


def _list(reader: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list):
            raise _wrong(value, where, "a list")
        return [reader(one, f"{where}[{i}]") for i, one in enumerate(value)]

    return read


def _map(reader: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(value, where, "an object")
        return {key: reader(one, f"{where}.{key}") for key, one in value.items()}

    return read


def _object(fields: Mapping[str, tuple[Reader, Any]]) -> Reader:
    """Of these keys, each with what it is and what it is if it is missing."""

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(value, where, "an object")
        missing = [k for k, field in fields.items() if field[1] is _REQUIRED]
        missing = [key for key in missing if key not in value]
        if missing:
            msg = f"{', '.join(missing)} is missing{where and f' in {where[1:]}'}"
            raise ValueError(msg)
        found = dict(value)
        for key, (reader, default) in fields.items():  # a default is read: it is copied
            found[key] = reader(value.get(key, default), f"{where}.{key}")
        return found

    return read


def _request(value: Any, where: str) -> list[str]:
    target, *parts = _list(_text)(value, where) or [""]
    if target not in ("shell", "control", "stdin"):
        raise _wrong(target, where, "a channel")
    for part in parts:
        base64.b64decode(part, validate=True)
    return [target, *parts]


def _agent(value: Any, where: str) -> Any:
    if isinstance(value, dict) and "error" in value:
        return _object({"error": (_text, _REQUIRED)})(value, where)
    return _PLACE(value, where)


_REQUIRED_TEXT = (_text, _REQUIRED)
_PLACE = _object(
    {
        "socket": _REQUIRED_TEXT,
        "pyz": _REQUIRED_TEXT,
        "python": _REQUIRED_TEXT,
        "pid": (_pid, 0),
        "node": _REQUIRED_TEXT,
        "hostname": _REQUIRED_TEXT,
        "cluster": (_text, ""),
        "addresses": (_list(_text), []),
        "host_keys": (_list(_text), []),
    }
)
_CONNECTION = _object(
    {
        "transport": (_text, "tcp"),
        "key": _REQUIRED_TEXT,
        "signature_scheme": (_text, "hmac-sha256"),
    }
)
_KERNEL = _object(
    {
        "argv": (_list(_text), _REQUIRED),
        "env": (_map(_text), {}),
        "cwd": (_maybe(_text), None),
        "connection": (_CONNECTION, _REQUIRED),
    }
)
_SESSION = _object(
    {"path": (_text, ""), "name": (_maybe(_text), ""), "type": (_text, "notebook")}
)
_END = _object(
    {
        "word": _REQUIRED_TEXT,
        "exit_code": (_maybe(_whole), None),
        "signal": (_maybe(_whole), None),
        "text": (_text, ""),
        "cause": (_text, ""),
    }
)
_FILES: dict[str, Reader] = {
    "record.json": _object(
        {
            "format": (_format, FORMAT),
            "kernel_id": (_text, ""),
            "name": (_text, ""),
            "spec_name": (_text, ""),
            "scheduler": (_text, ""),
            "job_id": (_maybe(_job), None),
            "job_where": (_text, ""),
            "node": (_maybe(_text), None),
            "cluster": (_maybe(_text), None),
            "allocation": (_maybe(_text), None),
            "host": (_text, ""),
            "pid": (_pid, 0),
            "pid_start": (_number, 0),
            "directory": (_text, ""),
            "carrier": (_maybe(_text), None),
            "times": (_map(_time), {}),
            "end": (_maybe(_END), None),
        }
    ),
    "job.json": _object(
        {
            "format": (_format, FORMAT),
            "scheduler": (_text, ""),
            "cluster": (_maybe(_text), None),
            "job_id": (_maybe(_job), None),
            "job_where": (_text, ""),
            "name": (_text, ""),
            "script": (_maybe(_text), None),
            "notebook": (_maybe(_text), None),
            "result": (_maybe(_text), None),
            "report": (_maybe(_text), None),
            "log": (_maybe(_text), None),
            "times": (_map(_time), {}),
            "node": (_maybe(_text), None),
            "queue": (_maybe(_text), None),
            "end": (_maybe(_END), None),
        }
    ),
    "progress.json": _object(
        {
            "state": (_text, ""),
            "text": (_text, ""),
            "has_report": (_flag, False),
        }
    ),
    "spec.json": _object(
        {
            "agent": (_text, ""),
            "secret": (_hexadecimal, _REQUIRED),
            "keep": (_number, 0),
            "kernels": (_map(_KERNEL), {}),
        }
    ),
    "agent.json": _agent,
    "ended.json": _object({"reason": _REQUIRED_TEXT}),
    "sessions.json": _map(_SESSION),
    "held.json": _object({"held": (_list(_request), _REQUIRED)}),
    "carriers.json": _map(
        _object({"carrier": _REQUIRED_TEXT, "time": (_number, _REQUIRED)})
    ),
}
