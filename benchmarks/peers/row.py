"""What was seen of a peer, as a row of the table. Pure; called by `run`."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.known import Peer
from benchmarks.peers.look import Ports, brief, open_to
from benchmarks.results import PeerRow, PeerTable

Value = str | float | None
SHOWN = 8  # lines of what is left

COLUMNS = [
    ("start", "start to the first reply, median", "s"),
    ("first", "start, the first of a server", "s"),
    ("stall", "longest stall of the server during a start, median", "s"),
    ("info_p50", "kernel_info, p50", "s"),
    ("info_p99", "kernel_info, p99", "s"),
    ("execute_p50", "execute to idle, p50", "s"),
    ("execute_p99", "execute to idle, p99", "s"),
    ("output", "50 MB of display_data", "MB/s"),
    ("interrupt spin", "interrupt of a busy cell", "s"),
    ("interrupt sleep", "interrupt of a sleeping cell", "s"),
    ("restart", "restart to the first reply", "s"),
    ("restart_job", "restart's job", ""),
    ("shutdown", "shutdown, median", "s"),
    ("calls", "Slurm requests of a start, a cell and a shutdown", ""),
    ("idle_calls", "Slurm requests of an idle minute", ""),
    ("idle_stall", "longest stall of the server when idle", "s"),
    ("ports", "TCP listeners", ""),
    ("readable", "keys and sockets open to others", ""),
    ("left", "left 20 s after shutdown", ""),
    ("left_at_exit", "left 20 s after shutdown and exit at once", ""),
]


@dataclass
class Seen:
    """All that `drive` told and `look` saw of one peer."""

    peer: Peer
    version: str = ""
    facts: list[dict[str, Any]] = field(default_factory=list)
    rounds: int = 0
    calls: float | None = None
    ports: Ports | None = None
    readable: list[str] | None = None
    asked: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, list[str]] = field(default_factory=dict)
    left_by_rounds: list[str] | None = None
    left_by_life: list[str] | None = None
    stubborn: list[str] = field(default_factory=list)
    error: str = ""

    def values(self, step: str) -> list[Any]:
        """What the step gave, each time that it worked."""
        return [f["value"] for f in self.facts if f["step"] == step and "value" in f]

    def errors(self) -> list[str]:
        """Each step that failed, with its reason; equal ones once."""
        said = [f"{f['step']}: {f['error']}" for f in self.facts if "error" in f]
        return list(dict.fromkeys(said))


def table(seen: list[Seen]) -> PeerTable:
    """All rows, in the order of what was measured."""
    return PeerTable(COLUMNS, [row(one) for one in seen])


def row(seen: Seen) -> PeerRow:
    """One peer; a value that is not known is None, and a remark says why."""
    starts = seen.values("start")
    values: dict[str, Value] = {
        "start": _median(starts),
        "first": starts[0] if starts else None,
        "stall": _median(seen.values("stall")) if starts else None,
        "shutdown": _median(seen.values("shutdown")) if starts else None,
        "calls": seen.calls if starts else None,
        "ports": None if seen.ports is None else open_to(seen.ports),
        "readable": _joined(seen.readable),
        "left": None if seen.left_by_life is None else brief(seen.left_by_life),
        "left_at_exit": (
            None if seen.left_by_rounds is None else brief(seen.left_by_rounds)
        ),
        **_life(seen),
    }
    ordered = {key: values.get(key) for key, _title, _unit in COLUMNS}
    return PeerRow(seen.peer.name, seen.version, ordered, remarks(seen))


def _life(seen: Seen) -> dict[str, Value]:
    """What only the longer life of one kernel tells."""
    found: dict[str, Value] = {}
    for trips in seen.values("round_trips"):
        found.update(trips)
    for rate in seen.values("output"):
        found["output"] = rate
    for name in ("interrupt spin", "interrupt sleep"):
        for value in seen.values(name):
            found[name] = value.get("seconds", value["how"])
    for value in seen.values("idle"):
        found["idle_stall"] = value["stall"]
        asked = seen.asked["after idle"] - seen.asked["before idle"]
        found["idle_calls"] = round(asked * 60 / value["seconds"])
    for value in seen.values("restart"):
        found["restart"] = (
            value["seconds"] if value["new"] else "the old kernel answers"
        )
        found["restart_job"] = _job(seen)
    if any(f["step"] == "restart" and "error" in f for f in seen.facts):
        found["restart"] = "fails"
    return found


def _job(seen: Seen) -> str:
    """Whether the kernel's job outlived the restart."""
    before, after = seen.jobs["before restart"], seen.jobs["restarted"]
    if not before and not after:
        return "no job"
    return "the same" if before == after else "another"


def remarks(seen: Seen) -> list[str]:
    """What the numbers do not say."""
    found = [f"needs {need}" for need in seen.peer.needs] + list(seen.peer.remarks)
    worked = len(seen.values("start"))
    if seen.rounds and worked < seen.rounds:
        found.append(f"{worked} of {seen.rounds} starts worked")
    found += [f"failed: {error}" for error in seen.errors()]
    for value in seen.values("restart"):
        if not value["old_client"]:
            found.append("a client from before the restart gets no reply")
    if not all(value["alive"] for value in seen.values("idle")):
        found.append("said to be dead while idle")
    when = (("", seen.left_by_life), (" and exit", seen.left_by_rounds))
    for word, lines in when:
        found += [
            f"left after shutdown{word}: {line}" for line in (lines or [])[:SHOWN]
        ]
    found += [f"could not be removed: {line}" for line in seen.stubborn]
    if seen.error:
        found.append(f"does not run; its last lines:\n{seen.error}")
    return found


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _joined(lines: list[str] | None) -> str | None:
    return None if lines is None else "; ".join(lines) or "none"
