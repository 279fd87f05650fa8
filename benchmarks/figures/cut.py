"""How soon a session is back after the cable was cut."""

from __future__ import annotations

import json
import time
from bisect import bisect_right

from benchmarks.host import Host
from benchmarks.results import Curve, Figure, Reach

CUT = 1.0  # seconds
REST = 3.0  # seconds between cuts
BACKLOGS = (10_000, 100_000, 1_000_000, 10_000_000)  # bytes a second
PAUSE = 0.01  # seconds between two outputs
LOUD = 0.1


def cuts(
    host: Host, rounds: int, carrier: str, size: int, pause: float
) -> list[list[float]]:
    """For each cut: seconds without output, and the cut's own length."""
    with host.start("resume", carrier, size, pause) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()  # ready
        made = []
        for _ in range(rounds):
            time.sleep(REST)
            host.cluster.cut("login1")
            begun = time.monotonic()
            time.sleep(CUT)
            host.cluster.mend("login1")
            made.append((begun, time.monotonic()))
        time.sleep(2 * REST)
        process.stdin.close()
        came = json.loads(process.stdout.readline())["came"]
    return [[came[bisect_right(came, end)] - begun, end - begun] for begun, end in made]


def resume(host: Host, rounds: int) -> Figure:
    pairs = cuts(host, rounds, "ssh", 100, PAUSE)
    return Figure(
        *("resume", "Silence after a cut of 1 s", "s", "the cut"),
        [pair[0] for pair in pairs],
        [pair[1] for pair in pairs],
        Reach("difference at most", 0.5),
    )


def by_backlog(host: Host, rounds: int) -> Curve:
    """What the kernel says in the meantime must come through first."""
    points = []
    for backlog in BACKLOGS:
        pairs = cuts(host, rounds, "ssh", int(backlog * LOUD), LOUD)
        late = sorted(silence - length for silence, length in pairs)
        points.append((float(backlog), late[len(late) // 2], late[0], late[-1]))
    return Curve(
        *("resume-by-backlog", "First output after a cut of 1 s"),
        "bytes said in the meantime",
        "s",
        *(True, False),
        {"ssh": points},
    )
