"""Figures of many kernels of one server: memory, CPU at rest, calls of the controller.

And how they grow with the number of kernels.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from on_cluster.full import Full

from benchmarks.host import Host
from benchmarks.results import Curve, Figure, Reach

COUNTS = (1, 5, 10, 20, 50)
MINUTES = 3  # at rest with kernels that run
BACKED_OFF = 5  # minutes in the queue after which the poller asks at its slowest
MIB = 2**20

Grown = dict[str, dict[int, dict[str, Any]]]  # by kernel and count


def grown(host: Host, minutes: int) -> tuple[Grown, list[float], list[int]]:
    """What many kernels cost; the CPU and the calls of minutes at rest."""
    found: Grown = {"ssh": {}, "local": {}}
    cpu: list[float] = []
    calls: list[int] = []
    for name, lines in found.items():
        rest = minutes if name == "ssh" else 0
        for line, called in counted(host, name, rest, *COUNTS):
            if "count" in line:
                lines[line["count"]] = line
            elif line["minute"]:
                cpu.append(line["cpu"])
                calls.append(called)
    return found, cpu, calls


def counted(host: Host, *argv: object) -> Iterator[tuple[dict[str, Any], int]]:
    """What the program of many kernels says, with the calls since it said the last."""
    before = 0
    with host.counting() as calls:
        for line in host.lines("server", *argv):
            now = calls()
            yield line, now - before
            before = now


def figures(host: Host, minutes: int = MINUTES) -> tuple[list[Figure], list[Curve]]:
    with host.system.room(host.cluster):
        found, cpu, calls = grown(host, minutes)
    first, last = COUNTS[1], COUNTS[-1]
    further = {
        name: (lines[last]["memory"] - lines[first]["memory"]) / (last - first) / MIB
        for name, lines in found.items()
    }
    made = [
        Figure(
            *("memory", "Memory of the server per further kernel", "MiB"),
            "a local kernel's share",
            [further["ssh"]],
            [further["local"]],
            Reach("difference at most", 3.0),
            note=f"PSS, from {first} to {last} kernels.",
        ),
        Figure(
            *("idle", f"CPU at rest, {last} kernels", "% of a core", ""),
            [100 * share for share in cpu],
            [],
            Reach("at most", 1.0),
            note="The server with its connections; a minute each.",
        ),
        _running(host, calls),
    ]
    return made, [*_curves(found)]


def running(host: Host, minutes: int = MINUTES) -> Figure:
    """The calls alone."""
    with host.system.room(host.cluster):
        lines = counted(host, "ssh", minutes, COUNTS[-1])
        return _running(host, [called for line, called in lines if line.get("minute")])


def _running(host: Host, calls: list[int]) -> Figure:
    return Figure(
        *("calls-running", f"Calls per minute, {COUNTS[-1]} kernels running", "", ""),
        [float(count) for count in calls],
        [],
        Reach("at most", 0.0),
        note=host.system.counts,
    )


def _curves(found: Grown) -> Iterator[Curve]:
    titles = {"ssh": "remote, ssh", "local": "local"}

    def curve(name: str, title: str, unit: str, value: Any) -> Curve:
        series = {
            titles[kernel]: [(float(n), *value(line)) for n, line in lines.items()]
            for kernel, lines in found.items()
        }
        axes = ("kernels of one server", unit)
        return Curve(name, title, *axes, True, False, series)

    def starts(line: dict[str, Any]) -> tuple[float, float, float]:
        times = line["starts"]
        return statistics.median(times), min(times), max(times)

    yield curve("start-by-count", "Start to the first cell's end", "s", starts)
    yield curve(
        *("trip-by-count", "kernel_info round trip, p50 to p99", "s"),
        lambda line: (line["info"][0], line["info"][0], line["info"][1]),
    )
    for held in ("descriptors", "threads"):
        yield curve(
            *(f"{held}-by-count", f"{held.capitalize()} of the server", held),
            lambda line, held=held: (line[held],) * 3,
        )
    yield curve(
        *("memory-by-count", "Memory of the server (PSS)", "MiB"),
        lambda line: (line["memory"] / MIB,) * 3,
    )


def pending(host: Host) -> Figure:
    """With all nodes in somebody else's hands."""
    system = host.system
    minutes = max(3, system.minutes)
    full = Full(host.cluster)
    full.until_full()
    try:
        lines = counted(host, "pending", BACKED_OFF + minutes, COUNTS[-1])
        calls = [float(called) for line, called in lines if line["minute"]]
    finally:
        full.free()
    before, then = calls[:BACKED_OFF], calls[BACKED_OFF:]
    note = f"The {BACKED_OFF} minutes before them: {before}. {system.asks}"
    if system.minutes > 1:
        note = f"The mean of {system.minutes} minutes: {then}. {note}"
    return Figure(
        *("calls-pending", f"Calls per minute, {COUNTS[-1]} kernels pending", "", ""),
        [
            statistics.fmean(then[at : at + system.minutes])
            for at in range(0, minutes, system.minutes)
        ],
        [],
        Reach("at most", system.asks_at_most),
        note=f"{note} {system.counts}",
    )
