"""Nothing is lost, doubled or out of order: cables are cut, sshd and srun are killed.

A client on the login host runs numbered cells, each printing numbered lines, while
the way to its kernel breaks again and again. `make soak` runs it for longer.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from on_cluster.system import SYSTEM
from on_cluster.traces import BIN, Desk, left_over, traces
from testbed.api import Cluster
from testbed.hosts import wait_for
from testbed.machine import has_cgroup_v1

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

USER = "bob"
LINES = 10  # of each cell

# Cells until somebody says "stop" and there are enough; AHEAD are on their way.
CLIENT = """\
import asyncio, json, pathlib, queue, signal
from jupyter_client.manager import AsyncKernelManager

AT_LEAST, LINES, PACE, AHEAD = {least}, {lines}, {pace}, 20
CODE = "import time; time.sleep({{}})\\nfor i in range({{}}, {{}}): print(i, flush=True)"
done = asyncio.Queue()
result = dict(cells=0, lines=0, wrong=[], doubled=0)

async def one(get):
    # With a limit: pyzmq's poll misses what arrives while jupyter_client (8.10) sends
    # on the same socket without it.
    while True:
        try:
            return await get(timeout=0.2)
        except queue.Empty:
            pass

async def replies(client, asked):
    number = 0
    while True:
        reply = await one(client.get_shell_msg)
        of = reply["parent_header"]["msg_id"]
        if of not in asked:
            continue
        if asked[of]["number"] != number or reply["content"]["status"] != "ok":
            result["wrong"].append(["reply", number, asked[of]["number"]])
        number = asked[of]["number"] + 1
        asked[of]["reply"] += 1
        check(asked, of)

async def outputs(client, asked):
    while True:
        message = await one(client.get_iopub_msg)
        cell = asked.get(message["parent_header"].get("msg_id"))
        if cell is None:
            continue
        if message["msg_type"] == "stream":
            cell["text"] += message["content"]["text"]
        elif message["content"].get("execution_state") == "idle":
            cell["idle"] += 1
            check(asked, message["parent_header"]["msg_id"])

def check(asked, of):
    cell = asked[of]
    if cell["reply"] > 1 or cell["idle"] > 1:
        result["doubled"] += 1
    if cell["reply"] != 1 or cell["idle"] != 1:
        return
    first = cell["number"] * LINES
    if cell["text"].split() != [str(i) for i in range(first, first + LINES)]:
        result["wrong"].append([cell["number"], cell["text"]])
    result["cells"] += 1
    result["lines"] += len(cell["text"].split())
    cell["text"] = ""
    done.put_nowait(of)

async def main():
    manager = AsyncKernelManager(kernel_name="{kernel}")
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    asked, number = {{}}, 0
    def tell():
        print([task for task in tasks if task.done()])
        open_ = [cell for cell in asked.values() if 1 != cell["reply"] or 1 != cell["idle"]]
        print(result, "asked", number, "open", open_[:3], flush=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, tell)
    tasks = [asyncio.create_task(f(client, asked)) for f in (replies, outputs)]
    go = pathlib.Path("stop")
    pathlib.Path("begun").touch()
    while number < AT_LEAST or not go.exists() or result["cells"] < number:
        more = number < AT_LEAST or not go.exists()
        if more and number - result["cells"] < AHEAD:
            code = CODE.format(PACE, number * LINES, (number + 1) * LINES)
            of = client.execute(code)
            asked[of] = dict(number=number, text="", reply=0, idle=0)
            number += 1
        else:
            await done.get()
    for task in tasks:
        task.cancel()
    for task in tasks:
        try:
            await task
        except asyncio.CancelledError:
            pass
    client.stop_channels()
    await manager.shutdown_kernel()
    result["asked"] = number
    pathlib.Path("result.json").write_text(json.dumps(result))

