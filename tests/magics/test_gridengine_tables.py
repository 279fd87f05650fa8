"""The tables of Grid Engine's commands, as captured from 8.1.9."""

from __future__ import annotations

import pytest

from magics.capture_gridengine import NAMES, TABLES
from magics.commands import captured
from remote_kernels.magics.gridengine import tables
from remote_kernels.magics.typed import Rows

USUAL = ["job-ID", "prior", "name", "user", "state", "submit/start at", "queue"]
USUAL += ["slots", "ja-task-ID"]
TICKETS = ["ntckts", "name", "user", "project", "department", "state", "cpu", "mem"]
TICKETS += ["io", "tckts", "ovrts", "jobshare", "otckt", "ftckt", "stckt", "share"]
HOST = [
    "HOSTNAME",
    "ARCH",
    "NCPU",
    "NSOC",
    "NCOR",
    "NTHR",
    "LOAD",
    "MEMTOT",
    "MEMUSE",
    "SWAPTO",
    "SWAPUS",
]
QUEUES = ["CLUSTER QUEUE", "CQLOAD", "USED", "RES", "AVAIL", "TOTAL", "aoACDS", "cdsuE"]
HEADERS = {
    "qstat": USUAL,
    "qstat-all": USUAL,
    "qstat-none": USUAL,
    "qstat-pri": [*USUAL[:2], "nurg", "npprior", "ntckts", "ppri", *USUAL[2:]],
    "qstat-queues": QUEUES,
    "qhost": HOST,
    "qhost-one": HOST,
}


def rows(name: str) -> Rows:
    found = tables.parse(captured(name, "gridengine-8.1.9").stdout)
    assert found is not None
    return found


def column(name: str, header: str) -> list[str | int]:
    found = rows(name)
    return [row[found.header.index(header)] for row in found.rows]


@pytest.mark.parametrize("name", HEADERS)
def test_a_layout(name: str) -> None:
    """It has the columns that the same options show on a screen."""
    command, *words = TABLES[name]

    assert [*captured(name, "gridengine-8.1.9").argv] == tables.argv(command, words)
    assert tuple(HEADERS[name]) == rows(name).header


def test_what_a_job_has_used() -> None:
    """Its columns come where the screen has them, and nothing is lost."""
    header = rows("qstat-ext").header

    assert tuple(TICKETS) == header[2 : 2 + len(TICKETS)]
    assert ("queue", "slots", "ja-task-ID") == header[-3:]
    assert "" == column("qstat-ext", "cpu")[0]  # it had just begun


def test_any_name_of_a_job() -> None:
    """It is whole, whatever it holds; 8.1.9 writes %lt; for <."""
    one, tasks, *waiting = NAMES

    assert [one, tasks, tasks, *waiting] == column("qstat", "name")


def test_counts_are_numbers() -> None:
    """Job numbers are none, as those of tasks show."""
    assert [4, 1, 1, 1, 1] == column("qstat", "slots")
    assert ["", "1", "2", "", "1-9:2"] == column("qstat", "ja-task-ID")
    assert all(isinstance(number, str) for number in column("qstat", "job-ID"))
    assert [16] == [row[5] for row in rows("qstat-queues").rows if row[0] == "debug.q"]


def test_when_and_where() -> None:
    """A job that runs has its start and its queue, one that waits its submission."""
    starts = column("qstat", "submit/start at")

    assert all(str(start).startswith("2026-11-29T") for start in starts)
    assert ["debug.q@c1"] * 3 + [""] * 2 == column("qstat", "queue")


def test_hosts() -> None:
    """Without the line `global`, which says nothing."""
    assert ["c1", "c2"] == column("qhost", "HOSTNAME")
    assert [2, 2] == column("qhost", "NCPU")
    assert ["c2"] == column("qhost-one", "HOSTNAME")


def test_an_empty_table() -> None:
    """It has its columns."""
    assert () == rows("qstat-none").rows


@pytest.mark.parametrize(
    "typed",
    [
        "qstat -f",
        "qstat -j 1",
        "qstat -xml",
        "qstat -F h_vmem",
        "qstat -r",
        "qstat -t",
        "qstat -g t",
        "qstat -ext -pri",
        "qstat -u",
        "qstat --unheard-of",
        "qhost -q",
        "qhost -j",
        "qhost -F",
    ],
)
def test_what_is_shown_as_text(typed: str) -> None:
    """Options that choose another form, and those that we do not know."""
    command, *words = typed.split()

    assert tables.argv(command, words) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "error: no",
        "<job_info><job_list><unheard_of>1</unheard_of></job_list></job_info>",
        "<a><job_list><slots>1</slots></job_list><host name='c1'/></a>",
    ],
)
def test_what_is_no_table(text: str) -> None:
    """A field that we do not know would be lost; two tables are none."""
    assert tables.parse(text) is None
