"""What each batch system can do, as the table that stands in docs/batch-systems.md.

Rules: all of it is asked of the drivers, and of `systems.py`. Called by its test
(tests/test_matrix.py); to write the table anew, in the checkout:

    PYTHONPATH=tests python -m contracts.matrix
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path

from contracts.systems import SYSTEMS, System
from remote_kernels.options import PORTABLE
from remote_kernels.scheduler import driver as drivers
from remote_kernels.scheduler.drivers import DRIVERS

DOCUMENT = Path(__file__).parents[2] / "docs" / "batch-systems.md"
BEGIN, END = "<!-- made by tests/contracts/matrix.py -->", "<!-- end -->"
YES, NO = "yes", "-"
Cell = Callable[[System], str]

# A row for each class of `scheduler/driver.py`.
CAPABILITIES: dict[type, str] = {
    drivers.Ends: "how a job ended can be asked for",
    drivers.Reasons: "what a job waits for is told",
    drivers.Places: "a job's place in the queue is told",
    drivers.Limits: "its queue's time limit, where a job asked for none",
    drivers.Extends: "the time limit of a running job can be moved",
    drivers.Enters: "a way into a job beside ssh",
    drivers.Adopts: "ssh sessions may be taken into a job",
    drivers.OtherNodes: "kernels on further nodes of a job",
    drivers.Scripts: "scripts of one's own can be submitted through the API",
    drivers.Logs: "where a job's log is can be asked for",
    drivers.Mails: "mail about a job",
    drivers.Site: "what the site has can be asked for",
    drivers.Preflight: "questions before a job is submitted",
    drivers.Clusters: "its clusters are told apart",
}


def table() -> str:
    """Return it, with a line break at its end."""
    with tempfile.TemporaryDirectory() as directory:  # where stand-ins are installed
        systems = [SYSTEMS[name](Path(directory)) for name in DRIVERS]
    head = ["", *(f"{each.driver.title} (*{each.kind}*)" for each in systems)]
    rows = [[label, *map(cell, systems)] for label, cell in _rows()]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def capabilities() -> list[type]:
    """Return the classes of `scheduler/driver.py` that say what only some can do."""
    classes = [each for _, each in inspect.getmembers(drivers, inspect.isclass)]
    return [
        each
        for each in classes
        if each.__module__ == drivers.__name__ and each is not drivers.Driver
    ]


def in_document(text: str) -> tuple[str, str, str]:
    """Return what stands before the table there, the table, and what follows it."""
    before, _, rest = text.partition(f"{BEGIN}\n\n")
    found, _, after = rest.partition(f"\n{END}\n")
    return f"{before}{BEGIN}\n\n", found, f"\n{END}\n{after}"


def _rows() -> list[tuple[str, Cell]]:
    return [
        ("`scheduler`", lambda it: _code(it.driver.name)),
        *((f"`{name}`", _named(name)) for name in PORTABLE),
        ("further arguments", lambda it: _code(it.driver.further)),
        ("`jobid`: a job that you have", _has("jobid")),
        ("carriers, the best one first", lambda it: ", ".join(it.driver.carriers)),
        *((label, _can(each)) for each, label in CAPABILITIES.items()),
    ]


def _named(portable: str) -> Cell:
    def cell(system: System) -> str:
        options = system.driver.options
        return _code(*(each.name for each in options if each.portable == portable))

    return cell


def _has(option: str) -> Cell:
    def cell(system: System) -> str:
        return _yes(option in [each.name for each in system.driver.options])

    return cell


def _can(capability: type) -> Cell:
    def cell(system: System) -> str:
        driver = system.driver
        if capability is drivers.Reasons:
            return _reasons(system)
        if capability is drivers.Ends and isinstance(driver, drivers.Ends):
            return f"within {driver.late:g} s" if driver.late else YES
        if capability is drivers.Enters and isinstance(driver, drivers.Enters):
            return YES if driver.is_private else "not private"
        return _yes(isinstance(driver, capability))

    return cell


def _reasons(system: System) -> str:
    """Most say it of each job that they list."""
    if system.waits is None:
        return "none waits"
    return "asked seldom" if isinstance(system.driver, drivers.Reasons) else YES


def _code(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names if name) or NO


def _yes(said: bool) -> str:
    return YES if said else NO


if __name__ == "__main__":
    before, _, after = in_document(DOCUMENT.read_text())
    DOCUMENT.write_text(f"{before}{table()}{after}")
