"""What the doors may ask of kernels, whoever has them: list, end, extend, look around.

Rules: values out, typed errors; no HTTP, no printing. With inventory.py (which kernels
there are), finding.py (which one a person means), attached.py and way_in.py (how to get
to one), stock.py (what is left over) and site.py (the batch system here) this is all
that the command line and the server know of kernels. Called by both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remote_kernels import errors, harmless, records
from remote_kernels.errors import CommandError, RecordError, StateError
from remote_kernels.scheduler import poller
from remote_kernels.scheduler.drivers import DRIVERS

from . import inventory
from . import stack as stacks
from .connection import Connection
from .look_inside import look
from .model import KernelModel, ModelState
from .ports import Ports
from .remote_kernel import RemoteKernel
from .runtime import Runtime

SOON = 15.0  # seconds for a node to answer
STACK = 75.0  # seconds; py-spy may take half a minute, and is tried twice
SLOWEST = poller.SLOWEST  # seconds between two questions while nothing changes
state_dir = records.state_dir  # of a kernelspec


@dataclass(frozen=True)
class Known:
    """A kernel that a server lists.

    Parameters
    ----------
    model, record:
        What it does, and its record.
    ours:
        Whether this server has it.
    is_sure:
        As in `Recorded`.
    """

    model: KernelModel
    record: records.Record
    ours: bool = False
    is_sure: bool = True

    @property
    def ended(self) -> bool:
        """Whether its job has ended."""
        return self.model.state == ModelState.ENDED

    def check_sure(self) -> None:
        """Raise UnknownError where its job may be another cluster's."""
        if not self.is_sure:
            msg = (
                "The scheduler has not said yet whether the job is its own. Try again."
            )
            raise errors.UnknownError(msg)

    def check_lives(self) -> None:
        """Raise StateError for a kernel whose job has ended."""
        if self.ended:
            msg = f"Its job has ended: {self.model.text}"
            raise StateError(msg)


# --- which there are ----------------------------------------------------------------


async def own(kernels: Iterable[RemoteKernel]) -> list[Known]:
    """Return these kernels of this process; asks nobody.

    One whose job is not submitted yet is left out.
    """
    return [
        Known(kernel.status.model(), kernel.status.record, ours=True)
        for kernel in kernels
        if kernel.status.job_id is not None
    ]


async def others(
    runtime: Runtime,
    bases: Iterable[Path],
    without: Collection[str],
    patience: float | None,
) -> list[Known]:
    """Return all other kernels on record; for the parameters see `recorded`."""
    found = await inventory.recorded(runtime, bases, without, patience=patience)
    return await asyncio.to_thread(
        lambda: [Known(one.model(), one.record, is_sure=one.is_sure) for one in found]
    )


def ask_at_most_every(runtime: Runtime, seconds: float) -> None:
    """Have lists of kernels ask each batch system no more often than that."""
    for driver in DRIVERS.values():
        runtime.jobs(driver, seconds)


# --- one of them --------------------------------------------------------------------


async def end(runtime: Runtime, known: Known) -> None:
    """End a kernel that is not this process's. Raises CommandError, RecordError.

    UnknownError where its job may be another one. If it fails, its record is left.
    """
    known.check_sure()
    job = None if known.ended else known.model.job
    await inventory.end(runtime, known.record, known.model.scheduler, job)


async def extend(
    runtime: Runtime, known: Known, minutes: int, kernel: RemoteKernel | None = None
) -> KernelModel:
    """Move the time limit of a kernel's job by so many minutes.

    `kernel` is the kernel if this process has it: it hears of its new end.

    Returns
    -------
    KernelModel
        The kernel, with its new end.

    Raises
    ------
    StateError
        The job has ended or has no time limit, or the batch system refuses.
    UnknownError, ControllerError
        It has not been asked yet, or does not answer.
    DeniedError
        This user may not.
    """
    known.check_lives()
    known.check_sure()
    model = known.model
    assert model.job is not None
    jobs = runtime.jobs(DRIVERS[model.scheduler])
    try:
        await jobs.extend(model.job, minutes)
    except (errors.ConfigError, CommandError) as error:
        silent = isinstance(error, CommandError) and error.unanswered
        if silent or isinstance(error, errors.DeniedError):
            raise
        raise StateError(str(error)) from error
    own = kernel.status.job if kernel is not None else None
    try:
        status = await (jobs.status(model.job) if own is None else own.ask())
    except CommandError:  # it is moved all the same
        return model
    return replace(model, ends=status.end_time)


