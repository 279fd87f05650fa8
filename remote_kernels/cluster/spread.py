"""The program that runs several commands as one, for launchers of one node each.

Each command gets all of our standard input, what it says is ours with its number before
each line, and its end is known: we end when all have, with the highest exit code. A
command that fails before it was ready ends the others. SIGTERM is passed on.

Rules: the standard library alone (`python -I -S spread.py ORDER`), Python 3.10. The
order is JSON: a list of commands, and the word by which one says that it is ready.
Nothing secret is in it. Started by `step.py`, and by itself on other nodes, by the words
of a launcher beside this file.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

NAME = "rk-spread"  # by which the agent knows that there is work (RK_LAUNCHERS)
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_NAME = 15


def main(order: str) -> int:
    """Run the commands of an order.

    Returns
    -------
    int
        The highest of their exit codes.
    """
    ctypes.CDLL(None).prctl(PR_SET_NAME, NAME.encode())
    told = json.loads(order)
    commands = [
        Command(number, argv, told["ready"])
        for number, argv in enumerate(told["commands"])
    ]

    def end(*_: object) -> None:
        for command in commands:
            command.signal()

    for number in ENDING:
        signal.signal(number, end)
    threading.Thread(target=_feed, args=(commands,), daemon=True).start()
    followers = [
        threading.Thread(target=command.follow, args=(end,)) for command in commands
    ]
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join()
    return max(command.code for command in commands)


class Command:
    """One of the commands, as a process."""

    def __init__(self, number: int, argv: Sequence[str], ready: str) -> None:
        self._label = f"{number}: "
        self._ready = ready
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.code = 0

    def feed(self, data: bytes) -> None:
        """Give it some input; b"" is the end."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended
            if data:
                self._process.stdin.write(data)
                self._process.stdin.flush()
            else:
                self._process.stdin.close()

    def signal(self) -> None:
        """Tell it to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def follow(self, end: Callable[[], None]) -> None:
        """Say what it says until its end; `end()` is called if it never was ready."""
        assert self._process.stdout is not None
        is_ready = False
        for line in self._process.stdout:
            is_ready = is_ready or self._ready.encode() in line
            _say(self._relabelled(line))
        code = self._process.wait()
        self.code = code if code >= 0 else 128 - code
        if self.code and not is_ready:
            end()

    def _relabelled(self, line: bytes) -> bytes:
        """Return the line with our label, and no other: what `spread` says has one."""
        return self._label.encode() + re.sub(rb"^\d+: ", b"", line)


def _feed(commands: Sequence[Command]) -> None:
    """Pass our input on, as it comes."""
    while data := os.read(0, 65536):
        for command in commands:
            command.feed(data)
    for command in commands:
        command.feed(b"")


def _say(line: bytes) -> None:
    """Write a whole line at once: several threads do this."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
