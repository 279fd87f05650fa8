"""What clients of the REST API send, parsed at the door.

Rules: pure; what is not known or not of its type is refused by its name, and nothing
is guessed. Called by the API's handlers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from remote_kernels.kernel.own_submission import A_NAME, ADDRESS, MAILS, NAME, Mail
from remote_kernels.kernel.ports import LARGEST_PORT, Target, Tcp, Unix

from .errors import Refusal

LOGS = ("job", "kernel")
LINES = 200  # of a log, unless asked for more
MOST_LINES = 10_000
MOST_MINUTES = 366 * 24 * 60
MOST_DIGITS = 30  # of a number, so that it is one that can be computed with
MOST_SHOWN = 10_000  # requests of cells, told of at once
MOST_EXACT = 2**53  # of the whole numbers that a float tells apart

# Jupyter's own; and JupyterLab's (4) number that keeps a browser from its cache.
_JUPYTERS = re.compile(r"token|_xsrf|no_track_activity|\d+")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,252}")
_PATH = re.compile(r"/[^\x00-\x1f\x7f]{1,106}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Query = Mapping[str, list[bytes]]


@dataclass(frozen=True)
class Start:
    """A kernel that is to be started; `options` go over the kernelspec's config."""

    name: str
    path: str | None
    options: Mapping[str, object]


@dataclass(frozen=True)
class Submit:
    """A script or a notebook that is to be submitted; `path` is below the root."""

    path: str
    is_notebook: bool
    name: str
    options: Mapping[str, object]
    mail: Mail | None
    kernelspec: str | None


@dataclass(frozen=True)
class LogPart:
    """The end of one of a kernel's logs; `follow`: and what is written from then on."""

    name: str
    lines: int
    follow: bool


@dataclass(frozen=True)
class Forward:
    """A port to be forwarded, also to a loopback port if one is given."""

    target: Target
    local_port: int | None


def start(body: bytes) -> Start:
    """Return what the body of POST kernels asks for. Raises Refusal, as all here."""
    fields = _fields(body, "name", "path", "options")
    if "name" not in fields:
        raise Refusal(400, "field 'name' is missing: the kernelspec to start")
    name = _text("name", fields["name"])
    path = _path(fields["path"]) if "path" in fields else None
    options = fields.get("options", {})
    if not isinstance(options, dict):
        raise Refusal(400, "field 'options' must be an object")
    return Start(name, path, options)


def job(body: bytes) -> Submit:
    """Return what the body of POST jobs wants to be submitted."""
    known = ("script", "notebook", "name", "options", "mail", "kernelspec")
    fields = _fields(body, *known)
    which = [name for name in ("script", "notebook") if name in fields]
    if len(which) != 1:
        raise Refusal(400, "one of the fields 'script' and 'notebook' must be given")
    (what,) = which
    path = _path(fields[what], what)
    name = fields.get("name", "")
    if name and not (isinstance(name, str) and NAME.fullmatch(name)):
        raise Refusal(400, f"field 'name' must be {A_NAME}")
    kernelspec = fields.get("kernelspec")
    options = fields.get("options", {})
    if not isinstance(options, dict):
        raise Refusal(400, "field 'options' must be an object")
    return Submit(
        path=path,
        is_notebook=what == "notebook",
        name=_text("name", name) if name != "" else "",
        options=options,
        mail=None if fields.get("mail") is None else _mail(fields["mail"]),
        kernelspec=None if kernelspec is None else _text("kernelspec", kernelspec),
    )


def _mail(value: object) -> Mail:
    if not isinstance(value, dict):
        raise Refusal(400, "field 'mail' must be an object")
    _check_names("field of 'mail'", value, ("on", "to"))
    on, to = value.get("on"), value.get("to")
    if not isinstance(on, list) or not on or any(each not in MAILS for each in on):
        text = f"a list of some of {', '.join(MAILS)}"
        raise Refusal(400, f"field 'on' of 'mail' must be {text}")
    if to is not None and not (isinstance(to, str) and ADDRESS.fullmatch(to)):
        raise Refusal(400, "field 'to' of 'mail' must be an address of mail")
    return Mail(tuple(each for each in MAILS if each in on), to or "")


def log_lines(query: Query) -> int:
    """Return how many lines the query of GET jobs/ID/log asks for."""
    return _lines(_query(query, "lines"))


def minutes(body: bytes) -> int:
    """Return by how many minutes the body of POST extend wants a job to go on."""
    value = _fields(body, "minutes").get("minutes")
    return _number_from("minutes", value, 1, MOST_MINUTES)


def requests(body: bytes) -> list[str]:
    """Return which requests the body of POST cells/shown names."""
    value = _fields(body, "requests").get("requests")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Refusal(400, "field 'requests' must be a list of the requests' IDs")
    if len(value) > MOST_SHOWN:
        raise Refusal(400, f"field 'requests' must have at most {MOST_SHOWN}")
    return value


