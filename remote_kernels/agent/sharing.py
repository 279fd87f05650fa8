"""What a job that kernels share asks of its agent: who is in it, and until when.

    RECORD/               the allocation's (see kernel/allocation.py)
        lock              held by who counts the members, or adds one
        members/ID        a kernel that is, or will be, in the job
        node.sh           runs an agent on another node of the job
        nodes/NODE.json   where that agent is; written by it

The job's first agent ends it, and starts an agent on another node as soon as a kernel
wants to be there. Called by endpoint.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from . import job_facts
from .record import check, read, write

LOOK = 5.0  # seconds between two looks while no kernel is here
TAIL = 4096  # bytes of what an agent's start says, kept for an error
GRACE = 8.0  # seconds for an agent on another node to end


class Sharing:
    """The members of one job.

    Parameters
    ----------
    spec : dict
        The allocation's spec.json: `keep`, for how many seconds the job stays without
        a kernel, `shell`, which runs node.sh, and `other_nodes`, the commands that
        do so on another node of the job, if there is a way.
    record : str
        The allocation's directory.
    node : str
        Which of the job's nodes this is, as kernelspecs call it; "" on the first one.
    """

    def __init__(self, spec: dict[str, Any], record: str, node: str) -> None:
        self._keep = float(spec["keep"])
        self._shell = list(spec["shell"])
        self._other_nodes = dict(spec.get("other_nodes") or {})
        self._record = record
        self._node = node
        self._agents: dict[str, asyncio.Task[None]] = {}  # on other nodes
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    # Who

    def is_here(self, spec: dict[str, Any]) -> bool:
        """Return whether a kernel with this spec.json belongs on this node."""
        wanted = _node(spec)
        if self._node:
            return wanted == self._node
        return wanted in ("0", job_facts.node(), socket.gethostname())

    def record_of(self, kernel: str) -> str:
        """Return the directory of a member's record."""
        base = os.path.dirname(os.path.dirname(self._record))
        return os.path.join(base, "kernels", kernel)

    def _members(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """With their spec.json, if it can be read; one that has none is none."""
        try:
            found = sorted(os.listdir(os.path.join(self._record, "members")))
        except OSError:
            found = []
        for kernel in found:
            try:
                yield kernel, read(self.record_of(kernel), "spec.json")
            except FileNotFoundError:
                self.leave(kernel)
            except (OSError, ValueError) as exc:  # it may pass: nobody is sent away
                sys.stderr.write(f"agent: member {kernel}: {exc}\n")
                yield kernel, None

    def enter(self, kernel: str) -> None:
        """Note that a kernel is here, also if it had been given up before."""
        with contextlib.suppress(OSError):
            path = os.path.join(self._record, "members", kernel)
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
            os.close(os.open(path, flags, 0o600))

    def leave(self, kernel: str) -> None:
        """Note that a kernel has ended."""
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self._record, "members", kernel))

    # Until when

    def until_input_ends(self, end: Callable[[], None]) -> None:
        """End with standard input, on another node than the first, whose agent holds it."""
        if self._node:
            loop = asyncio.get_running_loop()

            def hear() -> None:
                if not os.read(0, TAIL):
                    loop.remove_reader(0)
                    end()

            loop.add_reader(0, hear)

    async def run(self, join: Callable[[str], None], busy: Callable[[], bool]) -> None:
        """Wait until nobody has been here for `keep` seconds; on other nodes for ever.

        At once, if nobody is here when it begins: they have given up.

        Parameters
        ----------
        join : callable
            Called with the ID of a member that belongs here.
        busy : callable
            Whether there is a kernel here.
        """
        loop = asyncio.get_running_loop()
        empty = -math.inf  # since when; at first, since ever
        while not self.is_replaced():
            here = busy() or self._look(join)
            empty = math.inf if here else min(empty, loop.time())
            over = loop.time() - empty >= self._keep and not self._node
            if over and self._close():
                return
            await asyncio.sleep(min(LOOK, max(self._keep, 0.1)))

    def _look(self, join: Callable[[str], None]) -> bool:
        """Whether there are members; those who came before us start now."""
        found = False
        for kernel, spec in self._members():
            found = True
            if spec is None:
                continue
            if self.is_here(spec):
                join(kernel)
            elif not self._node:
                self.start_node(spec)
        return found

    def is_replaced(self) -> bool:
        """Return whether another job has this allocation, as whoever asked for ours died."""
        try:
            known = read(self._record, "record.json")["job_id"]
        except (OSError, ValueError, KeyError):
            return False
        return bool(job_facts.number()) and known != job_facts.number()

    def _close(self) -> bool:
        """Nobody can come any more; False: somebody has."""
        if not os.path.isdir(self._record):
            # Or its file system is away; kernels on other nodes would be lost then.
            return os.path.isdir(os.path.dirname(self._record)) or not self._agents
        with contextlib.suppress(OSError), _locked(self._record):
            if not any(self._members()):
                # Away at once: who comes meanwhile makes it anew, with a job.
                ended = f"{self._record}.ended-{secrets.token_hex(4)}"
                os.rename(self._record, ended)
                shutil.rmtree(ended, ignore_errors=True)
                return True
        return False

    # The other nodes

    def start_node(self, spec: dict[str, Any]) -> str:
        """Start an agent where this kernel belongs, if none is there; return where."""
        node = _node(spec)
        if node not in self._agents:
            self._agents[node] = asyncio.ensure_future(self._hold(node))
        return node

    async def _hold(self, node: str) -> None:
        """From the start to the end of an agent on that node."""
        argv = [*self._shell, os.path.join(self._record, "node.sh"), node]
        said = b""
        try:
            argv = [*self._on(node), *argv]
            check(self._record, "node.sh")
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            self._processes[node] = process
            assert process.stderr is not None
            while data := await process.stderr.read(TAIL):
                sys.stderr.write(data.decode(errors="replace"))
                sys.stderr.flush()
                said = (said + data)[-TAIL:]
            code = await process.wait()
            why = f"`{' '.join(argv)}` ended with exit code {code}. It said:\n"
            why += said.decode(errors="replace").strip() or "(nothing)"
        except OSError as exc:
            why = str(exc)
        self._processes.pop(node, None)
        self._agents.pop(node, None)
        self._lost(node, why)

    def _on(self, node: str) -> list[str]:
        """Return what runs a command on that node. Raises OSError if the job has no such."""
        nodes, count = job_facts.nodes()
        if not self._other_nodes:
            msg = (
                f"There is no node {node} for kernels: those of this job are on its "
                f"first node alone, of {nodes}. Take 'node' out of the kernelspec."
            )
            raise OSError(msg)
        if node.isdigit() and int(node) >= count:
            msg = (
                f"There is no node {node}: the job has {count} ({nodes}), counted from "
                "0. Change 'node' in the kernelspec, or ask for more 'nodes'."
            )
            raise OSError(msg)
        words = self._other_nodes["by_number" if node.isdigit() else "by_name"]
        return [word.format(job=job_facts.number(), node=node) for word in words]

    def _lost(self, node: str, why: str) -> None:
        """Its kernels are, too."""
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self._record, "nodes", f"{node}.json"))
        for kernel, spec in self._members():
            if spec is None or _node(spec) != node:
                continue
            self.leave(kernel)
            record = self.record_of(kernel)
            with contextlib.suppress(OSError):
                if os.path.exists(os.path.join(record, "agent.json")):
                    reason = f"the agent on node {node} of the job ended: {why}"
                    write(record, "ended.json", {"reason": reason})
                else:
                    write(record, "agent.json", {"error": why})

    def signal(self, signum: int) -> None:
        """Signal the agents on other nodes; what started them passes it on."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signum)

    async def end(self) -> None:
        """End the agents on other nodes."""
        processes = list(self._processes.values())
        for task in self._agents.values():
            task.cancel()
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()  # no SIGTERM: Slurm's way (22.05) kills what it started
        for process in processes:
            try:
                await asyncio.wait_for(process.wait(), GRACE)
            except asyncio.TimeoutError:
                process.kill()


def _node(spec: dict[str, Any]) -> str:
    return str(spec.get("node") or "0")


@contextlib.contextmanager
def _locked(record: str) -> Iterator[None]:
    """Hold the lock. Raises OSError where another process does."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    with open(os.open(os.path.join(record, "lock"), flags, 0o600), "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
