"""scheduler/oar/program.py: a script that waits in a file, and commands that end.

oarsub is played by shell scripts: the real one is in tests/contracts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_kernels.scheduler.oar.driver import Oar

PROGRAM = (
    Path(__file__).parents[2] / "remote_kernels" / "scheduler" / "oar" / "program.py"
)
SCRIPT = """\
#!/bin/bash
echo "given $GIVEN in $PWD; ${OAR_JOB_ID:-none}${BASH_ENV:-}; $# arguments"
exit 7
"""
# What OAR does with the command: it comes last.
SUBMIT = 'for last; do :; done; echo "$last" > command; echo OAR_JOB_ID=5'

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def start(oarsub: str, *words: str, **environ: str) -> subprocess.Popen[str]:
        program = tmp_path / "oarsub"
        program.write_text(f"#!/bin/sh\n{oarsub}\n")
        program.chmod(0o755)
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(PROGRAM), *words, "--", str(program)],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **environ},
        )

    return start


def kept(tmp_path: Path) -> list[Path]:
    return [*tmp_path.glob("job.log.script-*")]


def submit(start: Start, tmp_path: Path, oarsub: str, **environ: str) -> int:
    words = "--seconds=20", f"--script={tmp_path}/job.log.script"
    process = start(oarsub, *words, **environ)
    process.communicate(SCRIPT)
    return process.returncode


def test_the_script_runs_once_with_its_environment(
    start: Start, tmp_path: Path
) -> None:
    """As it was when the job was submitted, but for what is OAR's; then it is gone."""
    value = "a 'b' \"c\" $d\ne"
    code = submit(start, tmp_path, SUBMIT, GIVEN=value, OAR_JOB_ID="4", BASH_ENV="/no")
    (script,) = kept(tmp_path)
    assert (0, 0o600) == (code, script.stat().st_mode & 0o777)

    command = (tmp_path / "command").read_text()
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": os.environ["PATH"], "BASH_ENV": "/elsewhere", "GIVEN": "no"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert (7, "") == (done.returncode, done.stderr)
    assert f"given {value} in {tmp_path}; none; 0 arguments\n" == done.stdout
    assert [] == kept(tmp_path)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_bytes_that_are_no_text(locale: str, start: Start, tmp_path: Path) -> None:
    """In the environment, the directory and the script, which come as they were."""
    directory = tmp_path / os.fsdecode(b"caf\xe9")
    directory.mkdir()
    (directory / "oarsub").write_text(f"#!/bin/sh\n{SUBMIT}\n")
    (directory / "oarsub").chmod(0o755)
    given = b"\xff\xc3\xa9"
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-S", PROGRAM, "--seconds=20"),
            *(f"--script={tmp_path}/job.log.script", "--", directory / "oarsub"),
        ],
        input=b'printf \'%s/\xfe/%s\' "$GIVEN" "$PWD"\n',
        cwd=directory,
        env={"PATH": os.environ["PATH"], "LC_ALL": locale, "GIVEN": os.fsdecode(given)},
        capture_output=True,
        check=False,
    )
    assert (0, b"") == (done.returncode, done.stderr)

    command = (directory / "command").read_text()
    printed = subprocess.check_output(["/bin/sh", "-c", command], cwd="/")
    assert b"/".join([given, b"\xfe", os.fsencode(directory)]) == printed


def test_a_directory_that_the_node_has_not(start: Start, tmp_path: Path) -> None:
    """The script runs at home."""
    submit(start, tmp_path, SUBMIT)
    (script,) = kept(tmp_path)
    script.write_text(script.read_text().replace(f"cd -- {tmp_path}", "cd -- /no-such"))

    command = (tmp_path / "command").read_text()
    home = {"PATH": os.environ["PATH"], "HOME": "/usr"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=home, capture_output=True, check=False
    )

    assert b"in /usr;" in done.stdout


