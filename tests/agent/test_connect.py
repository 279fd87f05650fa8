"""agent.connect: a carrier's standard streams, which may be a socket."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

RUN = (
    "import sys; from remote_kernels.agent.connect import connect; connect(sys.argv[1])"
)
SECONDS = 10.0


def test_a_login_end_that_dies_with_something_unread(tmp_path: Path) -> None:
    """The agent hears of it at once."""
    path = str(tmp_path / "agent")
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        argv = [sys.executable, "-c", RUN, path]
        with theirs:
            fd = theirs.fileno()
            process = subprocess.Popen(argv, stdin=fd, stdout=fd)
        with process:
            agent, _ = listener.accept()
            agent.settimeout(SECONDS)
            with agent:
                agent.sendall(b"x")
                assert ours.recv(1, socket.MSG_PEEK) == b"x"
                ours.close()

                assert b"" == agent.recv(1)
            assert 0 == process.wait(SECONDS)
