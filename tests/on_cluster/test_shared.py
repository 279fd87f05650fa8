"""Several kernels in one allocation: one job, its nodes, and its end."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from on_cluster.notebook import Cell, Page, Server, until
from on_cluster.traces import BIN, Desk, left_over, traces
from on_cluster.window import relay, run, window
from playwright.async_api import expect
from served.lab import NO_NEWS
from testbed.api import Cluster, Job

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240), pytest.mark.asyncio]

USER = "bob"
KEEP = 2.0  # seconds
TEAM = {"allocation": "team", "nodes": 2, "mem": 700, "keep": KEEP}

# Says a number each 20 ms; a gap, or one of them twice, is seen.
COUNT = """
import time
for number in range({}):
    print(number, flush=True)
    time.sleep(0.02)
"""


def jobs(cluster: Cluster) -> list[Job]:
    return [job for job in cluster.jobs() if job.user == USER]


@asynccontextmanager
async def pages(
    cluster: Cluster, desk: Desk, *configs: dict[str, Any]
) -> AsyncIterator[tuple[Server, list[Page]]]:
    """A server, and a notebook for each of these kernelspecs; not yet open."""
    server = Server(cluster, desk)
    found = []
    async with AsyncExitStack() as stack:
        stack.callback(server.end, signal.SIGKILL)
        await server.start()
        for index, config in enumerate(configs):
            desk.spec(config, name=f"k{index}")
            page = Page(server, f"{index}.ipynb")
            stack.push_async_callback(page.close)
            found.append(page)
        yield server, found


async def shut_down(server: Server, page: Page) -> None:
    await server.ask("DELETE", f"sessions/{page.session_id}")
    await page.close()


async def goes_on(page: Page, cell: Cell, numbers: int) -> None:
    """All that it had to say has come, once, and its process was the same all along."""
    assert list(map(str, range(numbers))) == await page.finish(cell)
    assert cell.reply is not None
    assert "ok" == cell.reply["status"]
    assert not {"restarting", "dead"} & set(page.states)


async def test_three_kernels_on_two_nodes(cluster: Cluster, desk: Desk) -> None:
    """One crashes, one restarts, one is shut down: the others notice nothing."""
    before = traces(cluster, USER)
    elsewhere = {**TEAM, "node": 1}
    async with pages(cluster, desk, TEAM, elsewhere, elsewhere) as (server, found):
        for index, page in enumerate(found):
            await page.open(f"k{index}")
        first, second, third = found
        where = [await page.finish(page.run("!hostname")) for page in found]
        assert [["c1"], ["c2"], ["c2"]] == where
        (job,) = jobs(cluster)
        for page in (first, second):
            both = await page.finish(page.run("!echo $SLURM_JOB_ID; srun hostname"))
            assert [job.id, "c1", "c2"] == sorted(both)

        cells = [page.run(COUNT.format(150)) for page in (first, third)]
        second.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        await until("the restart", lambda: "restarting" in second.states, 30)
        await goes_on(first, cells[0], 150)
        await goes_on(third, cells[1], 150)
        assert ["c2"] == await second.finish(second.run("!hostname"))
        second.states.clear()

        cells = [page.run(COUNT.format(150)) for page in (second, third)]
        await server.ask("POST", f"kernels/{first.kernel_id}/restart")
        assert ["c1"] == await first.finish(first.run("!hostname"))
        await goes_on(second, cells[0], 150)
        await goes_on(third, cells[1], 150)
        first.states.clear()

        cells = [page.run(COUNT.format(150)) for page in (first, second)]
        await shut_down(server, third)
        await goes_on(first, cells[0], 150)
        await goes_on(second, cells[1], 150)

        await shut_down(server, first)  # the job's first node has no kernel now
        await second.finish(second.run(COUNT.format(int(KEEP / 0.02) + 100)))
        assert [job.id] == [job.id for job in jobs(cluster)]
        assert "carrier lost" not in server.log

        await shut_down(server, second)
        assert [job.id] == [job.id for job in jobs(cluster)]
        await until("the job's end", lambda: not jobs(cluster), KEEP + 20)
        server.end()
    cluster.run("login1", USER, ["sh", "-c", f"rm -f {desk.path}/runtime/jp*"])
    assert [] == left_over(cluster, USER, before)


async def test_the_server_dies(cluster: Cluster, desk: Desk) -> None:
    """The kernels live on, over one connection to each node; `stop` ends them."""
    before = traces(cluster, USER)
    brief = {**TEAM, "silence": 25}  # a server on a busy machine takes a while to start
    configs = [brief, brief, {**brief, "node": "c2"}]
    async with pages(cluster, desk, *configs) as (server, found):
        for index, page in enumerate(found):
            await page.open(f"k{index}")
            await page.finish(page.run(f"kept = {index}"))
        assert {"c1": 1, "c2": 1} == logins(cluster)
        server.end(signal.SIGKILL)
        await server.start()
        for index, page in enumerate(found):
            await until(
                "the page's return", functools.partial(getattr, page, "connected"), 30
            )
            assert [str(index)] == await page.finish(page.run("print(kept)"))
        assert {"c1": 1, "c2": 1} == logins(cluster)
        server.end(signal.SIGKILL)
        for page in found:
            await page.close()

        stop = [str(BIN / "remote-kernels"), "stop", "--yes", found[0].kernel_id]
        said = cluster.run("login1", USER, stop, env=desk.env).stderr
        assert re.search(r"ends within a minute; job \d+ is shared", said)
        assert jobs(cluster)
        stop[-1] = "--all"
        cluster.run("login1", USER, stop, env=desk.env)
        await until("the job's end", lambda: not jobs(cluster), KEEP + 45)
    cluster.run("login1", USER, ["sh", "-c", f"rm -f {desk.path}/runtime/jp*"])
    assert [] == left_over(cluster, USER, before)


def logins(cluster: Cluster) -> dict[str, int]:
    """By node: how many of sshd's sessions of this user are there."""
    return {
        node: sum(
            p.cmdline[0].startswith(f"sshd: {USER}")
            for p in cluster.processes(node, USER)
        )
        for node in ("c1", "c2")
    }


