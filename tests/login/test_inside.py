"""The commands that go into a kernel's job: exec, stack, top, and the end of a shell."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli.live import TIMEOUT, Terminal, command, done, line, shown, started
from jupyter_client.asynchronous.client import AsyncKernelClient

from login.conftest import run, running
from login.specs import BATCH, EVERY_CARRIER, KERNELS, write_spec
from login.test_daily import where
from login.test_running import id_of

cluster = pytest.mark.cluster
each_scheduler = pytest.mark.parametrize("kernel", EVERY_CARRIER)

# Hangs with two children, all in functions with a name.
HANG = """\
import multiprocessing, threading
locked = threading.Lock()
fork = multiprocessing.get_context("fork")
def work_in_child(started, number):
    started.release()
    number.wait()
def wait_for_a_lock(apples):
    locked.acquire()
started, never = fork.Semaphore(0), fork.Event()
children = [fork.Process(target=work_in_child, args=(started, never)) for _ in "ab"]
for child in children:
    child.daemon = True
    child.start()
    started.acquire()
locked.acquire()
print("hangs", flush=True)
wait_for_a_lock(apples=3)
"""
LINE = 8  # of HANG, where it hangs


async def told(*args: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(done, *args)


async def says(client: AsyncKernelClient, text: str) -> None:
    """Until a cell has printed that."""
    while True:
        message = await client.get_iopub_msg(timeout=TIMEOUT)
        if text in message["content"].get("text", ""):
            return


async def replied(client: AsyncKernelClient, cell: str) -> None:
    """Until a cell has ended; what is sent before, is dropped with it."""
    while True:
        message = await client.get_shell_msg(timeout=TIMEOUT)
        if message["parent_header"].get("msg_id") == cell:
            return


# --- exec ---------------------------------------------------------------------------


@pytest.fixture(params=EVERY_CARRIER)
def marked(request: pytest.FixtureRequest, jupyter: Path) -> str:
    """A kernelspec with a variable of its own."""
    config = {**KERNELS[request.param], "state_dir": str(jupyter / "state")}
    write_spec("t-marked", config, env={"MARK": "a b"})
    return "t-marked"


def exec_raw(
    kernel: str, data: bytes, *argv: str
) -> subprocess.CompletedProcess[bytes]:
    argv = (*command("exec", kernel, "--"), *argv)
    return subprocess.run(
        argv, input=data, capture_output=True, timeout=TIMEOUT, check=False
    )


@pytest.mark.asyncio
async def test_exec(marked: str) -> None:
    """The kernel's environment and directory; streams and exit code as they are."""
    async with running(marked) as found:
        host, *_ = await where(found[1])
        directory = await run(found[1], "import os; print(os.getcwd())")
        script = (
            'hostname; pwd; echo "$MARK"; [ -t 1 ]; echo $?; echo beside >&2; exit 3'
        )
        result = await told("exec", id_of(found), "--", "sh", "-c", script)
        data = os.urandom(2_000_000)
        copied = await asyncio.to_thread(exec_raw, id_of(found), data, "cat")
        killed = await told("exec", id_of(found), "--", "sh", "-c", "kill -9 $$")
        missing = await told("exec", id_of(found), "--", "no-such-command")
    assert f"{host}\n{directory}\na b\n1\n" == result.stdout
    assert ("beside\n", 3) == (result.stderr, result.returncode)
    assert (data, b"", 0) == (copied.stdout, copied.stderr, copied.returncode)
    assert ("", 137) == (killed.stderr, killed.returncode)
    assert f"no-such-command cannot be started on {host}: No such" in missing.stderr
    assert 127 == missing.returncode


@each_scheduler
@pytest.mark.asyncio
async def test_exec_for_a_reader_that_leaves(kernel: str) -> None:
    """The command ends, as it would in a pipe of this host."""
    async with running(kernel) as found:
        argv = command("exec", id_of(found), "--", "yes")
        script = '"$@" | head -n 1; exit "${PIPESTATUS[0]}"'
        result = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", script, "bash", *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    ended = 128 + signal.SIGPIPE
    assert (b"y\n", b"", ended) == (result.stdout, result.stderr, result.returncode)


