"""The agent's private directory on the node: held, made anew, and removed.

Cleaners of /tmp find it after some days. systemd-tmpfiles leaves alone what is locked
(tmpfiles.d(5), systemd 252), others go by the times of files. What is gone all the
same is made anew: a carrier needs the socket, and agent.pyz to reach it.

    DIRECTORY/           rk-XXXXXXXX, made by the batch script
        agent.pyz        ourselves, for `connect` and `inside`
        agent            the socket (see endpoint.py)
        owner.json       whose it is, once it is locked
        session-ID       pid and start time of a kernel's process (see kernel_process.py),
                         or of one that a person started (see exec.py)
        ...              a kernel's connection file and sockets (see connection_file.py)

Who finds a directory of this user that nobody has locked removes it, and what is left
of its kernels: a batch script whose agent was killed, or a later job (`sweep`).
Standard library; most of it runs before the event loop is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from typing import Any

from remote_kernels.relay import private

from .processes import Process, kill, session, started
from .small_files import text_in

FRESH = 600.0  # seconds; a cleaner's patience is counted in days, or hours
PYZ = "agent.pyz"
OWNER = "owner.json"
_SESSION = "session-"
_NO_NOTE = (OSError, ValueError, KeyError, TypeError)  # none of ours, or damaged


class NodeDir:
    """It, while the agent lives."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1  # the lock
        self._pyz = -1  # open, so that it can be copied when it has no name any more
        self._failed = ""

    def hold(self) -> None:
        """Lock it. What goes wrong costs the protection, and nothing else."""
        self._lock()
        with contextlib.suppress(OSError):
            self._pyz = os.open(self._file(PYZ), os.O_RDONLY)

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _lock(self) -> None:
        """Lock it, if we have not, or only one that was removed. Raises OSError."""
        if self._fd >= 0:
            if os.path.samestat(os.fstat(self._fd), os.lstat(self.path)):
                return
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(OSError):  # NFS locks no directory
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                return
            self._fd = fd
            self._own()

    def _own(self) -> None:
        """Only a locked one is said to be ours: see `sweep`."""
        if self._fd >= 0:
            _write(self._file(OWNER), json.dumps(_here()).encode())

    def look(self) -> bool:
        """Look from time to time: all is there, and no cleaner takes it for old.

        False: it is not ours. Then nothing of a kernel may be put there.
        """
        try:
            self._mend()
            if time.time() - self._oldest() > FRESH:
                self._refresh()
        except OSError as exc:
            if str(exc) != self._failed:
                self._failed = str(exc)
                sys.stderr.write(f"agent: cannot keep {self.path}: {exc}\n")
            return private.is_ours(self.path)
        self._failed = ""
        return True

    def _mend(self) -> None:
        ensure(self.path)
        self._lock()
        if self._pyz >= 0 and not os.path.exists(self._file(PYZ)):
            size = os.fstat(self._pyz).st_size
            _write(self._file(PYZ), os.pread(self._pyz, size, 0))
        if not os.path.exists(self._file(OWNER)):
            self._own()

    def _oldest(self) -> float:
        """When it was refreshed; it changes itself as files come and go."""
        with contextlib.suppress(FileNotFoundError):
            return min(os.stat(path).st_mtime for path in (self.path, self._file(PYZ)))
        return os.stat(self.path).st_mtime

    def _refresh(self) -> None:
        os.utime(self.path)
        for name in os.listdir(self.path):  # a container's may be another user's
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.utime(self._file(name), follow_symlinks=False)


def ensure(path: str) -> None:
    """See to it that a directory is there, and ours alone. Raises OSError.

    Once it was removed, in a /tmp for all, another user may have made one of its name.
    """
    with contextlib.suppress(FileExistsError):
        private.make_new(path)  # not what is above: nobody else may make it for us
        sys.stderr.write(f"agent: {path} was removed, and made anew\n")
    private.check(path)


def _write(path: str, data: bytes) -> None:
    """Write a file. Raises OSError, also where the directory is not ours alone."""
    above, name = os.path.split(path)
    with private.opened(above) as directory:
        private.write(directory, name, data)


def _here() -> dict[str, str]:
    """Describe this node, since it was started, and which processes we see of it."""
    boot = text_in("/proc/sys/kernel/random/boot_id")
    space = os.readlink("/proc/self/ns/pid")
    return {"node": os.uname().nodename, "boot": boot, "pids": space}


def _owner(directory: str) -> Any:
    with open(os.path.join(directory, OWNER), "rb") as file:
        return json.load(file)


# What is left


def note_session(directory: str, kernel: str, pid: int) -> None:
    """Note that a kernel's process runs, and leads a session; 0: it has ended."""
    path = os.path.join(directory, f"{_SESSION}{kernel}")
    with contextlib.suppress(OSError):
        if pid and not os.path.exists(path):
            _write(path, f"{pid} {started(pid)}".encode())
        elif not pid:
            os.unlink(path)


def noted_session(directory: str, kernel: str) -> tuple[int, int]:
    """Return a kernel's process, and when it was started; 0 for both if none is noted."""
    with contextlib.suppress(OSError, ValueError):
        with open(os.path.join(directory, f"{_SESSION}{kernel}"), "rb") as file:
            pid, begun = map(int, file.read().split())
        return pid, begun
    return 0, 0


def kernel_pid(directory: str, kernel: str, there: dict[int, Process]) -> int:
    """Return a kernel's process, which leads a session; 0: it has none now."""
    pid, begun = noted_session(directory, kernel)
    return pid if pid in there and there[pid].started == begun else 0


def tidy(directory: str) -> None:
    """Kill the kernels of an agent that was killed just now; remove its directory."""
    _remove(directory, just_now=True)


def sweep(own: str) -> None:
    """Remove what killed jobs of this user left beside `own`, and their kernels."""
    base = os.path.dirname(own)
    try:
        names = os.listdir(base)
    except OSError:
        return
    for name in names:
        path = os.path.join(base, name)
        if name.startswith("rk-") and path != own:
            with contextlib.suppress(*_NO_NOTE):
                _remove_if_left(path)


def _remove_if_left(path: str) -> None:
    """Remove it, if it is ours and nobody has it. Raises one of _NO_NOTE if it is not."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        # Nodes may share the directory above.
        is_of_node = _owner(path)["node"] == os.uname().nodename
        if is_of_node and os.fstat(fd).st_uid == os.getuid():
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path, just_now=False)
    finally:
        os.close(fd)


def _remove(directory: str, *, just_now: bool) -> None:
    with contextlib.suppress(OSError, ValueError):
        if _owner(directory) == _here():
            for name in os.listdir(directory):
                if name.startswith(_SESSION):
                    noted = noted_session(directory, name[len(_SESSION) :])
                    _kill_session(*noted, just_now=just_now)
    import shutil  # not before the kernel's start: it loads all of compression

    shutil.rmtree(directory, ignore_errors=True)


def _kill_session(leader: int, begun: int, *, just_now: bool) -> None:
    """All processes of the session that a kernel's process leads, or led.

    Numbers are used again: the leader is known by the time it started. Without a
    leader the session is the kernel's only if that had just been alive.
    """
    there = session(leader)
    if there.get(leader, begun if just_now else None) == begun:
        kill(there)
