"""The notebooks of `examples/`, and what else a kernel on two nodes can do."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest
from on_cluster.notebook import Page, notebook, until
from on_cluster.system import SYSTEM
from on_cluster.traces import BIN, Desk, left_over, traces
from testbed.api import Cluster

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(390),
    pytest.mark.only("slurm", "gridengine", "the helpers know no other batch system"),
]

USER = "bob"
EXAMPLES = Path(__file__).parents[2] / "examples"
TOTALS = {"dask": 332833500, "ipyparallel": 332833500, "parsl": 2470}
TOTALS |= {"pyspark": 332833500}
TWO_NODES = {"time": "0:10:00", **SYSTEM.two_nodes}
RANKS = """\
from remote_kernels import cluster
def rank():
    from mpi4py import MPI
    return MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.allreduce(1)
with cluster.ipyparallel(engines=1) as client:
    print(sorted(client[:].apply_sync(rank)))
"""
ENGINES = """\
import socket
from remote_kernels import cluster
with cluster.ipyparallel(engines=2, mpi="none") as client:
    print(*sorted(client[:].apply_sync(socket.gethostname)))
"""
SECONDS = 30.0  # for what computed to go


@pytest.mark.parametrize("name", TOTALS)
def test_an_example(cluster: Cluster, desk: Desk, name: str) -> None:
    """It computes what it should on both nodes, and leaves nothing on any host."""
    desk.spec(TWO_NODES)
    path = desk.write(f"{name}.ipynb", (EXAMPLES / f"{name}.ipynb").read_text())
    before = traces(cluster, USER)

    command = [str(BIN / "jupyter-execute"), "--inplace", "--kernel_name=k", str(path)]
    cluster.run("login1", USER, command, env=desk.env, timeout=360)

    book = json.loads(desk.read(f"{name}.ipynb"))
    said = [
        "".join(output["text"])
        for cell in book["cells"]
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"
    ]
    lines = "".join(said).splitlines()
    assert "allocation: c1 c2" in lines
    assert f"total: {TOTALS[name]}" in lines
    assert "worked: c1 c2" in lines
    assert [] == left_over(cluster, USER, before)


def jobs(cluster: Cluster) -> list[str]:
    return [job.id for job in cluster.jobs() if job.user == USER]


async def run(page: Page, code: str) -> list[str]:
    """The lines that the cell prints; it must succeed."""
    cell = page.run(code)
    lines = await page.finish(cell, 150)
    assert cell.reply is not None
    assert "ok" == cell.reply["status"], (code, lines, cell.reply)
    return lines


def workers(cluster: Cluster) -> set[str]:
    """What a cluster of ours has on the nodes: processes and directories."""
    return {
        line
        for line in traces(cluster, USER)
        if re.search(r"process .*(cluster/node\.py|distributed)", line)
        or re.fullmatch(r"c\d: file /tmp/rk-[^/]+", line)
    }


def kill_kernel(cluster: Cluster) -> None:
    """As by a segmentation fault, or for lack of memory."""
    (process,) = [
        p for p in cluster.processes("c1", USER) if "ipykernel_launcher" in p.cmdline
    ]
    cluster.kill("c1", process.inner, signal.SIGKILL)


@pytest.mark.asyncio
async def test_a_step_on_both_nodes(cluster: Cluster, desk: Desk) -> None:
    """The batch system's own launcher works in a cell, also beside workers of ours."""
    desk.spec(TWO_NODES)
    async with notebook(cluster, desk) as (_, page):
        await page.open()

        assert ["c1", "c2"] == sorted(await run(page, f"!{SYSTEM.on_both}"))

        lines = await run(
            page,
            "from remote_kernels import cluster\n"
            "with cluster.dask(workers=1) as client:\n"
            f"    !{SYSTEM.on_both}\n",
        )
        assert {"c1", "c2"} <= set(lines)
        forward = r"remote-kernels forward \d+ \d+"
        assert re.search(forward, lines[0]), lines


@pytest.mark.only("gridengine", "of its parallel environments")
@pytest.mark.asyncio
async def test_an_environment_without_tasks(cluster: Cluster, desk: Desk) -> None:
    """It is said what to change, nothing is left, and the kernel's own node works."""
    desk.spec({**TWO_NODES, "pe": "untied"})
    async with notebook(cluster, desk) as (_, page):
        await page.open()
        await run(page, "from remote_kernels import cluster\nprint(cluster.nodes())")
        before = workers(cluster)

        cell = page.run("cluster.dask(workers=1)")
        await page.finish(cell, 60)
        assert cell.reply is not None
        assert "control_slaves FALSE" in cell.reply["evalue"]
        assert set() == workers(cluster) - before

        code = "with cluster.dask(workers=1, nodes=['c1']) as client:"
        lines = await run(
            page, f"{code}\n    print(client.submit(sum, [1, 2]).result())"
        )
        assert "3" == lines[-1]


