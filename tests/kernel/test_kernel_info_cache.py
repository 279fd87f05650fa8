"""records.KernelInfoCache: what kernels said of themselves, by command."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from remote_kernels.records import KernelInfoCache

INFO = {"status": "ok", "banner": "Grüße"}
COMMAND = ["python", "-m", "ipykernel"]


def files(base: Path) -> list[Path]:
    return [path for path in base.rglob("*") if path.is_file()]


def test_what_is_remembered_is_recalled(tmp_path: Path) -> None:
    """By whoever has the same command; nobody else may look into it."""
    KernelInfoCache(tmp_path, COMMAND).remember(INFO)

    assert INFO == KernelInfoCache(tmp_path, COMMAND).recall()
    (file,) = files(tmp_path)
    modes = [path.stat().st_mode & 0o777 for path in (file, file.parent)]
    assert [0o600, 0o700] == modes


@pytest.mark.parametrize(
    "other",
    [
        ["python", "-m ipykernel"],
        ["python", "-m", "ipykernel", ""],
        ["module load x", *COMMAND],
    ],
)
def test_another_command_is_another_kernel(tmp_path: Path, other: list[str]) -> None:
    """Also one that has the same words, or more around it."""
    KernelInfoCache(tmp_path, COMMAND).remember(INFO)

    assert KernelInfoCache(tmp_path, other).recall() is None


def test_a_kernel_that_has_changed(tmp_path: Path) -> None:
    """Its last word counts."""
    known = KernelInfoCache(tmp_path, COMMAND)
    known.remember(INFO)

    known.remember({"status": "ok"})

    assert {"status": "ok"} == known.recall()
    assert 1 == len(files(tmp_path))


def test_a_kernel_that_has_not_changed(tmp_path: Path) -> None:
    """Nothing is written."""
    known = KernelInfoCache(tmp_path, COMMAND)
    known.remember(INFO)
    (file,) = files(tmp_path)
    before = file.stat().st_ino

    known.remember({**INFO})

    assert before == file.stat().st_ino


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_file_that_is_damaged(tmp_path: Path, content: bytes) -> None:
    """It tells nothing, and is replaced."""
    known = KernelInfoCache(tmp_path, COMMAND)
    known.remember(INFO)
    files(tmp_path)[0].write_bytes(content)
    assert known.recall() is None

    known.remember(INFO)

    assert INFO == known.recall()


def test_no_place_to_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The kernel starts all the same."""
    caplog.set_level(logging.INFO, "remote_kernels")
    (tmp_path / "kernel_info").write_text("no directory")
    known = KernelInfoCache(tmp_path, COMMAND)

    known.remember(INFO)

    assert known.recall() is None
    assert "cannot remember" in caplog.text
