"""What our run of a suite has in common with the local one, and what is expected of it.

Pure: outcomes in, words out. Called by __main__.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from suites.suite import HERE, Outcomes

EXPECTED = HERE / "expected.json"


@dataclass(frozen=True)
class Expected:
    """Tests of one suite that cannot hold for a remote kernel, by what they are.

    A test is named as pytest does, or by the beginning of such names with a `*` at the
    end. `sometimes`: those that fail or pass by time; both are right.
    """

    reasons: dict[str, str]
    sometimes: frozenset[str] = frozenset()

    def _entry(self, test: str) -> str:
        for name in self.reasons:
            if test == name or (name.endswith("*") and test.startswith(name[:-1])):
                return name
        return ""

    def reason(self, test: str) -> str:
        """Why it may fail; empty if it may not."""
        return self.reasons.get(self._entry(test), "")

    def must_fail(self, test: str) -> bool:
        return bool(self.reason(test)) and self._entry(test) not in self.sometimes


def read(path: Path = EXPECTED) -> dict[str, Expected]:
    """By suite."""
    found = {}
    for suite, groups in json.loads(path.read_text()).items():
        reasons = {t: group["reason"] for group in groups for t in group["tests"]}
        sometimes = {t for g in groups if g.get("sometimes") for t in g["tests"]}
        found[suite] = Expected(reasons, frozenset(sometimes))
    return found


@dataclass(frozen=True)
class Comparison:
    """Tests by how they differ; those that fail locally say nothing about us."""

    worse: list[str]  # pass locally, and with ours not, unexpectedly
    known: list[str]  # pass locally, and with ours not, as expected
    better: list[str]  # are expected to fail, and pass

    @property
    def is_right(self) -> bool:
        return not self.worse and not self.better


def compare(local: Outcomes, ours: Outcomes, expected: Expected) -> Comparison:
    """A test that ours did not reach has failed."""
    good = [test for test, outcome in local.items() if outcome == "passed"]
    bad = [test for test in good if ours.get(test, "failed") != "passed"]
    return Comparison(
        worse=[test for test in bad if not expected.reason(test)],
        known=[test for test in bad if expected.reason(test)],
        better=[t for t in good if t not in bad and expected.must_fail(t)],
    )
