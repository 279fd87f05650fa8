"""agent.gpus: what nvidia-smi says, or why it says nothing."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.agent import gpus
from remote_kernels.agent.usage import Sampler

# Made up, not captured: in the format of `nvidia-smi --help-query-gpu`.
TWO = """\
0, GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, NVIDIA A100-SXM4-40GB, 37, 1234, 40960
1, GPU-1b2c3d4e-0000-4106-c12f-20bd9faed9f6, NVIDIA A100-SXM4-40GB, 0, 4, 40960
"""
UNTOLD = "0, GPU-8932f937, NVIDIA H100, rev, 2, [N/A], [Not Supported], 81559\n"
MIB = 1024 * 1024


class Smi:
    """An nvidia-smi on PATH."""

    def __init__(self, directory: Path) -> None:
        self.calls = directory / "calls"
        self._path = directory / "bin" / "nvidia-smi"
        self._path.parent.mkdir()

    def does(self, script: str) -> None:
        calls = shlex.quote(str(self.calls))
        self._path.write_text(f'#!/bin/sh\necho "$*" >> {calls}\n{script}\n')
        self._path.chmod(0o700)

    def says(self, text: str) -> None:
        self.does(f"printf %s {shlex.quote(text)}")

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smi:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return Smi(tmp_path)


@pytest.fixture
def sampler() -> Sampler:
    return Sampler(list)


def told(sampler: Sampler) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sampler.sample()["gpus"]
    return found


def test_each_gpu(smi: Smi, sampler: Sampler) -> None:
    """Percent and bytes, anew in each sample."""
    smi.says(TWO)
    assert [0, 1] == [gpu["index"] for gpu in told(sampler)]

    smi.says(TWO.replace("37", "100"))
    first, second = told(sampler)

    assert first == {
        "index": 0,
        "name": "NVIDIA A100-SXM4-40GB",
        "utilization": 100,
        "memory": 1234 * MIB,
        "memory_total": 40960 * MIB,
    }
    assert (0, 4 * MIB) == (second["utilization"], second["memory"])


def test_what_is_asked(smi: Smi, sampler: Sampler) -> None:
    """Machine-readable, in this order."""
    smi.says(TWO)
    told(sampler)

    fields = "index,uuid,name,utilization.gpu,memory.used,memory.total"
    assert [f"--query-gpu={fields} --format=csv,noheader,nounits"] == smi.called()


def test_what_a_gpu_does_not_tell(smi: Smi, sampler: Sampler) -> None:
    """As a MIG device's parent; and a name may have commas."""
    smi.says(UNTOLD)

    assert told(sampler) == [
        {
            "index": 0,
            "name": "NVIDIA H100, rev, 2",
            "utilization": None,
            "memory": None,
            "memory_total": 81559 * MIB,
        }
    ]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0,1", [0, 1]),
        ("1", [1]),
        (" 1 , 0", [0, 1]),
        ("GPU-1b2c3d4e-0000-4106-c12f-20bd9faed9f6", [1]),
        ("GPU-8932", [0]),
        ("MIG-4f4be0a9-5f7d-5c6a-9d6a-3f7d5c6a9d6a", [0, 1]),
        ("7", []),
        ("NoDevFiles", []),
    ],
)
def test_only_the_job_s(
    smi: Smi,
    sampler: Sampler,
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    expected: list[int],
) -> None:
    """Where the job could see others', its variable says which are its own."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    smi.says(TWO)

    assert expected == [gpu["index"] for gpu in told(sampler)]


def test_a_job_without_gpus(
    smi: Smi, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    smi.says(TWO)

    assert [] == told(sampler)
    assert [] == smi.called()


def test_no_nvidia_smi(smi: Smi, sampler: Sampler) -> None:
    """It is not looked for again."""
    assert [] == told(sampler)

    smi.says(TWO)

    assert [] == told(sampler)
    assert [] == smi.called()


@pytest.mark.parametrize(
    "script",
    [
        "echo 'NVIDIA-SMI has failed because it could not communicate'; exit 9",
        f"printf %s '{TWO}'; exit 15",
        "echo 'No devices were found'",
        "printf '0, GPU-8932f937, NVIDIA A100, 37 %%, 1234 MiB, 40960 MiB\\n'",
    ],
    ids=["fails", "lost one", "none", "another format"],
)
def test_an_nvidia_smi_that_does_not_tell(
    smi: Smi, sampler: Sampler, script: str
) -> None:
    """It is asked once."""
    smi.does(script)

    assert [] == told(sampler)
    assert [] == told(sampler)
    assert 1 == len(smi.called())


def test_an_nvidia_smi_that_hangs(
    smi: Smi, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed, and not asked again."""
    started: list[subprocess.Popen[bytes]] = []

    class Process(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(gpus, "TIMEOUT", 0.3)
    smi.does("sleep 100")

    assert [] == told(sampler)
    assert [] == told(sampler)
    assert [-9] == [process.returncode for process in started]
