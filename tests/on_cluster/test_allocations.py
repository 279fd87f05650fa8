"""Kernels in a job that the user holds, and in one that salloc asked for."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from on_cluster.notebook import Page, Server, notebook, until
from on_cluster.traces import BIN, Desk, left_over, traces
from on_cluster.window import relay, run, window
from playwright.async_api import expect
from served.lab import NO_NEWS
from testbed.api import Cluster, Job
from tornado.httpclient import HTTPClientError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240), pytest.mark.asyncio]

USER = "bob"
SESSION = {"path": "x.ipynb", "name": "x", "type": "notebook", "kernel": {"name": "k"}}


@contextmanager
def allocation(
    cluster: Cluster, *options: str, user: str = USER, name: str = "mine"
) -> Iterator[str]:
    """A job that this user has asked for in a terminal; its number."""
    salloc = ["salloc", "--no-shell", f"--job-name={name}", "--mem=800", *options]
    told = cluster.run("login1", user, salloc).stderr
    found = re.search(r"job allocation (\d+)", told)
    assert found, told
    try:
        yield found[1]
    finally:
        cluster.run("ctl", "root", ["scancel", found[1]])


def jobs(cluster: Cluster) -> dict[str, Job]:
    return {job.id: job for job in cluster.jobs() if job.user == USER}


def steps(cluster: Cluster, user: str = USER) -> list[str]:
    """Ours."""
    argv = ["squeue", "-h", "-s", f"--user={user}", "-o", "%i %j"]
    lines = cluster.run("ctl", "root", argv).stdout.splitlines()
    return [line.split()[0] for line in lines if "jupyter-" in line]


def kill_srun(cluster: Cluster) -> None:
    """It is two processes, of which the first takes the second along."""
    found = cluster.processes("login1", USER)
    first = min(p.inner for p in found if p.cmdline[0] == "srun")
    cluster.kill("login1", first)


async def is_as_before(page: Page) -> None:
    await until("the page's return", lambda: page.connected, 30)
    assert ["42"] == await page.finish(page.run("print(kept + 1)"))


async def test_in_a_job_from_a_terminal(cluster: Cluster, desk: Desk) -> None:
    """It runs there, srun works, the server may die, and the job is left as it was."""
    with allocation(cluster, "--nodes=2") as number:
        desk.spec({"jobid": "auto"})
        before = traces(cluster, USER)
        async with notebook(cluster, desk) as (server, page):
            await page.open()
            said = await page.finish(
                page.run("kept = 41\n!echo $SLURM_JOB_ID; hostname")
            )
            assert [number, "c1"] == said
            everywhere = await page.finish(page.run("!srun hostname"))
            assert ["c1", "c2"] == sorted(everywhere)
            assert [f"{number}.0"] == steps(cluster)

            server.end(signal.SIGKILL)
            await server.start()
            await is_as_before(page)
            await server.ask("POST", f"kernels/{page.kernel_id}/restart")
            assert ["c1"] == await page.finish(page.run("!hostname"))

            await server.ask("DELETE", f"sessions/{page.session_id}")
            await until("the end of the step", lambda: not steps(cluster), 20)
            await page.close()
            server.end()
        assert "RUNNING" == jobs(cluster)[number].state
        cluster.run("login1", USER, ["sh", "-c", f"rm -f {desk.path}/runtime/jp*"])
        assert [] == left_over(cluster, USER, before)


async def test_the_job_ends(cluster: Cluster, desk: Desk) -> None:
    """And the kernel in it, with the job's name said."""
    with allocation(cluster) as number:
        desk.spec({"jobid": number})
        async with notebook(cluster, desk) as (server, page):
            await page.open()
            cell = page.run("import time; print('begun'); time.sleep(600)")
            await until("the cell's start", lambda: "begun" in cell.text, 30)

            cluster.run("login1", USER, ["scancel", number])

            words = rf"job {number} \(mine\) in which it was has ended\. .*cancelled"
            await until(words, lambda: re.search(words, cell.text), 20)
            await until("the dead kernel", lambda: "dead" in page.states, 15)
            assert re.search(words, server.log)


async def test_the_step_is_killed(cluster: Cluster, desk: Desk) -> None:
    """Its job goes on; the kernel does not."""
    with allocation(cluster) as number:
        desk.spec({"jobid": number})
        async with notebook(cluster, desk) as (_, page):
            await page.open()
            cell = page.run("import time; print('begun'); time.sleep(600)")
            await until("the cell's start", lambda: "begun" in cell.text, 30)
            kill_srun(cluster)

            words = r"Its step ended; the job in which it was goes on"
            await until(words, lambda: re.search(words, cell.text), 60)
            await until("the dead kernel", lambda: "dead" in page.states, 15)
        assert "RUNNING" == jobs(cluster)[number].state


