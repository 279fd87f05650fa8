"""What the server imports: python -m benchmarks.inside.imports ROUNDS."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.inside.kernels import say

CODE = """\
import time
begun = time.perf_counter()
import jupyter_client
between = time.perf_counter()
import remote_kernels.jupyter.provisioner
print(between - begun, time.perf_counter() - begun)
"""


def main(rounds: int) -> None:
    """In fresh processes, as they are installed: from .pyc files."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": ""}
    for number in range(rounds + 1):
        argv = [sys.executable, "-c", CODE]
        told = subprocess.run(argv, check=True, capture_output=True, env=env).stdout
        before, both = map(float, told.split())
        if number:  # the first reads the files from the disk
            say({"import": [both, before]})


if __name__ == "__main__":
    main(int(sys.argv[1]))