def test_a_refusal_leaves_nothing(start: Start, tmp_path: Path) -> None:
    """Its exit code is told."""
    assert 8 == submit(start, tmp_path, "exit 8")
    assert [] == kept(tmp_path)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """It is told, and nothing is submitted."""
    words = "--seconds=20", f"--script={tmp_path}/job.log.script", "--", "/bin/true"
    done = subprocess.run(
        [
            *("bash", "-c", 'ulimit -f 0; exec "$@"', "bash"),
            *(sys.executable, "-I", "-S", str(PROGRAM), *words),
        ],
        input=SCRIPT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (1, True) == (done.returncode, "File too large" in done.stderr), done
    assert [] == kept(tmp_path)


def test_whoever_gives_up_leaves_nothing(start: Start, tmp_path: Path) -> None:
    """The script is gone, whatever becomes of oarsub."""
    words = "--seconds=20", f"--script={tmp_path}/job.log.script"
    # It lets go of our pipes, as `with` waits for their end.
    with start("exec sleep 5 <&- >&- 2>&-", *words) as process:
        assert process.stdin is not None
        process.stdin.write(SCRIPT)
        process.stdin.close()
        end = time.monotonic() + 20
        while not kept(tmp_path):
            assert time.monotonic() < end
            time.sleep(0.01)

        process.send_signal(signal.SIGTERM)

        assert 128 + signal.SIGTERM == process.wait(20)
    assert [] == kept(tmp_path)


def test_a_command_that_hears_nobody_is_ended(start: Start, tmp_path: Path) -> None:
    """By an alarm of its own: nobody else may, once it is another user."""
    deaf = "trap '' TERM INT HUP; while :; do sleep 0.1; done"
    with start(deaf, "--seconds=1") as process:
        assert 128 + signal.SIGALRM == process.wait(20)


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    """It says so, as a shell does."""
    argv = [sys.executable, "-I", "-S", str(PROGRAM), "--seconds=5", "--", "/no-such"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (127, "/no-such: No such file or directory\n") == (
        done.returncode,
        done.stderr,
    )


def test_a_place_where_no_script_can_wait(start: Start, tmp_path: Path) -> None:
    """It says so, and submits nothing."""
    words = "--seconds=20", "--script=/no-such/job.log.script"
    process = start(SUBMIT, *words)
    _, said = process.communicate(SCRIPT)

    assert (1, "/no-such/job.log.script: No such file or directory\n") == (
        process.returncode,
        said,
    )
    assert not (tmp_path / "command").exists()


def test_a_way_in_that_is_clean(start: Start) -> None:
    """What is read and written passes by us; its end is seen, and its exit code."""
    with start("cat; exit 5", "--held") as process:
        out, said = process.communicate("a\n\x04\x03b")
        assert ("a\n\x04\x03b", "", 5) == (out, said, process.returncode)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_way_in_ends_with_us(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    """Its terminal hangs up, and that is heard from whoever it has become."""
    heard = "trap 'touch heard; exit' HUP; touch there; while :; do sleep 0.05; done"
    with start(heard, "--held") as process:
        await_file(tmp_path / "there")
        process.send_signal(number)
        process.wait(20)
        await_file(tmp_path / "heard")


def await_file(path: Path) -> None:
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.01)


@pytest.mark.parametrize(("words", "node"), [("by_name", "c2"), ("by_number", "1")])
def test_another_node(words: str, node: str, tmp_path: Path) -> None:
    """It gets all as it is: arguments, environment, standard input."""
    oarsh = tmp_path / "oarsh"
    oarsh.write_text('#!/bin/sh\necho "$1 $2"\nshift 2\nexec env -i /bin/sh -c "$*"\n')
    oarsh.chmod(0o755)
    argv = [word.format(job="5", node=node) for word in getattr(Oar, words)]
    path = f"{tmp_path}:{os.environ['PATH']}"
    value = "a 'b' \"c\" $d\ne"

    done = subprocess.run(
        [*argv, "sh", "-c", 'echo "$#: $1; $GIVEN"; cat', "sh", "x  y"],
        env={"PATH": path, "RK_NODES": "c1,c2", "GIVEN": value},
        input="input",
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"-q c2\n1: x  y; {value}\ninput" == done.stdout