def use_terminal(kernel: str) -> int:
    with shown(*command("exec", "--tty", kernel, "--", "/bin/sh")) as terminal:
        terminal.type("stty size; echo $MARK $((1 + 1))\n")
        terminal.until("40 200")
        terminal.until("a b 2")
        terminal.type("exit 5\n")
        return terminal.program.wait(TIMEOUT)


def interrupt(kernel: str) -> int:
    """Ctrl-C in a terminal, which is not the command's."""
    script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.1; done"
    with shown(*command("exec", kernel, "--", "sh", "-c", script)) as terminal:
        terminal.until("ready")
        terminal.type("\x03")
        terminal.until("caught")
        return terminal.program.wait(TIMEOUT)


@pytest.mark.asyncio
async def test_exec_in_a_terminal(marked: str) -> None:
    """With --tty the command has it; without, one Ctrl-C is the command's all the same."""
    async with running(marked) as found:
        assert 5 == await asyncio.to_thread(use_terminal, id_of(found))
        assert 4 == await asyncio.to_thread(interrupt, id_of(found))


# --- stack --------------------------------------------------------------------------


@each_scheduler
@pytest.mark.asyncio
async def test_the_stack_of_a_kernel_that_hangs(kernel: str) -> None:
    """The line, the function, its variables; its children; afterwards it goes on."""
    async with running(kernel) as found:
        client = found[1]
        cell = client.execute(HANG)
        await says(client, "hangs")
        text = await told("stack", id_of(found), "--locals")
        every = await told("stack", id_of(found), "--all", "--json")
        await found[0].interrupt_kernel()
        await replied(client, cell)
        number = await run(client, "print('goes on', 1 + 1)")
    assert 0 == text.returncode, text.stderr
    assert '"MainThread"\n    wait_for_a_lock (' in text.stdout
    assert f"py:{LINE})" in text.stdout
    assert "apples: 3" in text.stdout
    assert "work_in_child (" not in text.stdout
    body: dict[str, Any] = json.loads(every.stdout)
    threads = [process["threads"] for process in body["processes"]]
    names = [{f["name"] for t in each for f in t["frames"]} for each in threads]
    assert id_of(found) == body["kernel_id"]
    assert body["pid"] == body["processes"][0]["pid"]
    assert ["wait_for_a_lock" in each for each in names] == [True, False, False]
    assert ["work_in_child" in each for each in names] == [False, True, True]
    assert "goes on 2" in number


@each_scheduler
@pytest.mark.asyncio
async def test_a_process_that_may_not_be_looked_into(kernel: str) -> None:
    """It has forbidden it itself: what py-spy said, and what else can be done."""
    async with running(kernel) as found:
        await run(found[1], "import ctypes; ctypes.CDLL(None).prctl(4, 0)")
        result = await told("stack", id_of(found))
        listed = await told("exec", id_of(found), "--", "echo", "there")
    assert 1 == result.returncode
    assert "The node does not allow looking into this process" in result.stderr
    assert "faulthandler.register(signal.SIGUSR1)" in result.stderr
    assert "there\n" == listed.stdout  # with the agent's environment


@cluster
@pytest.mark.asyncio
async def test_faulthandler_is_a_way_without_py_spy() -> None:
    """As the advice says: the signal's dump is the cell's output."""
    async with running("t-own") as found:
        client = found[1]
        pid = await run(client, "import os; print(os.getpid())")
        await run(
            client, "import faulthandler, signal; faulthandler.register(signal.SIGUSR1)"
        )
        client.execute(HANG)
        await says(client, "hangs")
        sent = await told("exec", id_of(found), "--", "kill", "-USR1", pid)
        await says(client, "in wait_for_a_lock")
        await found[0].interrupt_kernel()
    assert 0 == sent.returncode, sent.stderr


@cluster
@pytest.mark.asyncio
async def test_gdb_on_a_child(jupyter: Path) -> None:
    """A debugger of another language, on one process of several."""
    if shutil.which("gdb") is None:
        pytest.skip("the root of this cluster's hosts has no gdb")
    async with running("t-own") as found:
        client = found[1]
        client.execute(HANG)
        await says(client, "hangs")
        told_of = json.loads((await told("stack", id_of(found), "-a", "--json")).stdout)
        child = str(told_of["processes"][1]["pid"])
        gdb = ["gdb", "-p", child, "-batch", "-ex", "bt"]
        result = await told("exec", id_of(found), "--", *gdb)
        await found[0].interrupt_kernel()
    assert 0 == result.returncode, result.stderr
    assert "#0 " in result.stdout
    assert "Py" in result.stdout


