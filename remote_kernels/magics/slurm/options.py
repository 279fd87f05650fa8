"""The words after a command's name, as its options.

Rules: pure. Only options that are known: a magic that does not understand what was
typed passes it on unchanged. Called by `tables.py` and `own_job.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Long name: its letter, then "=" if a value must follow, "?" if one may (`-j3`, `-j`).
Table = Mapping[str, str]


def table(*, flags: str, valued: str, perhaps: str = "") -> Table:
    """Return a table of options, each a word: its name, or "LETTER:NAME".

    Parameters
    ----------
    flags, valued, perhaps : str
        Those that take no value, those that must have one, and those that may.
    """
    kinds = {"": flags, "=": valued, "?": perhaps}
    found: dict[str, str] = {}
    for kind, words in kinds.items():
        for word in words.split():
            letter, _, name = word.rpartition(":")
            found[name] = letter + kind
    return found


@dataclass(frozen=True)
class Scanned:
    """Options by their long names, in order, and the other words."""

    options: tuple[tuple[str, str | None], ...]
    others: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names of the options."""
        return [name for name, _ in self.options]

    def value(self, name: str) -> str | None:
        """Return the option's last value, which is the one that counts."""
        found = [value for option, value in self.options if option == name]
        return found[-1] if found else None

    def without(self, *names: str) -> Scanned:
        """Return a copy without these options."""
        kept = tuple(pair for pair in self.options if pair[0] not in names)
        return Scanned(kept, self.others)

    def words(self) -> list[str]:
        """Return the words as one would type them."""
        options = [f"--{n}" if v is None else f"--{n}={v}" for n, v in self.options]
        return [*options, *self.others]


def scan(words: Sequence[str], table: Table) -> Scanned | None:
    """Return the options among these words; None if one is not in the table."""
    letters = {form[0]: name for name, form in table.items() if form.strip("=?")}
    found: list[tuple[str, str | None]] = []
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return Scanned(tuple(found), (*others, *rest))
        if not word.startswith("-") or word == "-":
            others.append(word)
            continue
        if word.startswith("--"):
            pairs = _long(word, rest, table)
        else:
            pairs = _short(word, rest, table, letters)
        if pairs is None:
            return None
        found += pairs
    return Scanned(tuple(found), tuple(others))


Pairs = list[tuple[str, "str | None"]]


def _long(word: str, rest: list[str], table: Table) -> Pairs | None:
    name, equals, value = word[2:].partition("=")
    if name not in table:
        return None
    if equals:
        return [(name, value)] if table[name][-1:] in ("=", "?") else None
    if not table[name].endswith("="):
        return [(name, None)]
    return [(name, rest.pop(0))] if rest else None


def _short(
    word: str, rest: list[str], table: Table, letters: Mapping[str, str]
) -> Pairs | None:
    """Return the options in a word of letters; the last one may have a value."""
    found: Pairs = []
    cluster = word[1:]
    while cluster:
        name = letters.get(cluster[0])
        cluster = cluster[1:]
        if name is None:
            return None
        value: str | None = None
        if table[name][-1:] in ("=", "?") and cluster:
            value, cluster = cluster, ""
        elif table[name].endswith("="):
            if not rest:
                return None
            value = rest.pop(0)
        found.append((name, value))
    return found
