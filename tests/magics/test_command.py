"""A command in a cell: what it says, how it ends, and that nothing of it stays."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from magics.commands import is_alive, wait_until
from remote_kernels.errors import CommandError
from remote_kernels.magics import command
from remote_kernels.scheduler.job import Completed


class Interrupts(io.StringIO):
    """A cell's output; the user presses Interrupt once a line is there."""

    def write(self, text: str) -> int:
        count = super().write(text)
        if text.endswith("\n"):
            os.kill(os.getpid(), signal.SIGINT)
        return count


def sh(script: str, **options: object) -> Completed:
    return command.run(["sh", "-c", script], **options)  # type: ignore[arg-type] # any


def test_all_that_it_said() -> None:
    """Both streams and the exit code, whatever that is."""
    done = sh("echo out; echo err >&2; exit 3")

    assert ("out\n", "err\n", 3) == (done.stdout, done.stderr, done.returncode)


def test_its_input() -> None:
    """It is given whole, and ends."""
    text = "line\n" * 100_000

    assert text == command.run(["cat"], input=text).stdout
    assert "" == command.run(["cat"]).stdout


def test_text_that_comes_in_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    """A character is shown once all of its bytes are there."""
    sh(r"printf '\303'; sleep 0.2; printf '\274'; printf '\377'", live=True)

    assert "ü\ufffd" == capsys.readouterr().out


def test_a_command_that_is_not_there() -> None:
    """The error says so, and what to do."""
    with pytest.raises(CommandError, match=r"no sbotch here(.|\n)*prologue"):
        command.run(["sbotch"])


def test_a_command_that_cannot_start(tmp_path: Path) -> None:
    """What the system says of it is told."""
    program = tmp_path / "program"
    program.write_bytes(b"\0not a program")
    program.chmod(0o755)

    done = command.run([str(program)])

    assert 0 != done.returncode
    assert "Exec format error" in done.stderr


def test_signals_are_as_in_a_shell() -> None:
    """Python ignores SIGPIPE; what it starts here does not."""
    status = command.run(["grep", "SigIgn", "/proc/self/status"]).stdout

    assert 0 == int(status.split()[1], 16) & (1 << signal.SIGPIPE - 1)


def test_an_interrupt_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It and what it started are gone when the cell ends."""
    monkeypatch.setattr(sys, "stdout", cell := Interrupts())

    with pytest.raises(KeyboardInterrupt):
        sh("sleep 600 & echo $$ $!; wait", live=True)

    pids = [int(word) for word in cell.getvalue().split()]
    wait_until("their end", lambda: not any(map(is_alive, pids)))
    assert 2 == len(pids)


def test_an_interrupt_ends_a_stubborn_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed when it does not heed SIGTERM."""
    monkeypatch.setattr(sys, "stdout", cell := Interrupts())
    monkeypatch.setattr(command, "GRACE", 0.2)

    with pytest.raises(KeyboardInterrupt):
        sh("trap '' TERM; echo $$; while :; do sleep 0.1; done", live=True)

    assert not is_alive(int(cell.getvalue()))


def test_a_second_interrupt_is_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who presses again does not wait for its grace."""
    monkeypatch.setattr(sys, "stdout", cell := Interrupts())
    monkeypatch.setattr(command, "GRACE", 600.0)
    termed = tmp_path / "termed"

    def press_again() -> None:
        wait_until("SIGTERM", termed.exists)
        os.kill(os.getpid(), signal.SIGINT)

    again = threading.Thread(target=press_again)
    again.start()
    with pytest.raises(KeyboardInterrupt):
        sh(
            f"trap 'touch {termed}' TERM; echo $$; while :; do sleep 0.1; done",
            live=True,
        )
    again.join()

    assert not is_alive(int(cell.getvalue()))


def test_what_it_leaves_behind_ends() -> None:
    """A process in the background neither holds up the cell nor outlives it."""
    pid = int(sh("sleep 600 & echo $!").stdout)

    wait_until("its end", lambda: not is_alive(pid))


def test_a_command_that_does_not_answer() -> None:
    """It is ended, and the error says how long we waited."""
    with pytest.raises(CommandError, match=r"sleep did not answer within 0\.2 s"):
        command.run(["sleep", "600"], timeout=0.2)

    assert [] == [t for t in threading.enumerate() if t.name == "follows sleep"]


def test_it_does_not_outlive_its_kernel() -> None:
    """Also a kernel that was killed leaves no command behind."""
    code = (
        "from remote_kernels.magics import command\n"
        "command.run(['sh', '-c', 'echo $$; exec sleep 600'], live=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE
    ) as kernel:
        assert kernel.stdout is not None
        pid = int(kernel.stdout.readline())
        assert is_alive(pid)
        kernel.kill()

    wait_until("its end", lambda: not is_alive(pid))
