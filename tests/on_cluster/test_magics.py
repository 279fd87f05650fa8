"""The magics in a notebook whose kernel is a job of a real batch system."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from on_cluster.notebook import Page, notebook, until
from on_cluster.system import SYSTEM
from on_cluster.traces import Desk, left_over, traces
from testbed.api import Cluster, Job

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240), pytest.mark.asyncio]

USER = "bob"
WAIT_FOR_WARNING = """\
import sys, threading
warned = threading.Event()
write = sys.stderr.write
def seen(text):
    write(text)
    if "left" in text: warned.set()
sys.stderr.write = seen
print(warned.wait(100))
sys.stderr.write = write
"""


@dataclass(frozen=True)
class Words:
    """What one types there; {} stands for a job, and what is said to it."""

    asked: dict[str, Any]  # of the kernel's own job
    memory: int
    queue: str
    submit: str  # a job that waits, and that the variables of ours would spoil
    submitted: str
    jobs: str
    nodes: str
    all_mine: str
    end: str
    more: dict[str, str] = field(default_factory=dict)  # cells, and what they print
    fails: dict[str, str] = field(default_factory=dict)


SYSTEMS = {
    # --mem-per-cpu: refused if the kernel's own --mem were inherited.
    "slurm": Words(
        asked={"mem": "500M"},
        memory=500 << 20,
        queue="debug",
        submit="%%sbatch --hold --mem-per-cpu=50M --output=/dev/null\nhostname",
        submitted=r"Submitted batch job (\d+)",
        jobs="q = %squeue\nprint(*sorted(q['JOBID'], key=int), q['NODES'].sum())",
        nodes="n = %sinfo -N -p debug\nprint(len(n))",
        all_mine="%scancel --me",
        end="%scancel {}",
        more={"%srun --ntasks=1 hostname": "c1"},
        fails={"%sacct": "accounting"},
    ),
    "gridengine": Words(
        asked={"mem": "3G"},
        memory=3 << 30,
        queue="debug.q",
        submit="%%qsub -h -V -l h_vmem=50M -j y -o $HOME/of_a_magic\n#!/usr/bin/env python3\n"
        "#$ -N a<b\nimport os, sys\nprint(os.environ.get('RK_JOB_ID'), sys.argv)",
        submitted=r"Your job (\d+) ",
        jobs="q = %qstat\nprint(*sorted(q['job-ID'], key=int), q['slots'].sum())",
        nodes="n = %qhost\nprint(len(n))",
        all_mine=f"%qdel -u {USER}",
        end="%qdel {}",
        more={"print([*q['name']][-1])": "a<b", "p = %qconf -spl\nprint(p)": "smp"},
        fails={
            "%qacct -j 99999": "job id 99999 not found",
            "%qsub -q nosuch x": "error opening x",
        },
    ),
}
TYPED = SYSTEMS.get(SYSTEM.name, SYSTEMS["slurm"])


def jobs(cluster: Cluster) -> dict[str, Job]:
    return {job.id: job for job in cluster.jobs() if job.user == USER}


async def says(page: Page, code: str) -> str:
    """What the cell prints; it must succeed."""
    cell = page.run(code)
    text = "\n".join(await page.finish(cell))
    assert cell.reply is not None
    assert "ok" == cell.reply["status"], (code, text, cell.reply)
    return text


async def refuses(page: Page, code: str) -> str:
    """The error that the cell ends with."""
    cell = page.run(code)
    text = "\n".join(await page.finish(cell))
    assert cell.reply is not None
    assert "error" == cell.reply["status"], (code, text)
    return f"{text}{cell.reply['evalue']}"


@pytest.mark.only(*SYSTEMS, "others have none of their own")
async def test_the_magics(cluster: Cluster, desk: Desk) -> None:
    """Where am I, what is in the queue, submit, cancel: from the kernel's own job."""
    desk.spec({"time": "0:10:00", **SYSTEM.on("c1"), **TYPED.asked})
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        await says(page, "%load_ext remote_kernels")
        ((own, job),) = jobs(cluster).items()

        code = "r = %remote_kernel\nprint(r.job_id, r.node, r.partition, r.time_left)"
        *words, left = (await says(page, code)).split()
        assert [own, job.nodes, TYPED.queue] == words
        assert 500 < float(left) <= 600
        assert str(TYPED.memory) == await says(page, "print(r.memory_asked)")

        said = re.search(TYPED.submitted, await says(page, TYPED.submit))
        assert said is not None
        assert {own, said[1]} == jobs(cluster).keys()

        assert f"{own} {said[1]} 2" == await says(page, TYPED.jobs)
        assert "2" in await says(page, TYPED.nodes)
        for code, text in TYPED.more.items():
            assert text in await says(page, code)

        text = await refuses(page, TYPED.all_mine)
        assert TYPED.end.format(said[1]) in text
        assert "--self" in await refuses(page, TYPED.end.format(own))
        await says(page, TYPED.end.format(said[1]))
        assert {own} == jobs(cluster).keys()

        for code, text in TYPED.fails.items():
            assert text in await refuses(page, code)

        await server.ask("DELETE", f"sessions/{page.session_id}")
        await page.close()
        server.end()
    assert [] == left_over(cluster, USER, before)