asyncio.run(main())
"""

FLOOD = """\
import faulthandler, json, pathlib, signal, sys, time
from jupyter_client.manager import KernelManager
seen = []
def tell(*_):
    print(len(seen), "messages came, the last of them", seen[-1:], file=sys.stderr)
    faulthandler.dump_traceback()
signal.signal(signal.SIGTERM, tell)
manager = KernelManager(kernel_name="k")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
def take(message):
    if message["msg_type"] == "display_data":
        seen.append(message["metadata"].get("n", message["content"]["metadata"].get("n")))
pathlib.Path("begun").touch()
while not pathlib.Path("stop").exists():
    time.sleep(0.01)
begin = time.monotonic()
client.execute_interactive(
    "import time\\n"
    "for n in range(2500):\\n"
    " n % 100 or time.sleep(0.1)\\n"
    " display({'text/plain': 'x' * 24_000}, raw=True, metadata={'n': n})",
    timeout=120, output_hook=take)
took = time.monotonic() - begin
client.stop_channels()
manager.shutdown_kernel()
missing = sorted(set(range(2500)) - set(seen))
pathlib.Path("result.json").write_text(json.dumps([missing, seen == list(range(2500)), took]))
"""


WAITS = """\
import json, pathlib
from jupyter_client.manager import KernelManager
pathlib.Path("begun").touch()
manager = KernelManager(kernel_name="k")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
reply = client.execute("1 + 1", reply=True, timeout=60)
client.stop_channels()
manager.shutdown_kernel()
pathlib.Path("result.json").write_text(json.dumps(reply["content"]["status"]))
"""


@pytest.fixture(autouse=True)
def mended(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.mend("login1")
    cluster.fast("login1")


@dataclass
class Client:
    """The program on the login host."""

    desk: Desk
    name: str
    process: subprocess.Popen[Any]

    @property
    def said(self) -> str:
        return self.desk.read(f"{self.name}/said")

    def stop(self) -> None:
        self.desk.write(f"{self.name}/stop", "")

    def result(self, seconds: float) -> Any:
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            before = self.said
            self.process.terminate()  # it says how far it is, or ends
            wait_for(
                "its word",
                lambda: self.said != before or self.process.poll() is not None,
                5,
            )
            pytest.fail(f"no end in {seconds:g} s:\n{self.said}")
        assert code == 0, self.said
        return json.loads(self.desk.read(f"{self.name}/result.json"))


@pytest.fixture
def client(cluster: Cluster, desk: Desk) -> Iterator[Callable[..., Client]]:
    started: list[Client] = []

    def start(program: str, name: str = "client") -> Client:
        desk.write(f"{name}/client.py", program)
        process = cluster.popen(
            "login1",
            USER,
            ["sh", "-c", f"exec {BIN}/python client.py >said 2>&1"],
            env=desk.env,
            cwd=str(desk.given(name)),
            stdin=subprocess.DEVNULL,
        )
        made = Client(desk, name, process)
        started.append(made)
        wait_for(
            "the first cell",
            lambda: desk.has(f"{name}/begun") or process.poll() is not None,
            60,
        )
        assert process.poll() is None, made.said
        return made

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


# --- what breaks ----------------------------------------------------------------------


def cut(cluster: Cluster, seconds: float) -> None:
    cluster.cut("login1")
    time.sleep(seconds)  # the cut is what is tested
    cluster.mend("login1")


def end_processes(cluster: Cluster, host: str, word: str) -> int:
    """SIGKILL bob's processes of this name, or what runs one as another user; how many."""
    found = [
        process
        for process in cluster.processes(host, USER)
        if word in process.cmdline[0] or word in process.cmdline
    ]
    for process in found:
        with contextlib.suppress(ProcessLookupError):  # ended with its parent
            os.kill(process.pid, signal.SIGKILL)
    return len(found)


def break_sshd(cluster: Cluster) -> int:
    return sum(end_processes(cluster, host, "sshd") for host in ("c1", "c2"))


