"""Start a host, find it, run commands on it, kill it.

A host is known by its PID 1, found in /proc by its command line; no PID file can go
stale. Called by `api`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from testbed import network
from testbed.layout import ClusterError, Host, Layout
from testbed.machine import CGROUP

HERE = Path(__file__).parent
MARK = "rk-cluster-host"
# Not the caller's PATH: it may lead into homes that the hosts' users cannot read.
USER_PATH = "/usr/local/bin:/usr/bin:/bin"
ROOT_PATH = "/usr/local/sbin:/usr/sbin:/sbin:" + USER_PATH


class Process(NamedTuple):
    """A process of a host. `pid` is the machine's number, `inner` the host's own."""

    pid: int
    inner: int
    cmdline: list[str]


def wait_for(what: str, ready: Callable[[], object], seconds: float) -> None:
    """Wait until `ready()`; the error names what did not come."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise ClusterError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def cmdline(pid: int) -> list[str]:
    """The arguments of a process; none for one that is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (OSError, UnicodeDecodeError):
        return []


def _numbers(pid: int) -> list[int]:
    """The process's number in each PID namespace, ours first."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return []
    row = next((line for line in lines if line.startswith("NSpid:")), "")
    return [int(word) for word in row.split()[1:]]


def running() -> dict[tuple[str, str], int]:
    """PID 1 of every host on this machine, by directory and name."""
    found = {}
    for pid in _pids():
        argv = cmdline(pid)
        # Three numbers has a host of a cluster that is apart (see apart.py).
        if MARK in argv and len(numbers := _numbers(pid)) == 2 and numbers[-1] == 1:
            name, directory = argv[argv.index(MARK) + 1 :][:2]
            found[directory, name] = pid
    return found


def find(layout: Layout, host: Host) -> int | None:
    """PID 1 of the host, or None when it is down."""
    return running().get((str(layout.root), host.name))


def start(layout: Layout, host: Host) -> int:
    """Make the host's namespaces and mounts; its PID 1."""
    log = layout.logs(host.name) / "init.log"
    program = [sys.executable, "-I", "-S", str(HERE / "init.py")]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*program, MARK, host.name, str(layout.root)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={"PATH": ROOT_PATH, "LANG": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
    answer, _ = process.communicate()
    if not answer.strip():
        raise ClusterError(f"host {host.name} did not start: {log.read_text()}")
    return int(answer)


def kill(pid: int, host: Host) -> None:
    """Kill all of a host at once; the other hosts hear nothing of it."""
    if network.exists(host.cable):
        # First, or the dying sockets would say goodbye to their peers.
        network.cut(host)
    space = Path(f"/proc/{pid}/ns/pid").readlink()
    os.kill(pid, signal.SIGKILL)
    # PID 1 loses its memory first, and only then the kernel ends everything else.
    wait_for(f"the end of {host.name}", lambda: not _living(space), 60)
    network.remove(host.cable)
    remove_cgroups(host)


def remove_cgroups(host: Host) -> None:
    """Remove what batch systems left in the machine's cgroup tree."""
    for name in ("slurm", "htcondor", "oar"):
        for top in CGROUP.glob(f"*/{name}_{host.name}"):
            remove_cgroup(top)


def remove_cgroup(top: Path) -> None:
    """Remove a cgroup with all below it, as soon as nothing uses it."""
    wait_for(f"the end of cgroup {top}", partial(_removed, top), 60)


def _removed(top: Path) -> bool:
    """Remove a cgroup with all below it; false while something is in use."""
    for path, _, _ in os.walk(top, topdown=False):
        try:
            Path(path).rmdir()
        except OSError:
            return False
    return True


@contextmanager
def _children_in(pid: int) -> Iterator[None]:
    """Let this thread's next child be born in the PID namespace of `pid`.

    So the child's PID is the command's own: no process between that would have to
    pass signals on. `os.setns` is there from Python 3.12 on.
    """
    setns = ctypes.CDLL(None, use_errno=True).setns
    theirs = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
    ours = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        if setns(theirs, 0):
            error = ctypes.get_errno()
            raise OSError(error, f"setns: {os.strerror(error)}")
        yield
    finally:
        setns(ours, 0)
        os.close(ours)
        os.close(theirs)


def popen(
    pid: int,
    user: str,
    argv: Sequence[str],
    env: dict[str, str] | None = None,
    cwd: str = "",
    die: bool = True,
    **options: Any,
) -> subprocess.Popen[Any]:
    """Start a command on the host whose PID 1 is `pid`; the child is the command."""
    path = ROOT_PATH if user == "root" else USER_PATH
    program = [sys.executable, "-I", "-S", str(HERE / "enter.py")]
    with _children_in(pid):
        return subprocess.Popen(
            [*program, str(pid), user, "die" if die else "stay", cwd, *argv],
            env={"PATH": path, "LANG": "C.UTF-8", **(env or {})},
            **options,
        )


def _living(space: Path) -> list[tuple[int, int]]:
    """Process and uid of all that run in a PID namespace, zombies left out."""
    found = []
    for pid in _pids():
        try:
            here = Path(f"/proc/{pid}/ns/pid").readlink() == space
            owner = Path(f"/proc/{pid}").stat().st_uid
        except OSError:
            continue
        if here and cmdline(pid):
            found.append((pid, owner))
    return found


def processes(pid: int, user: int | None) -> list[Process]:
    """The processes of the host whose PID 1 is `pid`, all or those of one uid."""
    space = Path(f"/proc/{pid}/ns/pid").readlink()
    found = []
    for candidate, owner in _living(space):
        argv, numbers = cmdline(candidate), _numbers(candidate)
        if argv and numbers and user in (None, owner):
            found.append(Process(candidate, numbers[-1], argv))
    return found
