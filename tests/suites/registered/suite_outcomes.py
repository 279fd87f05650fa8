"""A plugin of pytest: the outcome of each test, as a line of JSON, as soon as known.

In a suite's own pytest, whatever plugins and reports that has. $SUITE_OUTCOMES names
the file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def pytest_runtest_logreport(report: Any) -> None:
    """Called for setup, call and teardown; the worst of the three is the outcome."""
    with Path(os.environ["SUITE_OUTCOMES"]).open("a") as file:
        line = {"test": report.nodeid, "when": report.when, "outcome": report.outcome}
        file.write(json.dumps(line) + "\n")