def break_own(cluster: Cluster) -> int:
    return end_processes(cluster, "login1", SYSTEM.carrier)


BREAK = {"ssh": break_sshd}
if SYSTEM.carrier_may_break:
    BREAK[SYSTEM.carrier] = break_own


def spans(count: int, longest: float) -> list[float]:
    """So many times from 0.1 s to the longest, each decade as often as the others."""
    chance = random.Random(count)
    between = [chance.uniform(math.log(0.1), math.log(longest)) for _ in range(count)]
    return [0.1, *map(math.exp, between[2:]), longest]


@dataclass(frozen=True)
class Run:
    """How long a run is."""

    cuts: int
    longest: float  # seconds
    cells: int
    pace: float  # seconds of sleep in each cell


SHORT = Run(cuts=5, longest=8, cells=300, pace=0.01)
LONG = Run(cuts=50, longest=60, cells=10_000, pace=0.01)
RUNS = [
    pytest.param(SHORT, id="short"),
    pytest.param(LONG, id="long", marks=pytest.mark.soak),
]


@pytest.mark.parametrize("run", RUNS)
def test_nothing_is_lost(
    cluster: Cluster, desk: Desk, client: Callable[..., Client], run: Run
) -> None:
    """Over either carrier: each line once and in order, each cell's reply and idle."""
    before = traces(cluster, USER)
    numbers = {"least": run.cells, "lines": LINES, "pace": run.pace}
    programs = {}
    for carrier in BREAK:
        desk.spec({"carrier": carrier, "dead_after": 5}, name=carrier)
        programs[carrier] = client(CLIENT.format(**numbers, kernel=carrier), carrier)
    killed, begin = dict.fromkeys(BREAK, 0), time.monotonic()
    chance = random.Random(run.cuts)
    for seconds in spans(run.cuts, run.longest):
        time.sleep(chance.uniform(0.3, 2))  # some cells pass
        cut(cluster, seconds)
        time.sleep(chance.uniform(0, 2))
        for carrier, program in programs.items():
            assert program.process.poll() is None, program.said
            killed[carrier] += BREAK[carrier](cluster)
    for program in programs.values():
        program.stop()

    results = {c: p.result(60 + run.cells * 0.1) for c, p in programs.items()}

    took = time.monotonic() - begin
    print(f"{run.cuts} cuts of up to {run.longest:g} s, in {took:.0f} s")
    for carrier, result in results.items():
        print(f"{carrier}: {killed[carrier]} processes killed, {result}")
        assert ([], 0) == (result["wrong"], result["doubled"])
        assert result["asked"] == result["cells"] >= run.cells
        assert killed[carrier] >= run.cuts // 3
    assert [] == left_over(cluster, USER, before)


@pytest.mark.parametrize("carrier", BREAK)
def test_a_cleaner_of_tmp_and_a_cut(
    cluster: Cluster, desk: Desk, client: Callable[..., Client], carrier: str
) -> None:
    """Socket and agent.pyz were removed on the node: the next pipe comes about."""
    desk.spec({"carrier": carrier, **SYSTEM.on("c1")})
    program = client(CLIENT.format(least=100, lines=LINES, pace=0.01, kernel="k"))

    there = f"rm -r $(find {SYSTEM.job_tmp} -name 'rk-*')"
    cluster.run("c1", "root", ["sh", "-c", there])
    wait_for("a pipe to break", lambda: BREAK[carrier](cluster), 60)
    program.stop()

    result = program.result(seconds=150)
    assert ([], 0) == (result["wrong"], result["doubled"])
    assert result["asked"] == result["cells"] >= 100


def test_a_slow_link(
    cluster: Cluster, desk: Desk, client: Callable[[str], Client]
) -> None:
    """2,500 messages of 24 kB through 10 MB/s: more than any queue of libzmq's.

    With pauses for the kernel's own thread that sends: on a busy machine its socket drops
    what is more than 1,000 messages behind, also of a local kernel.
    """
    desk.spec({})
    program = client(FLOOD)
    cluster.slow("login1", "80mbit")
    program.stop()

    missing, is_all, took = program.result(seconds=120)

    assert ([], True) == (missing, is_all)
    assert took > 4, "the link was not slow"


