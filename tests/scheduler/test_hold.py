"""scheduler/slurm/detach.py: what it prints, what lives on, and that a refusal leaves nothing.

srun and salloc are played by shell scripts: real ones are in tests/on_cluster.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

HOLD = (
    Path(__file__).parents[2] / "remote_kernels" / "scheduler" / "slurm" / "detach.py"
)
STARTS = 'sh -c "$(cat)"'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Found before the system's."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def write(**scripts: str) -> None:
        for name, script in scripts.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    return write


def start(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    argv = [sys.executable, "-I", "-S", str(HOLD), f"--output={tmp_path}/log", *words]
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def until(path: Path, text: str) -> None:
    end = time.monotonic() + 20
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < end, f"no {text!r} in {path}"
        time.sleep(0.01)


def test_a_step(programs: Callable[..., None], tmp_path: Path) -> None:
    """Its ID is printed as soon as it runs; it goes on, with the script as its own."""
    programs(srun=STARTS)
    (tmp_path / "log").write_text("remote_kernels: step 1.1, of an earlier one\n")
    script = f"""
echo "remote_kernels: step 60.3 on c1"
while ! [ -e {tmp_path}/go ]; do sleep 0.01; done
echo gone on
"""
    done = start(tmp_path, "--", "srun", "--jobid=60")
    out, err = done.communicate(script, timeout=20)

    assert (0, "60.3\n", "") == (done.returncode, out, err)
    (tmp_path / "go").touch()
    until(tmp_path / "log", "gone on")


def test_srun_refuses(programs: Callable[..., None], tmp_path: Path) -> None:
    programs(srun="echo 'srun: error: Invalid job id' >&2; exit 1")
    done = start(tmp_path, "--", "srun")
    out, err = done.communicate("", timeout=20)

    assert (1, "") == (done.returncode, out)
    assert "srun: error: Invalid job id" in err


def test_a_job(programs: Callable[..., None], tmp_path: Path) -> None:
    """Its number is printed while it waits; srun gets it; its end gives the job back."""
    programs(
        salloc=f"""echo salloc: Pending job allocation 61 >&2
while ! [ -e {tmp_path}/go ]; do sleep 0.01; done
echo salloc: Granted job allocation 61 >&2""",
        scontrol="echo 'JobId=61 NodeList=c[1-2] NumNodes=2 Comment=NodeList=c3'",
        srun='echo "$1 $RK_NODES $RK_NODE_COUNT"; cat',
        scancel=f'echo "$@" >{tmp_path}/cancelled',
    )
    words = ["--allocate", "--", "salloc", "--no-shell", "--", "srun", "--jobid={job}"]
    done = start(tmp_path, *words)
    out, _ = done.communicate("the script\n", timeout=20)
    assert (0, "61\n") == (done.returncode, out)
    assert "--jobid" not in (tmp_path / "log").read_text()

    (tmp_path / "go").touch()

    until(tmp_path / "log", "--jobid=61 c[1-2] 2\nthe script")
    until(tmp_path / "cancelled", "61")


def test_a_job_whose_node_manages_its_steps(
    programs: Callable[..., None], tmp_path: Path
) -> None:
    """srun would be refused before that node is ready, of which salloc tells (24.11)."""
    programs(
        salloc=f"""echo salloc: Granted job allocation 61 >&2
while ! [ -e {tmp_path}/go ]; do sleep 0.01; done
echo ready >&2""",
        scontrol=f"echo asked >{tmp_path}/asked; echo 'JobId=61 StepMgrEnabled=Yes'",
        srun="cat",
        scancel="",
    )
    words = ["--allocate", "--", "salloc", "--", "srun"]
    done = start(tmp_path, *words)
    assert "61\n" == done.communicate("the script\n", timeout=20)[0]
    until(tmp_path / "asked", "asked")

    (tmp_path / "go").touch()

    until(tmp_path / "log", "ready\nthe script")


def test_salloc_refuses(programs: Callable[..., None], tmp_path: Path) -> None:
    programs(salloc="echo 'salloc: error: invalid partition' >&2; exit 1")
    done = start(tmp_path, "--allocate", "--", "salloc", "--", "srun")
    out, err = done.communicate("", timeout=20)

    assert (1, "") == (done.returncode, out)
    assert "invalid partition" in err


def test_who_asked_is_gone(programs: Callable[..., None], tmp_path: Path) -> None:
    """srun is told, which ends its step."""
    programs(srun=f"echo $$ here >{tmp_path}/began; exec sleep 600")
    done = start(tmp_path, "--", "srun")
    assert done.stdin is not None
    done.stdin.close()
    done.stdin = None
    until(tmp_path / "began", "here")

    done.send_signal(signal.SIGTERM)

    done.communicate(timeout=20)
    assert 143 == done.returncode
    srun = (tmp_path / "began").read_text().split()[0]
    assert not Path("/proc", srun).exists()
