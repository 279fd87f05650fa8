"""The command line: `python -m benchmarks --help`, from the repository's root."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path

from testbed.api import Cluster
from testbed.layout import ClusterError

from benchmarks.command import running_cluster, say
from benchmarks.figures import cut, gridengine, many, page, single, sizes
from benchmarks.host import Host
from benchmarks.peers.run import measure
from benchmarks.report import page as pages
from benchmarks.report.table import show
from benchmarks.results import Curve, Figure, PeerTable, Report

PACKAGES = (
    "remote-kernels",
    "ipykernel",
    "jupyter-client",
    "jupyter-server",
    "asyncssh",
)

Found = Iterable[Figure | Curve | PeerTable]
Part = Callable[[Host, int], Found]


def grown(host: Host, rounds: int) -> Found:
    figures, curves = many.figures(host)
    return [*figures, *curves]


PARTS: dict[str, Part] = {
    "imports": single.imports,
    "agent": lambda host, rounds: single.agent(host, min(rounds, 5)),
    "start": single.starts,
    "trips": single.round_trips,
    "streaming": lambda host, rounds: single.streaming(host, min(rounds, 5)),
    "output": single.output,
    "resume": lambda host, rounds: [cut.resume(host, rounds)],
    "backlog": lambda host, rounds: [cut.by_backlog(host, 3)],
    "sizes": lambda host, rounds: [sizes.throughput(host, 3)],
    "many": grown,
    "pending": lambda host, rounds: [many.pending(host)],
    "page": lambda _, rounds: page.figures(rounds),
    "peers": lambda host, rounds: [measure(host.cluster, [], min(rounds, 3), say)],
}
# What they measure beside ssh is Slurm's own.
OVER_SLURM = {"trips", "output", "sizes", "peers"}
ALL = (*PARTS, gridengine.NAME)


def parser() -> argparse.ArgumentParser:
    """All arguments."""
    found = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What remote kernels cost, beside what they stand in for.",
        epilog=f"Needs root, and the machine for itself. Parts: {', '.join(ALL)}. The "
        "last one brings up a cluster of Grid Engine's for the starts, and the calls of "
        "its qmaster. With RK_CLUSTER_SCHEDULER=gridengine (make bench "
        "SCHEDULER=gridengine) all parts run over it but "
        f"{', '.join(sorted(OVER_SLURM))}, which are Slurm's.",
    )
    found.add_argument("parts", nargs="*", metavar="PART", help="all if none is given")
    found.add_argument("--rounds", type=int, default=10, help="pairs of each (10)")
    found.add_argument(
        *("--out", "-o"),
        type=Path,
        default=Path("benchmark-results"),
        metavar="DIRECTORY",
        help="where results.json and index.html go (benchmark-results)",
    )
    return found


@dataclass
class Run:
    """Part after part, each written at its end; what failed is told."""

    out: Path
    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    peers: PeerTable | None = None
    parts: list[str] = field(default_factory=list)  # that have been begun
    failed: list[str] = field(default_factory=list)

    def part(self, name: str, measured: Callable[[], Found]) -> None:
        say(name)
        self.parts.append(name)
        try:
            for found in measured():
                if isinstance(found, Figure):
                    self.figures.append(found)
                elif isinstance(found, Curve):
                    self.curves.append(found)
                else:
                    self.peers = found
        except Exception:  # noqa: BLE001 - of many parts, one; told, and counted
            self.failed.append(name)
            say(f"{name} FAILED\n{traceback.format_exc()}")
        write(self.report, self.out)

    @property
    def report(self) -> Report:
        when = datetime.now(timezone.utc)
        found = (self.figures, self.curves, self.peers)
        return Report(when, machine(), versions(), *found)


def left_out(name: str, scheduler: str) -> str:
    """Why a part does not run where the cluster has this batch system, or nothing."""
    if name == gridengine.NAME:
        if scheduler == gridengine.NAME:
            return "the cluster has Grid Engine already; see start, many and pending"
        return gridengine.why_not()
    if name in OVER_SLURM and scheduler != "slurm":
        return f"what it measures is Slurm's, and the cluster has {scheduler}"
    return ""


def measure_all(run: Run, names: Iterable[str], rounds: int) -> None:
    """All these parts. Raises ClusterError."""
    system = Cluster().system
    if system.measured is None:
        msg = f"there are no benchmarks over {system.name}, only over Slurm and Grid "
        msg += "Engine: make bench SCHEDULER=gridengine"
        raise ClusterError(msg)
    reasons = {name: left_out(name, system.scheduler) for name in names}
    for name, reason in reasons.items():
        if reason:
            say(f"{name} LEFT OUT: {reason}")
    wanted = [name for name, reason in reasons.items() if not reason]
    if here := [name for name in wanted if name in PARTS]:
        with running_cluster() as cluster:
            host = Host(cluster)
            with host.programs():
                for name in here:
                    run.part(name, partial(PARTS[name], host, rounds))
    if gridengine.NAME in wanted:
        run.part(gridengine.NAME, partial(gridengine.figures, rounds))


def write(report: Report, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(report.to_json())
    (out / "index.html").write_text(pages.page(report))


def machine() -> dict[str, str | int | float | bool]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.platform(),
        "cores": os.cpu_count() or 0,
        "memory, GiB": round(memory / 2**30),
        "hosts": "network namespaces of one machine",
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: version(name) for name in PACKAGES
    }


def main() -> int:
    arguments = parser().parse_args()
    unknown = set(arguments.parts) - set(ALL)
    if unknown:
        parser().error(f"unknown: {', '.join(sorted(unknown))}")
    run = Run(arguments.out)
    try:
        measure_all(run, arguments.parts or ALL, arguments.rounds)
    except ClusterError as error:
        say(str(error))
        return 1
    if not run.parts:
        return 1
    show(run.report)
    say(f"written: {arguments.out}/results.json and index.html")
    if run.failed:
        say(f"FAILED: {', '.join(run.failed)}")
    return bool(run.failed)


if __name__ == "__main__":
    sys.exit(main())
