"""suites.compare: which differences of two runs of a suite count."""

from __future__ import annotations

from suites.compare import Comparison, Expected, compare, read
from suites.suite import BY_NAME


def test_what_differs() -> None:
    """What fails locally, too, says nothing; what is expected must happen."""
    expected = Expected(
        {"a": "why", "b[*": "why", "gone": "why", "slow": "why"}, frozenset({"slow"})
    )
    local = dict.fromkeys(("a", "b[1]", "c", "d", "gone", "slow"), "passed")
    local |= {"broken": "failed"}
    ours = {"a": "failed", "b[1]": "skipped", "c": "failed", "gone": "passed"}
    ours |= {"slow": "passed", "broken": "failed"}  # and d was never reached

    found = compare(local, ours, expected)

    assert Comparison(["c", "d"], ["a", "b[1]"], ["gone"]) == found
    assert not found.is_right
    assert compare(local, local, Expected({})).is_right


def test_the_list() -> None:
    """It names suites that there are, and gives each group a reason."""
    for suite, expected in read().items():
        assert suite in BY_NAME
        assert all(expected.reasons.values())
