"""The door of a command into a host: enters its namespaces, becomes a user, execs.

Run by `hosts.popen` as `python3 -I -S enter.py PID USER KEEP CWD ARGV...`, already in
the host's PID namespace (the starter sees to that, because only a fork can enter
one). It never forks, so the process that was started is the command itself: its
signals and its exit code are real.

KEEP is "die" to end with the thread that started it, "stay" to outlive it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys
import warnings  # noqa: F401 - os.execvpe wants it, too late where root has its own Python
from pathlib import Path

NAMESPACES = ("ipc", "uts", "net", "mnt")
PR_SET_PDEATHSIG = 1


def enter(pid: str) -> None:
    """Step into the namespaces of the host whose PID 1 is `pid`."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = [Path(f"/proc/{pid}/ns/{name}") for name in NAMESPACES]
    # All are opened first: after "mnt" there is another /proc.
    for door in [os.open(path, os.O_RDONLY) for path in paths]:
        if libc.setns(door, 0):
            error = ctypes.get_errno()
            raise OSError(error, f"setns: {os.strerror(error)}")
        os.close(door)


def become(user: str, die: bool) -> pwd.struct_passwd:
    """Take the user's identity, as the host's own /etc/passwd has it."""
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if die:  # after setuid, which clears it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.umask(0o022)
    return entry


def environment(entry: pwd.struct_passwd) -> dict[str, str]:
    """What login would set, then what the caller asked for."""
    return {
        "HOME": entry.pw_dir,
        "USER": entry.pw_name,
        "LOGNAME": entry.pw_name,
        "SHELL": entry.pw_shell,
        **os.environ,
    }


def reset_signals() -> None:
    """Undo what Python and our caller changed; exec passes it on."""
    for number in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def main() -> int:
    """Become the command, or say why not."""
    reset_signals()
    pid, user, keep, cwd, *argv = sys.argv[1:]
    try:
        enter(pid)
        entry = become(user, keep == "die")
        os.chdir(cwd or entry.pw_dir)
        os.execvpe(argv[0], argv, environment(entry))  # noqa: S606
    except (OSError, KeyError) as error:
        print(f"cannot run {argv[0]} as {user}: {error}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126


sys.exit(main())
