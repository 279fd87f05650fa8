"""The program that a step runs on each of its nodes: one command, in a directory.

Rules: the standard library alone (`python -I -S node.py`), Python 3.10. Its order is a
line of JSON on standard input, so that what is secret in it gets into no command line,
environment or shared file. The end of standard input is the wish to end, and also comes
when the kernel is killed; SIGTERM, from the batch system, means the same. Then the command's
process group gets SIGTERM, SIGKILL after a while, and the directory is removed.
Started by `step.py`.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

READY = "remote_kernels:ready "  # before what it tells of itself, in JSON
GRACE = 3.0  # seconds from SIGTERM to SIGKILL; Slurm's own may be 5
LOOK = 0.02  # seconds
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Run the order on standard input.

    Returns
    -------
    int
        The command's exit code; 0 if it was ended because nobody wants it any more.
    """
    # Unbuffered: what is read beyond the line would be missed by the selector.
    stdin = os.fdopen(0, "rb", buffering=0)
    line = stdin.readline()
    if not line:
        return 0
    order = json.loads(line)
    woken = _wake_by_signals()
    directory = Path(tempfile.mkdtemp(prefix="rk-"))
    try:
        return _run(order, directory, woken)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wake_by_signals() -> socket.socket:
    """Return a socket to read once a child ends or a signal comes."""
    read, write = socket.socketpair()
    for end in (read, write):
        end.setblocking(False)
    signal.set_wakeup_fd(write.detach())
    for number in (*ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return read


def _run(order: Mapping[str, Any], directory: Path, woken: socket.socket) -> int:
    values = values_here(order, directory)
    for name, text in order["files"].items():
        _write(directory / name, fill(text, values))
    told = {
        "step": os.environ.get(order["step_variable"], ""),
        "node": values["node"],
        "directory": str(directory),
    }
    sys.stdout.write(f"{READY}{json.dumps(told)}\n")
    sys.stdout.flush()
    if not order["argv"]:
        _until_unwanted(woken, None)
        return 0
    cwd = order["cwd"]
    own = {name: fill(text, values) for name, text in order["env"].items()}
    process = subprocess.Popen(
        [fill(word, values) for word in order["argv"]],
        env={**os.environ, **order["environ"], "TMPDIR": str(directory), **own},
        cwd=cwd if os.path.isdir(cwd) else directory,  # noqa: PTH112 - of any kind
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=False,  # a launcher gives MPI programs a file descriptor
    )
    unwanted = _until_unwanted(woken, process)
    _end(process)
    return 0 if unwanted else process.returncode & 0xFF


def values_here(order: Mapping[str, Any], directory: Path) -> dict[str, str]:
    """Return what stands for `{name}` in the order's words on this node."""
    node = os.environ.get(order["node_variable"]) or os.uname().nodename
    return {
        "dir": str(directory),
        "python": sys.executable,
        "node": node,
        "address": address_towards(order["first"]),
        **order["values"].get(node, {}),
    }


def fill(word: str, values: Mapping[str, str]) -> str:
    """Return the word with its values.

    `str.format` would not do: a shell command has braces of its own.
    """
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def address_towards(host: str) -> str:
    """Return our address on the way to another host. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _until_unwanted(
    woken: socket.socket, process: subprocess.Popen[bytes] | None
) -> bool:
    """Wait until the command ends (False), or is no longer wanted (True)."""
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ)
        ready.register(woken, selectors.EVENT_READ)
        while process is None or process.poll() is None:
            for key, _ in ready.select():
                if key.fd == 0 and not os.read(0, 4096):
                    return True
                if key.fileobj is woken and set(woken.recv(64)) & set(ENDING):
                    return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it started; what left its group is Slurm's to end.

    Some processes outlive the command for a moment with a reason: multiprocessing's
    resource tracker removes the command's semaphores from /dev/shm.
    """
    end = time.monotonic() + GRACE
    there = _signal(process, signal.SIGTERM)
    while there and time.monotonic() < end:
        time.sleep(LOOK)
        process.poll()
        there = _signal(process, 0)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> bool:
    """Signal the process group. Returns whether anybody is left in it."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
