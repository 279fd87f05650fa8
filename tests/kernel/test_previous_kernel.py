"""kernel.previous_kernel: which kernel of a notebook's ended, and is to be spoken of."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from remote_kernels.kernel.previous_kernel import previous_kernel
from remote_kernels.records import JobEnd, Record

NOTEBOOK = "/home/alice/a.ipynb"
LIVED = {"ready": 1.0, "ended": 2.0}


def ended(base: Path, kernel_id: str, **facts: Any) -> Record:
    record = Record(base, kernel_id)
    record.create()
    known = {
        "notebook": NOTEBOOK,
        "times": LIVED,
        "end": asdict(JobEnd("TIMEOUT", text=f"of {kernel_id}")),
        **facts,
    }
    record.write("record.json", known)
    return record


def test_the_last_one_counts(tmp_path: Path) -> None:
    """Of this notebook, and by when it ended, not by its ID."""
    ended(tmp_path, "b", times={**LIVED, "ended": 4.0})
    ended(tmp_path, "a", times={**LIVED, "ended": 3.0})
    ended(tmp_path, "c", times={**LIVED, "ended": 5.0}, notebook="/home/alice/b.ipynb")

    found = previous_kernel(tmp_path, NOTEBOOK)

    assert found is not None
    assert "of b" in found.text
    assert "variables are gone" in found.text


def test_it_is_spoken_of_once(tmp_path: Path) -> None:
    """The notebook's next kernel is told nothing, and the record keeps the rest."""
    record = ended(tmp_path, "a")
    found = previous_kernel(tmp_path, NOTEBOOK)
    assert found is not None

    found.note_told("z")

    assert previous_kernel(tmp_path, NOTEBOOK) is None
    assert "of a" == (record.read("record.json") or {})["end"]["text"]


def test_who_has_no_variables_to_lose_is_not_spoken_of(tmp_path: Path) -> None:
    """One that lives, never came, cannot be read, or is of no notebook."""
    ended(tmp_path, "lives").write("spec.json", {})
    ended(tmp_path, "never came", times={})
    (ended(tmp_path, "damaged").path / "record.json").write_text("{")
    ended(tmp_path, "of an older version", notebook=None)

    assert previous_kernel(tmp_path, NOTEBOOK) is None
    assert previous_kernel(tmp_path, "") is None