@pytest.mark.only("gridengine", "of its tasks, of which there are as many as slots")
@pytest.mark.asyncio
async def test_more_helpers_than_tasks(cluster: Cluster, desk: Desk) -> None:
    """One that gets no task ends at once and whole, and says why."""
    desk.spec({**TWO_NODES, "pe": "single", "slots": 1})
    async with notebook(cluster, desk) as (_, page):
        await page.open()
        # 8.1.9 takes one task more than there are slots.
        held = "import os, subprocess\nargv = ['qrsh', '-inherit', 'c2', 'sleep 600']\n"
        held += "tasks = [subprocess.Popen(argv, stdin=-1) for _ in range(2)]"
        await run(page, f"from remote_kernels import cluster\n{held}")
        await until("both tasks", lambda: _sleepers(cluster) == 2, 30)
        before = workers(cluster)

        cell = page.run("cluster.ipyparallel(engines=2, timeout=100)")
        await page.finish(cell, 60)

        assert cell.reply is not None
        assert "ask for more 'slots'" in cell.reply["evalue"]
        assert set() == workers(cluster) - before


def _sleepers(cluster: Cluster) -> int:
    found = [" ".join(p.cmdline) for p in cluster.processes("c2", USER)]
    return len([words for words in found if words == "sleep 600"])


@pytest.mark.asyncio
async def test_an_interrupt_ends_the_cell_alone(cluster: Cluster, desk: Desk) -> None:
    """The workers go on, though the kernel's whole process group is interrupted."""
    desk.spec(TWO_NODES)
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        code = "running = cluster.dask(workers=1); client = running.client"
        await run(page, f"from remote_kernels import cluster\n{code}")
        cell = page.run(
            "import time\nprint('on')\nclient.submit(time.sleep, 601).result()"
        )
        await until("the cell", lambda: "on" in cell.text, 30)

        await server.ask("POST", f"kernels/{page.kernel_id}/interrupt")
        await page.finish(cell, 30)

        assert cell.reply is not None
        assert "error" == cell.reply["status"]
        assert ["3"] == await run(page, "print(client.submit(sum, [1, 2]).result())")


@pytest.mark.asyncio
async def test_several_engines_of_a_node(cluster: Cluster, desk: Desk) -> None:
    """There are as many as asked for, and none is left."""
    desk.spec(TWO_NODES)
    async with notebook(cluster, desk) as (_, page):
        await page.open()
        await run(page, "print('here')")
        before = workers(cluster)

        assert "c1 c1 c2 c2" == (await run(page, ENGINES))[-1]

        assert set() == workers(cluster) - before


@pytest.mark.only("slurm", "Grid Engine's launcher starts no MPI programs")
@pytest.mark.asyncio
async def test_engines_are_ranks(cluster: Cluster, desk: Desk) -> None:
    """IPython Parallel's engines are one MPI program where mpi4py is installed."""
    desk.spec(TWO_NODES)
    async with notebook(cluster, desk) as (_, page):
        await page.open()

        lines = await run(page, RANKS)

        assert "[(0, 2), (1, 2)]" == lines[-1], lines


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["restart", "killed", "cancelled"])
async def test_workers_end_with_their_kernel(
    cluster: Cluster, desk: Desk, end: str
) -> None:
    """However it ends, no worker and no directory is left; a new kernel may follow."""
    desk.spec(TWO_NODES)
    outside = workers(cluster)
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        await run(page, "print('here')")
        before = workers(cluster)
        code = "running = cluster.dask(workers=1); print(running)"
        lines = await run(page, f"from remote_kernels import cluster\n{code}")
        assert "<Dask: 2 workers on c1, c2>" == lines[-1]
        more = workers(cluster) - before
        assert {"c1", "c2"} == {line.partition(":")[0] for line in more}

        if end == "restart":
            await server.ask("POST", f"kernels/{page.kernel_id}/restart")
        elif end == "killed":
            kill_kernel(cluster)
        else:
            (job,) = jobs(cluster)
            cluster.run("login1", USER, SYSTEM.cancel(job))
            before = outside

        end_at = asyncio.get_running_loop().time() + SECONDS
        while left := workers(cluster) - before:
            assert asyncio.get_running_loop().time() < end_at, left
            await asyncio.sleep(0.1)
        if end == "cancelled":
            return
        assert "42" == (await run(page, "print(6 * 7)"))[-1]  # after a notice
