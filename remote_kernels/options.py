"""An option of a kernelspec's `config`: its name, what it may be, and how it is read.

Rules: a reader takes a JSON value and returns ours, or raises ConfigError. Called by the
tables of options: ours in `config/options.py`, and that of each batch system.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from remote_kernels.errors import ConfigError

Value = str | int | bool


@dataclass(frozen=True)
class Kind:
    """What the value of an option may be.

    Parameters
    ----------
    kinds : tuple
        JSON's words for it: string, integer, number, boolean, list; and numbers for
        what is in a list.
    expected : str
        The same in words, for errors.
    read : callable
        Turns a JSON value into ours, or raises ConfigError (with a reason, where
        `expected` does not say it all).
    choices : tuple
        All that it can be, if these are few.
    bounds : tuple
        Of a number, or of each in a list, by the words of JSON Schema.
    pattern : str
        What text, also in a list, looks like, for JSON Schema (see `whole_text`); by
        default that of its reader, or any line.
    """

    kinds: tuple[str, ...]
    expected: str
    read: Callable[[object], Any]
    choices: tuple[str, ...] = ()
    bounds: tuple[tuple[str, float], ...] = ()
    pattern: str = ""

    @property
    def types(self) -> list[str]:
        """The words of JSON Schema for its kinds."""
        words = {"list": "array"}
        return [words.get(kind, kind) for kind in self.kinds if kind != "numbers"]

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as JSON Schema can say it."""
        types, bounds = self.types, dict(self.bounds)
        found: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
        pattern = self.pattern or getattr(self.read, "pattern", LINE)
        if "array" in types:
            text = {"type": "string", "pattern": self.pattern or ITEM}
            numbers = "numbers" in self.kinds
            found["items"] = {"type": "number", **bounds} if numbers else text
            pattern = self.pattern
        elif {"integer", "number"} & {*types}:
            for word, name in (("minimum", "least"), ("maximum", "most")):
                bound = getattr(self.read, name, None)
                found |= {word: bound} if bound is not None else {}
            found |= bounds
        if self.choices:
            found["enum"] = [*self.choices]
        elif "string" in types and pattern:
            found["pattern"] = pattern
        return found

    def plain(self, value: object) -> object:
        """Return a value as JSON has it, where only a number can be meant: 4 for "4", 4.0.

        Shells, addresses and those who write kernel.json by hand give numbers as text.
        """
        if isinstance(value, (list, tuple)):
            return [self.plain(each) for each in value]
        if isinstance(value, str) and "string" not in self.kinds:
            found = value.strip()
            if "integer" in self.kinds and re.fullmatch(r"[0-9]{1,18}", found):
                return int(found)
            if {"number", "numbers"} & {*self.kinds} and _NUMBER.fullmatch(found):
                return float(found)
        is_whole = isinstance(value, float) and value.is_integer()
        return int(value) if is_whole and "integer" in self.kinds else value  # type: ignore[call-overload]


@dataclass(frozen=True)
class Option:
    """One key of the kernelspec's `config`.

    Parameters
    ----------
    name : str
        Its name; "-" and "_" in it are the same.
    kind : Kind
        What its value may be.
    metavar : str
        What stands for the value in help texts.
    example : object
        A value.
    help : str
        What it does, in a sentence.
    short : str
        Its letter on the command line, with the hyphen; "" for none.
    portable : str
        Its name for all batch systems, if it has one: see PORTABLE.
    like : str
        What it is for, where others have something of the kind: one word for all.
    elsewhere : str
        What to say where a batch system cannot do that, after its title.
    instead_of : str
        The option of which the batch system takes this one or the other.
    is_plain : bool
        Whether it only says where, for how long and with how much a job runs, not what.
    title : str
        What people call it; by default its name, in words.
    """

    name: str
    kind: Kind
    metavar: str
    example: Any
    help: str
    short: str = ""
    portable: str = ""
    instead_of: str = ""
    like: str = ""
    elsewhere: str = ""
    is_plain: bool = True
    title: str = ""

    @property
    def label(self) -> str:
        """What a form calls it."""
        words = re.sub("[-_]", " ", self.name)
        return self.title or TITLES.get(self.portable) or words[:1].upper() + words[1:]


