"""remote-kernels doctor, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from login.specs import BATCH, CONFIG, write_spec

BIN = Path(sys.executable).parent


def doctor(*argv: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [BIN / "remote-kernels", "doctor", "--json", *argv],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def words(*configs: Mapping[str, Any]) -> list[str]:
    """As options of a command."""
    every = {name: value for config in configs for name, value in config.items()}
    return [f"--{name}={value}" for name, value in every.items()]


def states(report: dict[str, Any]) -> dict[str, str]:
    return {finding["stage"]: finding["state"] for finding in report["findings"]}


@pytest.mark.cluster
def test_all_carriers_of_a_healthy_cluster_work() -> None:
    """Every stage is ok, each carrier is measured, ssh is recommended."""
    code, report = doctor(*words(CONFIG, BATCH.inside))

    assert (0, True, "ssh") == (code, report["usable"], report["carrier"])
    assert {"ok"} == set(states(report).values())
    assert "interrupt works" in report["findings"][-1]["text"]


@pytest.mark.cluster
def test_one_carrier_that_fails_is_explained() -> None:
    """ssh goes nowhere: the reason, and that the other does the work."""
    code, report = doctor(*words(CONFIG, BATCH.inside), "--address", "nosuchhost")

    assert (0, BATCH.carrier) == (code, report["carrier"])
    assert "failed" == states(report)["carrier ssh"]
    assert "Not working: carrier ssh" in report["summary"]


@pytest.mark.cluster
def test_nothing_works() -> None:
    """Exit code 1, and the batch system's own words."""
    code, report = doctor(*words(CONFIG, BATCH.inside), "--queue", "nosuch")

    assert (1, False) == (code, report["usable"])
    assert BATCH.refuses_word in report["findings"][-1]["text"]


def test_without_a_batch_system() -> None:
    """The local scheduler goes the same way."""
    code, report = doctor("t-local")

    assert (0, "pipe") == (code, report["carrier"])


def test_without_a_job() -> None:
    """--no-job looks at this side only."""
    code, report = doctor("t-local", "--no-job")

    assert (0, None) == (code, report["usable"])
    assert "no job was tried" in report["summary"]
    assert "carrier pipe" not in states(report)


def test_a_mistake_in_the_configuration() -> None:
    """Nothing is tried with it."""
    code, report = doctor("--scheduler", "local", "--transport", "ipc", "--mem", "lots")

    assert 1 == code
    assert "failed" == states(report)["configuration"]


CODE = """
import os, signal, sys
from ipykernel import ipkernel, kernelapp
{}
sys.argv = ["kernel", "-f", sys.argv[-1]]
kernelapp.launch_new_instance()
"""
DIES = """
def hook(self): self.saved_sigint_handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
ipkernel.IPythonKernel.pre_handler_hook = hook
"""
OTHER = "ipkernel.IPythonKernel.language_info = {'name': 'R'}"


def write_kernel(name: str, code: str, state: str) -> None:
    argv = [sys.executable, "-c", CODE.format(code), "{connection_file}"]
    write_spec(name, {"scheduler": "local", "state_dir": state}, argv)


def test_a_kernel_that_an_interrupt_ends(tmp_path: Path) -> None:
    """Said at once and without a traceback, with what may be in the way."""
    write_kernel("t-dies", DIES, str(tmp_path))

    began = time.monotonic()
    code, report = doctor("t-dies")

    found = report["findings"][-1]
    assert (1, False, "failed") == (code, report["usable"], found["state"])
    assert "the kernel ended (exit code -2) while interrupted" in found["text"]
    assert "SIGINT" in found["advice"]
    assert time.monotonic() - began < 50


def test_a_kernel_of_another_language(tmp_path: Path) -> None:
    """No Python is sent to it; it is no fault that it does not know any."""
    write_kernel("t-other", OTHER, str(tmp_path))

    code, report = doctor("t-other")

    assert (0, "pipe") == (code, report["carrier"])
    assert "no cell was run" in report["findings"][-1]["text"]
