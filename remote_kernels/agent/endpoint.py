"""Where carriers land: listen, check the hello, serve the session, obey its messages.

One session at a time: a new one takes the place of the old. The socket lies in a 0700
directory, and the hello's challenge-response comes before anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import math
import os
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

from remote_kernels.relay.forward import Mux, Stream
from remote_kernels.relay.pump import DEAD_AFTER, Link
from remote_kernels.wire import control
from remote_kernels.wire.hello import AgentHello, Refused
from remote_kernels.wire.session import Session
from remote_kernels.wire.target import target_of

from .guard import Guard
from .node import facts
from .ports import SUN_PATH
from .reach import connect
from .supervisor import Kernel

LINGER = 60.0  # seconds without a living kernel, then the job is given back
ATTACH = 300.0  # seconds for somebody to come; else whoever submitted us is dead
SPOOL_BYTES = 64 * 1024 * 1024  # of a kernel socket's output kept in memory
SILENCE = 3600.0  # seconds without a login end and without work, then it is forgotten
IN_USE = 0.75  # of dead_after: a living login end is never silent for so long
LAST_WORDS = 1.0  # seconds for the last message to leave


class Agent:
    """The agent on its event loop.

    Parameters
    ----------
    spec:
        The record's spec.json: agent, secret, and optionally linger, attach, silence,
        dead_after, and usage, how often to measure it (seconds; never if not given).
    kernels:
        The kernels, spawned.
    record:
        The record's directory.
    """

    def __init__(
        self, spec: dict[str, Any], kernels: dict[str, Kernel], record: str
    ) -> None:
        self._id = str(spec["agent"])
        self._secret = bytes.fromhex(spec["secret"])
        self._linger = float(spec.get("linger", LINGER))
        self._attach = float(spec.get("attach", ATTACH))
        self._silence = float(spec.get("silence", SILENCE))
        self._dead_after = float(spec.get("dead_after", DEAD_AFTER))
        self._usage = float(spec.get("usage") or 0)
        self._kernels = kernels
        self._record = record
        self._mux: Mux | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lingering: asyncio.TimerHandle | None = None
        self._alone: asyncio.TimerHandle | None = None
        self._end = asyncio.Event()

    async def run(
        self, path: str, announce: Callable[[], None], early: list[int]
    ) -> None:
        """Serve on the Unix socket `path` until told to stop.

        `early`: signals that came before this loop.
        """
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(signum, self._end.set)
        if early:
            self._end.set()
        server = await loop.create_unix_server(self._link, path)
        os.chmod(path, 0o600)
        for signum in (signal.SIGUSR1, signal.SIGUSR2):
            loop.add_signal_handler(signum, self._pass_on, signum)
        announce()
        self._alone = loop.call_later(self._attach, self._nobody_came)
        for kernel in self._kernels.values():
            kernel.watch(self._kernel_changed)
        watchers = [asyncio.ensure_future(self._guard())]
        if self._usage:
            watchers += map(asyncio.ensure_future, map(self._measure, self._kernels))
        await self._end.wait()
        for watcher in watchers:
            watcher.cancel()
        server.close()
        await self._stop()

    def _pass_on(self, signum: int) -> None:
        """The scheduler's warning before the time limit (sbatch --signal=B:USR1@…)."""
        for kernel in self._kernels.values():
            kernel.signal(signum)

    async def _guard(self) -> None:
        guard = Guard(
            self._silence,
            self._record,
            lambda: self._mux is not None and self._mux.link is not None,
            lambda: [kernel.pid for kernel in self._kernels.values() if kernel.pid],
        )
        reason = await guard.forgotten()
        sys.stderr.write(f"agent: ends: {reason}\n")
        with contextlib.suppress(OSError):
            _write(self._record, "ended.json", {"reason": reason})
        self._end.set()

    async def _measure(self, id: str) -> None:
        """Tell what the kernel uses of this node, as long as somebody hears it."""
        from .usage import Sampler, in_thread  # few ask for it

        kernel, loop, told = self._kernels[id], asyncio.get_running_loop(), -math.inf
        sampler = Sampler(lambda: [kernel.pid] if kernel.pid else [])
        while True:
            await asyncio.sleep(self._usage)
            if kernel.alive and self._heard_since(told):
                try:
                    sample = await in_thread(sampler.sample)
                except Exception as exc:  # noqa: BLE001 - the kernel is worth more
                    sys.stderr.write(f"agent: measures no longer: {exc!r}\n")
                    return
                if self._mux is not None and self._mux.link is not None:
                    told = loop.time()
                    self._mux.control(control.Usage(id, **sample))

    def _heard_since(self, then: float) -> bool:
        """A login end is there, and not behind a pipe that fell silent meanwhile."""
        link = self._mux.link if self._mux is not None else None
        now = asyncio.get_running_loop().time()
        return link is not None and now - link.silence > then

    def _nobody_came(self) -> None:
        sys.stderr.write(f"agent: nobody attached within {self._attach:g} s\n")
        self._end.set()

    async def _stop(self) -> None:
        await asyncio.gather(*(kernel.end() for kernel in self._kernels.values()))
        if self._mux is not None:
            self._mux.control(control.Stopping())
            await asyncio.sleep(0)  # let flush_soon() run
            self._mux.close("the agent ends")
        for link in list(self._links):
            link.close("the agent ends")
        deadline = asyncio.get_running_loop().time() + LAST_WORDS
        while not all(link.closed for link in self._links):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.01)

    # Carriers

    def _link(self) -> Link:
        hello = AgentHello(self._secret, self._id, self._decide)
        link = Link(hello, self._attached, dead_after=self._dead_after)
        self._links.add(link)
        link.lost.add_done_callback(lambda _: self._forget_later(link))
        return link

    def _forget_later(self, link: Link) -> None:
        if not self._end.is_set():
            self._links.discard(link)

    def _decide(self, session: str, received: int, resume: bool, take: bool) -> int:
        """Our position in `session`, or Refused. A session that is new begins here."""
        link = self._mux.link if self._mux is not None else None
        if (
            not resume
            and not take
            and link is not None
            and link.silence < IN_USE * self._dead_after
        ):
            msg = "in-use"
            raise Refused(msg, f"it was heard {link.silence:.1f} s ago")
        if not resume and (self._mux is None or self._mux.session.id != session):
            self._begin(session)
        elif self._mux is None or self._mux.session.id != session:
            msg = "unknown-session"
            raise Refused(msg, "this agent serves another session")
        elif not self._mux.session.can_resume(received):
            msg = "position"
            raise Refused(msg, f"cannot go on from {received}")
        assert self._mux is not None
        return self._mux.session.received

    def _begin(self, session: str) -> None:
        if self._mux is not None:
            self._mux.close("replaced")
        self._mux = Mux(
            Session(session, first_channel=2, high_water=SPOOL_BYTES),
            self._obey,
            self._connect,
        )
        for kernel in self._kernels.values():
            self._mux.control(kernel.state())

    def _attached(self) -> Mux:
        assert self._mux is not None
        if self._alone is not None:
            self._alone.cancel()
        return self._mux

    async def _connect(
        self, kernel: str, target: str, stream: Callable[[], Stream]
    ) -> None:
        """Join `stream` to a kernel's socket, or a port of the node. Raises OSError."""
        known = self._kernels.get(kernel)
        port, trial = target_of(target)
        if known is not None and port is not None:
            await connect(port, stream, trial=trial)
            return
        if known is not None and known.keeper is not None and target in known.keeper:
            known.keeper.attach(target, stream())
            return
        if known is None or known.sockets is None:
            msg = f"kernel {kernel} is not running"
            raise ConnectionRefusedError(msg)
        try:
            address = known.sockets.address(target)
        except KeyError:
            msg = f"a kernel has no socket {target}"
            raise ConnectionRefusedError(msg) from None
        loop = asyncio.get_running_loop()
        if isinstance(address, str):
            await loop.create_unix_connection(stream, address)
        else:
            await loop.create_connection(stream, *address)

    # Messages

    def _kernel_changed(self, state: control.KernelState) -> None:
        if self._mux is not None:
            self._mux.control(state)
        alive = any(kernel.alive for kernel in self._kernels.values())
        if alive and self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        elif not alive and self._lingering is None:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(self._linger, self._end.set)

    def _obey(self, message: control.Message) -> None:
        if isinstance(message, control.Signal):
            kernel = self._kernels.get(message.kernel)
            if kernel is not None:
                kernel.signal(message.signum)
        elif isinstance(message, control.Start):
            kernel = self._kernels.get(message.kernel)
            if kernel is not None:
                task = asyncio.ensure_future(kernel.restart(message.spec))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif isinstance(message, control.Delivered):
            kernel = self._kernels.get(message.kernel)
            if kernel is not None and kernel.keeper is not None:
                kernel.keeper.delivered(message.target, message.through, message.forget)
        elif isinstance(message, control.Stop):
            self._end.set()
        else:
            sys.stderr.write(f"agent: ignored {message}\n")


