"""scheduler.htcondor: descriptions out, answers in, words for people."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.errors import CommandError, ConfigError, ControllerError
from remote_kernels.scheduler.drivers import environment
from remote_kernels.scheduler.htcondor.driver import HTCondor
from remote_kernels.scheduler.htcondor.options import OPTIONS
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
    login_name,
)

DATA = Path(__file__).with_name("captures") / "htcondor"
KIND = {option.name: option.kind for option in OPTIONS}
driver = HTCondor()


def captured(name: str, returncode: int = 0) -> Completed:
    """What a command said; those that failed printed nothing."""
    files = [DATA / f"{name}{end}" for end in (".json", ".txt")]
    (out,) = [file.read_text() for file in files if file.exists()] or [""]
    errors = DATA / f"{name}.stderr"
    said = errors.read_text() if errors.exists() else ""
    return Completed((name.partition("-")[0],), returncode, out, said)


def in_queue(name: str, number: str) -> JobStatus:
    """The state of this job, by what condor_q said."""
    job_id = JobId(number, "/its/script")
    (query,) = driver.status([job_id])
    return query.answer(captured(f"condor_q-{name}"))[job_id]


def past(name: str, number: str) -> JobStatus | None:
    """How this job ended, by what condor_history said."""
    (query,) = driver.ended(JobId(number))
    return query.answer(captured(f"condor_history-{name}"))


def described(request: JobRequest) -> dict[str, str]:
    """The lines of its submit description."""
    text, _, _ = driver.submission(request, "").stdin.partition("\n\n")
    return dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)


def request(**options: Any) -> JobRequest:
    read = {name: KIND[name].read(value) for name, value in options.items()}
    return JobRequest("jupyter-01234567", "/r/job.log", read, "2001")


# --- jobs in the queue --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "phase", "state", "node"),
    [
        ("idle-new", "63.0", Phase.PENDING, "IDLE", None),
        ("idle-no-match", "63.0", Phase.PENDING, "IDLE (no match found)", None),
        ("running", "62.0", Phase.RUNNING, "RUNNING", "c2.pool"),
        ("suspended", "62.0", Phase.SUSPENDED, "SUSPENDED", "c2.pool"),
        ("removed", "70.0", Phase.ENDING, "REMOVED", "c1.pool"),
        ("held-submitted", "64.0", Phase.PENDING, "HELD 15", None),
        ("held-by-user", "69.0", Phase.ENDED, "HELD 1", "c1.pool"),
        ("held-no-directory", "35.0", Phase.ENDED, "HELD 7", "condor1.pool"),
        ("ending-time-limit", "61.0", Phase.ENDING, "HELD 46", "c1.pool"),
        ("held-time-limit", "59.0", Phase.ENDED, "HELD 46", "c1.pool"),
        ("held-memory", "2.0", Phase.ENDED, "HELD 34", "c1.pool"),
        ("evicted", "60.0", Phase.ENDED, "EVICTED", "c2.pool"),
    ],
)
def test_what_it_says_of_a_job(
    name: str, number: str, phase: Phase, state: str, node: str | None
) -> None:
    """What is on hold, or idle, after it had begun has lost its kernel: it has ended."""
    status = in_queue(name, number)

    assert (phase, state, node) == (status.phase, status.state, status.node)


def test_the_end_of_a_job_that_runs() -> None:
    """By its time limit, which HTCondor counts from its last start."""
    status = in_queue("running", "62.0")

    assert status.start_time is not None
    assert status.start_time + 7200 == status.end_time


def test_several_jobs() -> None:
    """By their numbers; one that is not there is missing."""
    ids = [JobId("62.0"), JobId("63.0"), JobId("99999.0")]
    (query,) = driver.status(ids)

    assert ids[:2] == [*query.answer(captured("condor_q-several"))]


def test_no_jobs() -> None:
    """It prints nothing at all."""
    (query,) = driver.status([JobId("99999.0")])

    assert {} == query.answer(captured("condor_q-none"))
    assert past("none", "99999.0") is None


def test_own_jobs() -> None:
    """Live ones, with their names, and where their scripts are."""
    (query,) = driver.own("alice")
    found = query.answer(captured("condor_q-own"))

    assert 'Owner == "alice"' in query.argv
    assert [("61.0", "3"), ("62.0", "4"), ("63.0", "5"), ("64.0", "6")] == [
        (status.job_id.number, status.name.removeprefix("jupyter-0000000"))
        for status in found
    ]
    assert "/home/alice/t/c4.log.script" == found[1].job_id.where


def test_a_node_that_is_silent() -> None:
    """HTCondor waits for it, and says so."""
    ad = '[{"ClusterId": 1, "ProcId": 0, "JobStatus": 2, "JobCurrentReconnectAttempt": 1}]'
    (query,) = driver.status([JobId("1.0")])
    (status,) = query.answer(Completed(("condor_q",), 0, ad, "")).values()

    assert (Phase.RUNNING, "disconnected") == (status.phase, status.reason)


# --- how they ended -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "state", "code", "signal", "by_itself"),
    [
        ("failed", "66.0", "COMPLETED", 7, None, True),
        ("signal", "67.0", "COMPLETED", None, 9, True),
        ("removed", "68.0", "REMOVED", None, None, False),
        ("time-limit", "59.0", "HELD 46", None, None, False),
        ("held-by-user", "69.0", "HELD 1", None, None, False),
        ("held-memory", "2.0", "HELD 34", None, None, False),
        ("evicted", "60.0", "EVICTED", None, None, False),
    ],
)
def test_how_a_job_ended(
    name: str,
    number: str,
    state: str,
    code: int | None,
    signal: int | None,
    by_itself: bool,
) -> None:
    """What our own rule took out of the queue is told by what was before."""
    status = past(name, number)

    assert status is not None
    assert Phase.ENDED is status.phase
    assert status.end_time
    assert (state, code, signal, by_itself) == (
        *(status.state, status.exit_code, status.signal),
        status.by_itself,
    )


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("failed", "66.0", "The job's script failed with exit code 7."),
        ("signal", "67.0", "ended by signal 9 (SIGKILL). This often happens when"),
        ("removed", "68.0", "The job was removed by alice."),
        ("time-limit", "59.0", "The job reached its time limit (The job exceeded"),
        (
            "held-by-user",
            "69.0",
            "put on hold, which ended its kernel (via condor_hold",
        ),
        ("evicted", "60.0", "The job lost its machine"),
    ],
)
def test_the_end_in_words(name: str, number: str, words: str) -> None:
    """Who did it, or what to change."""
    status = past(name, number)

    assert status is not None
    assert words in driver.ended_text(status)


@pytest.mark.parametrize(
    ("name", "last", "word"),
    [
        ("evicted", 1, "EVICTED"),
        ("removed", 2, "REMOVED"),
        ("held-by-user", 5, "HELD 1"),
    ],
)
def test_a_hold_of_an_earlier_time(name: str, last: int, word: str) -> None:
    """A job that was let go on did not end by that."""
    done = captured(f"condor_history-{name}")
    (ad,) = json.loads(done.stdout)
    held = {
        "LastHoldReason": "via condor_hold",
        "LastHoldReasonCode": 1 if last == 5 else 26,
    }
    told = json.dumps([{**ad, **held, "LastJobStatus": last}])
    number = f"{ad['ClusterId']}.{ad['ProcId']}"
    (query,) = driver.ended(JobId(number))
    status = query.answer(replace(done, stdout=told))
    assert status is not None
    assert word == status.state


def test_no_history() -> None:
    """A host may have none: then nobody knows, for good."""
    (query,) = driver.ended(JobId("1.0"))
    said = "Error: No passed search file and configuration key HISTORY is unset.\n"
    none = Completed(("condor_history",), 1, "[\n", said)

    with pytest.raises(CommandError) as caught:
        query.answer(none)
    assert not caught.value.transient


def test_you_removed_it() -> None:
    """Who asks why his own job ended is told that it was he."""
    reason = f"via condor_rm (by user {login_name()})"
    status = JobStatus(JobId("1.0"), Phase.ENDED, "REMOVED", reason)

    assert "The job was removed by you." in driver.ended_text(status)


# --- what they wait for -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "words", "advice"),
    [
        ("idle-new", "63.0", "next round of negotiation", ""),
        ("idle-no-match", "63.0", "no machine that is free", "-better-analyze 63.0`"),
        ("held-submitted", "64.0", "on hold: it was submitted", "condor_release 64.0`"),
    ],
)
def test_what_it_waits_for(name: str, number: str, words: str, advice: str) -> None:
    """A clause, and a command that helps; it may still start."""
    status = in_queue(name, number)

    assert words in driver.pending_text(status)
    assert advice in driver.pending_advice(status)
    assert driver.never(status, {}) is None


def test_why_no_machine_is_found() -> None:
    """Those that match are in use; or none does, and which wishes none fulfils."""
    busy, hopeless = JobId("90.0", "/its/script"), JobId("91.0")
    query = driver.reasons([busy, hopeless])
    found = query.answer(captured("condor_q-analyzed"))

    def text(job_id: JobId) -> str:
        state = "IDLE (no match found)"
        status = JobStatus(job_id, Phase.PENDING, state, found[job_id])
        return driver.pending_text(status)

    assert "in use" in text(busy)
    assert "(2 of 2 machines match)" in text(busy)
    assert "no machine of this pool" in text(hopeless)
    assert "TARGET.Memory >= RequestMemory" in text(hopeless)


def test_wishes_that_no_machine_fulfils_together() -> None:
    """They are written out; where machines match, what is left of them says nothing."""
    job_id = JobId("23.0")
    query, done = driver.reasons([job_id]), captured("condor_q-analyzed-together")
    none = done.stdout.replace("0 are rejected", "2 are rejected")

    both = "TARGET.Memory >= RequestMemory && TARGET.Cpus >= RequestCpus"
    assert {job_id: "2 of 2 machines match"} == query.answer(done)
    assert {job_id: f"0 of 2 machines match; none: {both}"} == query.answer(
        replace(done, stdout=none)
    )


@pytest.mark.parametrize("code", [3, 6, 22, 26, 34, 99])
def test_a_job_that_htcondor_holds(code: int) -> None:
    """It would be on hold for ever: it is cancelled."""
    status = JobStatus(JobId("1.0"), Phase.PENDING, f"HELD {code}", "It says.")

    never = driver.never(status, {})

    assert never is not None
    assert "(It says)" in never


# --- nobody answers -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["no-schedd", "silent"])
def test_a_schedd_that_is_away(name: str) -> None:
    """It says nothing about any job; it is HTCondor all the same."""
    done = captured(f"condor_q-{name}", 1)
    (status,) = driver.status([JobId("1.0")])
    (own,) = driver.own("alice")

    for ask in (status.answer, own.answer, driver.cluster().answer):
        with pytest.raises(ControllerError):
            ask(done)
    assert driver.is_no_answer(done)
    assert driver.recognizes(done)


def test_it_is_recognized() -> None:
    """By condor_q's first line, which has the schedd's name."""
    done = captured("condor_q-schedd")

    assert driver.recognizes(done)
    assert "login1.pool" == driver.cluster().answer(done)
    assert not driver.recognizes(Completed(driver.question, 127, "", "not found"))


def test_cancel() -> None:
    """A job that is gone is no error; no answer is one that passes."""
    query = driver.cancel(JobId("1.0", "/its/script"))

    query.answer(captured("condor_rm-gone", 1))
    with pytest.raises(ControllerError):
        query.answer(captured("condor_rm-no-schedd", 1))
    denied = Completed(("condor_rm",), 1, "", "Permission denied to remove job 1.0\n")
    with pytest.raises(CommandError):
        query.answer(denied)


# --- submission ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-schedd", "did not answer"),
        ("requirements", "Correct 'requirements'"),
    ],
)
def test_a_refusal(name: str, words: str) -> None:
    """What to do about it."""
    done = captured(f"condor_submit-{name}", 1)

    assert words in driver.submit_advice(done)
    assert (name == "no-schedd") == driver.is_no_answer(done)


def test_what_it_says_besides() -> None:
    """Of a job that was taken."""
    done = captured("condor_submit-unused")

    way = driver.submission(request(), "")
    assert JobId("72.0", "/r/job.log.script") == way.parse(done)
    assert "'bogus = 1' was unused" in driver.notice(done)
    with pytest.raises(ValueError, match="no job id"):
        way.parse(Completed(("sh",), 0, "Submitted!\n", ""))


def test_options_in_the_description() -> None:
    """By HTCondor's own names; a time in seconds, as it counts."""
    asked = request(
        allowed_job_duration="1:30:00",
        request_memory="4GiB",
        request_disk="500M",
        requirements='Machine == "a"',
        submit_commands=["rank = Memory", '+Project = "x"'],
    )
    lines = described(asked)

    assert "5400" == lines["allowed_job_duration"]
    assert ("4194304K", "512000K") == (lines["request_memory"], lines["request_disk"])
    assert 'Machine == "a"' == lines["requirements"]
    assert ("Memory", '"x"') == (lines["rank"], lines["+Project"])
    assert "NO" == lines["should_transfer_files"]
    assert "transfer_output_files" not in lines