def ports(known: Known, kernel: RemoteKernel | None) -> Ports:
    """Return the forwarded ports of a kernel, which is `kernel` if this process has it.

    Raises StateError where it can have none now.
    """
    return _connection(known, kernel).ports


def way_in(known: Known, kernel: RemoteKernel | None) -> Path:
    """Return a socket that leads into its job; for the parameters see `ports`.

    Raises StateError where there is none now.
    """
    check_open(known)
    return _connection(known, kernel).way_in


def check_open(known: Known) -> None:
    """Raise StateError if nothing can be started in its job now."""
    model = known.model
    known.check_lives()
    if model.state in (ModelState.SUSPENDED, ModelState.ENDING):
        msg = f"Nothing can be started in job {model.job} now: {model.text}."
        raise StateError(msg)
    if not model.node:
        raise StateError(_no_node(model))


async def listening(known: Known, kernel: RemoteKernel | None) -> list[dict[str, Any]]:
    """Return the servers that listen in its job; see agent/servers.py.

    Raises StateError as `way_in` does, and AgentError if its node does not tell.
    """
    way = way_in(known, kernel)
    told: list[dict[str, Any]] = await look(way, known.model, "listening", {}, SOON)
    return [{**one, "command": harmless.line(one["command"])} for one in told]


async def stack(known: Known, kernel: RemoteKernel | None) -> str:
    """Return where its process is, by thread; raises as `listening` does."""
    asked = {"all": False, "locals": False, "native": False, "json": False}
    options = {**asked, "spies": stacks.spies()}
    way = way_in(known, kernel)
    told = await look(way, known.model, "stack", options, STACK)
    try:
        return harmless.text(stacks.text(known.model.kernel_id, told))
    except errors.ConfigError as error:  # no Python kernel, or no py-spy
        raise StateError(str(error)) from error


def _no_node(model: KernelModel) -> str:
    return (
        f"Kernel {model.kernel_id} has no node yet: its job {model.job} is {model.state} "
        f"({model.text}). Try again when it runs."
    )


def _connection(known: Known, kernel: RemoteKernel | None) -> Connection:
    model = known.model
    known.check_lives()
    if kernel is None:
        who = f"process {model.pid} on {model.host}"
        msg = f"The kernel is not with this server, but last was with {who}. Ask there."
        raise StateError(msg)
    if kernel.status.connection is None:
        raise StateError(_no_node(model))
    return kernel.status.connection


def shown_cluster(model: KernelModel) -> str:
    """Return the name of its job's cluster; "" where that is this machine itself."""
    return "" if DRIVERS[model.scheduler].is_fallback else model.cluster or ""


# --- what the disk says alone -------------------------------------------------------


@dataclass(frozen=True)
class Noted:
    """A kernel as its record shows it; nobody was asked."""

    kernel_id: str
    name: str
    notebooks: tuple[str, ...]
    is_live: bool


def noted(bases: Iterable[Path]) -> list[Noted]:
    """Return all that is on record; what is damaged is passed over in silence."""
    return [_noted(record) for record in inventory.records_in(bases)]


def _noted(record: records.Record) -> Noted:
    facts, sessions = _read(record, "record.json"), _read(record, "sessions.json")
    notebooks = tuple(str(session.get("path", "")) for session in sessions.values())
    name = str(facts.get("name", ""))
    return Noted(record.kernel_id, name, notebooks, record.is_live)


def _read(record: records.Record, name: str) -> dict[str, Any]:
    with contextlib.suppress(RecordError):
        return record.read(name) or {}
    return {}


def unreadable(bases: Iterable[Path]) -> list[Path]:
    """Return records of kernels of which nobody can tell how they are."""
    found = []
    for record in inventory.records_in(bases):
        try:
            record.read("record.json")
        except (RecordError, AssertionError):
            found.append(record.path)
    return found


def left(base: Path, *, kernels: bool = False) -> list[str]:
    """Return what is in a state directory beside kernels (or with them), for people."""
    count = len(records.every_record(base)) if kernels else 0
    found = [f"{count} record{'s' * (count != 1)} of kernels"] if count else []
    return found + records.left(base)


def forget(base: Path) -> None:
    """Remove a state directory in which there are no kernels."""
    if not records.every_record(base):
        records.forget(base)
