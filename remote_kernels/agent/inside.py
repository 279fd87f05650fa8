"""`agent.pyz inside WHAT DIRECTORY KERNEL ...`: what a person does in a kernel's job.

Started by the agent for the commands `shell`, `exec`, `stack` and `top`, and for the
REST API (see exec.py), as its child, from the zipped application that it was itself started from. DIRECTORY is
the agent's own on the node.

    exec  DIRECTORY KERNEL OPTIONS COMMAND...
                                      becomes the command, in the kernel's environment
    listening DIRECTORY KERNEL OPTIONS  prints one JSON array (see servers.py)
    stack DIRECTORY KERNEL OPTIONS    prints one JSON object (see stack.py)
    top   DIRECTORY KERNEL OPTIONS    prints lines of JSON (see top.py)
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from typing import Any

from . import job_facts, processes
from .environment import directory
from .node_dir import kernel_pid

NOT_FOUND, NOT_STARTED = 127, 126  # as a shell says them


def run(words: list[str]) -> int:
    """Run what is asked for; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it is for the command
    what, node_dir, kernel, text, *command = words
    options = json.loads(text)
    if what == "exec":
        return _become(node_dir, kernel, options, command)
    if what == "listening":
        from .servers import servers

        sys.stdout.write(json.dumps(servers(node_dir, kernel)))
        return 0
    if what == "stack":
        from .stack import stack

        sys.stdout.write(json.dumps(stack(node_dir, kernel, options)))
        return 0
    from .top import stream

    return stream(node_dir, kernel, options)


def environment(kernel: int) -> dict[str, str]:
    """Return a kernel's variables; the agent's where the kernel does not tell."""
    return processes.environ(kernel) or processes.environ(os.getppid())


def _become(
    node_dir: str, kernel: str, options: dict[str, Any], command: list[str]
) -> int:
    """Become the command; come back only if it cannot be started.

    options:
        `env`, which goes over the kernel's; `cwd`, the directory to begin in;
        `terminal`, whether standard input is to be the controlling terminal.
    """
    if options["terminal"]:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    pid = kernel_pid(node_dir, kernel, processes.every())
    env = {**environment(pid), **options["env"]}
    os.chdir(directory(options["cwd"]))
    umask = processes.umask(pid)
    if umask is not None:
        os.umask(umask)
    for signum in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(signum, signal.SIG_DFL)
    for signum in job_facts.ignores():
        signal.signal(signum, signal.SIG_IGN)
    try:
        if not command[0]:  # a ValueError to Python 3.11
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        os.execvpe(command[0], command, env)  # noqa: S606 -- this is what it is for
    except OSError as exc:
        sys.stderr.write(
            f"remote-kernels: {command[0] or repr('')} cannot be started on "
            f"{os.uname().nodename}: {exc.strerror}\n"
        )
        missing = isinstance(exc, (FileNotFoundError, NotADirectoryError))
        return NOT_FOUND if missing else NOT_STARTED