def test_files_are_not_brought_back() -> None:
    """Those that a kernel makes in its machine's directory stay there."""
    assert (
        '""' == described(request(should_transfer_files="YES"))["transfer_output_files"]
    )


@pytest.mark.parametrize(
    "line",
    [
        "executable = /bin/sh",
        "Queue = 3",
        '+JobBatchName = "x"',
        "MY.PeriodicRemove = true",
        "periodic_remove = true",
        "getenv = true",
        "+LeaveJobInQueue = true",
        "MY.LeaveJobInQueue = true",
        "+OnExitRemove = false",
        "+PeriodicHold = true",
        "periodic_hold = true",
        "periodic_vacate = true",
        "+JobMaxRetries = 3",
        "+JobSuccessExitCode = 1",
        "+JobStatus = 4",
        "+NumJobStarts = 0",
        "+Iwd = /",
        "remote_initialdir = /tmp",
        "copy_to_spool = true",
        "max_materialize = 2",
        "+IsNoopJob = true",
        "+WantContainer = true",
        "container_image = docker://debian",
        "docker_image = debian",
        "+MaxHosts = 2",
        '+AcctGroup = "x"',
        "rank = Memory \\",
        "rank = Memory \\ ",
        "request_cpus = 4",
        "queue 3",
        "rank",
        "include : file",
    ],
)
def test_lines_that_cannot_be_given(line: str) -> None:
    """They would break us, or are options."""
    with pytest.raises(ConfigError) as caught:
        KIND["submit_commands"].read([line])

    assert repr(line) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("requirements", "true \\", "ends in a backslash"),
        ("require_gpus", "true \\", "ends in a backslash"),
        ("accounting_group", "physics\\", "ends in a backslash"),
        ("accounting_group", "$(HOME)", "for a macro"),
        ("accounting_group", "$$(Owner)", "for a macro"),
        ("accounting_group", "$ENV(HOME)", "for a macro"),
        ("request_cpus", 99999999999999999999, "more than HTCondor counts"),
        ("request_gpus", 2**31, "more than HTCondor counts"),
    ],
)
def test_values_that_would_be_others(name: str, value: object, words: str) -> None:
    """To HTCondor."""
    with pytest.raises(ConfigError, match=words):
        KIND[name].read(value)


