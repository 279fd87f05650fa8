"""jupyter.api and kernels that other servers have: a real server, and a played Slurm.

What Slurm says was captured, but for two refusals. Each of its commands is a script
that notes how it was called.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from scheduler.captured import captured
from served.server import Answer, Home, Server, home, served
from served.slurm import Slurm

from remote_kernels import records
from remote_kernels.records import JobEnd, Record

pytestmark = pytest.mark.timeout(120)

WAITS = "9"  # of those in squeue-pending
DENIED = "Access/permission denied for job 9\n"
INVALID = "slurm_update error: Requested time limit is invalid\n"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with home() as made:
        yield made


@pytest.fixture
def slurm(here: Home, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    bin_ = here.path / "bin"
    bin_.mkdir()
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    made = Slurm(bin_)
    made.answers("squeue-pending")
    return made


@pytest.fixture
def server(here: Home, slurm: Slurm) -> Iterator[Server]:
    """It asks Slurm once in an hour."""
    with served(here, "c.RemoteKernelsApp.poll_interval = 3600.0") as made:
        yield made


def record_of(kernel: str, job_id: str, *, end: str = "", **facts: Any) -> Record:
    """A kernel that another server has, or had."""
    made = Record(records.state_dir(None), kernel)
    made.create()
    made.write("spec.json", {})
    used = {"pid": 17, "host": "login1", "name": "Python", "spec_name": "python"}
    body = {"scheduler": "slurm", "job_id": job_id, "times": {}, **used, **facts}
    made.write("record.json", body)
    if end:
        made.seal(JobEnd("CANCELLED", text=end))
    return made


def ids(answer: Answer) -> list[str]:
    return [kernel["kernel_id"] for kernel in answer.json]


def test_many_pages_that_ask_at_once(server: Server, slurm: Slurm) -> None:
    """One question to Slurm for all of them, and for all kernels."""
    for kernel, job in (("k1", "9"), ("k2", "13"), ("k3", "16")):
        record_of(kernel, job)
    before = len(slurm.calls("squeue"))
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(server.api, ["GET"] * 20, ["/kernels"] * 20))
    one = server.api("GET", "/kernels/k2")

    assert {("k1", "k2", "k3")} == {tuple(ids(answer)) for answer in answers}
    assert ["k2", "13", "waiting", "PENDING", "BeginTime", "login1", 17] == [
        one.json[name]
        for name in ("kernel_id", "job_id", "state", "job_state", "reason", "host")
    ] + [one.json["pid"]]
    (asked,) = slurm.calls("squeue")[before:]
    assert "-j 9,13,16" in asked


def test_kernels_that_have_ended(server: Server, slurm: Slurm) -> None:
    """Only for who asks for them; their records say how, and Slurm is not asked."""
    record_of("k1", "9", end="Job 9: It was cancelled.")
    usual, all_ = (
        server.api("GET", f"/kernels{query}") for query in ("", "?ended=true")
    )
    alone = server.api("GET", "/kernels/k1")

    assert [] == usual.json
    assert ["k1"] == ids(all_)
    assert ("ended", "Job 9: It was cancelled.") == (
        alone.json["state"],
        alone.json["text"],
    )
    assert 409 == server.api("POST", "/kernels/k1/extend", {"minutes": 1}).status
    assert [] == slurm.calls("squeue")


def test_a_record_of_a_kernel_that_has_ended(server: Server, slurm: Slurm) -> None:
    """It is removed, and no job is touched: its number may be another's by now."""
    record = record_of("k1", "9", end="Job 9: It was cancelled.")

    assert 204 == server.api("DELETE", "/kernels/k1").status
    assert not record.path.exists()
    assert [] == slurm.calls("scancel")


def test_what_happens_between_two_questions(server: Server) -> None:
    """The disk says it, without one."""
    gone, ended = record_of("k1", "9"), record_of("k2", "13")
    record_of("k3", "16")
    before = ids(server.api("GET", "/kernels"))
    gone.remove()
    ended.seal(JobEnd("CANCELLED", text="Job 13: It was cancelled."))

    assert ["k1", "k2", "k3"] == before
    assert ["k3"] == ids(server.api("GET", "/kernels"))
    assert "ended" == server.api("GET", "/kernels/k2").json["state"]


def test_another_servers_kernel_that_is_stopped(server: Server, slurm: Slurm) -> None:
    """Its job is cancelled, its record removed."""
    record = record_of("k1", WAITS)

    assert 204 == server.api("DELETE", "/kernels/k1").status
    assert [f"scancel {WAITS}"] == slurm.calls("scancel")
    assert not record.path.exists()
    assert 404 == server.api("GET", "/kernels/k1").status


def test_one_that_cannot_be_stopped(server: Server, slurm: Slurm) -> None:
    """Slurm's words are told, and the record stays: it may be all that is known."""
    record = record_of("k1", WAITS)
    slurm.answers("scancel-not-ours")
    answer = server.api("DELETE", "/kernels/k1")

    assert 502 == answer.status
    assert captured("scancel-not-ours").stderr.strip() in answer.message
    assert record.is_live


