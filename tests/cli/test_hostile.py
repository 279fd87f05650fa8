"""Every command, shown names and texts that would like to do more than be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.conftest import AddKernel, FakeSlurm
from cli.live import GONE, end, job, job_of, record_of, shown
from cli.live import command as program
from click.testing import Result

from remote_kernels.cli import top
from remote_kernels.cli.main import cli
from remote_kernels.cli.say import say
from remote_kernels.errors import RemoteKernelError
from remote_kernels.records import JobEnd, Record

Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("place")
HOSTILE = "a\x1b[2J\x1b]0;t\x07b\nFORGED\tc\rd\x9b31m\u202e[bold]\x7f\udce4 e"
SHOWN = r"a\x1b[2J\x1b]0;t\x07b\nFORGED\tc\rd\x9b31m\u202e[bold]\x7f\udce4 e"
HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]"
)


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Record]:
    """A kernel that runs, all of whose facts are so."""
    job_id = job(tmp_path)
    made = record_of(
        "k1-rest", job_id, times={"ready": 1.0}, name=HOSTILE, node=HOSTILE,
        host=HOSTILE, spec_name=HOSTILE, carrier=HOSTILE,
    )  # fmt: skip
    made.write("sessions.json", {"s": {"path": HOSTILE}})
    yield made
    end(job_id)


def ended(kernel: str) -> Record:
    made = record_of(kernel, GONE, name=HOSTILE)
    made.seal(JobEnd("CANCELLED", text=HOSTILE))
    return made


def fields(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_ls(run: Run, hostile: Record) -> None:
    """One line of seven fields, in which all is to be seen."""
    told = run("ls")

    assert "" == told.stderr
    ((kernel, notebook, _, state, node, *_),) = rows = fields(told.stdout)
    assert [7] == [len(row) for row in rows]
    assert ("k1-rest", SHOWN, "running", SHOWN) == (kernel, notebook, state, node)


def test_json(run: Run, hostile: Record) -> None:
    """One object, with the values as they are, in ASCII."""
    told = run("ls", "--json").stdout

    assert [[HOSTILE]] == [view["notebooks"] for view in json.loads(told)]
    assert told.isascii()
    assert not HARMFUL.search(told)


def test_info(run: Run, hostile: Record) -> None:
    """A line for each fact."""
    told = run("info", "k1")

    rows = fields(told.stdout)
    assert {2} == {len(row) for row in rows}
    assert SHOWN == dict(rows)["Notebook"] == dict(rows)["Node"] == dict(rows)["Name"]
    assert not [row for row in rows if row[0].startswith(("FORGED", "\\"))]


def test_what_is_waited_for(run: Run, slurm: FakeSlurm) -> None:
    """The scheduler's own words."""
    slurm.says("17|PENDING|\x1b[2JBad\x07\u202e|n/a||N/A|N/A")
    record_of("k2", "17", scheduler="slurm", node=None)
    for words in (("ls",), ("info", "k2"), ("stop", "-n", "k2"), ("clean", "-n")):
        told = run(*words)

        assert 0 == told.exit_code, told.output
        assert not HARMFUL.search(told.output)
        assert {"info": 2, "ls": 7, "stop": 5, "clean": 7}[words[0]] == max(
            len(row) for row in fields(told.stdout)
        )


def test_stop_and_clean(run: Run, hostile: Record) -> None:
    """One row each, which no name can make two."""
    ended("k3")

    stop = fields(run("stop", "-n", "k1").stdout)
    clean = fields(run("clean", "-n").stdout)

    assert [("k1-rest", 5)] == [(row[0], len(row)) for row in stop]
    assert [("k1-rest", 7), ("k3", 7)] == [(row[0], len(row)) for row in clean]
    assert {SHOWN} == {row[1] for row in [*stop, *clean]}


@pytest.mark.parametrize("words", [("logs", "x"), ("attach",), ("shell",), ("top",)])
def test_which_kernel(run: Run, hostile: Record, words: tuple[str, ...]) -> None:
    """The list of an error has a line for each."""
    record_of("k9", job_of(hostile), times={"ready": 1.0}, name=HOSTILE)
    ended("k3")

    told = run(*words)

    assert 0 != told.exit_code
    assert not HARMFUL.search(told.output)
    assert not re.search("^FORGED", told.output, re.MULTILINE)


def test_list(run: Run, add_kernel: AddKernel) -> None:
    """A kernelspec's name for people, and its options."""
    stanza = {
        "provisioner_name": "remote-kernels",
        "config": {"scheduler": "slurm", "partition": HOSTILE},
    }
    add_kernel("r", display_name=HOSTILE, metadata={"kernel_provisioner": stanza})

    (row,) = fields(run("list").stdout)
    offered = run("list", "--json").stdout

    assert (4, "r", SHOWN) == (len(row), row[0], row[1])
    assert not HARMFUL.search("".join(row) + offered)


def test_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines stay lines."""

    def fail(**_: object) -> None:
        raise RemoteKernelError(f"first\n  {HOSTILE}")

    monkeypatch.setattr(cli.commands["list"], "callback", fail)
    told = run("list")

    assert "Error: first\n  a\\x1b[2J" in told.stderr
    assert not HARMFUL.search(told.stderr)


@pytest.fixture
def logs(hostile: Record) -> bytes:
    text = b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J 10 %\r20 %\n"
    hostile.kernel_log.write_bytes(text)
    return text


def test_logs_to_a_pipe(run: Run, logs: bytes) -> None:
    """As they were written."""
    assert logs == run("logs", "k1", "--kernel").stdout_bytes


def test_logs_on_a_terminal(logs: bytes) -> None:
    """In colour, but it can't clear the screen or name the window."""
    with shown(*program("logs", "k1", "--kernel")) as terminal:
        seen = terminal.until("20 %")

    assert "\x1b[31mred\x1b[0m " in seen
    assert "]0;title" in seen
    assert not re.search(r"\x1b\]|\x1b\[2J|\x07", seen)


@pytest.mark.parametrize("words", ["ls", "info k1", "stop -n k1", "clean -n"])
def test_on_a_terminal(hostile: Record, words: str) -> None:
    """The only escapes are those of our colours; markup is text."""
    with shown(*program(*words.split())) as terminal:
        seen = terminal.until("[bol")

    assert not re.search(r"\x1b(?!\[[0-9;]*m)|\x07|\x9b|\u202e", seen)


def test_top() -> None:
    """A process's name is its own choice."""
    process = {
        "pid": 1, "time": 1.0, "cpu_percent": 1.0, "memory": 1, "threads": 1,
        "state": "S", "command": HOSTILE,
    }  # fmt: skip

    assert SHOWN == top._row(process)[-1]
    assert 7 == len(top._row(process))


def test_say(capsys: pytest.CaptureFixture[str]) -> None:
    """What `forward` and others tell, of what servers and schedulers told them."""
    say(f"port 1 on {HOSTILE}")

    assert not HARMFUL.search(capsys.readouterr().out)


PAST = {"completion.py", "main.py", "say.py"}
ALLOWED = re.compile(
    r"json\.dumps|_row\(|join\(\[?[*]?row|{label}|echo\(text\)|nl=False|_NOTHING"
)


def test_who_prints() -> None:
    """Only JSON, rows and logs are printed past `say`, and what knows no names."""
    directory = Path(top.__file__).parent
    odd = [
        f"{file.name}: {line.strip()}"
        for file in directory.glob("*.py")
        for line in file.read_text().splitlines()
        if "click.echo(" in line and file.name not in PAST and not ALLOWED.search(line)
    ]

    assert [] == odd