async def test_in_the_queue(cluster: Cluster, desk: Desk) -> None:
    """They wait together; the job starts while no server is there."""
    before = traces(cluster, USER)
    waits = {**TEAM, "sbatch_args": ["--begin=now+30"]}
    async with pages(cluster, desk, waits, waits, {**waits, "node": 1}) as (
        server,
        found,
    ):
        for index, page in enumerate(found):
            await page.open(f"k{index}")
        assert ["PENDING"] == [job.state for job in jobs(cluster)]
        await shut_down(server, found[0])
        assert ["PENDING"] == [job.state for job in jobs(cluster)]
        cells = [page.run("!hostname") for page in found[1:]]
        for cell in cells:
            await until("word of the job", functools.partial(getattr, cell, "text"), 60)
        server.end(signal.SIGKILL)

        await until("the job's start", lambda: is_running(cluster), 120)
        await server.start()
        said = [
            await page.finish(cell) for page, cell in zip(found[1:], cells, strict=True)
        ]
        assert [["c1"], ["c2"]] == said
        for page in found[1:]:
            await shut_down(server, page)
        await until("the job's end", lambda: not jobs(cluster), KEEP + 20)

        desk.spec({**waits, "sbatch_args": ["--begin=now+1hour"]}, name="k0")
        await found[0].open("k0")
        assert ["PENDING"] == [job.state for job in jobs(cluster)]
        await shut_down(server, found[0])
        await until("an empty queue", lambda: not jobs(cluster), 20)
        server.end()
    cluster.run("login1", USER, ["sh", "-c", f"rm -f {desk.path}/runtime/jp*"])
    assert [] == left_over(cluster, USER, before)


def is_running(cluster: Cluster) -> bool:
    return ["RUNNING"] == [job.state for job in jobs(cluster)]


