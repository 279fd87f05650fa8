"""What all tests share: nothing but where their helpers are."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import remote_kernels

sys.path.insert(0, str(Path(__file__).parent))
# A script's `&` has it ignored, and whatever a test starts would ignore it, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """`make test` tests the built wheel, not the checkout."""
    return (
        f"remote_kernels {remote_kernels.__version__} in {remote_kernels.__path__[0]}"
    )
