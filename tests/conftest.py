"""What all tests share: nothing but where their helpers are."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

import remote_kernels

sys.path.insert(0, str(Path(__file__).parent))
# A script's `&` has it ignored, and whatever a test starts would ignore it, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`only("slurm", reason)`: such a test is skipped over other batch systems."""
    from testbed.layout import default_scheduler
    from testbed.systems import named

    scheduler = named(default_scheduler()).scheduler
    for item in items:
        for mark in item.iter_markers("only"):
            *names, reason = mark.args
            if scheduler not in names:
                skip = pytest.mark.skip(reason=f"{' and '.join(names)} only: {reason}")
                item.add_marker(skip)


def pytest_report_header() -> str:
    """`make test` tests the built wheel, not the checkout."""
    return (
        f"remote_kernels {remote_kernels.__version__} in {remote_kernels.__path__[0]}"
    )
