"""Throughput by the size of a message."""

from __future__ import annotations

import statistics
from collections import defaultdict

from benchmarks.figures.single import LOCAL, SESSION
from benchmarks.host import Host
from benchmarks.results import Curve

NAMES = {
    LOCAL: "local, ipc",
    "ssh": "remote, ssh",
    "srun": "remote, srun",
    SESSION: SESSION,
}


def throughput(host: Host, rounds: int) -> Curve:
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in host.lines("sizes", rounds, *NAMES):
        found[NAMES[line["kernel"]]][line["size"]].append(line["rate"])
    series = {
        name: [
            (float(size), statistics.median(rates), min(rates), max(rates))
            for size, rates in sorted(sizes.items())
        ]
        for name, sizes in found.items()
    }
    return Curve(
        name="throughput-by-size",
        title="Throughput of display_data by the size of a message",
        x_title="bytes of one message",
        y_title="B/s",
        log_x=True,
        log_y=True,
        series=series,
    )
