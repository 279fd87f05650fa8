"""Tables of qstat and qhost that can be read without guessing.

On a screen names are cut, so both are asked for XML. Its fields go by the names of the
screen's columns, and only those are asked for that the user would see.

Rules: pure. What is not understood is None, and then shown as text. Called by
`commands.py`. Quirks were seen on 8.1.9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from remote_kernels.magics.typed import Rows

# Options under which the table is one still, and how many words follow each. Those that
# mix tables (-f, -F, -j, -q of qhost) or show more than XML has (-t, -r) are no such.
_OPTIONS: Mapping[str, Mapping[str, int]] = {
    "qstat": {
        **dict.fromkeys(("-ext", "-pri", "-ne", "-ncb"), 0),
        **dict.fromkeys(("-g", "-l", "-pe", "-q", "-qs", "-s", "-u", "-U"), 1),
    },
    "qhost": {"-ncb": 0, "-h": 1, "-l": 1},
}
_EXTENDED = {"-ext", "-pri"}  # each a layout of its own; together they mix
_ROWS = {"job_list", "cluster_queue_summary", "host"}

# XML's words, by the screen's; in the screen's order.
_JOBS = {
    "job-ID": "JB_job_number",
    "prior": "JAT_prio",
    "nurg": "JB_nurg",
    "npprior": "JB_nppri",
    "ntckts": "JAT_ntix",
    "ppri": "JB_priority",
    "name": "JB_name",
    "user": "JB_owner",
    "project": "JB_project",
    "department": "JB_department",
    "state": "state",
    "submit/start at": "JAT_start_time JB_submission_time",
    "cpu": "cpu_usage",
    "mem": "mem_usage",
    "io": "io_usage",
    "tckts": "tickets",
    "ovrts": "JB_override_tickets",
    "jobshare": "JB_jobshare",
    "otckt": "otickets",
    "ftckt": "ftickets",
    "stckt": "stickets",
    "share": "JAT_share",
    "queue": "queue_name",
    "jclass": "jclass_name",  # Univa's
    "master": "master",
    "slots": "slots",
    "ja-task-ID": "tasks",
}
_USUAL = (
    *("job-ID", "prior", "name", "user", "state", "submit/start at", "queue"),
    *("slots", "ja-task-ID"),
)
_PERHAPS = ("ja-task-ID",)  # on the screen, but in XML only if there is an array
_QUEUES = {
    "CLUSTER QUEUE": "name",
    "CQLOAD": "load",
    "USED": "used",
    "RES": "resv",
    "AVAIL": "available",
    "TOTAL": "total",
    "aoACDS": "temp_disabled",
    "cdsuE": "manual_intervention",
}
_HOSTS = {
    "HOSTNAME": "name",
    "ARCH": "arch_string",
    "NCPU": "num_proc",
    "NSOC": "m_socket",
    "NCOR": "m_core",
    "NTHR": "m_thread",
    "LOAD": "load_avg",
    "MEMTOT": "mem_total",
    "MEMUSE": "mem_used",
    "SWAPTO": "swap_total",
    "SWAPUS": "swap_used",
}
# Columns that count something. Job numbers are none: they are names.
_COUNTS = {"slots", "ppri", "NCPU", "NSOC", "NCOR", "NTHR", "tckts", *_QUEUES}
_COUNTS -= {"CLUSTER QUEUE", "CQLOAD"}

Record = Mapping[str, str]


def argv(command: str, words: Sequence[str]) -> list[str] | None:
    """Return a command whose output `parse` can read; None if there is none."""
    known, rest = _OPTIONS[command], [*words]
    while rest:
        option = rest.pop(0)
        follow = known.get(option)
        if follow is None or len(rest) < follow:
            return None
        del rest[:follow]
    mixed = len(_EXTENDED & {*words}) > 1 or {"-g", "t"} <= {*words}
    return None if mixed else [command, *words, "-xml"]


def parse(text: str) -> Rows | None:
    """Return the table that such a command printed; None if it is none."""
    try:
        top = ElementTree.fromstring(text)  # noqa: S314 - of the batch system's own
    except ElementTree.ParseError:
        return None
    found = [element for element in top.iter() if element.tag in _ROWS]
    kinds = {element.tag for element in found}
    if len(kinds) > 1:
        return None
    if "host" in kinds:
        return _table(_HOSTS, (), [r for r in map(_host, found) if _is_real(r)])
    if "cluster_queue_summary" in kinds:
        return _table(_QUEUES, (), [*map(_record, found)])
    return _table(_JOBS, _PERHAPS if found else _USUAL, [*map(_record, found)])


def _record(element: ElementTree.Element) -> Record:
    """8.1.9 writes %lt; for <."""
    said = {each.tag: (each.text or "").strip() for each in element}
    return {tag: text.replace("%lt;", "<") for tag, text in said.items()}


def _host(element: ElementTree.Element) -> Record:
    values = {each.get("name", ""): (each.text or "").strip() for each in element}
    return {**values, "name": element.get("name", "")}


def _is_real(host: Record) -> bool:
    """`global` stands for what all hosts have, and says nothing in this table."""
    return host["name"] != "global"


def _table(
    columns: Mapping[str, str], always: Sequence[str], records: Sequence[Record]
) -> Rows | None:
    """Return the columns that some record has, and these."""
    names = {name: column for column, tags in columns.items() for name in tags.split()}
    told = {tag for record in records for tag in record}
    if told - names.keys():
        return None  # which would be lost
    there = {names[tag] for tag in told} | {*always}
    header = tuple(column for column in columns if column in there)
    made = [
        _column(column, [_field(record, columns[column]) for record in records])
        for column in header
    ]
    return Rows(header, tuple(zip(*made, strict=True)))


def _field(record: Record, tags: str) -> str:
    return next((record[tag] for tag in tags.split() if record.get(tag)), "")


def _column(name: str, values: Sequence[str]) -> list[str | int]:
    if name in _COUNTS and all(re.fullmatch(r"-?\d+", value) for value in values):
        return [int(value) for value in values]
    return [*values]
