"""Capture the tables that Slurm's commands print, for the tests of their parser.

    PYTHONPATH=tests python tests/magics/capture.py

Needs a Slurm where you may submit jobs that wait; they are cancelled at the end. The
magics make the commands, so a capture is what they will get.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from remote_kernels.magics.slurm import tables
from remote_kernels.scheduler.job import Completed

DATA = Path(__file__).parent / "data"
SCRIPT = "#!/bin/bash\nexec sleep 300\n"
# What a user may call a job.
NAMES = ("a|b c, d", "two\nlines", 'it\'s "quoted" \u00fcn\u00ef')

TABLES = {
    "squeue": ["squeue", "-S", "i"],
    "squeue-long": ["squeue", "-l", "-S", "i"],
    "squeue-start": ["squeue", "--start", "-S", "i"],
    "squeue-format": ["squeue", "-S", "i", "-o", "%.18i %9P|%j"],
    "squeue-steps": ["squeue", "-s"],
    "squeue-no-user": ["squeue", "--user=nosuch"],
    "sinfo": ["sinfo"],
    "sinfo-long": ["sinfo", "-l"],
    "sinfo-node": ["sinfo", "-N"],
    "sinfo-node-long": ["sinfo", "-Nl"],
    "sinfo-summarize": ["sinfo", "-s"],
    "sinfo-reasons": ["sinfo", "-R"],
    "sinfo-reasons-long": ["sinfo", "-lR"],
}


def run(argv: Sequence[str], script: str = "") -> Completed:
    done = subprocess.run(
        argv, input=script, capture_output=True, text=True, check=False
    )
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)


def main() -> None:
    version = run(["sbatch", "--version"]).stdout.split()[1]
    folder = DATA / f"slurm-{'.'.join(version.split('.')[:2])}"
    folder.mkdir(parents=True, exist_ok=True)
    hold = ["sbatch", "--parsable", "--hold", "--output=/dev/null", "--chdir=/"]
    asked = [["--job-name", name, "--nodes=2"] for name in NAMES]
    jobs = [run([*hold, *extra], SCRIPT) for extra in (*asked, ["--array=1-3"])]
    for name, (command, *words) in TABLES.items():
        argv = tables.argv(command, words, {})
        assert argv is not None, name
        text = json.dumps(run(argv).__dict__, indent=1)
        (folder / f"{name}.json").write_text(text + "\n")
        print(f"{name}: {run(argv).stderr.strip()}")
    run(["scancel", *(job.stdout.strip() for job in jobs)])


if __name__ == "__main__":
    main()
