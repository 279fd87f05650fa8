"""Suites of jupyter_client and nbclient, with our provisioner; all of them: make suites.

jupyter_kernel_test's is in test_protocol.py.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from suites.compare import Expected, read
from suites.suite import BY_NAME, run, unpack

# What callers of managers rely on, and whole notebooks; the rest is more of the same.
QUICK = {
    "jupyter_client": (
        "tests/test_manager.py",
        "tests/test_kernelmanager.py",
        "tests/test_multikernelmanager.py",
    ),
    "nbclient": ("tests/test_client.py",),
}

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif("SDISTS" not in os.environ, reason="`make test` fetches them"),
]


@pytest.mark.parametrize("name", QUICK)
def test_quick_ones(name: str, tmp_path: Path) -> None:
    """Nothing fails but what cannot hold for a kernel in a job."""
    suite = dataclasses.replace(BY_NAME[name], paths=QUICK[name])
    source = unpack(Path(os.environ["SDISTS"]), suite, tmp_path)
    log, expected = tmp_path / "log", read().get(name, Expected({}))
    outcomes = run(suite, source, ours=True, log=log)
    assert "passed" in outcomes.values(), log.read_text()
    failed = [
        test
        for test, outcome in outcomes.items()
        if outcome == "failed" and not expected.reason(test)
    ]
    again = run(suite, source, ours=True, log=log, tests=failed) if failed else {}

    assert [] == [test for test in failed if again.get(test) != "passed"], (
        log.read_text()
    )