@pytest.mark.parametrize("seconds", [15, pytest.param(600, marks=pytest.mark.soak)])
def test_the_controller_is_away(
    cluster: Cluster, desk: Desk, client: Callable[..., Client], seconds: float
) -> None:
    """A kernel that runs notices nothing, even when its cable is cut meanwhile."""
    desk.spec({"dead_after": 4})
    program = client(CLIENT.format(least=100, lines=LINES, pace=0.01, kernel="k"))
    cluster.stop_controller()
    try:
        time.sleep(seconds / 3)
        cut(cluster, 6)
        time.sleep(seconds * 2 / 3)
        program.stop()
        result = program.result(seconds=120)
    finally:
        cluster.start_controller()

    assert ([], 0) == (result["wrong"], result["doubled"])
    assert result["asked"] == result["cells"] >= 100


def test_the_controller_is_away_while_a_job_waits(
    cluster: Cluster, desk: Desk, client: Callable[..., Client]
) -> None:
    """The start goes on waiting, and says for what."""
    due = time.monotonic() + 30
    desk.spec(SYSTEM.later(30))
    program = client(WAITS)
    wait_for("its job", lambda: USER in {job.user for job in cluster.jobs()}, 30)
    cluster.stop_controller()
    try:
        wait_for("its word", lambda: "does not answer; jobs go on" in program.said, 60)
        time.sleep(max(8, due - time.monotonic()))  # it is due meanwhile
        assert program.process.poll() is None, program.said
    finally:
        cluster.start_controller()

    assert "ok" == program.result(seconds=90)


@pytest.mark.only("slurm", "it alone takes ssh sessions into jobs")
@pytest.mark.skipif(not has_cgroup_v1(), reason="pam_slurm_adopt needs cgroup v1")
def test_ssh_in_another_job_s_care(
    cluster: Cluster, desk: Desk, client: Callable[..., Client]
) -> None:
    """pam_slurm_adopt puts all sessions into one job, and ends them with that job."""
    desk.spec({"carrier": "ssh", **SYSTEM.on("c1")})
    program = CLIENT.format(least=100, lines=LINES, pace=0.01, kernel="k")
    programs: dict[str, Client] = {}
    for name in ("first", "second"):
        started = client(program, name)
        (new,) = {j.id for j in cluster.jobs() if j.user == USER} - set(programs)
        programs[new] = started
    wait_for("a session", lambda: break_sshd(cluster), 20)  # the next is adopted anew

    def both_in_one() -> bool:
        hosts = adopted(cluster)
        if len(set(hosts)) == 2:  # it takes the job whose directory changed last
            break_sshd(cluster)
        return len(hosts) == 2 and len(set(hosts)) == 1

    wait_for("both in one job", both_in_one, 30)
    (host,) = set(adopted(cluster))

    programs[host].stop()
    programs.pop(host).result(seconds=60)
    # It can't end while sessions keep coming, and the node would be drained.
    wait_for("its end", lambda: host not in {job.id for job in cluster.jobs()}, 60)
    (spared,) = programs.values()
    spared.stop()

    result = spared.result(seconds=60)
    assert ([], 0) == (result["wrong"], result["doubled"])


def adopted(cluster: Cluster) -> list[str]:
    """For each of bob's sessions on c1 the job that it was adopted by."""
    found = []
    for process in cluster.processes("c1", USER):
        if "sshd" in process.cmdline[0]:
            try:
                groups = Path(f"/proc/{process.pid}/cgroup").read_text()
            except OSError:  # it has just ended
                continue
            found += re.findall(r"/job_(\d+)/step_extern", groups)[:1]
    return found