def test_values_that_are_taken() -> None:
    """Expressions may have macros, and backslashes within."""
    for value in ("Name == $$(Name)", 'regexp("a\\\\.b", Machine)'):
        assert value == KIND["requirements"].read(value)
    assert 2**31 - 1 == KIND["request_cpus"].read(2**31 - 1)


def test_one_machine() -> None:
    """More nodes than one are refused, in words."""
    driver.check(JobRequest("", "", {"nodes": 1}))
    with pytest.raises(ConfigError, match="on one machine"):
        driver.check(JobRequest("", "", {"nodes": 2}))


# --- the shell around it ------------------------------------------------------------

PRETENDS = """\
#!/bin/sh
cat >"$SAID"
[ -z "$FAILS" ] || exit 3
echo '1.0 - 1.0'
"""
SCRIPT = """\
#!/bin/bash
echo "given: $GIVEN, own: $OWN, at: $0"
cat
echo end
exit 7
"""


def words_of(arguments: str) -> list[str]:
    """As HTCondor reads them: in double quotes, and each word in single ones."""
    assert "$" not in arguments.replace("$(DOLLAR)", "")  # nothing else is a macro
    text = arguments.replace("$(DOLLAR)", "$")[1:-1].replace('""', '"')
    found = re.findall(r"'((?:[^']|'')*)'", text)
    return [word.replace("''", "'") for word in found]


