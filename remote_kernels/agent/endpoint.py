"""Where carriers land: listen, check the hello, and show each to its kernel.

The socket lies in a 0700 directory, and the hello's challenge-response comes before
anything else. In a shared job a hello may bring a kernel along, by its record.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from remote_kernels.relay.link import DEAD_AFTER, Link
from remote_kernels.relay.mux import Mux
from remote_kernels.wire.codes import Farewell, RefusalCode
from remote_kernels.wire.hello import AgentHello, Ask, Refused
from remote_kernels.wire.kernel_sockets import SUN_PATH

from . import job_facts
from .kernel_session import KernelSession
from .node_dir import NodeDir, sweep
from .node_facts import facts
from .record import read, write
from .supervisor import Kernel

if TYPE_CHECKING:
    from .sharing import Sharing

LAST_WORDS = 1.0  # seconds for the last message to leave
LOOK = 2.0  # seconds between two looks at the node directory and the batch script
ONCE = 3.0  # seconds in which a warning that comes again is the same
STALL = 1.0  # seconds that we did not run when we should
SOCKET = "agent"  # in the node directory


class Agent:
    """The agent on its event loop.

    Parameters
    ----------
    spec : dict
        The record's spec.json: agent, secret, and what `KernelSession` and, in a shared job,
        `Sharing` take.
    kernels : dict
        The kernels, spawned.
    record : str
        The record's directory.
    node : str
        In a shared job, which other node of it this is; "" on the first.
    place : NodeDir or None
        The node directory, if it is ours to keep.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        kernels: dict[str, Kernel],
        record: str,
        node: str = "",
        place: NodeDir | None = None,
    ) -> None:
        self._place = place
        self._parent = os.getppid()
        self._id = str(spec["agent"])
        self._secret = bytes.fromhex(spec["secret"])
        self._own = next(iter(kernels), "")  # for which the job was made
        self._sharing: Sharing | None = None  # if the job is one kernel's own
        if "keep" in spec:
            from .sharing import Sharing  # few need it

            self._sharing = Sharing(spec, record, node)
        self._dead_after = float(spec.get("dead_after", DEAD_AFTER))
        self._path = ""
        self._server: asyncio.AbstractServer | None = None
        self._sessions = {
            id: KernelSession(kernel, spec, self._give_up)
            for id, kernel in kernels.items()
        }
        self._links: set[Link] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._end = asyncio.Event()
        self._warned: dict[int, float] = {}  # when, by the signal

    async def run(
        self, path: str, announce: Callable[[], None], early: list[int]
    ) -> None:
        """Serve on the Unix socket `path` until told to stop.

        `early`: signals that came before this loop.
        """
        self._path = path
        loop = asyncio.get_running_loop()
        for signum in job_facts.ends():
            loop.add_signal_handler(signum, self._end.set)
        if early:
            self._end.set()
        await self._listen()
        for signum in job_facts.warns():
            loop.add_signal_handler(signum, self._pass_on, signum)
        for session in self._sessions.values():
            session.begin()
        if self._sharing is not None and self._sharing.is_replaced():
            self._end.set()  # who looks for an agent looks for that job's
        else:
            announce()
        tasks = [asyncio.ensure_future(self._share())]
        if self._place is not None:
            threading.Thread(
                target=sweep, args=(self._place.path,), daemon=True
            ).start()
            tasks.append(asyncio.ensure_future(self._keep(self._place)))
        await self._end.wait()
        for task in tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
        await self._stop()

    async def _listen(self) -> None:
        if self._server is not None:
            self._server.close()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._link, self._path)
        os.chmod(self._path, 0o600)

    async def _keep(self, place: NodeDir) -> None:
        """See to it that our place on the node is there, while the batch script lives."""
        loop, failed = asyncio.get_running_loop(), ""
        while os.getppid() == self._parent:
            begin = loop.time()
            said = {session: session.said for session in self._sessions.values()}
            await asyncio.sleep(LOOK)
            stalled = loop.time() - begin - LOOK
            if stalled > STALL:
                for session, number in said.items():
                    session.stalled(stalled, number)
            try:
                if not self._is_whole(place):
                    await self._listen()
                failed = ""
            except OSError as exc:
                if str(exc) != failed:
                    failed = str(exc)
                    sys.stderr.write(f"agent: cannot be reached: {exc}\n")
        # Whoever killed it means the job, and may not know our kernels.
        sys.stderr.write("agent: ends, as the batch script was killed\n")
        self._end.set()

    def _is_whole(self, place: NodeDir) -> bool:
        """Whether the socket is there; all else is by now. Raises OSError."""
        if not place.look():  # which has said why; it may be somebody else's
            return True
        for session in self._sessions.values():
            session.kernel.mend()
        return os.path.exists(self._path)

    async def _share(self) -> None:
        """With other kernels, if the job is such a one; until all have gone."""
        if self._sharing is not None:
            self._sharing.until_input_ends(self._end.set)
            await self._sharing.run(self._bring, lambda: bool(self._sessions))
            self._end.set()

    def _pass_on(self, signum: int) -> None:
        """Pass a warning of the batch system's before the time limit on, once.

        Some send it to all processes of the job, and the script passes it on as well.
        """
        now = time.monotonic()
        warned = self._warned.get(signum, float("-inf"))
        self._warned[signum] = now
        if now - warned < ONCE:
            return
        for session in self._sessions.values():
            session.kernel.signal(signum)
        if self._sharing is not None:
            self._sharing.signal(signum)

    def kill(self) -> None:
        """Kill all that there is of the kernels, whatever brought the end."""
        for session in self._sessions.values():
            session.kernel.kill()

    # The end

    def _give_up(self, session: KernelSession) -> None:
        """End a kernel; with the last one, the job."""
        if self._sharing is None:
            self._end.set()
        elif self._sessions.get(session.id) is session:
            task = asyncio.ensure_future(self._leave(session))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _leave(self, session: KernelSession) -> None:
        assert self._sharing is not None
        await session.end(Farewell.GIVEN_UP, "the kernel was given up")
        session.kernel.kill()
        self._sessions.pop(session.id, None)
        self._sharing.leave(session.id)

    async def _stop(self) -> None:
        if self._leaving:
            await asyncio.wait(self._leaving)
        endings = [
            session.end(Farewell.ENDING, "the agent ends")
            for session in self._sessions.values()
        ]
        if self._sharing is not None:
            endings.append(self._sharing.end())
        await asyncio.gather(*endings)
        for link in list(self._links):
            link.close("the agent ends")
        if self._links:
            closings = [link.closed for link in self._links]
            await asyncio.wait(closings, timeout=LAST_WORDS)

    # Carriers

    def _link(self) -> Link:
        chosen: list[Mux] = []

        def decide(ask: Ask) -> int:
            session = self._sessions.get(ask.kernel or self._own) or self._join(ask)
            chosen[:] = [session.decide(ask)]
            return chosen[0].session.received

        def forget(_: object) -> None:
            if not self._end.is_set():
                self._links.discard(link)

        hello = AgentHello(self._secret, self._id, decide)
        link = Link(hello, lambda: chosen[0], dead_after=self._dead_after)
        self._links.add(link)
        link.lost.add_done_callback(forget)
        return link

    def _bring(self, kernel: str) -> None:
        """Start a kernel whose login end was here before us, and may come again."""
        assert self._sharing is not None
        if kernel not in self._sessions:
            ask = Ask("", kernel=kernel, record=self._sharing.record_of(kernel))
            try:
                self._join(ask)
            except Refused as exc:
                sys.stderr.write(f"agent: {exc}\n")
                self._sharing.leave(kernel)

    def _join(self, ask: Ask) -> KernelSession:
        """Start one more kernel, as its record says. Raises Refused."""
        if self._sharing is None or ask.resume or ask.beside or not ask.record:
            msg = f"this agent has no kernel {ask.kernel}"
            raise Refused(RefusalCode.NO_KERNEL, msg)
        try:
            spec = read(ask.record, "spec.json")
            if os.path.exists(os.path.join(ask.record, "ended.json")):
                msg = f"kernel {ask.kernel} has ended"
                raise Refused(RefusalCode.NO_KERNEL, msg)
            if not self._sharing.is_here(spec):
                msg = f"kernel {ask.kernel} is on node {self._sharing.start_node(spec)}"
                raise Refused(RefusalCode.ELSEWHERE, msg)
            node_dir = os.path.dirname(self._path)
            what = spec["kernels"][ask.kernel]
            kernel = Kernel(ask.kernel, what, node_dir, ask.record)
            kernel.spawn()
            _announce(ask.record, "agent.json", self._path)
        except (OSError, ValueError, KeyError) as exc:
            msg = f"kernel {ask.kernel} can't be started: {exc!r}"
            raise Refused(RefusalCode.NO_KERNEL, msg) from exc
        session = KernelSession(kernel, spec, self._give_up)
        self._sessions[ask.kernel] = session
        self._sharing.enter(ask.kernel)
        session.begin()
        return session


