"""`remote-kernels attach`, with real kernels, servers and terminals."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.live import (
    GONE,
    TIMEOUT,
    attach,
    client,
    command,
    done,
    end,
    held,
    install_kernelspec,
    job_of,
    left_alone,
    record_of,
    run_code,
    runs,
    said,
    server,
    terminal,
)
from cli.test_main import complete
from click.testing import Result

from remote_kernels import records
from remote_kernels.records import JobEnd, Record

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def here(
    tmp_path: Path,
    jupyter: Path,
    no_batch_system: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Records and connection files are in `tmp_path`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    install_kernelspec(jupyter)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Record]:
    """A kernel that a server left."""
    record = left_alone(tmp_path)
    job_id = job_of(record)
    yield record
    end(job_id)


# --- a console ----------------------------------------------------------------------


def test_console(kernel: Record, tmp_path: Path) -> None:
    """Ctrl-C ends the cell, `exit` the console; the kernel and its variables live on."""
    with terminal() as console:
        console.until("In [1]: ")
        console.type("x = 6 * 7; import time; print('go', 'on'); time.sleep(300)\n")
        console.until("go on")
        console.type("\x03")
        console.until("KeyboardInterrupt")
        console.until("In [2]: ")
        console.type("exit\n")
        console.until("keeping kernel alive")
        assert 0 == console.program.wait(TIMEOUT)
    assert [] == list((tmp_path / "runtime").glob("kernel-*"))
    with held(tmp_path / "k.json"):
        assert "42\n" == run_code(tmp_path / "k.json", "print(x)")


def test_a_terminal_that_is_closed(kernel: Record, tmp_path: Path) -> None:
    """Neither files nor sockets are left; the kernel lives on."""
    with terminal() as console:
        console.until("In [1]: ")
        directory = Path((kernel.read("record.json") or {})["directory"])
        assert directory.is_dir()
    assert [] == list((tmp_path / "runtime").glob("kernel-*"))
    assert not directory.exists()
    with held(tmp_path / "k.json"):
        assert "1\n" == run_code(tmp_path / "k.json", "print(1)")


# --- a connection file --------------------------------------------------------------


def test_connection_file(kernel: Record, tmp_path: Path) -> None:
    """Private, good for any client, and gone with the connection."""
    file = tmp_path / "k.json"
    with held(file) as program:
        assert 0o600 == stat.S_IMODE(file.stat().st_mode)
        assert "left\n" == run_code(file, "print('left')")
        program.send_signal(signal.SIGINT)
        assert "The kernel keeps running." in said(program)
        assert 0 == program.returncode
    assert not file.exists()
    assert kernel.is_live


def test_a_job_that_ends(tmp_path: Path) -> None:
    """There is nothing to hold any more."""
    record = left_alone(tmp_path)
    with held(tmp_path / "k.json") as program:
        end(job_of(record))
        assert "The kernel has ended." in said(program)
    assert not (tmp_path / "k.json").exists()


def test_a_place_that_cannot_be_written(kernel: Record) -> None:
    """It says where, and lets go of the kernel."""
    argv = attach("--file", "/no/such/k.json")
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert 1 == done.returncode
    assert "Cannot write the connection file /no/such/k.json" in done.stderr
    assert kernel.is_live


# --- beside a server ----------------------------------------------------------------


def test_beside_a_server(run: Run, tmp_path: Path) -> None:
    """Both use it; the console's Ctrl-C reaches it; the next server has it, too."""
    file = tmp_path / "k.json"
    with server() as first:
        kernel_id = first.kernels(start="left")["id"]
        runs(kernel_id)
        theirs = tmp_path / "runtime" / f"kernel-{kernel_id}.json"
        result = run("attach", "--file", str(file))
        assert (f"{file}\n", 0) == (result.stdout, result.exit_code)
        with client(theirs) as page:
            assert "both\n" == run_code(file, "y = 1; print('both')")
            while page.get_iopub_msg(TIMEOUT)["content"].get("text") != "both\n":
                pass
        with terminal(kernel_id[:8]) as console:
            console.until("]: ")
            console.type("import time; print('go', 'on'); time.sleep(300)\n")
            console.until("go on")
            console.type("\x03")
            console.until("KeyboardInterrupt")
            console.until("]: ")
            console.type("quit()\n")
            console.until("keeping kernel alive")
        assert "1\n" == run_code(theirs, "print(y)")
    with held(tmp_path / "k2.json"):
        run_code(tmp_path / "k2.json", "y = 2")
    with server() as second:
        assert [kernel_id] == [kernel["id"] for kernel in second.kernels()]
        assert "2\n" == run_code(theirs, "print(y)")
        (item,) = json.loads(run("clean", "--json").stdout)
        end(job_of(Record(Path(item["record"]).parents[1], kernel_id)))


def test_in_use(run: Run, kernel: Record, tmp_path: Path) -> None:
    """One that we cannot join keeps it; it is told which; --take takes it."""
    with held(tmp_path / "k.json") as holder:
        while (facts := kernel.read("record.json") or {})["pid"] != holder.pid:
            time.sleep(0.01)  # it is written a little later
        Path(facts["directory"]).rename(tmp_path / "away")
        result = run("attach", "--file", str(tmp_path / "k2.json"))
        assert "Another server has kernel" in result.stderr
        assert f"last used by process {holder.pid} on" in result.stderr
        assert "--take" in result.stderr
        argv = attach("--take", "-f", str(tmp_path / "k2.json"))
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as taker:
            assert taker.stdout is not None
            assert taker.stdout.readline()
            assert "1\n" == run_code(tmp_path / "k2.json", "print(1)")
            said(holder)
            taker.terminate()
            taker.communicate(timeout=TIMEOUT)


# --- which --------------------------------------------------------------------------


def test_none(run: Run) -> None:
    """No traceback."""
    record_of("k1", GONE).write("agent.json", {})
    assert "Error: No kernel of yours runs here.\n" == run("attach", "-f").stderr


def test_completion() -> None:
    """From records alone: what has ended is not offered once that is on record."""
    for kernel in ("aa1", "aa2", "b"):
        record_of(kernel, "17")
    Record(records.state_dir(None), "b").seal(JobEnd("CANCELLED", text="It ended."))
    assert ["aa1", "aa2"] == complete("attach", "a")
    assert ["aa1", "aa2"] == complete("attach", "")


# --- processes in the job -----------------------------------------------------------


def test_exec_where_no_server_has_it(kernel: Record) -> None:
    """By a session of its own, which takes nothing: a server may come meanwhile."""
    argv = command("exec", "--", "sh", "-c", "echo ready; cat; echo beside >&2; exit 5")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as program:
        assert program.stdout is not None
        assert "ready\n" == program.stdout.readline()
        with terminal() as console:  # which has the kernel now
            console.until("In [1]: ")
            console.type("print(6 * 7)\n")
            console.until("42")
            by_its_session = done("exec", "--", "echo", "$HOME", "too")
            console.type("exit\n")
            console.until("keeping kernel alive")
        said = program.communicate("goes on\n", TIMEOUT)
    assert ("goes on\n", "beside\n", 5) == (*said, program.returncode)
    assert ("$HOME too\n", "") == (by_its_session.stdout, by_its_session.stderr)