# --- top ----------------------------------------------------------------------------

BURN = """
import subprocess, sys
burner = subprocess.Popen([sys.executable, "-c", "kept = bytes(2**25)\\nwhile True: pass"])
"""


@each_scheduler
@pytest.mark.asyncio
async def test_top_once(kernel: str) -> None:
    """The kernel's process first, and what it started, with what that uses."""
    async with running(kernel) as found:
        host, *_ = await where(found[1])
        await run(found[1], BURN)
        result = await told("top", id_of(found), "--once", "--json")
        lines = (await told("top", id_of(found))).stdout.splitlines()
        pid = await run(found[1], "import os; print(os.getpid())")
        await run(found[1], "burner.kill(); print(burner.wait())")
    sample = json.loads(result.stdout)
    rows = {row["pid"]: row for row in sample["processes"]}
    burner = next(row for row in rows.values() if "kept" in row["command"])
    assert (host, int(pid)) == (sample["node"], sample["kernel_pid"])
    assert int(pid) == sample["processes"][0]["pid"]
    assert int(pid) == burner["parent"]
    assert burner["cpu_percent"] > 5
    assert burner["memory"] > 2**20
    assert sample["cpu_percent"] >= burner["cpu_percent"]
    assert lines[0].startswith(host)
    assert lines[2].split("\t")[0] == pid


def look(kernel: str, key: str) -> int:
    with shown(*command("top", kernel, "--interval", "0.5")) as terminal:
        terminal.until("PID")
        terminal.until("ipykernel")
        terminal.until("ipykernel")  # again
        terminal.type(key)
        code = terminal.program.wait(TIMEOUT)
        assert restored(terminal)
        return code


def restored(terminal: Terminal) -> bool:
    """The terminal shows what is typed, as before."""
    done = subprocess.run(
        ["stty", "-a"], stdin=terminal.fd, capture_output=True, text=True, check=True
    )
    return " echo " in done.stdout and "-icanon" not in done.stdout


@each_scheduler
@pytest.mark.asyncio
async def test_top_on_a_terminal(kernel: str) -> None:
    """Again and again, until q or Ctrl-C."""
    async with running(kernel) as found:
        assert 0 == await asyncio.to_thread(look, id_of(found), "q")
        assert 0 == await asyncio.to_thread(look, id_of(found), "\x03")
        assert [] == await left(found[1])


async def left(client: AsyncKernelClient) -> list[str]:
    """Samplers that run on the kernel's node, once those that end have ended."""
    code = (
        "import glob, time\n"
        "def rows():\n"
        "    for path in glob.glob('/proc/[0-9]*/cmdline'):\n"
        "        try: text = open(path, 'rb').read()\n"
        "        except OSError: continue\n"
        "        if b'inside\\0top' in text: yield path\n"
        f"end = time.monotonic() + {TIMEOUT}\n"
        "while list(rows()) and time.monotonic() < end: time.sleep(0.1)\n"
        "print(*rows())"
    )
    return (await run(client, code)).split()


@each_scheduler
@pytest.mark.asyncio
async def test_top_that_is_killed_leaves_nothing(kernel: str) -> None:
    """What measures on the node ends when nobody listens."""
    async with running(kernel) as found:
        with started("top", id_of(found), "--json", "--interval", "0.5") as program:
            sample = json.loads(await asyncio.to_thread(line, program))
            program.kill()
        assert [] == await left(found[1])
    assert sample["processes"]


# --- the end ------------------------------------------------------------------------


@cluster
@pytest.mark.asyncio
async def test_a_shell_ends_with_its_job() -> None:
    """And so does what ran in it; the terminal is given back."""
    async with running("t-own") as found:
        _, job, *_ = await where(found[1])
        assert job is not None
        opened = shown(*command("shell", id_of(found), "--", "/bin/sh"))
        terminal = await asyncio.to_thread(opened.__enter__)
        try:
            terminal.type("echo ready $((1 + 1)); cat\n")
            await asyncio.to_thread(terminal.until, "ready 2")
            await asyncio.to_thread(subprocess.run, BATCH.cancel(job), check=True)
            code = await asyncio.to_thread(terminal.program.wait, TIMEOUT)
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)
        assert 0 != code
