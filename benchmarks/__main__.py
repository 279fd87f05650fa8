"""The command line: `python -m benchmarks --help`, from the repository's root."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from testbed.layout import ClusterError

from benchmarks.command import running_cluster, say
from benchmarks.figures import cut, many, single, sizes
from benchmarks.host import Host
from benchmarks.peers.run import measure
from benchmarks.report.page import page
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
    "peers": lambda host, rounds: [measure(host.cluster, [], min(rounds, 3), say)],
}


def parser() -> argparse.ArgumentParser:
    """All arguments."""
    found = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What remote kernels cost, beside what they stand in for.",
        epilog="Needs root, and the machine for itself. Parts: " + ", ".join(PARTS),
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


def run(
    host: Host, parts: Iterable[str], rounds: int, out: Path
) -> tuple[Report, list[str]]:
    """Part after part, each written at its end; what failed is told."""
    failed = []
    figures: list[Figure] = []
    curves: list[Curve] = []
    peers = None
    for name in parts:
        say(name)
        try:
            for found in PARTS[name](host, rounds):
                if isinstance(found, Figure):
                    figures.append(found)
                elif isinstance(found, Curve):
                    curves.append(found)
                else:
                    peers = found
        except Exception:  # noqa: BLE001 - of many parts, one; told, and counted
            failed.append(name)
            say(f"{name} FAILED\n{traceback.format_exc()}")
        report = Report(
            datetime.now(timezone.utc), machine(), versions(), figures, curves, peers
        )
        write(report, out)
    return report, failed


def write(report: Report, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(report.to_json())
    (out / "index.html").write_text(page(report))


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
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser().error(f"unknown: {', '.join(sorted(unknown))}")
    try:
        with running_cluster() as cluster:
            host = Host(cluster)
            with host.programs():
                parts = arguments.parts or PARTS
                report, failed = run(host, parts, arguments.rounds, arguments.out)
    except ClusterError as error:
        say(str(error))
        return 1
    show(report)
    say(f"written: {arguments.out}/results.json and index.html")
    if failed:
        say(f"FAILED: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
