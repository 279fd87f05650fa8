"""The table of docs/batch-systems.md is what the drivers say."""

from __future__ import annotations

from contracts import matrix


def test_the_table_is_up_to_date() -> None:
    """To write it anew: PYTHONPATH=tests python -m contracts.matrix"""
    _, found, _ = matrix.in_document(matrix.DOCUMENT.read_text())

    assert matrix.table() == found


def test_each_capability_has_its_row() -> None:
    """One that is new needs words for people in `CAPABILITIES`."""
    assert {*matrix.CAPABILITIES} == {*matrix.capabilities()}
