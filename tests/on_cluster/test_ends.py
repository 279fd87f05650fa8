"""Every way to an end has a name: in the notebook, in the log and in the record.

A kernel that died inside its living job comes back there; one whose job ended stays
dead until a person restarts it, and then gets a new job.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from on_cluster.notebook import Page, notebook, until
from on_cluster.system import SYSTEM
from on_cluster.traces import BIN, IPYKERNEL, Desk, left_over, traces
from testbed.api import Cluster, Job
from testbed.machine import has_cgroup_v1

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400), pytest.mark.asyncio]

USER = "bob"
Act = Callable[[Cluster, Job], object]
MEMORY = pytest.mark.only(
    "slurm", "htcondor", "others limit addresses: a MemoryError in the cell"
)
NODES = pytest.mark.only("slurm", "others count jobs of a silent node as running")
WAIT = "import time\ntime.sleep(600)"
ON_C2 = SYSTEM.on("c2")


@dataclass(frozen=True)
class End:
    """What brings it about, what the notebook says, and how soon (seconds)."""

    words: str
    seconds: float
    code: str = WAIT
    act: Act = lambda cluster, job: None
    config: dict[str, Any] = field(default_factory=dict)
    undo: Callable[[Cluster], object] = lambda cluster: None
    cause: str = ""  # of a job that ended


def by_root(*argv: str) -> Act:
    def act(cluster: Cluster, job: Job) -> None:
        cluster.run("ctl", "root", [word.format(job=job) for word in argv])

    return act


def cancel(cluster: Cluster, job: Job) -> None:
    cluster.run("login1", USER, SYSTEM.cancel(job.id))


def kill_agent(cluster: Cluster, job: Job) -> None:
    (agent,) = [
        p
        for p in cluster.processes(job.nodes, USER)
        if "agent.pyz run" in " ".join(p.cmdline)
    ]
    cluster.kill(job.nodes, agent.inner)


def preempt(cluster: Cluster, job: Job) -> None:
    options = ["--partition=urgent", "--exclusive", "--output=/dev/null"]
    cluster.run("login1", "alice", ["sbatch", *options, "--wrap", "sleep 600"])


def leave_c2(cluster: Cluster) -> None:
    cluster.run("ctl", "root", ["scancel", "--user=alice", "--partition=urgent"])


def boot_c2(cluster: Cluster) -> None:
    cluster.boot("c2")


IN_ITS_JOB = {
    "segfault": End(
        r"signal 11 \(SIGSEGV\)\. Its job goes on",
        30,
        "import ctypes\nctypes.string_at(0)",
    ),
    "os._exit": End(r"exit code 7\. Its job goes on", 30, "import os\nos._exit(7)"),
    "SIGKILL of the kernel": End(
        r"signal 9 \(SIGKILL\)\. Its job goes on",
        30,
        "import os\nos.kill(os.getpid(), 9)",
    ),
    "memory of the kernel": End(
        r"more memory than it asked for\. Ask for more 'memory'",
        60,
        "x = b'x' * 400_000_000",
        config={"memory": "250M"},
    ),
}
OF_ANY_JOB = {
    "SIGKILL of the agent": End(
        r"agent .* was killed", 60, act=kill_agent, cause="killed"
    ),
    "cancelled by its user": End(
        SYSTEM.cancelled_words, 60, act=cancel, cause="cancelled"
    ),
    "cancelled by root": End(
        SYSTEM.cancelled_words,
        60,
        act=by_root(*SYSTEM.cancel("{job.id}")),
        cause="cancelled",
    ),
}
OF_A_JOB: dict[str, dict[str, End]] = {
    "gridengine": {
        "time limit": End(
            r"time limit\. Ask for more with 'time'",
            150,
            config={"time": "60s", "warn_before": []},
            cause="time",
        ),
    },
    "htcondor": {
        "time limit": End(
            r"time limit \(.*\)\. Ask for more with 'allowed_job_duration'",
            150,
            config={"time": "60s", "warn_before": []},
            cause="time",
        ),
    },
    "oar": {
        "time limit": End(
            r"time limit \(WALLTIME\)\. Ask for more with 'walltime'",
            150,
            config={"walltime": "0:1:0", "warn_before": []},
            cause="time",
        ),
    },
    "slurm": {
        "time limit": End(
            r"TIMEOUT.*time limit\. Ask for more with 'time'",
            60,
            # Not now: a later second may have begun where it is read.
            act=by_root("scontrol", "update", "JobId={job.id}", "EndTime=now+3"),
            config={"warn_before": []},
            cause="time",
        ),
        "preemption": End(
            "PREEMPTED.*higher priority",
            60,
            act=preempt,
            config={"partition": "cheap"},
            undo=leave_c2,
            cause="preempted",
        ),
        "node down": End(
            "NODE_FAIL.*node failed",
            60,
            act=by_root(
                "scontrol", "update", "NodeName=c2", "State=DOWN", "Reason=test"
            ),
            config=ON_C2,
            cause="node",
        ),
    },
}
OF_ITS_JOB = {**OF_ANY_JOB, **OF_A_JOB[SYSTEM.scheduler]}
# Slurm waits for SlurmdTimeout before it gives a node up.
CRASH = End(
    "NODE_FAIL.*node failed",
    90,
    act=lambda cluster, job: cluster.crash("c2"),
    config=ON_C2,
    undo=boot_c2,
    cause="node",
)


def jobs(cluster: Cluster) -> list[Job]:
    return [job for job in cluster.jobs() if job.user == USER]


async def works(page: Page) -> None:
    assert ["42"] == await page.finish(page.run("print(6 * 7)"))


async def said(cluster: Cluster, page: Page, end: End) -> Job:
    """Bring the end about; it is said in the cell that runs."""
    await page.open()
    await works(page)
    (job,) = jobs(cluster)
    cell = page.run(end.code)
    await until("the cell's start", lambda: "busy" in cell.states or cell.text, 20)
    begun = time.monotonic()
    end.act(cluster, job)
    await until(
        f"{end.words!r} in the cell",
        lambda: re.search(end.words, cell.text),
        end.seconds,
    )
    assert 1 == cell.text.count("[remote_kernels]"), cell.text
    print(f"after {time.monotonic() - begun:.1f} s: {cell.text.strip()}")
    return job


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[MEMORY] if name.startswith("memory") else [])
        for name in IN_ITS_JOB
    ],
)
async def test_a_kernel_that_died_in_its_job(
    cluster: Cluster, desk: Desk, name: str
) -> None:
    """Jupyter restarts it there."""
    end = IN_ITS_JOB[name]
    if "memory" in end.config and not has_cgroup_v1():
        pytest.skip("memory limits need cgroup v1")
    desk.spec(end.config)
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        job = await said(cluster, page, end)
        await until("the restart", lambda: "restarting" in page.states, 60)

        await works(page)

        assert [job] == jobs(cluster)
        assert re.search(end.words, server.log)
        await server.ask("DELETE", f"sessions/{page.session_id}")
        await page.close()
        server.end()
    assert [] == left_over(cluster, USER, before)


@pytest.mark.parametrize(
    "end",
    [pytest.param(end, id=name) for name, end in OF_ITS_JOB.items()]
    + [pytest.param(CRASH, id="node crash", marks=[pytest.mark.soak, NODES])],
)
async def test_a_job_that_ended(cluster: Cluster, desk: Desk, end: End) -> None:
    """Its kernel is dead; nothing is left, and no other job comes unasked."""
    desk.spec(end.config)
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        try:
            job = await said(cluster, page, end)
        finally:
            end.undo(cluster)
        await until("the dead kernel", lambda: "dead" in page.states, 60)
        assert re.search(end.words, server.log)
        record = json.loads(desk.read(f"../state/kernels/{page.kernel_id}/record.json"))
        assert re.search(end.words, record["end"]["text"])
        assert end.cause == record["end"]["cause"]
        await until("the end of its job", lambda: not jobs(cluster), 60)

        await page.open()  # as JupyterLab does for a cell, or a person's restart
        first = page.run("print(6 * 7)")
        assert "42" == (await page.finish(first))[-1]
        assert "a new job" in first.text
        assert "variables are gone" in first.text
        assert re.search(end.words, first.text)
        await works(page)  # and says no more of it

        assert [job.id] != [job.id for job in jobs(cluster)]
        await server.ask("DELETE", f"sessions/{page.session_id}")
        await page.close()
        server.end()
    # How it ended is kept for a day, or until somebody cleans up.
    tool = str(BIN / "remote-kernels")
    done = cluster.run("login1", USER, [tool, "clean", "--yes"], env=desk.env)
    assert re.search(end.words, done.stdout)
    assert [] == left_over(cluster, USER, before)


async def test_a_page_that_comes_while_the_end_is_said(
    cluster: Cluster, desk: Desk
) -> None:
    """No websocket waits, at whatever moment it is opened."""
    desk.spec({})
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        await works(page)
        (job,) = jobs(cluster)
        waited = []
        cancel(cluster, job)
        while "dead" not in page.states:
            waited.append(await server.knock(page.kernel_id))
            await asyncio.sleep(0.05)
    print(f"{len(waited)} times, {max(waited):.3f} s at most")
    assert 3 < len(waited)
    assert 1 > statistics.median(waited)
    assert 10 > max(waited)  # 20 s where it waited for the end


async def test_a_kernel_that_dies_again_and_again(cluster: Cluster, desk: Desk) -> None:
    """Jupyter gives it up: `ls` says so at once and for long, and its job ends."""
    line = "import os, threading; threading.Timer(1, os._exit, (7,)).start()"
    desk.spec({}, [*IPYKERNEL, f"--IPKernelApp.exec_lines={line}"])
    soon = "--KernelRestarter.restart_limit=1", "--KernelRestarter.time_to_dead=0.5"
    tool = [str(BIN / "remote-kernels"), "ls", "--all"]
    async with notebook(cluster, desk, *soon) as (_, page):
        await page.open()
        await until("the dead kernel", lambda: "dead" in page.states, 60)

        listed = cluster.run("login1", USER, tool, env=desk.env).stdout

        assert "exit code 7, again and again" in " ".join(listed.split()), listed
        await until("the end of its job", lambda: not jobs(cluster), 60)
        assert listed == cluster.run("login1", USER, tool, env=desk.env).stdout


@pytest.mark.only("slurm", "draining is its word")
async def test_a_drained_node(cluster: Cluster, desk: Desk) -> None:
    """Slurm lets its jobs go on, and so do we."""
    desk.spec(ON_C2)
    change = ["scontrol", "update", "NodeName=c2"]
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        await works(page)
        cluster.run("ctl", "root", [*change, "State=DRAIN", "Reason=test"])
        try:
            await works(page)
            await server.ask("POST", f"kernels/{page.kernel_id}/restart")
            await works(page)
        finally:
            cluster.run("ctl", "root", [*change, "State=RESUME"])
        assert "dead" not in page.states


@pytest.mark.only("slurm", "written for its --signal")
@pytest.mark.parametrize("number", [signal.SIGUSR1])
async def test_a_warning_before_the_limit(
    cluster: Cluster, desk: Desk, number: signal.Signals
) -> None:
    """As output of the running cell, and as a signal to who wants to save."""
    desk.spec({"time": 1, "warn_before": [50], "signal": f"{number.name[3:]}@30"})
    code = (
        "import signal, time\n"
        f"signal.signal({number}, lambda *_: print('saving', flush=True))\n"
        "end = time.time() + 100\n"
        "while time.time() < end: time.sleep(0.1)"
    )
    async with notebook(cluster, desk) as (_, page):
        await page.open()
        cell = page.run(code)

        await until("the warning", lambda: "seconds left: job" in cell.text, 60)
        await until("the signal", lambda: "saving" in cell.text, 60)
        assert "dead" not in page.states
