"""The magics in a notebook whose kernel is a job of a real Slurm."""

from __future__ import annotations

import re

import pytest
from on_cluster.notebook import Page, notebook, until
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
print(warned.wait(60))
sys.stderr.write = write
"""


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


async def test_the_magics(cluster: Cluster, desk: Desk) -> None:
    """Where am I, what is in the queue, submit, cancel: from the kernel's own job."""
    desk.spec({"time": 10, "mem": "500M"})
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        await says(page, "%load_ext remote_kernels")
        ((own, job),) = jobs(cluster).items()

        code = "r = %remote_kernel\nprint(r.job_id, r.node, r.partition, r.time_left)"
        *words, left = (await says(page, code)).split()
        assert [own, job.nodes, "debug"] == words
        assert 500 < float(left) <= 600
        assert str(500 << 20) == await says(page, "print(r.memory_asked)")

        # --mem-per-cpu: refused if the kernel's own --mem were inherited.
        script = "%%sbatch --hold --mem-per-cpu=50M --output=/dev/null\nhostname"
        said = re.search(r"Submitted batch job (\d+)", await says(page, script))
        assert said is not None
        assert {own, said[1]} == jobs(cluster).keys()

        code = "q = %squeue\nprint(*sorted(q['JOBID']), q['NODES'].sum())"
        assert f"{own} {said[1]} 2" == await says(page, code)
        assert "2" in await says(page, "n = %sinfo -N -p debug\nprint(len(n))")

        text = await refuses(page, "%scancel --me")
        assert f"%scancel {said[1]}" in text
        assert "--self" in await refuses(page, f"%scancel {own}")
        await says(page, f"%scancel {said[1]}")
        assert {own} == jobs(cluster).keys()

        assert job.nodes == await says(page, "%srun --ntasks=1 hostname")
        assert "accounting" in await refuses(page, "%sacct")

        await server.ask("DELETE", f"sessions/{page.session_id}")
        await page.close()
        server.end()
    assert [] == left_over(cluster, USER, before, 20)


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
    desk.spec({"time": 2, "warn_before": []})
    async with notebook(cluster, desk) as (_, page):
        await page.open()
        await says(page, "%load_ext remote_kernels")
        await says(page, "%remote_kernel --warn 1m40s")

        text = await says(page, WAIT_FOR_WARNING)

        assert "1 min 40 s left: this kernel's job" in text
        assert "True" in text
