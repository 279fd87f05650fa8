"""A plugin of pytest: the outcome of each test, as a line of JSON, as soon as known.

In a suite's own pytest, whatever plugins and reports that has. $SUITE_OUTCOMES names
the file. Limits of single tests are longer here: they are for idle machines.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import pytest

LONGER = 6
EXIT = 60.0  # seconds for what tests have left running (voila's)

# Not opened at each report: tests replace `open` and pathlib's.
_FILE = os.open(os.environ["SUITE_OUTCOMES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def pytest_runtest_logreport(report: Any) -> None:
    """Called for setup, call and teardown; the worst of the three is the outcome."""
    line = {"test": report.nodeid, "when": report.when, "outcome": report.outcome}
    os.write(_FILE, json.dumps(line).encode() + b"\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Called with all tests; the mark that comes first counts."""
    for item in items:
        limit = item.get_closest_marker("timeout")
        if limit is not None and limit.args:
            longer = pytest.mark.timeout(limit.args[0] * LONGER)
            item.add_marker(longer, append=False)


def pytest_unconfigure() -> None:
    """Called last. What tests have left running would hold the process for ever."""
    end = threading.Timer(EXIT, os._exit, (0,))
    end.daemon = True
    end.start()
