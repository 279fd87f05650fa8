"""What a user does in the first hour, over each carrier."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient

from login.conftest import START_TIMEOUT, run, running
from login.specs import EVERY_CARRIER, on_cluster, params

MB = 1_000_000
every_carrier = pytest.mark.parametrize("kernel", EVERY_CARRIER)

WHERE = (
    "import json, os, socket; print(json.dumps([socket.gethostname(), "
    "os.environ.get('RK_JOB_ID'), os.getpid(), os.environ.get('SECRET_OF_SERVER')]))"
)


async def where(client: AsyncKernelClient) -> tuple[str, str | None, int, str | None]:
    host, job, pid, secret = json.loads(await run(client, WHERE))
    return host, job, pid, secret


@every_carrier
@pytest.mark.asyncio
async def test_the_kernel_runs_on_a_node_with_an_environment_of_its_own(
    kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a job on a compute node, and the server's variables stay at home."""
    monkeypatch.setenv("SECRET_OF_SERVER", "token")
    monkeypatch.setenv("SLURM_CPU_BIND", "verbose,none")

    async with running(kernel) as (_, client):
        host, job, _, secret = await where(client)

    assert on_cluster(kernel) == (host != os.uname().nodename)
    assert on_cluster(kernel) == (job is not None)
    assert secret is None


@every_carrier
@pytest.mark.asyncio
async def test_interrupt_keeps_the_variables(kernel: str) -> None:
    """An endless loop ends with KeyboardInterrupt; what was computed is still there."""
    async with running(kernel) as (manager, client):
        await run(client, "kept = 42")
        looping = asyncio.Event()

        def hook(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                looping.set()

        cell = asyncio.ensure_future(
            client.execute_interactive(
                "print('looping', flush=True)\nwhile True: pass",
                output_hook=hook,
                timeout=START_TIMEOUT,
            )
        )
        await asyncio.wait_for(looping.wait(), START_TIMEOUT)
        await manager.interrupt_kernel()
        reply = await cell

        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert await run(client, "print(kept)") == "42"


@every_carrier
@pytest.mark.asyncio
async def test_restart_stays_in_the_job(kernel: str) -> None:
    """A new process, the same job, the same sockets: the old client goes on."""
    async with running(kernel) as (manager, client):
        host, job, pid, _ = await where(client)
        await run(client, "gone = 1")

        await manager.restart_kernel()
        await client.wait_for_ready(timeout=START_TIMEOUT)
        after = await where(client)

        assert (host, job) == after[:2]
        assert pid != after[2]
        assert await run(client, "print('gone' in globals())") == "False"


@every_carrier
@pytest.mark.asyncio
async def test_a_kernel_that_died_restarts_in_its_job(kernel: str) -> None:
    """os._exit() ends the process; poll() says so; a restart needs no new job."""
    async with running(kernel) as (manager, client):
        _, job, pid, _ = await where(client)
        assert manager.provisioner is not None

        client.execute("import os; os._exit(7)")
        code = await asyncio.wait_for(manager.provisioner.wait(), START_TIMEOUT)
        alive = await manager.is_alive()
        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=START_TIMEOUT)
        after = await where(client)

        assert (code, alive) == (7, False)
        assert job == after[1]
        assert pid != after[2]


@every_carrier
@pytest.mark.asyncio
async def test_input_is_answered(kernel: str) -> None:
    """input() asks the client that sent the cell."""
    async with running(kernel) as (_, client):

        def answer(message: dict[str, Any]) -> None:
            client.input(message["content"]["prompt"] + "blue")

        printed = await run(
            client, "print('>', input('colour? '))", allow_stdin=True, stdin_hook=answer
        )

        assert printed == "> colour? blue"


