"""`remote-kernels info`: one kernel, and the installation."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.conftest import FakeSlurm
from cli.live import (
    GONE,
    TIMEOUT,
    command,
    end,
    install_kernelspec,
    job,
    mine,
    record_of,
    shown,
    telling,
)
from cli.test_main import complete
from cli.test_servers import entry
from cli.test_words import VIEW
from click.testing import Result
from scheduler.captured import captured

import remote_kernels
from remote_kernels.records import JobEnd
from remote_kernels.scheduler.job import JobId

Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("place")
USAGE = {
    "cpu_percent": 130.0,
    "cpus": 4,
    "memory": 2**30,
    "memory_limit": 2**32,
    "gpus": [{"index": 0, "name": "A100", "utilization": 35}],
}


@pytest.fixture
def job_id(tmp_path: Path) -> Iterator[JobId]:
    """A job that runs."""
    made = job(tmp_path)
    yield made
    end(made)


def told(result: Result) -> dict[str, str]:
    """The lines by their labels; of more than one, the last."""
    rows = [line.partition("\t") for line in result.stdout.splitlines()]
    return {label: text for label, _, text in rows}


def test_a_kernel_that_runs(run: Run, job_id: JobId) -> None:
    """All that is known, with what its server says."""
    times = {"submitted": time.time() - 7200, "ready": time.time() - 3600}
    record = mine("k1", job_id, times=times, carrier="pipe", spec_name="left")
    record.write("sessions.json", {"s": {"path": "a.ipynb"}})
    record.kernel_log.write_text("")
    with telling() as server:
        server.says = 200, json.dumps(entry(state="running", usage=USAGE))
        result = run("info", "k1")
        url = f"http://localhost:{server.server_port}/b/"
    lines = told(result)
    number = str(job_id)
    assert lines.pop("Submitted").endswith("(2 h ago)")
    assert lines.pop("Ready").endswith("(1 h ago)")
    assert {
        "Kernel": "k1",
        "Name": "Python",
        "Kernelspec": "left",
        "Notebook": "a.ipynb",
        "State": "running",
        "Job": f"{number} (local): RUNNING",
        "Node": "n1",
        "Carrier": "pipe",
        "Memory": "1.0 of 4.0 GiB",
        "CPU": "130 % of 4 CPUs",
        "GPU": "0 A100, 35 %",
        "Server": f"process {os.getpid()} on {socket.gethostname()}, {url}",
        "Record": str(record.path),
        "Log": str(record.kernel_log),
    } == lines


def test_a_kernel_that_waits(run: Run, slurm: FakeSlurm) -> None:
    """For what, when it may start, and what can be done."""
    slurm.says("17|PENDING|Resources|n/a||N/A|N/A")
    record_of("k2", "17", scheduler="slurm", cluster="test", node=None)
    lines = told(run("info", "17"))
    assert "waiting for free nodes (Resources)" == lines["State"]
    assert "Asking for less" in lines["Advice"]
    assert "17 (slurm on test): PENDING Resources" == lines["Job"]
    assert "last used by process 17 on login1" == lines["Server"]
    assert not {"Node", "Ready", "Memory", "Ends"} & set(lines)


def test_a_kernel_that_ended(run: Run) -> None:
    """How."""
    record_of("k1", GONE).seal(
        JobEnd("CANCELLED", text="The job was cancelled. Start it again.")
    )
    state = told(run("info", "k1"))["State"]
    assert "ended: The job was cancelled. Start it again." == state


def test_json(run: Run, slurm: FakeSlurm) -> None:
    """A view, and what it does not have."""
    slurm.says("17|PENDING|Resources|n/a||N/A|N/A")
    record = record_of("k2", "17", scheduler="slurm")
    body = json.loads(run("info", "k2", "--json").stdout)
    more = {"advice", "server", "record", "logs"}
    assert set(VIEW.as_json()) | more == set(body)
    assert (None, str(record.path), []) == (
        *(body["server"], body["record"]),
        body["logs"],
    )
    assert "waiting" == body["state"]


def test_one_that_is_not_there(run: Run) -> None:
    """No traceback."""
    result = run("info", "x")
    assert (1, "Error: No kernel of yours is on record here.\n") == (
        result.exit_code,
        result.stderr,
    )


def test_the_installation(run: Run, slurm: FakeSlurm, jupyter: Path) -> None:
    """What is installed, and found."""
    install_kernelspec(jupyter)
    slurm.says("17|PENDING|Resources|n/a||N/A|N/A")
    record_of("k1", "17", scheduler="slurm")
    ended = record_of("k2", GONE)
    ended.seal(JobEnd("CANCELLED", text="It ended."))
    with telling() as server:
        lines = told(run("info"))
        body = json.loads(run("info", "--json").stdout)
        url = f"http://localhost:{server.server_port}/b/"
    assert f"remote-kernels {remote_kernels.__version__}" == lines["Version"]
    assert ["Scheduler", "slurm", "test", url, "left"] == [
        "Scheduler",
        lines["Scheduler"].partition(",")[0],
        *(lines["Cluster"], lines["Server"], lines["Kernelspecs"]),
    ]
    assert str(ended.base) == lines["State directory"]
    assert "1 waiting, 1 ended" == lines["Kernels"]
    assert {"waiting": 1, "ended": 1} == body["kernels"]
    assert ([url], "test", [str(ended.base)]) == (
        *(body["servers"], body["cluster"]),
        body["state_dirs"],
    )


def test_an_empty_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No Slurm, no kernels, no servers."""
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = told(run("info"))
    assert lines["Scheduler"].startswith("local")
    assert ("none", "none of ours") == (lines["Kernels"], lines["Kernelspecs"])
    assert "Server" not in lines


def test_on_a_terminal(job_id: JobId) -> None:
    """Labelled lines."""
    record_of("k1", job_id, name="[red]hot")
    with shown(*command("info", "k1")) as terminal:
        terminal.until("Kernel")
        terminal.until("k1")
        terminal.until("[red]hot")
        terminal.until("Record")
        assert 0 == terminal.program.wait(TIMEOUT)


def test_completion() -> None:
    """Also of kernels that ended."""
    record_of("k1", GONE).seal(JobEnd("CANCELLED", text="It ended."))
    assert ["k1"] == complete("info", "")


def test_what_is_free(run: Run, slurm: FakeSlurm) -> None:
    """A row for each queue, or JSON as the REST API has it."""
    rows = captured("sinfo-free-busy").stdout
    slurm.add("sinfo", f"cat <<'END'\n{rows}END")
    result, data = run("info", "--queues"), run("info", "--queues", "--json")

    first = result.stdout.splitlines()[0]
    assert (
        "debug*\tup\t1 h\t0 of 2 free\t7 of 16 free\t3.91 GiB\t1 of 2 free\t" == first
    )
    found = json.loads(data.stdout)
    assert ("slurm", "debug") == (found["scheduler"], found["queues"][0]["name"])


def test_queues_and_a_kernel(run: Run) -> None:
    """They have nothing to do with each other."""
    result = run("info", "--queues", "k1")

    assert 2 == result.exit_code
    assert "leave KERNEL out" in result.stderr


def test_no_queues(run: Run) -> None:
    """This machine has none."""
    result = run("info", "--queues")

    assert (0, "") == (result.exit_code, result.stdout)
    assert "Scheduler 'local' tells of no queues." in result.stderr
