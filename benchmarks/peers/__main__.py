"""The command line: `python -m benchmarks.peers --help`, from the repository's root."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from testbed.layout import ClusterError

from benchmarks.command import running_cluster, say
from benchmarks.peers.known import PEERS
from benchmarks.peers.run import measure
from benchmarks.quantity import quantity
from benchmarks.results import PeerTable


def parser() -> argparse.ArgumentParser:
    """All arguments."""
    names = [peer.name for peer in PEERS]
    found = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Kernels on a compute node: ours, others' and a local one.",
        epilog="Needs root, and PyPI. Names: " + ", ".join(names),
    )
    found.add_argument("names", nargs="*", metavar="NAME", help="all if none is given")
    found.add_argument("--rounds", type=int, default=5, help="kernels started (5)")
    found.add_argument("--json", type=Path, metavar="FILE", help="also write it there")
    found.add_argument(
        "--environments",
        type=Path,
        metavar="DIRECTORY",
        help="keep the environments there, for the next time (below /opt)",
    )
    return found


def show(table: PeerTable) -> str:
    """The table, one peer after another: it has more columns than a terminal."""
    lines = []
    width = max(len(title) for _key, title, _unit in table.columns)
    for row in table.rows:
        lines += ["", f"{row.name} {row.version}"]
        for key, title, unit in table.columns:
            value = row.values.get(key)
            known = "-" if value is None else value
            text = known if isinstance(known, str) else quantity(known, unit)
            lines.append(f"  {title:{width}}  {text}")
        for remark in row.remarks:
            first, *more = remark.splitlines()
            lines += [f"  * {first}", *(f"    {line}" for line in more)]
    return "\n".join(lines)


def main() -> int:
    """Measure, and show what came of it."""
    arguments = parser().parse_args()
    unknown = set(arguments.names) - {peer.name for peer in PEERS}
    if unknown:
        parser().error(f"unknown: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with running_cluster() as cluster:
            table = measure(
                cluster,
                arguments.names,
                arguments.rounds,
                say,
                arguments.environments,
            )
    except ClusterError as error:
        say(str(error))
        return 1
    sys.stdout.write(show(table) + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(table), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