def forward(body: bytes) -> Forward:
    """Return what the body of POST ports wants to be forwarded."""
    fields = _fields(body, "port", "host", "socket", "local_port")
    local = fields.get("local_port")
    if local is not None:
        _number_from("local_port", local, 0, LARGEST_PORT)
    if "socket" in fields:
        if "port" in fields or "host" in fields:
            raise Refusal(400, "field 'socket' goes without 'port' and 'host'")
        return Forward(Unix(_socket(fields["socket"])), local)
    port = fields.get("port")
    if port is None:
        raise Refusal(400, "field 'port' is missing: the port on the kernel's node")
    _number_from("port", port, 1, LARGEST_PORT)
    host = fields.get("host")
    if host is not None and not (isinstance(host, str) and _HOST.fullmatch(host)):
        raise Refusal(400, "field 'host' must be the name of a host, or its address")
    return Forward(Tcp(port, host or ""), local)


def _number_from(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal(400, f"field '{name}' must be a whole number")
    if not least <= value <= most:
        raise Refusal(400, f"field '{name}' must be from {least} to {most}")
    return value


def _socket(value: object) -> str:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise Refusal(400, "field 'socket' must be the path of a Unix socket, from /")
    return value


def log_part(query: Query) -> LogPart:
    """Return which part of which log the query of GET log asks for."""
    given = _query(query, "name", "lines", "follow")
    name = given.get("name", "job")
    if name not in LOGS:
        raise Refusal(400, f"parameter 'name' must be one of {', '.join(LOGS)}")
    return LogPart(name, _lines(given), _is_true("follow", given))


def _lines(given: Mapping[str, str]) -> int:
    lines = given.get("lines", str(LINES))
    if not re.fullmatch(r"[1-9][0-9]{0,4}", lines) or int(lines) > MOST_LINES:
        raise Refusal(400, f"parameter 'lines' must be from 1 to {MOST_LINES}")
    return int(lines)


def with_ended(query: Query) -> bool:
    """Return whether the query of GET kernels asks for those that have ended, too."""
    return _is_true("ended", _query(query, "ended"))


def _is_true(name: str, given: Mapping[str, str]) -> bool:
    value = given.get(name, "false")
    if value not in ("true", "false"):
        raise Refusal(400, f"parameter '{name}' must be true or false")
    return value == "true"


def no_body(body: bytes) -> None:
    """Check that a body asks for nothing: it is empty, or an object without fields."""
    if body:
        _fields(body)


def kernelspec(query: Query) -> str:
    """Return of which kernelspec the query of GET options wants to know."""
    return _required(query, "name", "the kernelspec")


def scheduler(query: Query) -> str:
    """Return of which batch system the query of GET queues wants to know."""
    return _required(query, "scheduler", "a batch system, or auto")


def _required(query: Query, name: str, what: str) -> str:
    value = _query(query, name).get(name)
    if value is None:
        raise Refusal(400, f"parameter '{name}' is missing: {what}")
    return value


def nothing(query: Query) -> None:
    """Check that a query asks for nothing, as there is nothing to ask for."""
    _query(query)


def _query(query: Query, *known: str) -> dict[str, str]:
    given = {name: v for name, v in query.items() if not _JUPYTERS.fullmatch(name)}
    _check_names("parameter", given, known)
    for name, values in given.items():
        if len(values) > 1:
            raise Refusal(400, f"parameter '{name}' is given twice")
    return {name: v[0].decode(errors="replace") for name, v in given.items()}


def _fields(body: bytes, *known: str) -> dict[str, Any]:
    try:
        fields = json.loads(
            body, parse_int=_whole, parse_float=_number, parse_constant=_no_number
        )
        json.dumps(fields, ensure_ascii=False).encode()  # no half characters
    except (ValueError, RecursionError) as exc:
        raise Refusal(400, f"the body is not JSON in UTF-8: {exc}") from exc
    if not isinstance(fields, dict):
        raise Refusal(400, "the body must be a JSON object")
    _check_names("field", fields, known)
    return fields


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        msg = f"{text[:MOST_DIGITS]}... is too large"
        raise ValueError(msg)
    return int(text)


def _number(text: str) -> float:
    """5.0 is 5: JSON has but one kind of numbers."""
    value = float(text)
    is_whole = value.is_integer() and abs(value) < MOST_EXACT
    return int(value) if is_whole else value


def _no_number(text: str) -> float:
    msg = f"{text} is not JSON"
    raise ValueError(msg)


def _check_names(what: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        there_is = f"known: {', '.join(known)}" if known else "none is known"
        raise Refusal(400, f"unknown {what} '{unknown[0]}'; {there_is}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise Refusal(400, f"field '{name}' must be text, on one line")
    return value


def _path(value: object, name: str = "path") -> str:
    """Below the server's root directory, as in all of Jupyter's APIs."""
    if value == "":
        return ""
    path = _text(name, value)
    if ".." in path.split("/"):
        raise Refusal(400, f"field '{name}' must not climb out with '..'")
    return path
