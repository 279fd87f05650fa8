"""cli.remote_process: a process in the job, joined to this program; no job, no terminal."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from remote_kernels.cli import remote_process
from remote_kernels.kernel.remote_process import RemoteProcess
from remote_kernels.wire import exec as wire
from remote_kernels.wire.exec import FrameKind


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    """What is at the other end of the way into the job."""
    found = socket.socket(socket.AF_UNIX)
    found.bind(str(tmp_path / "way"))
    found.listen()
    found.settimeout(20)
    return found


def test_a_signal_that_another_thread_gets(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is passed on at once, though the main thread waits and nothing interrupts it."""
    monkeypatch.setattr(sys, "stdin", None)
    seen: list[FrameKind] = []

    def answer() -> None:
        connection, _ = listener.accept()
        connection.settimeout(20)
        decoder = wire.ExecDecoder()
        with connection:
            while FrameKind.SIGNAL not in seen:
                frames = decoder.feed(connection.recv(1000))
                seen.extend(kind for kind, _ in frames)
                if FrameKind.STDIN_END in seen:  # its handlers are there
                    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            connection.sendall(wire.encode_numbers(FrameKind.EXIT, 7))

    thread = threading.Thread(target=answer)
    thread.start()
    with listener:
        code = remote_process.run(RemoteProcess(Path(listener.getsockname()), "exec"))
        thread.join()

    assert 7 == code
    assert FrameKind.SIGNAL in seen
