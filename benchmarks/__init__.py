"""What remote kernels cost, measured against what they stand in for.

`figures/` says what is measured against what, `inside/` are the programs that measure
on the login host, `peers/` drives other programs of the kind, `report/` shows all of
it. The command is `python -m benchmarks`.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The test cluster, and what the tests know of traces on it.
TESTS = Path(__file__).resolve().parents[1] / "tests"
if TESTS.is_dir() and str(TESTS) not in sys.path:
    sys.path.append(str(TESTS))