async def refusal(cluster: Cluster, desk: Desk, config: dict[str, Any]) -> str:
    """What a person reads who wants such a kernel; nothing of it is left."""
    desk.spec(config)
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, _):
        with pytest.raises(HTTPClientError) as caught:
            await server.ask("POST", "sessions", SESSION)
        response = caught.value.response
        assert response is not None
        text = response.body.decode()
        server.end()
    assert [] == left_over(cluster, USER, before)
    return text


async def test_jobs_in_which_no_kernel_can_be(cluster: Cluster, desk: Desk) -> None:
    """Each is refused, and it is said why."""
    none = await refusal(cluster, desk, {"jobid": "auto"})
    assert "you have no running job" in none
    assert "knows no job 999999" in await refusal(cluster, desk, {"jobid": 999999})
    with allocation(cluster, user="alice") as number:
        text = await refusal(cluster, desk, {"jobid": number})
        assert "is not yours: it belongs to user" in text
    with allocation(cluster, "--nodelist=c1") as number:
        elsewhere = await refusal(cluster, desk, {"jobid": f"{number};mars"})
        assert re.search("mars", elsewhere)
        text = await refusal(cluster, desk, {"jobid": number, "nodelist": "c2"})
        assert f"Node c2 is not in job {number}, which has c1" in text
        text = await refusal(cluster, desk, {"jobid": number, "nodelist": "x9"})
        assert "Node x9 is not in job" in text
        text = await refusal(cluster, desk, {"jobid": number, "time": 5})
        assert "its resources already, and cannot have time." in text
        text = await refusal(cluster, desk, {"jobid": number, "gpus": 1})
        assert "Invalid generic resource" in text
    text = await refusal(cluster, desk, {"jobid": number})
    assert re.search(rf"Job {number} \(mine\) is not running: .*CANCELLED", text)
    with allocation(cluster, "--gres=gpu:1", "--nodelist=c2", "-pgpu") as number:
        text = await refusal(cluster, desk, {"jobid": number, "gpus": 2})
        assert f"job {number} has 1 on each node" in text


async def test_which_of_two_jobs(cluster: Cluster, desk: Desk) -> None:
    """The first cell asks; a program is told; nothing is left of who gives up."""
    with allocation(cluster) as number, allocation(cluster, name="other") as second:
        desk.spec({"jobid": "auto"})
        before = traces(cluster, USER)
        async with notebook(cluster, desk) as (server, page):
            await page.open()
            listed = rf"you have 2 running jobs:(.|\n)*{number}(.|\n)*{second}"
            program = page.run("print(1)")
            await until("its failure", lambda: program.done, 30)
            assert program.reply is not None
            assert re.search(listed, program.reply["evalue"])

            cell = page.run("!echo $SLURM_JOB_ID", allow_stdin=True)
            await until("the question", lambda: cell.prompts, 30)
            assert re.search(listed, cell.prompts[0])
            await server.ask("POST", f"kernels/{page.kernel_id}/restart")
            await until("the cell's end", lambda: cell.done, 30)

            cell = page.run("!echo $SLURM_JOB_ID", allow_stdin=True)
            await until("the question", lambda: cell.prompts, 30)
            page.answer("1")
            await until("it again", lambda: len(cell.prompts) == 2, 30)
            assert "There is no job '1' among them" in cell.prompts[1]
            page.answer(f" {second} ")
            assert [second] == await page.finish(cell)
            assert [f"{second}.0"] == steps(cluster)
            await server.ask("DELETE", f"sessions/{page.session_id}")
            await until("the end of the step", lambda: not steps(cluster), 20)

            await page.open()
            page.run("print(1)", allow_stdin=True)
            await server.ask("DELETE", f"sessions/{page.session_id}")
            await page.close()
            server.end()
        assert [] == steps(cluster)
        cluster.run("login1", USER, ["sh", "-c", f"rm -f {desk.path}/runtime/jp*"])
        assert [] == left_over(cluster, USER, before)


async def test_a_job_that_waits(cluster: Cluster, desk: Desk) -> None:
    """It is not running yet."""
    argv = ["sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true"]
    number = cluster.run("login1", USER, argv).stdout.strip()
    text = await refusal(cluster, desk, {"jobid": number})
    assert "is not running: its state is PENDING" in text


