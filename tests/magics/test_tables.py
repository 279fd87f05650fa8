"""The tables of Slurm's commands, as captured from Slurm 22.05."""

from __future__ import annotations

import pytest

from magics.capture import NAMES, TABLES
from magics.commands import captured
from remote_kernels.magics.slurm import tables
from remote_kernels.magics.slurm.tables import FIELD, RECORD
from remote_kernels.magics.typed import Rows

HEADERS = {
    "squeue": "JOBID PARTITION NAME USER ST TIME NODES NODELIST(REASON)",
    "squeue-long": "JOBID PARTITION NAME USER STATE TIME TIME_LIMIT NODES "
    "NODELIST(REASON)",
    "squeue-start": "JOBID PARTITION NAME USER ST START_TIME NODES SCHEDNODES "
    "NODELIST(REASON)",
    "squeue-format": "JOBID PARTITION NAME",
    "squeue-steps": "STEPID NAME PARTITION USER TIME NODELIST",
    "squeue-no-user": "JOBID PARTITION NAME USER ST TIME NODES NODELIST(REASON)",
    "sinfo": "PARTITION AVAIL TIMELIMIT NODES STATE NODELIST",
    "sinfo-long": "PARTITION AVAIL TIMELIMIT JOB_SIZE ROOT OVERSUBSCRIBE GROUPS NODES STATE "
    "NODELIST",
    "sinfo-node": "NODELIST NODES PARTITION STATE",
    "sinfo-node-long": "NODELIST NODES PARTITION STATE CPUS S:C:T MEMORY TMP_DISK "
    "WEIGHT AVAIL_FEATURES REASON",
    "sinfo-summarize": "PARTITION AVAIL TIMELIMIT NODES(A/I/O/T) NODELIST",
    "sinfo-reasons": "REASON USER TIMESTAMP NODELIST",
    "sinfo-reasons-long": "REASON USER TIMESTAMP STATE NODELIST",
}


def rows(name: str) -> Rows:
    found = tables.parse(captured(name).stdout)
    assert found is not None
    return found


@pytest.mark.parametrize("name", TABLES)
def test_a_layout(name: str) -> None:
    """It has the columns that the same options show on a screen."""
    command, *words = TABLES[name]

    assert list(captured(name).argv) == tables.argv(command, words, {})
    assert tuple(HEADERS[name].split()) == rows(name).header


@pytest.mark.parametrize("name", ["squeue", "squeue-long", "squeue-format"])
def test_any_name_of_a_job(name: str) -> None:
    """Bars, spaces, commas, quotes, a line end: the name is whole."""
    found = rows(name)
    column = found.header.index("NAME")

    assert [*NAMES, "sbatch"] == [row[column] for row in found.rows]


def test_counts_are_numbers() -> None:
    """Job ids are none, as those of arrays show."""
    found = rows("squeue")
    nodes = found.header.index("NODES")

    assert [2, 2, 2, 1] == [row[nodes] for row in found.rows]
    assert all(isinstance(row[0], str) for row in found.rows)
    assert str(found.rows[-1][0]).endswith("_[1-3]")


def test_an_empty_table() -> None:
    """It has its columns."""
    assert () == rows("squeue-steps").rows


@pytest.mark.parametrize(
    "typed",
    [
        "squeue --json",
        "squeue -O jobid,name",
        "squeue --noheader",
        "squeue -M all",
        "squeue -o %all",
        "squeue -o %i%%",
        "squeue -o text",
        "squeue -l -o %i",
        "squeue --start --long",
        "squeue --me --unheard-of",
        "sinfo -s -l",
        "sinfo --json",
        "sacct -n",
        "sacct --delimiter=,",
        "sacct --helpformat",
        "sacct -p",
    ],
)
def test_what_is_shown_as_text(typed: str) -> None:
    """Options that choose another form, and those that we do not know."""
    command, *words = typed.split()

    assert tables.argv(command, words, {}) is None


def test_a_format_of_the_users_environment() -> None:
    """SQUEUE_FORMAT is what he wants to see; options that choose a layout win."""
    wish = {"SQUEUE_FORMAT": "%.18i %j"}
    wanted = f"--format=%i{FIELD}%j{RECORD}"

    assert ["squeue", wanted] == tables.argv("squeue", [], wish)
    assert wanted not in (tables.argv("squeue", ["-l"], wish) or [])
    assert tables.argv("squeue", [], {"SQUEUE_FORMAT2": "jobid"}) is None


def test_sacct() -> None:
    """Asked with a delimiter that no name holds (form as sacct(1) documents it)."""
    words = ["-X", "--format=JobID,JobName%30,AllocCPUS"]
    text = f"JobID{FIELD}JobName{FIELD}AllocCPUS\n12_3{FIELD}a|b c{FIELD}4\n"

    extra = ["--parsable2", f"--delimiter={FIELD}"]
    assert ["sacct", *words, *extra] == tables.argv("sacct", words, {})
    assert Rows(
        ("JobID", "JobName", "AllocCPUS"), (("12_3", "a|b c", 4),)
    ) == tables.parse(text)


@pytest.mark.parametrize(
    "text", ["", "no end of line", f"A{FIELD}B\nbroken\n", f"A{RECORD}\nB{RECORD}"]
)
def test_what_is_no_table(text: str) -> None:
    """It is shown as it is, with bars for our separators."""
    assert tables.parse(text) is None
    assert FIELD not in tables.plain(text)
