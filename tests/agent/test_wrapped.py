"""agent.wrapped: whom a signal is for, and what is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from remote_kernels.agent.wrapped import Wrapped

# A server that starts kernels for whoever asks: all are in its own group.
SERVER = """
import subprocess, sys
for _ in range(2):
    print(subprocess.Popen(["sleep", "1d"]).pid, flush=True)
sys.stdin.read()
"""


def test_a_server_s_other_kernels_are_not_ours() -> None:
    """Of one that something else has started only it and what is below are meant."""
    with (
        subprocess.Popen(["sleep", "1d"], start_new_session=True) as outer,
        subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as server,
    ):
        assert server.stdout is not None
        kernel, other = (int(server.stdout.readline()) for _ in range(2))
        try:
            wrapped = Wrapped(kernel, outer.pid)
            assert wrapped.own_session == 0
            assert wrapped.signal(signal.SIGCONT)
            wrapped.kill()

            os.kill(other, 0)
            assert server.poll() is None
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            outer.kill()