async def test_by_salloc(cluster: Cluster, desk: Desk) -> None:
    """It outlives the server like any other, and gives its job back."""
    desk.spec({"start": "salloc", "nodes": 2, "mem": 500})
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        page.run("kept = 41")
        assert ["c1", "c2"] == sorted(await page.finish(page.run("!srun hostname")))
        server.end(signal.SIGKILL)
        await server.start()
        await is_as_before(page)
        await server.ask("DELETE", f"sessions/{page.session_id}")
        await page.close()
        server.end()
    cluster.run("login1", USER, ["sh", "-c", f"rm -f {desk.path}/runtime/jp*"])
    assert [] == left_over(cluster, USER, before)


async def test_salloc_waits_and_is_given_up(cluster: Cluster, desk: Desk) -> None:
    """Nothing is left of a request that was still in the queue."""
    desk.spec({"start": "salloc", "sbatch_args": ["--begin=now+1hour"]})
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        assert ["PENDING"] == [job.state for job in jobs(cluster).values()]
        await server.ask("DELETE", f"sessions/{page.session_id}")
        await page.close()
        server.end()
    assert [] == left_over(cluster, USER, before)


async def test_srun_of_salloc_is_killed(cluster: Cluster, desk: Desk) -> None:
    """The kernel ends, and its job with it."""
    desk.spec({"start": "salloc"})
    async with notebook(cluster, desk) as (_, page):
        await page.open()
        await page.finish(page.run("kept = 41"))
        kill_srun(cluster)

        await until("the dead kernel", lambda: "dead" in page.states, 60)
        await until("the end of its job", lambda: not jobs(cluster), 30)
    tool = str(BIN / "remote-kernels")
    cluster.run("login1", USER, [tool, "clean", "--yes"], env=desk.env)


async def test_in_lab(cluster: Cluster, desk: Desk, tmp_path: Path) -> None:
    """As a person does it: salloc in a terminal, then the kernel picker."""
    shots = Path(os.environ.get("RK_SCREENSHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    desk.write("config/labconfig/page_config.json", json.dumps(NO_NEWS))
    desk.spec({"jobid": "auto"}, display_name="Python, in my job")
    with allocation(cluster, "--nodes=2") as number:
        server = Server(cluster, desk)
        await server.start()
        try:
            async with relay(server) as gateway, window(gateway.port) as page:
                title = "Python, in my job"
                await page.locator(f".jp-LauncherCard[title='{title}']").first.click()
                await page.get_by_text(f"{title} | Idle").wait_for()
                output = await run(
                    page, "kept = 41\n!echo in $SLURM_JOB_ID; srun hostname"
                )
                await expect(output).to_contain_text(f"in {number}")
                await expect(output).to_contain_text("c1")
                await expect(output).to_contain_text("c2")
                await page.screenshot(path=shots / "allocation-1.png")

                server.end(signal.SIGKILL)
                await server.start()

                while await page.locator(".jp-Dialog").count():  # that it was away
                    await page.keyboard.press("Escape")
                answer = await run(page, "print(kept + 1)")
                await expect(answer).to_have_text(re.compile(r"^\s*42\s*$"))
                await page.screenshot(path=shots / "allocation-2-server-killed.png")
        finally:
            server.end(signal.SIGKILL)
        assert "RUNNING" == jobs(cluster)[number].state


async def test_lab_asks(cluster: Cluster, desk: Desk, tmp_path: Path) -> None:
    """Which of two jobs is meant, in a field below the first cell."""
    shots = Path(os.environ.get("RK_SCREENSHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    desk.write("config/labconfig/page_config.json", json.dumps(NO_NEWS))
    desk.spec({"jobid": "auto"}, display_name="Python, in my job")
    with allocation(cluster), allocation(cluster, name="other") as second:
        server = Server(cluster, desk)
        await server.start()
        try:
            async with relay(server) as gateway, window(gateway.port) as page:
                card = ".jp-LauncherCard[title='Python, in my job']"
                await page.locator(card).first.click()
                await page.get_by_text("Python, in my job | Starting").wait_for()
                output = await run(page, "!echo in $SLURM_JOB_ID")
                field = page.locator(".jp-Stdin-input")
                await expect(output).to_contain_text("you have 2 running jobs")
                await page.screenshot(path=shots / "allocation-3-asks.png")
                await field.fill(second)
                await field.press("Enter")
                await expect(output).to_contain_text(f"in {second}")
                await page.screenshot(path=shots / "allocation-4-answered.png")
        finally:
            server.end(signal.SIGKILL)