@pytest.mark.only("gridengine", "of its own queues and shells")
async def test_a_job_of_a_cell(cluster: Cluster, desk: Desk) -> None:
    """The language is the cell's, `#$` lines count, and it knows nothing of ours."""
    desk.spec({**TYPED.asked})
    log = desk.given("log")
    script = (
        f"%%qsub -V -sync y -o {log}\n#!/usr/bin/env python3\n#$ -j y -pe smp 2\n"
        "import os\nname = 'RK_JOB_ID'\n"
        "print(name in os.environ, os.environ['NSLOTS'], os.environ['MINE'])"
    )
    async with notebook(cluster, desk) as (_, page):
        await page.open()
        await says(
            page, "%load_ext remote_kernels\nimport os\nos.environ['MINE'] = 'x'"
        )

        await says(page, script)

        assert "False 2 x\n" == desk.read("log")
        left = "r = %remote_kernel\nprint(r.time_left)"  # the queue's limit alone
        assert 3500 < float(await says(page, left)) <= 3600


@pytest.mark.only("slurm", "others have no magic for a task of the own job")
async def test_an_interrupt_ends_a_step(cluster: Cluster, desk: Desk) -> None:
    """`%srun` leaves no process on the node, and the kernel goes on."""
    desk.spec({"time": 10})
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        await says(page, "%load_ext remote_kernels")
        ((_, job),) = jobs(cluster).items()
        cell = page.run("%srun --ntasks=1 --unbuffered sh -c 'echo on; sleep 601'")
        await until("the step", lambda: "on" in cell.text, 30)

        await server.ask("POST", f"kernels/{page.kernel_id}/interrupt")
        await page.finish(cell, 30)

        def steps() -> list[str]:
            words = [" ".join(p.cmdline) for p in cluster.processes(job.nodes, USER)]
            return [line for line in words if "sleep 601" in line or "srun" in line]

        await until("the step's end", lambda: not steps(), 30)
        assert "42" == await says(page, "print(6 * 7)")


async def test_a_warning(cluster: Cluster, desk: Desk) -> None:
    """It is shown below the cell that runs when so much time is left."""
    desk.spec({"time": "0:05:00", "warn_before": []})
    async with notebook(cluster, desk) as (_, page):
        await page.open()
        await says(page, "%load_ext remote_kernels")
        await says(page, "%remote_kernel --warn 4m")

        cell = page.run(WAIT_FOR_WARNING)
        text = "\n".join(await page.finish(cell, 120))

        assert re.search(r"(4 min|3 min 5\d s) left: this kernel's job", text)
        assert "True" in text