@every_carrier
@pytest.mark.asyncio
async def test_a_big_comm_buffer_both_ways(kernel: str) -> None:
    """20 MB through a comm, there and back, unchanged."""
    echo = """
def opened(comm, message):
    comm.on_msg(lambda m: comm.send({}, buffers=m["buffers"]))
get_ipython().kernel.comm_manager.register_target("echo", opened)
"""
    payload = os.urandom(20 * MB)
    async with running(kernel) as (_, client):
        await run(client, echo)
        comm = uuid.uuid4().hex
        for kind, content, buffers in (
            ("comm_open", {"target_name": "echo", "data": {}}, []),
            ("comm_msg", {"data": {}}, [payload]),
        ):
            message = client.session.msg(kind, {"comm_id": comm, **content})
            message["buffers"] = buffers
            client.shell_channel.send(message)
        while True:
            reply = await client.get_iopub_msg(timeout=START_TIMEOUT)
            if reply["msg_type"] == "comm_msg":
                break

        assert payload == bytes(reply["buffers"][0])


@every_carrier
@pytest.mark.asyncio
async def test_a_big_display(kernel: str) -> None:
    """50 MB in one display_data arrive whole."""
    sizes: list[int] = []

    def hook(message: dict[str, Any]) -> None:
        if message["msg_type"] == "display_data":
            sizes.append(len(message["content"]["data"]["text/plain"]))

    async with running(kernel) as (_, client):
        await client.execute_interactive(
            f"display({{'text/plain': 'x' * {50 * MB}}}, raw=True)",
            output_hook=hook,
            timeout=START_TIMEOUT,
        )

    assert sizes == [50 * MB]


@every_carrier
@pytest.mark.asyncio
async def test_a_subshell_runs_while_the_main_shell_is_busy(kernel: str) -> None:
    """The main shell waits for what only the subshell does."""
    async with running(kernel) as (_, client):
        await run(client, "import threading; done = threading.Event()")
        request = client.session.msg("create_subshell_request")
        client.control_channel.send(request)
        reply = await client.get_control_msg(timeout=START_TIMEOUT)
        main = client.execute("assert done.wait(60)")
        message = client.session.msg(
            "execute_request", {"code": "done.set()", "silent": False}
        )
        message["header"]["subshell_id"] = reply["content"]["subshell_id"]
        client.shell_channel.send(message)
        replies: dict[str, str] = {}
        while len(replies) < 2:
            got = await client.get_shell_msg(timeout=START_TIMEOUT)
            replies[got["parent_header"]["msg_id"]] = got["content"]["status"]

        assert {main: "ok", message["header"]["msg_id"]: "ok"} == replies


@pytest.mark.parametrize("kernel", params("t-local-tcp", "t-tcp", "t-curve"))
@pytest.mark.asyncio
async def test_a_kernel_that_only_does_tcp(kernel: str) -> None:
    """Ports are chosen on the node, on loopback; CURVE where the spec offers it."""
    code = (
        "from ipykernel.kernelapp import IPKernelApp as A; app = A.instance(); "
        "print(app.transport, app.ip, bool(app.curve_publickey))"
    )
    async with running(kernel) as (manager, client):
        first = await run(client, code)
        await manager.restart_kernel()
        await client.wait_for_ready(timeout=START_TIMEOUT)

        expected = f"tcp 127.0.0.1 {kernel == 't-curve'}"
        assert (expected, first) == (first, await run(client, code))


@pytest.mark.asyncio
async def test_two_clients_of_one_kernel() -> None:
    """Both see the output; each gets the reply to its own request."""
    async with running("t-local") as (manager, client):
        second = AsyncKernelClient()  # of a session of its own, unlike .client()
        second.load_connection_info(manager.get_connection_info())
        second.start_channels()
        await second.wait_for_ready(timeout=START_TIMEOUT)

        printed = await run(client, "print('for both')")
        while True:
            message = await second.get_iopub_msg(timeout=START_TIMEOUT)
            if message["msg_type"] == "stream":
                break
        second.stop_channels()

        assert "for both" == printed == message["content"]["text"].strip()
