"""`remote-kernels exec`: a command in a kernel's job, as a cell's `!command` has it.

Called by `main`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import click

from remote_kernels.cli import inside
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.inside import Inside, Job
from remote_kernels.scheduler.driver import Shells

_PASSED = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_CHUNK = 64 * 1024


@click.command("exec", cls=Inside, context_settings={"allow_interspersed_args": False})
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal: this one.")
@click.argument("kernel", required=False, shell_complete=running_kernels)
@click.argument("command", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
def exec_(kernel: str | None, command: Sequence[str], tty: bool) -> None:
    """Run a command on a kernel's node, as the kernel itself would.

    KERNEL is a kernel's ID, its beginning, its job's ID, or its notebook's name or
    path; it may be left out when
    there is one only. The command has the kernel's environment (what the prologue
    loaded, SLURM_* variables) and the directory in which the kernel was started.
    Standard input, output and errors pass as they are, and its exit code is this
    command's. A container that the kernel runs in is not entered.

    \b
    remote-kernels exec 4711 -- nvidia-smi
    remote-kernels exec -- tar -C /tmp/results -c . | tar -x
    remote-kernels exec -t -- python -m pdb train.py
    remote-kernels exec -- gdb -p 12345 -batch -ex bt
    """
    words = inside.words(command)
    if not words:
        msg = "Name a command: remote-kernels exec KERNEL -- COMMAND..."
        raise click.UsageError(msg)
    if tty and not (sys.stdin.isatty() and sys.stdout.isatty()):
        msg = "There is no terminal here to be given away: leave out --tty."
        raise click.UsageError(msg)
    job = inside.job(kernel)
    argv = job.argv(job.ours("exec", *words), terminal=tty)
    if tty:
        inside.become(job, argv)
    sys.exit(_run(job, argv))


def _run(job: Job, argv: list[str]) -> int:
    """The exit code, as a shell says it.

    Of what the scheduler's program says itself, only its words on the exit code are
    left out: they would stand among the command's own errors. It does not end when
    nobody reads the output any more, so that is seen to here.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            argv, stdout=pipe, stderr=pipe, cwd=job.directory, env=job.environment
        )
    except OSError as exc:
        raise inside.not_started(argv, exc) from exc
    assert process.stdout is not None
    assert process.stderr is not None
    with _signals_passed(process):
        errors = threading.Thread(target=_errors, args=(process.stderr, job.driver))
        errors.daemon = True
        errors.start()
        try:
            while data := os.read(process.stdout.fileno(), _CHUNK):
                _write(1, data)
        except BrokenPipeError:
            _end(process)
            return 128 + signal.SIGPIPE
        code = process.wait()
        errors.join()
    return code if code >= 0 else 128 - code


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nobody waits for its last words."""
    assert process.stdout is not None
    with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    process.terminate()
    while os.read(process.stdout.fileno(), _CHUNK):
        pass
    process.wait()


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@contextlib.contextmanager
def _signals_passed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A terminal's Ctrl-C reaches it without us."""
    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None)}
    for signum in _PASSED:
        before[signum] = signal.signal(signum, lambda n, _: process.send_signal(n))
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _errors(source: IO[bytes], driver: Shells) -> None:
    for piece in pieces(source, driver):
        with contextlib.suppress(OSError):  # nobody reads it
            _write(2, piece)


def pieces(source: IO[bytes], driver: Shells) -> Iterator[bytes]:
    """What is to be passed, at once; but a line that may be left out, as a whole."""
    mark = driver.prefix.encode()
    held = b""
    begun = False  # a line, of which the beginning has been passed
    while data := os.read(source.fileno(), _CHUNK):
        *lines, rest = (held + data).split(b"\n")
        held = b""
        for line in lines:
            if begun or not driver.tells_exit(line.decode(errors="replace")):
                yield line + b"\n"
            begun = False
        if mark and not begun and mark.startswith(rest[: len(mark)]):
            held = rest
        elif rest:
            begun = True
            yield rest
    yield held
