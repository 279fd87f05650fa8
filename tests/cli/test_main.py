"""`remote-kernels` as a whole: errors, Ctrl-C, logging, completion, the script."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from cli import live
from click.testing import CliRunner, Result

import remote_kernels
from remote_kernels.cli.main import Commands, cli
from remote_kernels.errors import TunnelError

Run = Callable[..., Result]

PROGRAM = [sys.executable, "-c", "from remote_kernels.cli.main import main; main()"]


@pytest.fixture
def levels() -> Iterator[None]:
    """Puts the log levels back that `-v` sets for the whole process."""
    loggers = [logging.getLogger(name) for name in ("remote_kernels", "traitlets")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def test_version(run: Run) -> None:
    """--version is the package's."""
    expected = f"remote-kernels {remote_kernels.__version__}\n"
    assert expected == run("--version").stdout


def test_each_command_says_what_it_does() -> None:
    """Each registered command has a help text of its own."""
    for name, command in cli.commands.items():
        result = CliRunner().invoke(cli, [name, "--help"])
        assert result.exit_code == 0
        assert command.get_short_help_str(), name


def failing(error: BaseException) -> Result:
    """The result of a command that raises `error`."""
    group = Commands()

    @group.command()
    def fail() -> None:
        raise error

    return CliRunner().invoke(group, ["fail"])


def test_our_errors_come_without_a_traceback() -> None:
    """What we raise on purpose is a message and exit code 1."""
    result = failing(TunnelError("no carrier\n  ssh: refused"))
    assert (
        result.exit_code,
        result.stderr,
    ) == (1, "Error: no carrier\n  ssh: refused\n")


def test_other_errors_keep_their_traceback() -> None:
    """What we did not foresee is not dressed up."""
    assert isinstance(failing(ZeroDivisionError()).exception, ZeroDivisionError)


def test_ctrl_c_in_a_command() -> None:
    """130, and one line."""
    result = failing(KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "\nInterrupted.\n")


def test_abort_is_not_ctrl_c() -> None:
    """A question that nobody answers ends with click's own exit code."""
    assert failing(click.Abort()).exit_code == 1


@pytest.mark.parametrize(
    ("flags", "level"),
    [([], logging.WARNING), (["-v"], logging.INFO), (["-vv"], logging.DEBUG)],
)
@pytest.mark.usefixtures("levels")
def test_verbose(run: Run, flags: list[str], level: int) -> None:
    """-v and -vv say more about our own doings."""
    run(*flags, "list")
    assert level == logging.getLogger("remote_kernels").level


# --- as programs --------------------------------------------------------------------


def test_ctrl_c_at_a_question(run: Run, jupyter: Path) -> None:
    """The real signal, at a real prompt: exit code 130, nothing removed."""
    run("install", "python-compute")
    program = subprocess.Popen(
        [*PROGRAM, "remove", "python-compute"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    question = b""
    while not question.endswith(b"[y/N]: "):
        question += os.read(program.stdout.fileno(), 1000) or pytest.fail("no question")
    program.send_signal(signal.SIGINT)
    _, stderr = program.communicate(timeout=20)
    assert (program.returncode, stderr) == (130, b"\nInterrupted.\n")
    assert (jupyter / "kernels" / "python-compute").is_dir()


def offered(shell: str, *words: str) -> str:
    """What that shell is told after `words`, the last of which is incomplete."""
    env = {
        **os.environ,
        "_REMOTE_KERNELS_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(["remote-kernels", *words]),
        "COMP_CWORD": words[-1] if shell == "fish" else str(len(words)),
    }
    done = subprocess.run(PROGRAM, env=env, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def complete(*words: str) -> list[str]:
    """What bash is offered after `words`, the last of which is incomplete."""
    lines = offered("bash", *words).split("\n")[:-1]
    return [line.partition(",")[2] for line in lines]


def test_completion_of_names(run: Run) -> None:
    """Templates, kernels and, for remove, our kernels only."""
    run("install", "python-compute", "--name", "mine")
    assert complete("install", "python-")[:2] == ["python-compute", "python-gpu"]
    assert complete("install", "--from", "m") == ["mine"]
    assert complete("install", "--from", "python3") == ["python3"]
    assert complete("remove", "m") == ["mine"]
    assert complete("remove", "python3") == [""]
    assert complete("install", "--part") == ["--partition"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run: Run, shell: str) -> None:
    """Each script asks this program, and its shell can read it."""
    script = run("completion", shell).stdout
    assert f"_REMOTE_KERNELS_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, text=True, check=False)
        assert done.returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("command", ["attach", "info", "logs", "shell", "stop"])
@pytest.mark.usefixtures("place")
def test_completion_of_kernels(shell: str, command: str) -> None:
    """In each shell; those that can say more are told the notebook."""
    live.record_of("k1", "17").write("sessions.json", {"s": {"path": "a.ipynb"}})
    text = offered(shell, command, "k")
    assert "k1" in text
    assert (shell != "bash") == ("a.ipynb" in text)


@pytest.mark.parametrize("program", ["remote-kernels", "jupyter"])
@pytest.mark.usefixtures("jupyter")
def test_the_installed_scripts(program: str) -> None:
    """Both ways to call us, where the package is installed."""
    scripts = Path(sys.executable).parent
    script = scripts / "remote-kernels"
    if not script.exists():
        pytest.skip("the package is not installed here, only on the path")
    calls: dict[str, list[str]] = {
        "remote-kernels": [str(script)],
        "jupyter": [sys.executable, "-m", "jupyter", "remote-kernels"],
    }
    done = subprocess.run(
        [*calls[program], "install", "python-local", "--dry-run"],
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr[:11]) == (0, "Would write"), done.stderr
    assert '"display_name": "Python (Local Agent)"' in done.stdout


@pytest.mark.usefixtures("place")
def test_completion_of_notebooks() -> None:
    """By what the commands take for one kernel; nothing that would need quotes."""
    for kernel, path in (
        ("k1", "a/fit.ipynb"),
        ("k2", "b/same.ipynb"),
        ("k3", "c/same.ipynb"),
        ("k4", "first try.ipynb"),
        ("k5", "$(id).ipynb"),
    ):
        live.record_of(kernel, "17").write("sessions.json", {"s": {"path": path}})
    assert ["fit.ipynb"] == complete("info", "f")
    assert ["fit.ipynb"] == complete("stop", "f")
    assert [""] == complete("stop", "fit.ipynb", "f")
    assert ["a/fit.ipynb"] == complete("stop", "a/")
    assert ["b/same.ipynb"] == complete("logs", "b")
    assert [""] == complete("logs", "$")


def test_a_standard_stream_that_is_closed(tmp_path: Path) -> None:
    """No socket or file of ours gets its number, and with it what is written there."""
    seen = tmp_path / "seen"
    program = (
        "import os, sys; from remote_kernels.cli import main\n"
        "links = lambda: [os.readlink(f'/proc/self/fd/{n}') for n in range(3)]\n"
        "main.cli = lambda **_: open(sys.argv[1], 'w').write(str(links()))\n"
        "main.main()"
    )
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "-", sys.executable, "-c", program]

    subprocess.run(
        [*closed, str(seen)], cwd=tmp_path, timeout=live.TIMEOUT, check=False
    )

    assert str(["/dev/null"] * 3) == seen.read_text()
