"""Other programs that bring a kernel to a compute node, and ours, side by side.

Each is installed into an environment of its own (`environment`), given what it needs
(`known`, `shims/`), and driven on the test cluster by the same program (`drive`), while
`look` sees what it opens and leaves. `run` calls all of them; `row` makes the table.

    python -m benchmarks.peers [NAME...] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

# The test cluster, and what the tests know of traces on it.
TESTS = Path(__file__).resolve().parents[2] / "tests"
if str(TESTS) not in sys.path:
    sys.path.append(str(TESTS))