async def test_the_agent_of_a_node_is_killed(cluster: Cluster, desk: Desk) -> None:
    """Its kernel ends with it, and says why; the others go on."""
    before = traces(cluster, USER)
    async with pages(cluster, desk, TEAM, {**TEAM, "node": 1}) as (server, found):
        first, second = found
        await first.open("k0")
        await second.open("k1")
        await second.finish(second.run("print(1)"))
        cell = second.run("import time; time.sleep(600)")
        count = first.run(COUNT.format(150))
        (agent,) = (
            process.inner
            for process in cluster.processes("c2", USER)
            if "run" in process.cmdline and "python" in process.cmdline[0]
        )
        cluster.kill("c2", agent)

        words = "the agent on node 1 of the job ended"
        await until(words, lambda: words in cell.text, 30)
        await until("the dead kernel", lambda: "dead" in second.states, 15)
        await goes_on(first, count, 150)
        await shut_down(server, first)
        await until("the job's end", lambda: not jobs(cluster), KEEP + 20)
        server.end()
    cluster.run("login1", USER, ["sh", "-c", f"rm -f {desk.path}/runtime/jp*"])
    cluster.run("login1", USER, ["sh", "-c", f"rm -rf {desk.path}/state/kernels/*"])
    assert [] == left_over(cluster, USER, before)


async def test_gpus_and_nodes(cluster: Cluster, desk: Desk) -> None:
    """Each kernel sees those that it names; what the job does not have is said."""
    gpus = {
        "allocation": "gpus",
        "keep": KEEP,
        "partition": "gpu",
        "gres": "gpu:2",
        "mem": 700,
    }
    shown = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    choices = ["0", "1", "none", "2"]
    configs = [{**gpus, "visible_gpus": choice} for choice in choices]
    configs += [{**gpus, "node": 1}, {**gpus, "node": "c1"}]
    async with pages(cluster, desk, *configs) as (_, found):
        cells = []
        for index, page in enumerate(found):
            await page.open(f"k{index}")
            cells.append(page.run(shown))
        assert ["0"] == await found[0].finish(cells[0])
        assert ["1"] == await found[1].finish(cells[1])
        assert [""] == await found[2].finish(cells[2])
        words = {
            3: "no GPU 2 here (visible_gpus=2): the job has 2 on this node",
            4: "There is no node 1: the job has 1 (c2)",
            5: "--nodelist=c1",
        }
        for index, said in words.items():
            await found[index].finish(cells[index])
            assert said in str(cells[index].reply)
        assert 1 == len(jobs(cluster))
    argv = [str(BIN / "remote-kernels"), "stop", "--all", "--yes"]
    cluster.run("login1", USER, argv, env=desk.env)
    cluster.run("ctl", "root", ["scancel", "--user", USER])
    await until("an empty queue", lambda: not jobs(cluster), 20)


async def test_in_lab(cluster: Cluster, desk: Desk, tmp_path: Path) -> None:
    """Two cards of the launcher, two notebooks, one job."""
    shots = Path(os.environ.get("RK_SCREENSHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    desk.write("config/labconfig/page_config.json", json.dumps(NO_NEWS))
    desk.spec(TEAM, name="k0", display_name="Team, first node")
    desk.spec({**TEAM, "node": 1}, name="k1", display_name="Team, second node")
    server = Server(cluster, desk)
    await server.start()
    try:
        async with relay(server) as gateway:
            for number, title in enumerate(("Team, first node", "Team, second node")):
                async with window(gateway.port) as page:
                    card = page.locator(f".jp-LauncherCard[title='{title}']")
                    await card.first.click()
                    await page.get_by_text(f"{title} | Idle").wait_for()
                    output = await run(page, "!hostname; squeue --me -h -o 'job %j %D'")
                    await expect(output).to_contain_text(f"c{number + 1}")
                    await expect(output).to_contain_text(
                        re.compile(r"^\D*\d\s+job jupyter-\w+ 2\s*$")
                    )
                    await page.screenshot(path=shots / f"shared-{number}.png")
                # Else the next window opens with this notebook.
                forget = ["rm", "-rf", str(desk.given("config/lab"))]
                cluster.run("login1", USER, forget)
        assert 1 == len(jobs(cluster))
        for session in await server.ask("GET", "sessions"):
            await server.ask("DELETE", f"sessions/{session['id']}")
        await until("the job's end", lambda: not jobs(cluster), KEEP + 20)
    finally:
        server.end(signal.SIGKILL)