PORTABLE = {
    "queue": "Queue to submit to.",
    "account": "Account or project that pays for the job.",
    "time": "Time limit of the job, and so of the kernel.",
    "nodes": "Number of nodes; the kernel runs on the first.",
    "cores": "CPUs for the kernel.",
    "memory": "Memory on each node.",
    "gpus": "Number of GPUs.",
}
"""What every batch system can be asked for, under these names, and what that is."""
TITLES = {
    "queue": "Queue",
    "account": "Account",
    "time": "Time limit",
    "nodes": "Nodes",
    "cores": "Cores",
    "memory": "Memory",
    "gpus": "GPUs",
}
"""What people call them."""


def one_of(*choices: str) -> Kind:
    """Return the kind of an option that is one of these words."""
    expected = f"one of {', '.join(choices)}"
    return Kind(("string",), expected, choice(*choices), choices)


# Readers

LONGEST = 1e10  # seconds
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ENV_NAME = re.compile(r"[\w*?\[\]!-]+", re.ASCII)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
ITEM = r"^[^\x00-\x1f\x7f]+$"
"""Text in a list."""
LINE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
"""A line of text that has more than blanks."""
_BEGIN, _END = "^ *(?:", ") *$"
_LETTERS = r"A-Za-z0-9_\u00c0-\u1fff\u3040-\ud7ff"
_NOT = r"\x00-\x1f\x7f"  # in no text of ours
_WORDS = {
    r"\d": "[0-9]",
    r"\w": f"[{_LETTERS}]",
    r"\S": rf"[^\s{_NOT}]",
    ".": f"[^{_NOT}]",
    "[^": f"[^{_NOT}",
}
_WITHIN = {r"\d": "0-9", r"\w": _LETTERS}  # square brackets
_PIECE = re.compile(r"\\.|\(\?.|\[\^|.")


def text(value: object) -> str:
    """Read text of one line, without blanks around it."""
    if not isinstance(value, str) or not value.strip() or _CONTROL.search(value):
        raise ConfigError
    return value.strip()


def whole_text(pattern: str) -> str:
    """Return a pattern of JSON Schema for text that is that, in whatever case.

    Blanks may be around it. It means the same to Python and in a browser, for which digits
    and letters are others, and a schema has no flag for the case. No ranges of letters.
    """
    found, within = [], False
    for piece in _PIECE.findall(pattern):
        if piece.isalpha():
            both = f"{piece.upper()}{piece.lower()}"
            found.append(both if within else f"[{both}]")
        else:
            found.append((_WITHIN if within else _WORDS).get(piece, piece))
        within = (within or piece[0] == "[") and piece != "]"
    return f"{_BEGIN}{''.join(found)}{_END}"


@dataclass(frozen=True)
class _Matching:
    """A reader of text that a pattern of JSON Schema matches."""

    pattern: str

    def __call__(self, value: object) -> str:
        found = text(value)
        if not re.search(self.pattern, found):
            raise ConfigError
        return found


def matching(pattern: str) -> _Matching:
    """Return a reader of text that this pattern matches as a whole, in any case."""
    return _Matching(whole_text(pattern))


def whole(value: object, least: int = 1, most: int | None = None) -> int:
    """Read a whole number, also as text."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value.strip(), re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError
    if most is not None and value > most:
        raise ConfigError
    return value


@dataclass(frozen=True)
class _WholeOr(_Matching):
    """A reader of whole numbers, or of such text."""

    least: int
    most: int | None = None

    def __call__(self, value: object) -> Any:
        """Return a number as it is."""
        return super().__call__(value) if isinstance(value, str) else self.whole(value)

    def whole(self, value: object) -> Value:
        return whole(value, self.least, self.most)


class _NumberOr(_WholeOr):
    """The same, of whole numbers as text."""

    def whole(self, value: object) -> str:
        return str(whole(value, self.least, self.most))


def whole_or(pattern: str, least: int, most: int | None = None) -> _WholeOr:
    """Return a reader of whole numbers, or of text in the batch system's notation."""
    return _WholeOr(whole_text(pattern), least, most)


def number_or(pattern: str) -> _NumberOr:
    """Return a reader of text that looks like this, or of whole numbers as text."""
    return _NumberOr(whole_text(pattern), 0)


def seconds(value: object, least: float = 0) -> float:
    """Read a number of seconds above 0, also as text."""
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"\d+(\.\d+)?", value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError
    if not 0 < value < LONGEST or value < least:
        raise ConfigError
    return float(value)


