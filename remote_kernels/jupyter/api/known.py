"""The kernels of this user: those of this server, and others on record; to start one.

Rules: no client waits long for a batch system: the disk says which kernels there are. A
kernel is found by comparing IDs with those: what a client sends never becomes a path.
Before one is started everything is checked, and nothing submitted; an option that
decides what runs on the node, rather than where and for how long, needs what running
code in a kernel needs. Lives on the server's loop; what it asks for is done on the
kernels' (`run`). Called by the API's handlers.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from jupyter_server.utils import ensure_async

from remote_kernels.config import every_option, over
from remote_kernels.errors import JobError, NotFoundError, RecordError
from remote_kernels.jupyter.process import ProcessGlobals
from remote_kernels.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernels.kernel import RemoteKernel, choice, service, site, unshown
from remote_kernels.kernel.model import KernelModel
from remote_kernels.kernel.ports import Ports
from remote_kernels.kernel.service import Known
from remote_kernels.kernel.unshown import Unshown

from .errors import Refusal
from .followers import Followers
from .input import Start

PATIENCE = 5.0  # seconds that a client waits for a batch system
MOST_BYTES = 1024 * 1024  # of a log, looked at from its end
AGAIN = 30.0  # seconds until it is looked again whether another server's kernel lives
_PLAIN = {
    name.replace("-", "_")
    for option in every_option()
    if option.is_plain
    for name in (option.name, option.portable)
}

LookedAt = Callable[[str, str, dict[str, Any], Callable[[], Awaitable[Any]]], None]


class Kernels:
    """What the API tells of kernels, and does to them.

    Parameters
    ----------
    process:
        What belongs to this process.
    manager:
        The server's kernel manager.
    state_dirs:
        Where this user's records may be.
    looked_at:
        Told what was answered that somebody may look at for longer: see
        `watched.Watched.shown`.
    """

    def __init__(
        self,
        process: ProcessGlobals,
        manager: Any,
        state_dirs: Callable[[], Iterable[Path]],
        looked_at: LookedAt,
    ) -> None:
        self.looked_at = looked_at
        self.run = process.background.run
        self.runtime = process.runtime
        self.manager = manager
        self.state_dirs = state_dirs
        self.followers = Followers()

    async def all(self, *, ended: bool = True) -> list[Known]:
        """Return this server's kernels, then the others.

        Parameters
        ----------
        ended : bool
            Whether others that have ended are among them.
        """
        ours = await self._ours()
        ids = {known.model.kernel_id for known in ours}
        dirs = list(self.state_dirs())
        others = await self.run(service.others(self.runtime, dirs, ids, PATIENCE))
        return ours + [known for known in others if ended or not known.ended]

    async def find(self, kernel_id: str) -> Known:
        """Return one of them. Raises NotFoundError."""
        for look in (self._ours, self.all):
            for known in await look():
                if known.model.kernel_id == kernel_id:
                    return known
        msg = f"No kernel of yours has the ID {kernel_id!r}."
        raise NotFoundError(msg)

    async def ports(self, kernel_id: str) -> Ports:
        """Return a kernel's forwarded ports. Raises NotFoundError, StateError."""
        return service.ports(*await self._with_kernel(kernel_id))

    async def cells(self, kernel_id: str) -> Unshown:
        """Return what cells printed that no page has shown and saved.

        Raises NotFoundError, StateError.
        """
        found = await self._with_kernel(kernel_id)
        return await self.run(unshown.cells(self.runtime, *found))

    async def shown(self, kernel_id: str, requests: Collection[str]) -> None:
        """Forget what a page has shown and saved. Raises NotFoundError, StateError."""
        found = await self._with_kernel(kernel_id)
        await self.run(unshown.shown(self.runtime, *found, requests))

    async def _with_kernel(self, kernel_id: str) -> tuple[Known, RemoteKernel | None]:
        known = await self.find(kernel_id)
        return known, kernel_of(self.manager, kernel_id) if known.ours else None

    async def listening(self, kernel_id: str) -> list[dict[str, Any]]:
        """Return the servers in a kernel's job. Raises RemoteKernelError."""
        known = await self.find(kernel_id)
        return await service.listening(known, kernel_of(self.manager, kernel_id))

    async def stack(self, kernel_id: str) -> str:
        """Return where a kernel's process is. Raises RemoteKernelError."""
        known = await self.find(kernel_id)
        return await service.stack(known, kernel_of(self.manager, kernel_id))

    async def open_job(self, kernel_id: str) -> KernelModel:
        """Return a kernel into whose job one can go. Raises NotFoundError, StateError."""
        known = await self.find(kernel_id)
        service.check_open(known)
        return known.model

    async def _ours(self) -> list[Known]:
        return await self.own(self.manager.list_kernel_ids())

    async def own(self, ids: Iterable[str]) -> list[Known]:
        """Return those of these kernels that this server has."""
        kernels = [k for id in ids if (k := kernel_of(self.manager, id)) is not None]
        return await self.run(service.own(kernels)) if kernels else []

    def has(self, kernel_id: str) -> bool:
        """Whether this server has it, or is just starting it."""
        return kernel_of(self.manager, kernel_id) is not None

    async def stop(self, known: Known) -> None:
        """End the kernel and its job. Raises RemoteKernelError; its record then stays."""
        if not known.ours:
            await self.run(service.end(self.runtime, known))
            return
        provisioner = self.manager.get_kernel(known.model.kernel_id).provisioner
        await ensure_async(self.manager.shutdown_kernel(known.model.kernel_id))
        if provisioner.left:
            raise JobError(provisioner.left)

    async def free(self, scheduler: str) -> choice.Free:
        """Return what is free. Raises RemoteKernelError."""
        return await self.run(choice.free(self.runtime, scheduler))

    async def outlook(self, config: Mapping[str, object]) -> choice.Outlook:
        """Return what would become of a kernel with that config."""
        return await self.run(choice.outlook(self.runtime, config))

    async def extend(self, known: Known, minutes: int) -> KernelModel:
        """Move its job's time limit by so many minutes; return it with its new end.

        Raises RemoteKernelError.
        """
        kernel = kernel_of(self.manager, known.model.kernel_id)
        return await self.run(service.extend(self.runtime, known, minutes, kernel))

    def end_of(self, known: Known) -> Callable[[], Awaitable[bool]]:
        """Return a function that tells whether its job has ended; it may be asked often."""
        kernel_id, loop = known.model.kernel_id, asyncio.get_running_loop()
        over, asked = known.ended, loop.time()

        async def is_over() -> bool:
            nonlocal over, asked
            if known.ours:
                kernel = kernel_of(self.manager, kernel_id)
                return kernel is None or kernel.status.end is not None
            if not over and loop.time() - asked > AGAIN:
                try:
                    over = (await self.find(kernel_id)).ended
                except NotFoundError:
                    over = True
                asked = loop.time()
            return over

        return is_over


