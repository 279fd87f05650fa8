"""Where `benchmarks` is, and a report to show.

It is beside `tests` and not installed, so it comes last on the path. This folder has no
`__init__.py`: it would be another package named `benchmarks`.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.results import Curve, Figure, PeerRow, PeerTable, Reach, Report

ZONE = timezone(timedelta(hours=1))


@pytest.fixture
def report() -> Report:
    """Made-up numbers: each kind of figure, and all else that a page can have."""
    random = Random(4711)

    def around(value: float, count: int = 9) -> list[float]:
        return [value * random.lognormvariate(0, 0.06) for _ in range(count)]

    def figure(
        name: str, title: str, unit: str, ours: float, than: float, reach: Reach
    ) -> Figure:
        samples = (around(ours), around(than))
        return Figure(name, title, unit, "local ipykernel", *samples, reach)

    def growth(base: float, slope: float) -> list[tuple[float, float, float, float]]:
        medians = [(x, base + slope * x) for x in (1, 2, 5, 10, 20, 50, 100)]
        return [(x, y, y * 0.92, y * 1.15) for x, y in medians]

    figures = [
        figure("start", "Start of a kernel, until it answers", "s", 1.62, 0.71,
               Reach("difference at most", 1.5)),
        figure("trip", "Round trip of an empty cell, p50", "s", 0.0041, 0.0030,
               Reach("ratio at most", 1.5)),
        figure("trip-p99", "Round trip of an empty cell, p99", "s", 0.0093, 0.0051,
               Reach("ratio at most", 1.5)),
        figure("output", "Output of 100 MB in one message", "B/s", 212e6, 228e6,
               Reach("ratio at least", 0.9)),
        figure("interrupt", "Interrupt, until the cell has ended", "s", 0.031, 0.029,
               Reach("difference at most", 0.15)),
        Figure("calls", "Calls of the scheduler for 200 kernels", "/min", "",
               [4, 4, 5, 4, 4], [], Reach("at most", 6),
               note="One query for all kernels, not one for each."),
        figure("memory", "Memory of the agent", "MiB", 23.4, 58.1, Reach("reported")),
        Figure("wake", "First cell after a night", "s", "", around(0.8), [],
               Reach("reported")),
    ]  # fmt: skip
    tables = [
        PeerRow("remote_kernels", "0.4", {"start": 1.62, "back": True, "by": "Slurm"},
                ["All of it as a user."]),
        PeerRow("another <one>", "3.2.1", {"start": 4.9, "back": False, "by": None},
                ["Asks for a port on the node.", "No interrupt & no restart."]),
    ]  # fmt: skip
    columns = [
        ("start", "start of a kernel", "s"),
        ("back", "outlives the server", ""),
        ("by", "batch systems", ""),
    ]
    curves = [
        Curve("memory-growth", "Memory by number of kernels", "kernels",
              "memory of the notebook server (MiB)", True, True,
              {"ours": growth(90, 1.4), "local": growth(88, 1.1)}),
        Curve("cpu-growth", "Processor by number of kernels that idle", "kernels",
              "processor (% of one)", False, False,
              {"ours": growth(0.1, 0.02), "local": growth(0, 0.031)},
              note="Of the notebook server alone; an hour of each."),
    ]  # fmt: skip
    return Report(
        when=datetime(2026, 11, 21, 14, 30, tzinfo=ZONE),
        machine={"processor": "4 x a processor", "memory (GiB)": 7.7, "shared": False},
        versions={"remote_kernels": "0.4", "ipykernel": "7.1", "slurm": "22.05.8"},
        figures=figures,
        curves=curves,
        peers=PeerTable(columns, tables),
    )
