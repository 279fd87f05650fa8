"""Jupyter Server's door: kernels that outlive the server, and come back with it.

On start, before the first request is served, every live kernel of this user on this
cluster is attached again, under its kernel ID and with its notebook's session: an open
page finds both as it left them. Enabled by installing (jupyter_server_config.d).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import ensure_async
from tornado import web
from traitlets import Enum, Float

from remote_kernels.errors import InUseError, RecordError, RemoteKernelError
from remote_kernels.kernel import service
from remote_kernels.kernel.inventory import Recorded, recorded

from . import proxied
from .api.known import Kernels, own_config
from .api.routes import routes
from .changes import ChangeEmitter
from .emitter import Emitter
from .process import process
from .provisioner import RemoteKernelProvisioner
from .watched import Watched

STARTING = 20.0  # seconds that a start may still take when the server ends
READING = 1.0  # seconds that a request for a file may


class RemoteKernelsApp(ExtensionApp):
    """Brings remote kernels back when the server starts, lets go of them at its end."""

    name = "remote_kernels"

    on_stop = Enum(
        ["keep", "shutdown"],
        default_value="keep",
        help="""What becomes of running remote kernels when the server is stopped.

        keep: they go on in their jobs; the next server brings them back. The default,
        because a server also stops when its login node is rebooted, and hours of
        computing must not end with it. A kernel that idles unattended ends after the
        kernelspec's `silence`, so a forgotten one does not hold its node for long.

        shutdown: they end with the server, as local kernels do.
        """,
    ).tag(config=True)

    poll_interval = Float(
        2.0,
        min=0.0,
        help="""Least time between two questions to the scheduler, in seconds, for all
        kernels of this server together. A kernelspec may ask for more, not for less.
        For a site to set, in /etc/jupyter.
        """,
    ).tag(config=True)

    _emitter: Emitter | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._told: set[str] = set()  # names of kernelspecs that make no sense
        self._stops: list[Callable[[], None]] = []  # what goes on, ended first
        self._answers: set[asyncio.Task[Any]] = set()  # which these bring to their ends

    def initialize(self, argv: Any = None) -> None:
        """Bring the kernels back, before the first request is served."""
        super().initialize()  # type: ignore[no-untyped-call]
        process().lasting.add(self._kernels)
        self._note_sessions()
        loop = self._server.io_loop
        events = self._server.event_logger
        self._emitter = Emitter(process().news, events, loop)
        changes = ChangeEmitter(process().changes, events, loop, self._found)
        self._stops.append(changes.stop)
        if asyncio.get_event_loop_policy().get_event_loop().is_running():
            loop.add_callback(self._bring_back_all)
        else:  # no request is served yet
            loop.run_sync(self._bring_back_all)

    def initialize_handlers(self) -> None:
        """Add our routes. Called by ExtensionApp.initialize."""
        watched = Watched(self._server.event_logger)
        found = Kernels(process(), self._kernels, self._state_dirs, watched.shown)
        self._stops += [watched.stop, found.followers.stop]
        self._answers = found.followers.answers
        self._found = found
        self.handlers.extend(routes(self._found))
        self.handlers.extend(proxied.routes(self._kernels))

    @property
    def _server(self) -> Any:
        return self.serverapp

    @property
    def _kernels(self) -> Any:
        return self._server.kernel_manager

    @property
    def _sessions(self) -> Any:
        return self._server.session_manager

    # Start

    async def _bring_back_all(self) -> None:
        service.ask_at_most_every(process().runtime, self.poll_interval)
        log = self._kernels.log
        log.addFilter(_is_no_traceback)
        try:
            await self._bring_back_each()
        finally:
            log.removeFilter(_is_no_traceback)

    async def _bring_back_each(self) -> None:
        dirs, jobs = self._state_dirs(), []
        work = recorded(process().runtime, dirs)
        for found in await process().background.run(work):
            if found.end is not None and found.record.is_live:
                self.log.warning(
                    "Kernel %s ended while no server was there: job %s: %s",
                    *(found.kernel_id, found.job_id, found.ended),
                )
                try:
                    await found.seal()
                except RecordError as exc:
                    self.log.warning("%s", exc)
            elif not found.ended:
                jobs.append(self._bring_back(found))
        await asyncio.gather(*jobs)

    def _state_dirs(self) -> Iterator[Path]:
        """Where this user's kernelspecs let records be kept."""
        yield service.state_dir(None)
        for name, spec in self._server.kernel_spec_manager.get_all_specs().items():
            try:
                config = own_config(spec["spec"])
                if config is not None:
                    yield service.state_dir(config.get("state_dir"))
            except (AttributeError, TypeError, ValueError, RuntimeError) as exc:
                if name not in self._told:  # this is looked at again and again
                    self._told.add(name)
                    self.log.warning("Kernelspec %s is left out: %s", name, exc)

    async def _bring_back(self, found: Recorded) -> None:
        try:
            await ensure_async(
                self._kernels.start_kernel(
                    kernel_id=found.kernel_id, kernel_name=found.facts["spec_name"]
                )
            )
            await self._restore_sessions(found)
        except InUseError as exc:
            self.log.warning("Kernel %s is left alone: %s", found.kernel_id, exc)
        except Exception as exc:  # noqa: BLE001 - of many kernels, one; told
            self.log.warning(
                "Kernel %s (job %s) did not come back: %s",
                *(found.kernel_id, found.job_id, exc),
            )
        else:
            self.log.info("Kernel %s (job %s) is back", found.kernel_id, found.job_id)

    async def _restore_sessions(self, found: Recorded) -> None:
        for session_id, session in found.record.sessions().items():
            try:
                await self._sessions.get_session(session_id=session_id)
            except web.HTTPError:  # a server with a session database still knows it
                await self._sessions.save_session(
                    session_id, kernel_id=found.kernel_id, **session
                )

    # Sessions

    def _note_sessions(self) -> None:
        """Write down which notebook has which kernel whenever it changes.

        jupyter_server (2.21) has no event for it, so its two writers are wrapped.
        """
        for name in ("save_session", "update_session"):
            original = getattr(self._sessions, name)

            @functools.wraps(original)
            async def noted(
                session_id: str, *args: Any, _original: Any = original, **kwargs: Any
            ) -> Any:
                result = await _original(session_id, *args, **kwargs)
                await self._note_session(session_id)
                return result

            setattr(self._sessions, name, noted)

    async def _note_session(self, session_id: str) -> None:
        listed = await self._sessions.list_sessions()
        changed = [s["kernel"]["id"] for s in listed if s["id"] == session_id]
        for kernel_id in changed:
            provisioner = self._kernels.get_kernel(kernel_id).provisioner
            if isinstance(provisioner, RemoteKernelProvisioner):
                sessions = {
                    s["id"]: {key: s[key] for key in ("path", "name", "type")}
                    for s in listed
                    if s["kernel"]["id"] == kernel_id
                }
                path, name = next((s["path"], s["name"]) for s in sessions.values())
                env = self._sessions.get_kernel_env(path, name)
                provisioner.note_sessions(sessions, env["JPY_SESSION_NAME"])

    # The end

    async def stop_extension(self) -> None:
        """Let go of our kernels, if they are to outlive the server.

        Called before the server shuts down the kernels that it still has.
        """
        for stop in self._stops:
            stop()
        await self._starts_are_over()
        if self.on_stop == "shutdown":
            # One that is just starting is not listed yet, and shut down by nobody.
            process().lasting.discard(self._kernels)
        else:
            await self._leave_kernels()
        await self._files_are_closed()

    async def _leave_kernels(self) -> None:
        managers = map(self._kernels.get_kernel, self._kernels.list_kernel_ids())
        kept = [
            m for m in managers if isinstance(m.provisioner, RemoteKernelProvisioner)
        ]
        for manager in kept:
            manager.stop_restarter()
            self._kernels.remove_kernel(manager.kernel_id)
        living = [m for m in kept if not m.provisioner.has_ended]
        await asyncio.gather(*(manager.provisioner.detach() for manager in kept))
        if living:
            self.log.info(
                "%d remote kernels go on in their jobs, and come back with the next "
                "server. `remote-kernels clean` shows them.",
                len(living),
            )
        if self._emitter is not None:
            self._emitter.stop()

    async def _files_are_closed(self) -> None:
        """Wait for requests for files: one under way keeps the server from ending.

        jupyter_server (2.21) reads and writes by AnyIO (4.16), whose thread ends with
        the task that made it, and is waited for at the very end: for ever, if the loop
        stops before that task is over.
        """
        if self._answers:
            await asyncio.wait(self._answers, timeout=READING)
        await self._server.http_server.close_all_connections()
        makers = {getattr(each, "root_task", None) for each in threading.enumerate()}
        if tasks := asyncio.all_tasks() & makers:
            await asyncio.wait(tasks, timeout=READING)

    async def _starts_are_over(self) -> None:
        """Wait until no kernel is just starting, or the server would never end.

        jupyter_client (8.10) tells shutdown_all of those, too, and jupyter_server
        stumbles over them and goes on for ever. One that takes long is cancelled.
        """
        starts = getattr(self._kernels, "_pending_kernels", {})
        if starts:
            _, late = await asyncio.wait([*starts.values()], timeout=STARTING)
            for start in late:
                start.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        starts.clear()


def _is_no_traceback(record: logging.LogRecord) -> bool:
    """jupyter_client (8.10) logs one for each start that fails; we say it in a line."""
    return not (record.exc_info and isinstance(record.exc_info[1], RemoteKernelError))


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "remote_kernels.jupyter.extension", "app": RemoteKernelsApp}]
