"""cli.remote_process: a process in the job, joined to this program; no job, no terminal."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from remote_kernels.cli import remote_process
from remote_kernels.errors import AgentError
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


def test_an_input_that_does_not_block(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not there yet is waited for: it is no end."""
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    was_empty, read = threading.Event(), os.read
    said: dict[FrameKind, bytes] = {}

    def noted(fd: int, count: int) -> bytes:
        try:
            return read(fd, count)
        except BlockingIOError:
            was_empty.set()
            raise

    def answer() -> None:
        connection, _ = listener.accept()
        decoder = wire.ExecDecoder()
        with connection:
            assert was_empty.wait(20)
            os.write(writes, b"late")
            os.close(writes)
            while FrameKind.STDIN_END not in said:
                said.update(decoder.feed(connection.recv(1000)))
            connection.sendall(wire.encode_numbers(FrameKind.EXIT, 0))

    monkeypatch.setattr(os, "read", noted)
    thread = threading.Thread(target=answer)
    thread.start()
    with listener, open(reads, "rb", buffering=0) as stdin:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stdin)
        remote_process.run(RemoteProcess(Path(listener.getsockname()), "exec"))
        thread.join()

    assert b"late" == said[FrameKind.STDIN]


def test_an_output_that_does_not_block() -> None:
    """Its reader is slow, and gets all."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    data = bytes(1_000_000)

    def write() -> None:
        with open(writes, "wb", buffering=0):  # noqa: PTH123
            remote_process._write(writes, data)

    thread = threading.Thread(target=write)
    thread.start()
    while select.select([], [writes], [], 0)[1]:
        time.sleep(0.001)
    with open(reads, "rb") as reader:  # noqa: PTH123
        assert data == reader.read()
    thread.join()


def test_an_output_that_cannot_be_written(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is named, and ends it."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(wire.encode(FrameKind.STDOUT, b"x"))
            while connection.recv(1000):
                pass

    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(remote_process, "_write", full)
    thread = threading.Thread(target=answer)
    thread.start()
    process = RemoteProcess(Path(listener.getsockname()), "exec")
    with listener, pytest.raises(AgentError, match="written here: No space left"):
        remote_process.run(process)
    thread.join()
