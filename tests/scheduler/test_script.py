"""scheduler.script, run by bash for real, with a tiny zip as the agent."""

from __future__ import annotations

import ast
import io
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.errors import ConfigError
from remote_kernels.scheduler import script
from remote_kernels.scheduler.job import JobRequest
from remote_kernels.scheduler.slurm import DRIVER
from remote_kernels.scheduler.slurm.script import step_head

AGENT = "import os, sys; print(sys.argv[1:]); print(os.environ.get('LOADED'))"


def pyz(program: str = AGENT) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("__main__.py", program)
    return buffer.getvalue()


def build(tmp_path: Path, **options: object) -> str:
    """The script with these options; a record and a place on the node are there."""
    record = tmp_path / "record of it's own"
    record.mkdir(exist_ok=True)
    nodes = tmp_path / "n"
    nodes.mkdir(exist_ok=True)
    defaults = {
        "record_dir": str(record),
        "agent": pyz(),
        "python": sys.executable,
        "node_dir": str(nodes),
    }
    return script.build(**{**defaults, **options})  # type: ignore[arg-type]


def run(
    tmp_path: Path, env: Mapping[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Build with these options, and let bash run it."""
    file = tmp_path / "script"
    file.write_text(build(tmp_path, **options))
    return subprocess.run(
        ["bash", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "XDG_RUNTIME_DIR": "/run/user/1",
            **(env or {}),
        },
    )


def left(tmp_path: Path) -> list[Path]:
    return [*(tmp_path / "n").glob("*")]


def test_it_runs_the_agent(tmp_path: Path) -> None:
    """With the record and a private directory of the node as its arguments."""
    done = run(tmp_path, agent=pyz(f"{AGENT}; print(oct(os.stat(sys.argv[-1])[0]))"))

    record = str(tmp_path / "record of it's own")
    *expected, directory = ["run", "--record", record, "--node-dir", tmp_path / "n"]
    argv, _, mode = done.stdout.splitlines()
    assert (0, "0o40700") == (done.returncode, mode)
    assert argv.startswith(f"{expected!r}"[:-1] + f", '{directory}/rk-")
    assert [] == left(tmp_path)


def test_it_leaves_a_mark_that_it_began(tmp_path: Path) -> None:
    """Before anything that may fail."""
    done = run(tmp_path, prologue=["exec true"])

    assert (0, "") == (done.returncode, done.stdout)
    assert (tmp_path / "record of it's own" / script.BEGAN).exists()


def test_it_leaves_that_mark_in_a_record_that_is_late(tmp_path: Path) -> None:
    """As NFS shows it to the node some seconds after it was made."""
    later = tmp_path / "later"
    with subprocess.Popen(["sh", "-c", 'sleep 0.5; mkdir "$1"', "sh", str(later)]):
        done = run(tmp_path, record_dir=str(later), prologue=["exec true"])

    assert (0, True) == (done.returncode, (later / script.BEGAN).exists())


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2"])
def test_a_signal_passes_to_the_agent(tmp_path: Path, name: str) -> None:
    """The script waits for what the agent makes of it, and ends with its exit code."""
    agent = f"import os, signal, time; signal.signal(signal.SIG{name}, "
    agent += "lambda *_: os._exit(7)); os.kill(os.getppid(), signal.SIG"
    agent += f"{name}); time.sleep(30)"
    done = run(tmp_path, agent=pyz(agent))

    assert (7, []) == (done.returncode, left(tmp_path))


def test_nothing_is_left_when_the_agent_is_killed(tmp_path: Path) -> None:
    """The exit code says by what."""
    done = run(tmp_path, agent=pyz("import os; os.kill(os.getpid(), 9)"))

    assert (128 + 9, []) == (done.returncode, left(tmp_path))


def test_the_prologue_s_environment_reaches_the_agent(tmp_path: Path) -> None:
    """As `module load` changes it."""
    done = run(tmp_path, prologue=["export LOADED=yes"])

    assert done.stdout.endswith("yes\n")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"record_dir": "/nowhere"}, script.STATE_DIR_MISSING, "is not shared"),
        ({"prologue": ["false"]}, script.PROLOGUE_FAILED, "at: false"),
        ({"prologue": ["exit 3"]}, script.PROLOGUE_FAILED, "ended the script (3)"),
        ({"prologue": ["if true; then"]}, script.PROLOGUE_FAILED, "syntax error"),
        ({"prologue": ["echo 'open"]}, script.PROLOGUE_FAILED, "unexpected EOF"),
        ({"python": "/no/python"}, script.NO_PYTHON, "/no/python: not found"),
        ({"node_dir": "/proc"}, script.NO_NODE_DIR, "no private directory"),
    ],
)
def test_each_failure_has_an_exit_code_of_its_own(
    tmp_path: Path, options: dict[str, Any], code: int, words: str
) -> None:
    """With a sentence in the log, and nothing left on the node."""
    done = run(tmp_path, **options)

    assert code == done.returncode
    assert words in done.stderr
    assert script.explain_exit(code) is not None
    assert [] == left(tmp_path)


def test_a_python_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    """What it said is in the log."""
    old = tmp_path / "python3.6"
    old.write_text("#!/bin/sh\necho 3.6\nexit 1\n")
    old.chmod(0o755)

    done = run(tmp_path, python=str(old))

    assert script.NO_PYTHON == done.returncode
    assert f"{old}: 3.6" in done.stderr


def test_the_server_s_own_python_does_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel of another language, on a node whose own Python is too old."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").write_text("#!/bin/sh\necho 3.6\nexit 1\n")
    (tools / "python3").chmod(0o755)
    monkeypatch.setattr(script, "_PYTHONS", ("python3",))
    program = pyz("import sys; print(sys.executable)")
    path = f"{tools}:{os.environ['PATH']}"

    options = {"python": None, "kernel_python": "/opt/R/bin/R", "agent": program}
    done = run(tmp_path, env={"PATH": path}, **options)

    assert (0, sys.executable) == (done.returncode, done.stdout.strip())


def test_the_option_is_named_as_it_is_written() -> None:
    """On the command line --python is the kernel's."""
    text = script.explain_exit(script.NO_PYTHON)
    assert text is not None
    assert "--agent-python" in text


def test_an_exit_code_that_is_not_ours_is_not_explained() -> None:
    """The kernel's story then says what the scheduler said."""
    assert script.explain_exit(1) is None


def test_what_a_prologue_may_do(tmp_path: Path) -> None:
    """Blocks of lines, set -eu, conditions that do not hold, files that fail inside."""
    other = tmp_path / "activate"
    other.write_text("false\ntrue\n")
    lines = [
        "set -eu",
        "[ -d /nowhere ] && echo wrong",
        "if true; then",
        "  export LOADED=$(cat <<END",
        "it's",
        "END",
        "  )",
        "fi",
        f". {other} || true",
        "module() { false; true; }",
        "set +e",
        f". {other}",
        "module load x",
    ]

    done = run(tmp_path, prologue=lines)

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.endswith("it's\n")


def test_a_prologue_s_failure_is_found_where_it_is(tmp_path: Path) -> None:
    """A function that fails, as `module load` does; `|| true` makes it good."""
    module = "module() { false; return 4; }"

    done = run(tmp_path, prologue=[module, "module load x"])
    assert script.PROLOGUE_FAILED == done.returncode
    assert "failed with exit code 4 at: module load x" in done.stderr

    assert 0 == run(tmp_path, prologue=[module, "module load x || true"]).returncode


def test_a_job_that_starts_again_says_so(tmp_path: Path) -> None:
    """Slurm may requeue a job although we asked it not to; its kernel is lost."""
    request = JobRequest("jupyter-ab", "/log")
    head = DRIVER.script_head(request)
    done = run(tmp_path, env={"SLURM_RESTART_COUNT": "1"}, head=head)

    assert script.RESTARTED == done.returncode
    assert [] == left(tmp_path)


@pytest.mark.parametrize(
    ("told", "variables"),
    [
        ({"RK_NODES": "c[1-2]", "RK_NODE_COUNT": "2"}, {}),
        ({}, {"RK_NODES": "c[1-2]", "RK_NODE_COUNT": "2"}),
    ],
)
def test_a_step_looks_like_its_job(
    tmp_path: Path, told: dict[str, str], variables: dict[str, str]
) -> None:
    """Else srun in a cell would take the step's variables for its options."""
    env = {
        "SLURM_JOB_ID": "60",
        "SLURM_STEP_ID": "3",
        "SLURMD_NODENAME": "c1",
        "SLURM_NTASKS": "1",
        "SLURM_NNODES": "1",
        "SLURM_CPU_BIND": "none",
        "SLURM_RESTART_COUNT": "1",  # the job's affair: the kernel starts only now
        "SRUN_DEBUG": "3",
        "PMI_RANK": "0",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_JOB_CPUS_PER_NODE_PACK_GROUP_0": "4(x2)",
        **told,
    }
    program = "import os; print({n: v for n, v in os.environ.items() if n.startswith('SLURM')})"
    done = run(tmp_path, env=env, head=step_head(variables), agent=pyz(program))

    assert done.stderr.startswith("remote_kernels: step 60.3 on c1\n")
    found = ast.literal_eval(done.stdout)
    assert ("60", "4(x2)") == (
        found.pop("SLURM_JOB_ID"),
        found.pop("SLURM_JOB_CPUS_PER_NODE"),
    )
    assert ("2", "c[1-2]") == (
        found.pop("SLURM_NNODES"),
        found.pop("SLURM_JOB_NODELIST"),
    )
    for name in ("SLURM_NODELIST", "SLURM_JOB_NUM_NODES"):  # of salloc's
        found.pop(name, None)
    assert {"SLURM_CONF": "/etc/slurm.conf", "SLURMD_NODENAME": "c1"} == found


def test_the_node_directory_is_short_enough_for_sockets(tmp_path: Path) -> None:
    """A long TMPDIR is passed over; one of the prologue is taken."""
    long = tmp_path / ("x" * 60)
    long.mkdir()
    done = run(tmp_path, env={"TMPDIR": str(long)}, node_dir=None)
    directory = Path(done.stdout.splitlines()[0].split("'")[-2])
    assert Path("/tmp") == directory.parent

    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        done = run(tmp_path, prologue=[f"export TMPDIR={short}"], node_dir=None)
        assert f"'{short}/rk-" in done.stdout


def test_a_node_directory_may_name_variables(tmp_path: Path) -> None:
    """They mean the node's; all else is taken as it is written."""
    place = tmp_path / "a $(false) b"
    place.mkdir()

    done = run(tmp_path, env={"TOP": str(tmp_path)}, node_dir="${TOP}/a $(false) b")

    assert 0 == done.returncode
    assert f"{place}/rk-" in done.stdout


def test_nothing_is_left_when_it_is_cancelled(tmp_path: Path) -> None:
    """SIGTERM while it looks for a Python, with the longest search."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    slow = tmp_path / "python3"
    slow.write_text(f"#!/bin/sh\necho here > {fifo}\nread line < {fifo}\n")
    slow.chmod(0o755)
    file = tmp_path / "script"
    file.write_text(build(tmp_path, python=str(slow)))
    with subprocess.Popen(["bash", str(file)]) as process:
        assert "here\n" == fifo.read_text()
        process.terminate()
        fifo.write_text("go on\n")

    assert 143 == process.returncode
    assert [] == left(tmp_path)


def test_nothing_is_left_when_the_agent_cannot_be_written(tmp_path: Path) -> None:
    """As on a full disk."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "base64").write_text("#!/bin/sh\nexit 1\n")
    (tools / "base64").chmod(0o755)

    done = run(tmp_path, env={"PATH": f"{tools}:{os.environ['PATH']}"})

    assert script.NO_NODE_DIR == done.returncode
    assert "the agent cannot be written" in done.stderr
    assert [] == left(tmp_path)


def test_what_cannot_be_in_a_script_is_refused(tmp_path: Path) -> None:
    """A NUL would end it."""
    with pytest.raises(ConfigError, match="NUL"):
        build(tmp_path, prologue=["echo \0"])


@pytest.mark.parametrize("words", [[], ["c2"]])
def test_its_input_is_the_agent_s(tmp_path: Path, words: list[str]) -> None:
    """No prologue waits for it; what runs on the job's first node has none."""
    reads = pyz("import sys; print(sys.stdin.read(), sys.argv[-1])")
    file = tmp_path / "script"
    file.write_text(build(tmp_path, agent=reads, prologue=["cat >/dev/null"]))
    done = subprocess.run(
        ["bash", str(file), *words],
        input="its end",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said, _, last = done.stdout.strip().rpartition(" ")
    assert words or "rk-" in last
    assert ("its end" if words else "") == said


def test_a_node_directory_where_others_could_exchange_the_agent(
    tmp_path: Path,
) -> None:
    """It is refused if it was asked for, else passed over; the sticky bit helps."""
    (tmp_path / "n").mkdir()
    (tmp_path / "n").chmod(0o777)

    refused = run(tmp_path)
    elsewhere = run(tmp_path, env={"TMPDIR": f"{tmp_path}/n"}, node_dir=None)
    (tmp_path / "n").chmod(0o1777)
    done = run(tmp_path)

    assert script.NO_NODE_DIR == refused.returncode
    assert "others can write to" in refused.stderr
    assert "'/tmp/rk-" in elsewhere.stdout
    assert f"'{tmp_path}/n/rk-" in done.stdout


def test_a_node_directory_with_a_default_acl(tmp_path: Path) -> None:
    """It overrides umask; the agent is its user's alone all the same."""
    (tmp_path / "n").mkdir()
    nobody = 0xFFFFFFFF
    entries = [(1, 7, nobody), (2, 7, 1234), (4, 5, nobody), (16, 7, nobody)]
    acl = b"".join(struct.pack("<HHI", *one) for one in [*entries, (32, 5, nobody)])
    try:
        os.setxattr(
            tmp_path / "n", "system.posix_acl_default", struct.pack("<I", 2) + acl
        )
    except OSError:
        pytest.skip("no ACLs here")
    mode = "import os, sys; print(oct(os.stat(sys.argv[0]).st_mode))"

    assert "0o100600\n" == run(tmp_path, agent=pyz(mode)).stdout
