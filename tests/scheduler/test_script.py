"""scheduler.script, run by bash for real, with a tiny zip as the agent."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from remote_kernels.scheduler import script

AGENT = "import os, sys; print(sys.argv[1:]); print(os.environ.get('LOADED'))"


def pyz() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("__main__.py", AGENT)
    return buffer.getvalue()


def run(tmp_path: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Build with these options, and let bash run it from standard input."""
    record = tmp_path / "record of it's own"
    record.mkdir(exist_ok=True)
    nodes = tmp_path / "n"
    nodes.mkdir(exist_ok=True)
    defaults = {
        "record_dir": str(record),
        "agent": pyz(),
        "python": sys.executable,
        "node_dir": str(nodes),
    }
    text = script.build(**{**defaults, **options})  # type: ignore[arg-type]
    return subprocess.run(
        ["bash", "-s"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": "/run/user/1"},
    )


def left(tmp_path: Path) -> list[Path]:
    return [*(tmp_path / "n").glob("*")]


def test_it_becomes_the_agent(tmp_path: Path) -> None:
    """With the record and a private directory of the node as its arguments."""
    done = run(tmp_path)

    (directory,) = left(tmp_path)
    record = str(tmp_path / "record of it's own")
    expected = ["run", "--record", record, "--node-dir", str(directory)]
    assert (0, f"{expected!r}\nNone\n") == (done.returncode, done.stdout)
    assert 0o700 == directory.stat().st_mode & 0o777


def test_the_prologue_s_environment_reaches_the_agent(tmp_path: Path) -> None:
    """As `module load` changes it."""
    done = run(tmp_path, prologue=["export LOADED=yes"])

    assert done.stdout.endswith("yes\n")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"record_dir": "/nowhere"}, script.STATE_DIR_MISSING, "is not shared"),
        ({"prologue": ["false"]}, script.PROLOGUE_FAILED, "at: false"),
        ({"prologue": ["exit 3"]}, script.PROLOGUE_FAILED, "ended the script (3)"),
        ({"python": "/no/python"}, script.NO_PYTHON, "/no/python: not found"),
        ({"node_dir": "/proc"}, script.NO_NODE_DIR, "no private directory"),
    ],
)
def test_each_failure_has_an_exit_code_of_its_own(
    tmp_path: Path, options: dict[str, object], code: int, words: str
) -> None:
    """With a sentence in the log, and nothing left on the node."""
    done = run(tmp_path, **options)

    assert code == done.returncode
    assert words in done.stderr
    assert script.explain_exit(code) is not None
    assert [] == left(tmp_path)


def test_a_python_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    """What it said is in the log."""
    old = tmp_path / "python3.6"
    old.write_text("#!/bin/sh\necho 3.6\nexit 1\n")
    old.chmod(0o755)

    done = run(tmp_path, python=str(old))

    assert script.NO_PYTHON == done.returncode
    assert f"{old}: 3.6" in done.stderr


def test_an_exit_code_that_is_not_ours_is_not_explained() -> None:
    """The kernel's story then says what the scheduler said."""
    assert script.explain_exit(1) is None
