"""Roots of other releases are kept, and made anew when they are to have other packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testbed import machine
from testbed.roots import STAMP, Root
from testbed.systems import named


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    """One that is there."""
    monkeypatch.setenv("RK_ROOTS", str(tmp_path))
    root = Root("r", "trixie", ("condor",))
    (tmp_path / "r" / STAMP).parent.mkdir(parents=True)
    (tmp_path / "r" / STAMP).write_text(root.stamp)
    return root


def test_a_root_is_made_once(root: Root) -> None:
    """And not where it is of other packages, or of another release."""
    assert root.is_made
    assert not root.make(print)
    assert not replace(root, packages=("condor", "munge")).is_made
    assert not replace(root, suite="sid").is_made


@pytest.mark.cluster
def test_a_root_that_is_missing_is_said(root: Root) -> None:
    """With the command that makes it; systems of the machine's release need none."""
    system = named("htcondor")
    command = "python3 tests/testbed install --scheduler htcondor"

    assert command in machine.why_not(system)
    assert command not in machine.why_not(named("slurm"))