def submitted(directory: Path, login: bool = False, **more: str) -> tuple[int, Path]:
    """Submit by a condor_submit that only keeps what it is told."""
    pretends = directory / "condor_submit"
    pretends.write_text(PRETENDS)
    pretends.chmod(0o700)
    output = directory / "it's a $(dir)" / 'a "log".log'
    output.parent.mkdir()
    wanted = JobRequest("jupyter-01234567", str(output), {}, "", login)
    way = driver.submission(wanted, SCRIPT)
    environ = {
        "PATH": f"{directory}:{os.environ['PATH']}",
        "SAID": str(directory / "said"),
        "GIVEN": 'two\nlines, it\'s "quoted"',
        **more,
    }
    done = subprocess.run(
        way.argv,
        input=way.stdin,
        text=True,
        env=environ,
        capture_output=True,
        check=False,
    )
    return done.returncode, output


def run_job(directory: Path, environ: Mapping[str, str]) -> int:
    """As HTCondor runs what the description says."""
    said = (directory / "said").read_text()
    (line,) = re.findall(r"^arguments = (.*)$", said, re.MULTILINE)
    argv = ["/bin/bash", *words_of(line)]
    return subprocess.run(argv, env=dict(environ), check=False).returncode


@pytest.mark.parametrize("login", [False, True])
def test_the_script_gets_there(tmp_path: Path, login: bool) -> None:
    """With the environment of who submitted it; what HTCondor sets is kept."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bash_profile").write_text('GIVEN="$GIVEN, by login"\n')
    code, output = submitted(tmp_path, login, HOME=str(home))
    kept = Path(f"{output}.script")
    mode = kept.stat().st_mode & 0o777

    ended = run_job(tmp_path, {"OWN": "condor's"})

    by = ", by login" if login else ""
    expected = (
        f"given: two\nlines, it's \"quoted\"{by}, own: condor's, at: /bin/bash\nend\n"
    )
    assert (0, 0o600, 7) == (code, mode, ended)
    assert expected == output.read_text()
    assert not kept.exists()


def test_a_job_that_starts_again(tmp_path: Path) -> None:
    """It ends as one that was restarted, or whose state directory is not shared."""
    _, output = submitted(tmp_path)
    codes = [run_job(tmp_path, {}), run_job(tmp_path, {})]
    output.unlink()
    output.parent.rmdir()

    assert [7, 93, 96] == [*codes, run_job(tmp_path, {})]


def test_a_refused_job_leaves_nothing(tmp_path: Path) -> None:
    """And the exit code is condor_submit's."""
    code, output = submitted(tmp_path, FAILS="1")

    assert 3 == code
    assert [] == [*output.parent.iterdir()]


