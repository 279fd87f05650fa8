"""The life of a kernel of a kernelspec, told in JSON: run in a process of its own.

python a_kernel.py lives KERNELSPEC
python a_kernel.py waits KERNELSPEC
python a_kernel.py is_ended KERNELSPEC COMMAND...    {job} in it is the job's number
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from remote_kernels.errors import RemoteKernelError

TIMEOUT = 60.0
CLI = "from remote_kernels.cli.main import main; main()"
WHERE = "import os; print(os.environ.get('RK_JOB_ID'), os.getpid())"
LOOP = "print('looping', flush=True)\nwhile True: pass"


async def printed(client: AsyncKernelClient, code: str) -> str:
    said: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            said.append(message["content"]["text"])

    await client.execute_interactive(code, output_hook=hook, timeout=TIMEOUT)
    return "".join(said).strip()


async def interrupted(manager: AsyncKernelManager, client: AsyncKernelClient) -> str:
    """What an endless loop ends with."""
    looping = asyncio.Event()

    def hook(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            looping.set()

    cell = asyncio.ensure_future(
        client.execute_interactive(LOOP, output_hook=hook, timeout=TIMEOUT)
    )
    await asyncio.wait_for(looping.wait(), TIMEOUT)
    await manager.interrupt_kernel()
    return str((await cell)["content"]["ename"])


def command(*words: str) -> str:
    argv = [sys.executable, "-c", CLI, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


async def listed() -> list[dict[str, Any]]:
    kernels: list[dict[str, Any]] = json.loads(
        await asyncio.to_thread(command, "ls", "--json")
    )
    return kernels


async def lives(kernelspec: str) -> dict[str, Any]:
    manager = AsyncKernelManager(kernel_name=kernelspec)
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=TIMEOUT)
    told: dict[str, Any] = {"before": (await printed(client, WHERE)).split()}
    (told["listed"],) = await listed()
    told["inside"] = await asyncio.to_thread(command, "exec", "--", "echo", "inside")
    told["interrupted"] = await interrupted(manager, client)
    await manager.restart_kernel()
    await client.wait_for_ready(timeout=TIMEOUT)
    told["after"] = (await printed(client, WHERE)).split()
    client.stop_channels()
    await manager.shutdown_kernel()
    told["left"] = await listed()
    return told


async def waits(kernelspec: str) -> dict[str, Any]:
    """Its job waits for ever, and a person takes it out of the queue."""
    manager = AsyncKernelManager(kernel_name=kernelspec)
    start = asyncio.ensure_future(manager.start_kernel())
    told: dict[str, Any] = {"listed": {}}
    while told["listed"].get("job_state") is None and not start.done():
        (told["listed"],) = await listed() or [{}]
    await asyncio.to_thread(command, "stop", "--all", "--yes")
    try:
        await asyncio.wait_for(start, TIMEOUT)
    except RemoteKernelError as error:
        told["said"] = str(error)
    told["left"] = await listed()
    return told


async def is_ended(kernelspec: str, *argv: str) -> dict[str, Any]:
    """By somebody else, while a cell runs."""
    manager = AsyncKernelManager(kernel_name=kernelspec)
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=TIMEOUT)
    job = (await printed(client, WHERE)).split()[0]
    client.execute(LOOP)
    said = ""
    while said.partition("looping")[2].strip() == "":
        message = await client.get_iopub_msg(timeout=TIMEOUT)
        said += message["content"].get("text", "")
        if message["content"].get("text", "").endswith("looping\n"):
            words = [word.replace("{job}", job) for word in argv]
            await asyncio.to_thread(subprocess.run, words, check=True)
    told = {"job": job, "said": said}
    client.stop_channels()
    await manager.shutdown_kernel()
    return {**told, "left": await listed()}


if __name__ == "__main__":
    act = {each.__name__: each for each in (lives, waits, is_ended)}[sys.argv[1]]
    print(json.dumps(asyncio.run(act(*sys.argv[2:]))))