def test_slurm_takes_its_time(server: Server, here: Home, slurm: Slurm) -> None:
    """Pages need not wait for it; what it must say first is put off till then."""
    record_of("k1", WAITS)
    answer = slurm.hangs("squeue")
    early = server.api("GET", "/kernels/k1")
    stopped = server.api("DELETE", "/kernels/k1")
    extended = server.api("POST", "/kernels/k1/extend", {"minutes": 1})
    answer.write_text(captured("squeue-pending").stdout)
    late = server.api("GET", "/kernels/k1")

    assert ["unknown", "waiting"] == [one.json["state"] for one in (early, late)]
    assert [503, 503] == [stopped.status, extended.status]
    assert [] == slurm.calls("scancel")


def test_a_kernel_that_starts_between_two_questions(server: Server) -> None:
    """It is told at once, though nobody has said yet what it does."""
    record_of("k1", WAITS)
    before = server.api("GET", "/kernels")
    record_of("k2", "13")
    after = server.api("GET", "/kernels")

    assert ["waiting"] == [one["state"] for one in before.json]
    assert ["waiting", "unknown"] == [one["state"] for one in after.json]


def test_another_clusters_kernel(server: Server, slurm: Slurm) -> None:
    """It is not told: this cluster's job of that number is another one."""
    slurm.says("scontrol", out="ClusterName             = here\n")
    record_of("k1", WAITS, cluster="here")
    record_of("k2", WAITS, cluster="there")

    assert ["k1"] == ids(server.api("GET", "/kernels"))
    assert 404 == server.api("DELETE", "/kernels/k2").status


def test_slurm_is_silent(server: Server, slurm: Slurm) -> None:
    """That says nothing about a kernel."""
    slurm.answers("squeue-down")
    record_of("k1", WAITS)
    answer = server.api("GET", "/kernels")

    assert (200, ["unknown"]) == (answer.status, [one["state"] for one in answer.json])


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, 1, DENIED),
        (409, 1, INVALID),
        (503, 1, captured("scontrol-down").stderr),
    ],
)
def test_a_time_limit_that_is_not_moved(
    server: Server, slurm: Slurm, status: int, code: int, said: str
) -> None:
    """Slurm's words are told as they are."""
    record_of("k1", WAITS)
    slurm.says("scontrol", code, err=said)
    answer = server.api("POST", "/kernels/k1/extend", {"minutes": 30})

    assert status == answer.status
    assert said.strip() in answer.message
    assert f"scontrol update JobId={WAITS} TimeLimit=+30" in slurm.calls("scontrol")


def test_a_time_limit_that_is_moved(server: Server, slurm: Slurm) -> None:
    """The answer has the new one."""
    record_of("k1", "18", node="c1")
    slurm.answers("squeue-running")
    before = server.api("GET", "/kernels/k1").json["ends"]
    slurm.says(
        "squeue", out=captured("squeue-running").stdout.replace("11:38", "12:08")
    )
    answer = server.api("POST", "/kernels/k1/extend", {"minutes": 30})

    assert 200 == answer.status
    assert 1800 == answer.json["ends"] - before


def test_a_start_with_other_options(server: Server, here: Home, slurm: Slurm) -> None:
    """They go to sbatch in place of the kernelspec's, however they are spelt."""
    config = {"partition": "debug", "cpus_per_task": 1, "mem": "1G"}
    here.spec("gpu", scheduler="slurm", **config)
    slurm.answers("sbatch-ok")
    slurm.says("squeue", out="19|PENDING|Resources|n/a||N/A|N/A\n")
    options = {"partition": "gpu", "time": 30, "cpus-per-task": 4, "mem": None}
    made = server.api("POST", "/kernels", {"name": "gpu", "options": options})
    kernel = made.json["kernel_id"]
    stopped = server.api("DELETE", f"/kernels/{kernel}")

    (call,) = slurm.calls("sbatch")
    assert {"--partition=gpu", "--time=30", "--cpus-per-task=4"} < set(call.split())
    assert "--mem" not in call
    assert (201, "19", "waiting") == (
        made.status,
        made.json["job_id"],
        made.json["state"],
    )
    assert 204 == stopped.status
    assert [] == here.left()


@pytest.mark.parametrize(("said", "status"), [("partition", 409), ("down", 503)])
def test_a_start_that_slurm_refuses(
    server: Server, here: Home, slurm: Slurm, said: str, status: int
) -> None:
    """Slurm's words are told, and nothing is left of it."""
    here.spec("refused", scheduler="slurm")
    slurm.answers(f"sbatch-{said}")
    answer = server.api("POST", "/kernels", {"name": "refused"})

    assert status == answer.status
    assert captured(f"sbatch-{said}").stderr.splitlines()[-1] in answer.message
    assert [] == server.api("GET", "/kernels").json == here.left()
