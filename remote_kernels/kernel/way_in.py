"""A way into a kernel's job: a Unix socket of this host, each connection one process.

Whoever has the kernel's session (a notebook server, papermill, a script) listens at it
in the kernel's private directory; the session carries what comes. So it needs neither
the server's REST API nor a token: who can connect could as well run code by the kernel's
own sockets, which are beside it. Where nobody on this host has the kernel, a session
beside that of its owner is opened for as long as it is needed: it takes nothing from
who has the kernel, nor from who comes. Called by the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from remote_kernels.config import Settings
from remote_kernels.errors import JobError, TunnelError
from remote_kernels.kernel import socket_directory
from remote_kernels.records import CarrierCache
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.tunnel.carriers.shared_ssh import SshPool
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire.exec import TARGET
from remote_kernels.wire.hello import Refused

from .attached import socket_here
from .connection import WAY_IN
from .connector import carriers, kind_of_node
from .finding import waits
from .inventory import Recorded
from .model import KernelModel

ENDING = 10.0  # seconds for carriers that are given up
T = TypeVar("T")


class _Run(Protocol):
    def __call__(self, work: Coroutine[Any, Any, T]) -> T: ...


def check_open(found: Recorded) -> KernelModel:
    """Return how a kernel is, into whose job one can go now. Raises JobError."""
    model = found.model()
    if model.state == "waiting":
        raise JobError(waits(found, model))
    if model.state in ("suspended", "ending"):
        msg = f"Nothing can be started in job {found.job_id} now: {model.text}."
        raise JobError(msg)
    if not model.node:
        msg = (
            f"The node of kernel {model.kernel_id} (job {found.job_id}) is not known: "
            f"{model.text}.\nTry again in a while."
        )
        raise JobError(msg)
    return model


@contextlib.contextmanager
def way_in(found: Recorded, settings: Settings) -> Iterator[Path]:
    """Yield the socket; it leads into the job as long as the context is open.

    Parameters
    ----------
    found : Recorded
        The kernel.
    settings : Settings
        Its kernelspec's config.

    Raises
    ------
    JobError
        The agent has not said yet where it is, or refuses.
    TunnelError
        No carrier reaches the agent.
    """
    path = socket_here(found, WAY_IN)
    if path is not None:
        yield path
        return
    directory = socket_directory.new(settings.runtime_dir)
    try:
        with _loop() as loop:
            tunnel = loop(_opened(found, settings, directory / WAY_IN))
            try:
                yield directory / WAY_IN
            finally:
                loop(tunnel.close())
    finally:
        socket_directory.remove(directory)


async def _opened(found: Recorded, settings: Settings, path: Path) -> Tunnel:
    """Open a session beside the owner's, and the socket that leads to it."""
    record, facts = found.record, found.facts
    agent = record.read("agent.json")
    spec = record.read("spec.json") if agent is not None else None
    if agent is None or spec is None or "socket" not in agent:
        msg = (
            f"The agent of kernel {found.kernel_id} has not said yet where it is: "
            f"{found.model().text}.\nTry again in a while."
        )
        raise JobError(msg)
    remembered = CarrierCache(record.base).carrier(kind_of_node(agent))
    ways = carriers(
        agent,
        found.job_id,
        DRIVERS[facts["scheduler"]],
        settings,
        remembered,
        ssh=SshPool(),
    )
    tunnel = Tunnel(
        ways,
        bytes.fromhex(spec["secret"]),
        lambda message: None,
        dead_after=settings.dead_after,
        kernel=found.kernel_id,
        record=str(record.path),
        beside=True,
    )
    try:
        await tunnel.open()
        await tunnel.listen(path, found.kernel_id, TARGET)
    except Refused as exc:
        msg = f"The agent on {agent['node']} lets nobody in: {exc.detail}"
        raise JobError(msg) from exc
    except TunnelError as exc:
        if facts.get("host") == socket.gethostname():
            raise
        msg = (
            f"{exc}\nKernel {found.kernel_id} is with process {facts.get('pid')} on "
            f"{facts.get('host')}: this command needs no carrier there."
        )
        raise TunnelError(msg, exc.silent) from exc
    return tunnel


@contextlib.contextmanager
def _loop() -> Iterator[_Run]:
    """Yield a function that runs a coroutine in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C, too
            future.cancel()
            raise

    try:
        yield run
    finally:
        run(_rest())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _rest() -> None:
    """Return once all that was cancelled has ended, such as a carrier's program."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        await asyncio.wait(tasks, timeout=ENDING)