def _write(record: str, name: str, body: dict[str, Any]) -> None:
    """Into the record: written beside and renamed, so never half there."""
    path = os.path.join(record, name)
    fd = os.open(f"{path}.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(body, file)
    os.replace(f"{path}.tmp", path)


async def _run(
    spec: dict[str, Any],
    kernels: dict[str, Kernel],
    record: str,
    path: str,
    announce: Callable[[], None],
    early: list[int],
) -> None:
    # Made on the loop: Python 3.9 ties an Event to the loop that is there.
    await Agent(spec, kernels, record).run(path, announce, early)


def serve(
    spec: dict[str, Any],
    kernels: dict[str, Kernel],
    record: str,
    node_dir: str,
    early: list[int],
) -> int:
    """Run the agent to its end; leaves nothing on the node. Returns the exit code."""
    path = os.path.join(node_dir, "agent")
    try:
        if len(os.fsencode(path)) > SUN_PATH:
            msg = f"the socket's path is longer than {SUN_PATH} bytes: {path}"
            raise OSError(msg)
        pyz = os.path.join(node_dir, "agent.pyz")
        announce = functools.partial(_write, record, "agent.json", facts(path, pyz))
        asyncio.run(_run(spec, kernels, record, path, announce, early))
    except OSError as exc:
        with contextlib.suppress(OSError):
            _write(record, "agent.json", {"error": str(exc)})
        raise
    finally:
        for kernel in kernels.values():
            kernel.kill()
        shutil.rmtree(node_dir, ignore_errors=True)
    return 0
