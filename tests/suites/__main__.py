"""`make suites`: the suites of Jupyter's packages, with the local provisioner and ours.

    python tests/suites fetch DIRECTORY [SUITE..] their sdists, of installed versions
    python tests/suites run DIRECTORY [SUITE..]  run them, and compare

A test that passes locally and fails with ours must be in expected.json, and one that is
there must fail. What differs is run once more, alone, before it counts. Exit code 1 if
anything is not as expected. The logs are in $SUITES_LOGS, or a new directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

if __name__ == "__main__" and not __package__:
    # Started as a directory: make `import suites` find this very directory.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from suites.compare import Comparison, Expected, compare, read
from suites.suite import BY_NAME, SUITES, Outcomes, Suite, run, unpack


def fetch(directory: Path, suites: Sequence[Suite]) -> None:
    """What is there already is kept."""
    directory.mkdir(parents=True, exist_ok=True)
    for suite in suites:
        release = version(suite.name)
        if (directory / f"{suite.name}-{release}.tar.gz").exists():
            continue
        for old in directory.glob(f"{suite.name}-*.tar.gz"):
            old.unlink()
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
        # Only this one's source: what its build needs comes as wheels.
        wanted = ["--no-binary", suite.name, f"{suite.name}=={release}"]
        subprocess.run([*pip, *wanted, "-d", str(directory)], check=True)


def run_suite(suite: Suite, sdists: Path, logs: Path, expected: Expected) -> bool:
    """Run and compare one; whether all is as expected."""
    outcomes: list[Outcomes] = []
    with tempfile.TemporaryDirectory(prefix="suites-") as work:
        source = unpack(sdists, suite, Path(work))
        for ours in (False, True):
            log = logs / f"{suite.name}-{'ours' if ours else 'local'}.log"
            outcomes.append(run(suite, source, ours=ours, log=log))
        local, ours_ = outcomes
        found = compare(local, ours_, expected)
        if found.worse:
            log = logs / f"{suite.name}-again.log"
            again = run(suite, source, ours=True, log=log, tests=found.worse)
            found = compare(local, ours_ | again, expected)
            ours_ |= again
    print(_row(suite, local, ours_, found), flush=True)
    for test in found.worse:
        print(f"    UNEXPECTED: passes locally, fails with ours: {test}")
    for test in found.better:
        print(f"    UNEXPECTED: passes, take it out of expected.json: {test}")
    return found.is_right and bool(local)


def _row(suite: Suite, local: Outcomes, ours: Outcomes, found: Comparison) -> str:
    here, there = Counter(local.values()), Counter(ours.values())
    return (
        f"{suite.name:20} {here['passed']:6} {here['failed']:6} "
        f"{there['passed']:6} {there['failed']:6} {len(found.known):9}"
    )


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    command, directory, *names = argv
    suites = [BY_NAME[name] for name in names] or SUITES
    if command == "fetch":
        fetch(Path(directory), suites)
        return 0
    assert os.getuid() != 0, "kernels never run as root in a test"
    logs = Path(os.environ.get("SUITES_LOGS") or tempfile.mkdtemp(prefix="suites-"))
    logs.mkdir(parents=True, exist_ok=True)
    print(f"logs: {logs}")
    print(f"{'':20} {'local':>13} {'ours':>13} {'expected':>9}")
    print(f"{'suite':20} {'passed failed':>13} {'passed failed':>13} {'to fail':>9}")
    expected = read()
    nothing = Expected({})
    right = [
        run_suite(suite, Path(directory), logs, expected.get(suite.name, nothing))
        for suite in suites
    ]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