def test_a_job_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    """Its script goes with it; the exit code is condor_rm's."""
    removes = tmp_path / "condor_rm"
    removes.write_text('#!/bin/sh\necho "$@"\nexit 4\n')
    removes.chmod(0o700)
    file = tmp_path / "job.log.script"
    file.touch()
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    argv = driver.cancel(JobId("12.0", str(file))).argv
    done = subprocess.run(
        argv, env=environ, capture_output=True, text=True, check=False
    )

    assert (4, "12.0\n") == (done.returncode, done.stdout)
    assert not file.exists()


def test_the_way_in_waits_for_the_address(tmp_path: Path) -> None:
    """It tries again while HTCondor says that one may; its streams are the command's."""
    enters = tmp_path / "condor_ssh_to_job"
    enters.write_text(
        "#!/bin/sh\n"
        f"if mkdir {tmp_path}/once 2>/dev/null; then\n"
        "  echo '(Use -auto-retry to keep trying periodically.)' >&2; exit 1\n"
        "fi\n"
        'eval "$4"; echo gone >&2; exit 5\n'
    )
    enters.chmod(0o700)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    argv = driver.into(JobId("12.0"), "c1", ["cat", "-", "/dev/null", "/a b"])

    done = subprocess.run(
        argv, env=environ, input=b"\0\xff" * 9, capture_output=True, check=False
    )

    assert (5, b"\0\xff" * 9) == (done.returncode, done.stdout)
    assert b"/a b" in done.stderr
    assert done.stderr.endswith(b"gone\n")


def test_what_its_commands_see() -> None:
    """Where its daemons are; nothing of the job in which a server runs."""
    given = {
        "CONDOR_CONFIG": "/etc/condor/site",
        "_condor_SCHEDD_HOST": "submit2",
        "_CONDOR_SCRATCH_DIR": "/scratch/dir_1",
    }

    kept = environment(driver, given, ["_CONDOR_*"])

    assert ["CONDOR_CONFIG", "_condor_SCHEDD_HOST"] == [*kept]


# --- the site -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"request_cpus": 9}, "no machine has 9 CPUs; the largest has 8"),
        ({"request_memory": "9G"}, "no machine has 9216 MB of memory; the largest has"),
        ({"request_gpus": 1}, "no machine has 1 GPUs; the largest has 0"),
        ({"request_cpus": 8, "request_memory": "8000M"}, ""),
        ({}, ""),
    ],
)
def test_what_no_machine_has(options: dict[str, Any], words: str) -> None:
    """It is said when a kernelspec is made."""
    query = driver.doubts(request(**options))
    assert query is not None
    doubts = query.answer(captured("condor_status"))

    assert bool(words) == bool(doubts)
    assert all(words in doubt for doubt in doubts)


def test_a_silent_collector() -> None:
    """What is not known is not doubted."""
    query = driver.doubts(request(request_cpus=99))
    assert query is not None

    assert [] == query.answer(Completed(("condor_status",), 1, "", "Error"))
    assert [] == query.answer(Completed(("condor_status",), 0, "", ""))


def test_the_version() -> None:
    """In a line."""
    assert "condor 23.9.6" == driver.version().answer(captured("condor_version"))