def how_often(value: object) -> float:
    """Read a number of seconds, also as text: at least 1, or 0 for never."""
    if isinstance(value, str) and not value.strip().strip("0."):
        value = 0 if value.strip() else None
    if value == 0 and not isinstance(value, bool):
        return 0.0
    return max(1.0, seconds(value))


def _items(value: object) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError
    return tuple(value)


def spans(value: object) -> tuple[float, ...]:
    """Read a list of numbers of seconds; the longest comes first."""
    return tuple(sorted({seconds(item) for item in _items(value)}, reverse=True))


# A number alone means minutes to one batch system, and seconds or hours to another; so
# does 30:00.
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CLOCK = re.compile(r"(?:(\d{1,9})-)?(\d{1,9}):(\d{1,2}):(\d{1,2})", re.ASCII)
_UNITS = re.compile(r"(\d{1,12})([smhd])", re.ASCII | re.IGNORECASE)
_BYTES = re.compile(r"(\d{1,15})([KMGT])i?B?", re.ASCII | re.IGNORECASE)


def as_seconds(value: object) -> int:
    """Return the seconds of a time with a unit: 2:00:00, 1-12:00:00, 90m, 2h. ConfigError."""
    found = _CLOCK.fullmatch(text(value))
    if found:
        days, hours, minutes, rest = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    found = _UNITS.fullmatch(text(value))
    if not found:
        raise ConfigError
    return int(found[1]) * _SECONDS[found[2].lower()]


def in_units(value: object) -> str:
    """Return a number with s, m, h or d as H:MM:SS, which all know; "" of anything else."""
    if not isinstance(value, str) or not _UNITS.fullmatch(value.strip()):
        return ""
    seconds = as_seconds(value)
    if not 0 < seconds < LONGEST:
        raise ConfigError
    return clock(seconds)


def clock(seconds: int) -> str:
    """Return a time as most batch systems write it: H:MM:SS."""
    return f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"


def as_bytes(value: object) -> int:
    """Return the bytes of a size with a unit: 500M is 500 times 2**20. ConfigError."""
    found = _BYTES.fullmatch(text(value))
    if not found:
        raise ConfigError
    power = 1 + "KMGT".index(found[2].upper())
    return int(found[1]) << (10 * power)


def _duration(value: object) -> str:
    if not 0 < as_seconds(value) < LONGEST:
        raise ConfigError
    return text(value)


def _size(value: object) -> str:
    if as_bytes(value) == 0:
        raise ConfigError
    return text(value)


UNITS = r"(?=\d*[1-9])\d{1,12}[smhd]"
"""The pattern of a time with a unit; see `whole_text`."""
DURATION = Kind(
    ("string",),
    "a time with its unit: H:MM:SS, D-HH:MM:SS, or a number with s, m, h or d",
    _duration,
    pattern=whole_text(
        rf"(?=.*[1-9])(\d{{1,9}}-)?\d{{1,9}}:\d{{1,2}}:\d{{1,2}}|{UNITS}"
    ),
)
"""For batch systems that do not count as Slurm does."""
SIZE = Kind(
    ("string",),
    "a size with its unit: K, M, G or T",
    _size,
    pattern=whole_text(r"(?=\d*[1-9])\d{1,15}[KMGT]i?B?"),
)
"""The same, of memory."""


def choice(*choices: str) -> Callable[[object], str]:
    """Return a reader of one of these words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ConfigError
        return value

    return read


def texts(value: object) -> tuple[str, ...]:
    """Read a list of texts of one line."""
    found = _items(value)
    for item in found:
        if not isinstance(item, str) or not item or _CONTROL.search(item):
            raise ConfigError
    return found


def lines(value: object) -> tuple[str, ...]:
    """Read lines of text, given as a list or as one text."""
    parts = _items([value] if isinstance(value, str) else value)
    if not all(isinstance(part, str) and "\0" not in part for part in parts):
        raise ConfigError
    # Not splitlines(): only \n ends a line for the shell; \r\n comes from Windows.
    script = "\n".join(parts).replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    return tuple(script.split("\n")) if script.strip() else ()


def names(value: object) -> tuple[str, ...]:
    """Read names of variables, or patterns of them."""
    found = texts([value] if isinstance(value, str) else value)
    if not all(_ENV_NAME.fullmatch(name) for name in found):
        raise ConfigError
    return found


def address(value: object) -> str:
    """Read text in which {node} may stand for a node."""
    found = text(value)
    if re.search(r"[{}]", found.replace("{node}", "")):
        raise ConfigError
    return found
