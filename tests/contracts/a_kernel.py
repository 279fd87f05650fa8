"""The life of a kernel of a kernelspec, told in JSON: run in a process of its own.

python a_kernel.py KERNELSPEC
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

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


async def life(kernelspec: str) -> dict[str, Any]:
    manager = AsyncKernelManager(kernel_name=kernelspec)
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=TIMEOUT)
    told: dict[str, Any] = {"before": (await printed(client, WHERE)).split()}
    (told["listed"],) = json.loads(await asyncio.to_thread(command, "ls", "--json"))
    told["inside"] = await asyncio.to_thread(command, "exec", "--", "echo", "inside")
    told["interrupted"] = await interrupted(manager, client)
    await manager.restart_kernel()
    await client.wait_for_ready(timeout=TIMEOUT)
    told["after"] = (await printed(client, WHERE)).split()
    client.stop_channels()
    await manager.shutdown_kernel()
    told["left"] = json.loads(await asyncio.to_thread(command, "ls", "--json"))
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(life(sys.argv[1]))))