def kernel_of(manager: Any, kernel_id: str) -> RemoteKernel | None:
    """Return a kernel of this server that is in a job; None if it is no such one."""
    if kernel_id not in manager:
        return None
    provisioner = manager.get_kernel(kernel_id).provisioner
    remote = isinstance(provisioner, RemoteKernelProvisioner)
    return provisioner.remote_kernel if remote else None


def log_end(path: Path, lines: int) -> str:
    """Return the last lines of a log; "" if nothing was written. Raises RecordError."""
    try:
        # A named pipe in its place would keep us waiting.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                msg = f"{path} is no file."
                raise RecordError(msg)
            size = file.seek(0, 2)
            file.seek(max(0, size - MOST_BYTES))
            text = file.read(MOST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as exc:
        msg = f"Cannot read {path}: {exc}"
        raise RecordError(msg) from exc
    return "".join(text.splitlines(keepends=True)[-lines:])


async def start(
    server: Any, asked: Start, may_execute: Callable[[], Awaitable[bool]]
) -> str:
    """Start a kernel; return its ID.

    Parameters
    ----------
    server
        The notebook server's application.
    asked : Start
        What to start.
    may_execute : callable
        Whether the user may run code in kernels.

    Raises
    ------
    Refusal
        There is no such kernelspec, or the user may not set these options.
    RemoteKernelError
        It could not be started.
    """
    config = config_of(server.kernel_spec_manager.get_all_specs(), asked.name)
    options = asked.options
    site.check(over(config, options))
    await allow(options, may_execute)
    manager = server.kernel_manager
    kernel_id = await ensure_async(
        manager.start_kernel(
            kernel_name=asked.name, path=asked.path, remote_kernels=options
        )
    )
    await _ready(manager.get_kernel(kernel_id))
    return str(kernel_id)


async def allow(
    options: Mapping[str, object], may_execute: Callable[[], Awaitable[bool]]
) -> None:
    """Raise Refusal where a client may not set these options."""
    if "state_dir" in options:
        raise Refusal(400, "option 'state_dir' can only be set in the kernelspec")
    if not _is_plain(options) and not await may_execute():
        text = "These options decide what runs, which you are not authorized to do."
        raise Refusal(403, text)


def config_of(specs: Mapping[str, Any], name: str) -> dict[str, object]:
    """Return the kernelspec's config. What a site forbids is not among `specs`.

    Raises Refusal where there is no such one of ours.
    """
    if name not in specs:
        raise Refusal(400, f"There is no kernelspec called {name!r}.")
    config = own_config(specs[name]["spec"])
    if config is None:
        text = f"The kernelspec {name!r} does not start its kernel in a job."
        raise Refusal(400, text)
    return config


def own_config(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the config of a kernelspec of ours; None if it is no such one.

    Raises what a file written by hand leads to.
    """
    stanza = spec.get("metadata", {}).get("kernel_provisioner", {})
    is_ours = stanza.get("provisioner_name") == "remote-kernels"
    return dict(stanza.get("config", {})) if is_ours else None


def _is_plain(options: Mapping[str, object]) -> bool:
    return {name.replace("-", "_") for name in options} <= _PLAIN


async def _ready(manager: Any) -> None:
    """With `use_pending_kernels` a kernel is there before it has been submitted."""
    ready = manager.ready
    if not isinstance(ready, asyncio.Future):
        ready = asyncio.wrap_future(ready)
    await ready
