"""One kernel after another, timed through `jupyter_client` alone.

It runs as a program in the environment of whoever is measured, on the login host, and
knows the kernelspec "k" and nothing else. Facts leave as lines of JSON; after each
"stage" it waits for a line, so that others look around meanwhile. The event loop turns
on while it waits, as that of a notebook server does. Every wait is bounded, save for
those in which the measured code blocks: for them `run` ends the process.

    drive.py rounds N       N times: start, one cell, shutdown; then exit at once
    drive.py life SAMPLES   one kernel, and all that is asked of it
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable
from importlib.metadata import entry_points
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_runtime_dir

START = 65.0  # for start and restart; notebook servers give up after 60 s
REPLY = 20.0
POLL = 3.0  # as KernelRestarter.time_to_dead, jupyter_client 8.10
IDLE = 12.0
CELL = 20.0  # how long a cell runs that nobody interrupts
BYTES = 50_000_000

KEEP = "kept = 7"
SPIN = f"""\
import time
end = time.time() + {CELL}
print("on", flush=True)
while time.time() < end:
    pass
"""
SLEEP = f"""\
import time
print("on", flush=True)
time.sleep({CELL})
"""
# What compression does not help with.
MAKE = f"""\
import base64, os
big = base64.b64encode(os.urandom({BYTES} // 4 * 3)).decode()
"""
SHOW = """\
from IPython.display import display
display({"text/plain": big}, raw=True)
"""

Message = dict[str, Any]


class Failure(Exception):
    """The measured kernel did not do what was asked."""


class Lines:
    """Facts out, permissions to go on in; nothing else gets into our output."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        self._in = os.fdopen(os.dup(0))
        os.dup2(2, 1)
        with open(os.devnull) as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 0)

    def tell(self, **facts: object) -> None:
        self._out.write(json.dumps(facts) + "\n")
        self._out.flush()

    async def stage(self, name: str, **facts: object) -> None:
        """Say that something is reached, and wait until all have looked."""
        self.tell(stage=name, **facts)
        if not await asyncio.to_thread(self._in.readline):
            sys.exit("nobody listens any more")


class Stall:
    """The longest time for which the event loop did not turn."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, time.perf_counter() - before - 0.01)

    async def end(self) -> float:
        """What was seen; the last gap shows when the task has run once more."""
        await asyncio.sleep(0.02)
        self._task.cancel()
        return self.longest


class Kernel:
    """One kernel and its client."""

    def __init__(self) -> None:
        # Both as a notebook server has them, jupyter_client 8.10.
        self.id = str(uuid.uuid4())
        file = Path(jupyter_runtime_dir(), f"kernel-{self.id}.json")
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.manager = AsyncKernelManager(kernel_name="k", connection_file=str(file))
        self.client = self.manager.client()

    async def start(self) -> float:
        """Seconds from `start_kernel` to the first kernel_info_reply."""
        begun = time.perf_counter()
        await within(START, self.manager.start_kernel(kernel_id=self.id))
        self.connect()
        await self.answer(begun + START)
        return time.perf_counter() - begun

    def connect(self) -> None:
        """A client of its own: the kernel tells clients apart by their session."""
        session = self.manager.session.clone()
        session.session = uuid.uuid4().hex
        self.client = self.manager.client(session=session)
        self.client.start_channels(hb=False)

    async def hear(self) -> None:
        """Wait until iopub is connected, too: it may come later than the reply."""
        end = time.perf_counter() + REPLY
        while time.perf_counter() < end:
            self.client.kernel_info()
            try:
                await self.client.get_iopub_msg(timeout=0.3)
            except Empty:
                continue
            return
        msg = "nothing on iopub"
        raise Failure(msg)

    async def answer(self, end: float) -> None:
        """Ask, and ask anew, until it answers; look whether it lives, meanwhile."""
        asked = polled = 0.0
        ids = set()
        while (now := time.perf_counter()) < end:
            if now > asked + 0.5:  # the first may be lost before a tunnel is there
                asked = now
                ids.add(self.client.kernel_info())
            if now > polled + 1:  # as jupyter_client's wait_for_ready
                polled = now
                if not await self.manager.is_alive():
                    msg = "the kernel died before it answered"
                    raise Failure(msg)
            try:
                message = await self.client.get_shell_msg(timeout=0.1)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") in ids:
                return
        msg = "no kernel_info_reply"
        raise Failure(msg)

    async def reply(self, request: str, seconds: float = REPLY) -> Message:
        """The reply to one request."""
        return await self._wanted(self.client.get_shell_msg, request, None, seconds)

    async def said(self, request: str, kind: str, seconds: float = REPLY) -> Message:
        """The first message of that type on iopub that the request caused."""
        return await self._wanted(self.client.get_iopub_msg, request, kind, seconds)

    async def _wanted(
        self, get: Any, request: str, kind: str | None, seconds: float
    ) -> Message:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            try:
                message: Message = await get(timeout=left)
            except Empty:
                break
            if message["parent_header"].get("msg_id") != request:
                continue
            if kind in (None, message["msg_type"]):
                return message
        msg = f"no {kind or 'reply'} in {seconds:g} s"
        raise Failure(msg)

    async def idle(self, request: str) -> None:
        """Until the kernel says that it has done with the request."""
        while (await self.said(request, "status"))["content"][
            "execution_state"
        ] != "idle":
            pass

    async def run(self, code: str, seconds: float = REPLY) -> Message:
        """Execute a cell to its end; the reply."""
        request = self.client.execute(code)
        reply = await self.reply(request, seconds)
        await self.idle(request)
        return reply

    async def kept(self) -> bool:
        """Whether the variable of KEEP is there."""
        request = self.client.execute("", user_expressions={"kept": "kept"})
        reply = await self.reply(request)
        answer = reply["content"].get("user_expressions", {}).get("kept", {})
        return bool(answer.get("status") == "ok")

    async def shut_down(self) -> float:
        """Seconds that `shutdown_kernel` takes."""
        self.client.stop_channels()
        begun = time.perf_counter()
        await within(START, self.manager.shutdown_kernel())
        return time.perf_counter() - begun


async def within(seconds: float, work: Awaitable[Any]) -> Any:
    """Await, for a bounded time."""
    try:
        return await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError:
        msg = f"not done after {seconds:g} s"
        raise Failure(msg) from None


# --- what is measured ---------------------------------------------------------------


async def cell(kernel: Kernel) -> None:
    """A cell to its end."""
    await kernel.hear()
    await kernel.run("pass")


async def round_trips(kernel: Kernel, samples: int) -> dict[str, float]:
    """kernel_info to its reply; a cell to both its reply and the state idle."""
    info, cell = [], []
    await kernel.hear()
    for _ in range(samples):
        begun = time.perf_counter()
        request = kernel.client.kernel_info()
        await kernel.reply(request)
        info.append(time.perf_counter() - begun)
        await kernel.idle(request)
    for _ in range(samples):
        begun = time.perf_counter()
        await kernel.run("pass")
        cell.append(time.perf_counter() - begun)
    found = {}
    for name, times in (("info", info), ("execute", cell)):
        hundredths = statistics.quantiles(times, n=100, method="inclusive")
        found[f"{name}_p50"] = hundredths[49]
        found[f"{name}_p99"] = hundredths[98]
    return found


async def output(kernel: Kernel) -> float:
    """MB/s of one large display_data, from the cell's request to the message."""
    await kernel.run(MAKE)
    rates = []
    for _ in range(3):
        begun = time.perf_counter()
        request = kernel.client.execute(SHOW)
        message = await kernel.said(request, "display_data", 60)
        seconds = time.perf_counter() - begun
        if len(message["content"]["data"]["text/plain"]) != BYTES:
            msg = "the output is not what the cell showed"
            raise Failure(msg)
        rates.append(BYTES / 1e6 / seconds)
        await kernel.reply(request)
        await kernel.idle(request)
    await kernel.run("del big")
    return statistics.median(rates)


async def interrupt(kernel: Kernel, code: str) -> dict[str, object]:
    """Whether a cell ends by KeyboardInterrupt, and all else is still there."""
    await kernel.hear()
    await kernel.run(KEEP)
    request = kernel.client.execute(code, stop_on_error=False)
    await kernel.said(request, "stream")
    begun = time.perf_counter()
    await within(CELL + 5, kernel.manager.interrupt_kernel())
    try:
        reply = await kernel.reply(request, CELL + 5)
    except Failure:
        return {"how": "kernel lost"}
    seconds = time.perf_counter() - begun
    if reply["content"]["status"] == "ok":
        return {"how": "no effect"}
    if reply["content"].get("ename") != "KeyboardInterrupt":
        return {"how": f"ends by {reply['content'].get('ename')}"}
    if not await kernel.kept():
        return {"how": "variables lost"}
    return {"how": "yes", "seconds": seconds}


async def restart(kernel: Kernel) -> dict[str, object]:
    """Seconds until the new kernel answers, and whether it really is a new one."""
    await kernel.run(KEEP)
    before = kernel.client
    begun = time.perf_counter()
    await within(START, kernel.manager.restart_kernel())
    kernel.connect()
    await kernel.answer(begun + START)
    seconds = time.perf_counter() - begun
    new = not await kernel.kept()
    after, kernel.client = kernel.client, before
    try:
        # What an open notebook does: its sockets stay.
        await kernel.answer(time.perf_counter() + 5)
        old = True
    except Failure:
        old = False
    before.stop_channels()
    kernel.client = after
    return {"seconds": seconds, "new": new, "old_client": old}


async def idle(kernel: Kernel) -> dict[str, object]:
    """Be polled as by a notebook server; how long the event loop stood still."""
    stall = Stall()
    begun = time.perf_counter()
    alive = True
    while time.perf_counter() < begun + IDLE:
        alive = await kernel.manager.is_alive() and alive
        await asyncio.sleep(POLL)
    seconds = time.perf_counter() - begun
    return {"alive": alive, "stall": await stall.end(), "seconds": seconds}


# --- the two programs ----------------------------------------------------------------


class Drive:
    """Does one thing after the other, and tells how each went."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    async def step(self, name: str, work: Awaitable[Any]) -> bool:
        """Whether it went well; the reason is told if not."""
        begun = time.perf_counter()
        try:
            value = await within(100, work)
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises
            traceback.print_exc()
            text = f"{type(error).__name__}: {error}"
            self.lines.tell(step=name, error=text, after=time.perf_counter() - begun)
            return False
        self.lines.tell(step=name, value=value)
        return True

    async def rounds(self, number: int) -> None:
        await self.lines.stage("ready")
        for _ in range(number):
            kernel, stall = Kernel(), Stall()
            if await self.step("start", kernel.start()):
                await self.step("cell", cell(kernel))
            self.lines.tell(step="stall", value=await stall.end())
            await self.step("shutdown", kernel.shut_down())

    async def life(self, samples: int) -> None:
        lines = self.lines
        await lines.stage("ready")
        kernel = Kernel()
        started = await self.step("first start", kernel.start())
        await lines.stage("started", key=kernel.manager.session.key.decode())
        if not started:
            await self.step("shutdown", kernel.shut_down())
            await lines.stage("shut down")
            return
        await self.step("round_trips", round_trips(kernel, samples))
        await self.step("output", output(kernel))
        await lines.stage("before idle")
        await self.step("idle", idle(kernel))
        await lines.stage("after idle")
        for name, code in (("interrupt spin", SPIN), ("interrupt sleep", SLEEP)):
            await self.step(name, interrupt(kernel, code))
            kernel = await self.anew(kernel)
        await lines.stage("before restart")
        restarted = await self.step("restart", restart(kernel))
        await lines.stage("restarted", worked=restarted)
        await self.step("shutdown", kernel.shut_down())
        await lines.stage("shut down")

    async def anew(self, kernel: Kernel) -> Kernel:
        """The kernel, or another one if it does not answer any more."""
        try:
            await kernel.answer(time.perf_counter() + 5)
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises
            sys.stderr.write(f"another kernel is started: {error}\n")
        else:
            return kernel
        await self.step("shutdown of the lost", kernel.shut_down())
        kernel = Kernel()
        await self.step("start after loss", kernel.start())
        return kernel


def load(name: str) -> None:
    """Import what a server imports once, before its first kernel."""
    for point in entry_points(group="jupyter_client.kernel_provisioners"):
        if point.name == name:
            point.load()


async def main() -> None:
    lines = Lines()
    spec = AsyncKernelManager(kernel_name="k").kernel_spec
    used = spec.metadata.get("kernel_provisioner", {}) if spec else {}
    load(used.get("provisioner_name", "local-provisioner"))
    drive = Drive(lines)
    program, number = sys.argv[1], int(sys.argv[2])
    await (drive.rounds(number) if program == "rounds" else drive.life(number))
    lines.tell(end=True)


if __name__ == "__main__":
    asyncio.run(main())
