"""Tables of squeue, sinfo and sacct that can be read without guessing.

Columns on a screen are cut and padded, and a job's name may hold any character, even
bars and line ends. So the fields are asked for with separators that no name holds, and
only those that the user would see: a format of the user's is kept, without its widths.

Rules: pure. What is not understood is None, and then shown as text. Called by
`commands.py`. Quirks were seen on 22.05.8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from remote_kernels.magics.typed import Rows

from .options import Scanned, scan, table

FIELD = "\x1f"  # ASCII's own separators of fields and of records
RECORD = "\x1e"

_OPTIONS = {
    "squeue": table(
        flags="a:all r:array array-unique hide l:long me noconvert P:priority start",
        valued="A:account o:format L:licenses n:name w:nodelist p:partition q:qos "
        "R:reservation S:sort state t:states u:user users",
        perhaps="j:jobs s:steps",
    ),
    "sinfo": table(
        flags="a:all d:dead e:exact hide R:list-reasons l:long noconvert N:Node "
        "r:responding s:summarize",
        valued="o:format n:nodes p:partition S:sort t:states",
    ),
    "sacct": table(
        flags="X:allocations a:allusers b:brief D:duplicates l:long noconvert "
        "P:parsable2 T:truncate",
        valued="A:accounts x:associations C:constraints E:endtime F:flags o:format "
        "g:gid group j:jobs name I:ncpus i:nnodes N:nodelist r:partition q:qos R:reason "
        "S:starttime s:state K:timelimit-max k:timelimit-min uid units u:user W:wckeys "
        "whole-hetjob",
    ),
}

# The fields of each layout, by the options that choose it.
_LAYOUTS: Mapping[str, Mapping[frozenset[str], str]] = {
    "squeue": {
        frozenset(): "iPjutMDR",
        frozenset({"long"}): "iPjuTMlDR",
        frozenset({"start"}): "iPjutSDYR",
        frozenset({"steps"}): "ijPuMN",
    },
    "sinfo": {
        frozenset(): "PalDtN",
        frozenset({"long"}): "PalsrhgDTN",
        frozenset({"Node"}): "NDPt",
        frozenset({"Node", "long"}): "NDPTczmdwfE",
        frozenset({"summarize"}): "PalFN",
        frozenset({"list-reasons"}): "EuHN",
        frozenset({"list-reasons", "long"}): "EUHtN",
    },
}

# Columns that count something. Job ids are no numbers: think of 12_3 and 12+0.
_COUNTS = re.compile(
    "NODES|CPUS|MEMORY|TMP_DISK|WEIGHT|AllocCPUS|AllocNodes|NCPUS|NNodes|NTasks|"
    "ReqCPUS|ReqNodes|Restarts"
)


def argv(
    command: str, words: Sequence[str], environ: Mapping[str, str]
) -> list[str] | None:
    """Return a command whose output `parse` can read; None if there is none."""
    scanned = scan(words, _OPTIONS[command])
    if scanned is None:
        return None
    if command == "sacct":
        return ["sacct", *words, "--parsable2", f"--delimiter={FIELD}"]
    fields = _fields(command, scanned, environ)
    if fields is None:
        return None
    wanted = FIELD.join(f"%{letter}" for letter in fields) + RECORD
    # --long and --format exclude each other.
    plain = scanned.without("format", "long")
    chosen = Scanned(plain.options, ()).words()
    return [command, *chosen, f"--format={wanted}", *plain.others]


def parse(text: str) -> Rows | None:
    """Return the table that such a command printed; None if it is none."""
    ending = f"{RECORD}\n" if RECORD in text else "\n"
    *lines, rest = text.split(ending)
    cells = [line.split(FIELD) for line in lines]
    if rest or not cells or len({len(row) for row in cells}) != 1:
        return None
    header, *rows = cells
    columns = [_column(*column) for column in zip(header, *rows, strict=True)]
    body = zip(*columns, strict=True) if rows else ()
    return Rows(tuple(header), tuple(body))


def plain(text: str) -> str:
    """Return what `parse` could not read, in a form for people."""
    return text.replace(f"{RECORD}\n", "\n").replace(FIELD, "|")


def _fields(command: str, scanned: Scanned, environ: Mapping[str, str]) -> str | None:
    """Return the letters of the fields that the user would see."""
    own = scanned.value("format")
    if own is not None:
        return None if "long" in scanned.names else _letters(own)
    layouts, variable = _LAYOUTS[command], f"{command.upper()}_FORMAT"
    chosen = frozenset(scanned.names).intersection(frozenset[str]().union(*layouts))
    # With these set, what a user sees is not the usual layout: words, and letters.
    if not chosen and environ.get(f"{variable}2"):
        return None
    if not chosen and environ.get(variable):
        return _letters(environ[variable])
    return layouts.get(chosen)


def _letters(format: str) -> str | None:
    """Return the fields of a format such as "%.18i %9P|%j"; None if it holds more.

    "%%" and "%all" are no fields.
    """
    found = re.findall(r"%[.#]*\d*([A-Za-z])", format)
    if not found or len(found) != format.count("%") or "%all" in format:
        return None
    return "".join(found)


def _column(name: str, *values: str) -> list[str | int]:
    if _COUNTS.fullmatch(name) and all(re.fullmatch(r"\d+", value) for value in values):
        return [int(value) for value in values]
    return list(values)