def _announce(record: str, name: str, path: str) -> None:
    pyz = os.path.join(os.path.dirname(path), "agent.pyz")
    write(record, name, facts(path, pyz))


def serve(
    spec: dict[str, Any],
    kernels: dict[str, Kernel],
    record: str,
    place: NodeDir,
    node: str,
    early: list[int],
) -> int:
    """Run the agent to its end; leaves nothing on the node. Returns the exit code."""
    path = os.path.join(place.path, SOCKET)
    name = os.path.join("nodes", f"{node}.json") if node else "agent.json"

    async def run() -> None:
        # Made on the loop: Python 3.9 ties an Event to the loop that is there.
        agent = Agent(spec, kernels, record, node, place)
        try:
            await agent.run(path, lambda: _announce(record, name, path), early)
        finally:
            agent.kill()

    try:
        if len(os.fsencode(path)) > SUN_PATH:
            msg = f"the socket's path is longer than {SUN_PATH} bytes: {path}"
            raise OSError(msg)
        asyncio.run(run())
    except OSError as exc:
        with contextlib.suppress(OSError):
            write(record, name, {"error": str(exc)})
        raise
    finally:
        for kernel in kernels.values():
            kernel.kill()
        shutil.rmtree(place.path, ignore_errors=True)
    return 0
