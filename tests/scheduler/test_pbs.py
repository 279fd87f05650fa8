"""scheduler.pbs: commands out, captured answers of PBS Professional and OpenPBS in."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.errors import (
    CommandError,
    ConfigError,
    ControllerError,
    DeniedError,
)
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
    login_name,
)
from remote_kernels.scheduler.pbs.driver import Pbs
from scheduler.asking import how_it_ended, job, status_argv, statuses

pbs = Pbs()
CAPTURES = Path(__file__).with_name("captures") / "pbs"
POLARIS = "polaris-pbs-01.hsn.cm.polaris.alcf.anl.gov"
REQUEST = JobRequest("jupyter-0a1b2c3d", "/home/a b/job.log")


def captured(name: str, code: int = 0, error: str = "") -> Completed:
    stderr = (CAPTURES / error).read_text() if error else ""
    return Completed(("qstat",), code, (CAPTURES / name).read_text(), stderr)


def said(stdout: str = "", code: int = 0, stderr: str = "") -> Completed:
    return Completed(("qstat",), code, stdout, stderr)


def ending(**fields: Any) -> JobStatus:
    """The captured job that finished, with other fields: how it ended."""
    body = json.loads((CAPTURES / "qstat-finished-22.05.json").read_text())
    (found,) = body["Jobs"].values()
    found |= fields
    found = {name: value for name, value in found.items() if value is not None}
    body["Jobs"] = {"7.pbs": found}
    status = how_it_ended(pbs, said(json.dumps(body)), "7.pbs")
    assert status is not None
    return status


def local(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def argv(options: Mapping[str, Any]) -> list[str]:
    """What is asked of qsub besides what always is."""
    found = list(pbs.submission(replace(REQUEST, options=options), "").argv)
    return found[found.index("/dev/null") + 1 :]


def read(name: str, value: object) -> object:
    (option,) = (each for each in pbs.options if each.name == name)
    return option.kind.read(value)


# Submission


def test_the_job_is_described_on_the_command_line() -> None:
    """Named, never run again, with the environment that qsub has."""
    found = list(pbs.submission(REQUEST, "#!/bin/bash\n").argv)

    assert ["qsub", "-N", "jupyter-0a1b2c3d", "-S", "/bin/bash"] == found[:5]
    assert ["-V", "-r", "n", "-j", "oe", "-o", "/dev/null"] == found[5:]


def test_the_script_writes_the_log_itself() -> None:
    """PBS would copy it there when the job has ended."""
    way = pbs.submission(REQUEST, "#!/bin/bash -l\necho it runs\n")

    first, second, third = way.stdin.splitlines()
    assert ("#!/bin/bash -l", "echo it runs") == (first, third)
    assert "exec >>'/home/a b/job.log' 2>&1" == second


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"queue": "debug", "account": "a1"}, ["-q", "debug", "-A", "a1"]),
        ({"ncpus": 4, "mem": "8G"}, ["-l", "select=1:ncpus=4:mem=8gb"]),
        ({"ngpus": 2}, ["-l", "select=1:ngpus=2"]),
        ({"nodes": 1}, ["-l", "select=1:ncpus=1"]),
        (
            {"nodes": 3, "ncpus": 2},
            ["-l", "select=3:ncpus=2", "-l", "place=scatter"],
        ),
        (
            {"nodes": 2, "place": "pack"},
            ["-l", "select=2:ncpus=1", "-l", "place=pack"],
        ),
        (
            {"nodes": 2, "place": "excl"},
            ["-l", "select=2:ncpus=1", "-l", "place=scatter:excl"],
        ),
        (
            {"nodes": 2, "place": "free:shared"},
            ["-l", "select=2:ncpus=1", "-l", "place=free:shared"],
        ),
        ({"place": "excl"}, ["-l", "select=1:ncpus=1", "-l", "place=excl"]),
        ({"select": "1:ncpus=2:gpu_model=a"}, ["-l", "select=1:ncpus=2:gpu_model=a"]),
        ({"walltime": "2:00:00"}, ["-l", "walltime=2:00:00"]),
        ({"qsub_args": ("-m", "n"), "project": "p"}, ["-P", "p", "-m", "n"]),
    ],
)
def test_resources_are_asked_for_in_chunks(
    options: dict[str, Any], expected: list[str]
) -> None:
    """As many as nodes, each on a node of its own."""
    assert expected == argv(options)


def test_the_whole_request_or_its_parts() -> None:
    """PBS would take one of them alone."""
    (found,) = pbs.contradictions({"select": "1:ncpus=2", "mem": "4gb", "queue": "q"})

    assert "'select' and 'mem' exclude each other" in found
    assert [] == [*pbs.contradictions({"ncpus": 2, "mem": "4gb"})]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("90m", "1:30:00"),
        ("2:00:00", "2:00:00"),
        ("100:00:59", "100:00:59"),
        ("1-12:30:05", "36:30:05"),
    ],
)
def test_a_time_is_written_on_the_clock(value: str, expected: str) -> None:
    """A number alone would be seconds to qsub, and minutes elsewhere: it has a unit."""
    assert ["-l", f"walltime={expected}"] == argv({"walltime": read("walltime", value)})
    for bad in (90, "90", "soon", "0:00:00"):
        with pytest.raises(ConfigError):
            read("walltime", bad)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4G", "4gb"),
        ("500MB", "500mb"),
        ("1024M", "1gb"),
        ("3K", "3kb"),
        ("2T", "2048gb"),
    ],
)
def test_a_size_is_written_in_whole_units(value: str, expected: str) -> None:
    """As large ones as can be."""
    assert ["-l", f"select=1:mem={expected}"] == argv({"mem": read("mem", value)})


@pytest.mark.parametrize(
    "args",
    [
        ["-l", "filesystems=home:eagle"],
        ["-m", "abe"],
        ["-W", "group_list=g"],
        ["-h"],
        ["-M", "a@block.edu"],
        ["-l", "host=block"],
    ],
)
def test_further_arguments_of_qsub(args: list[str]) -> None:
    """With values that stand alone."""
    assert tuple(args) == read("qsub_args", args)


@pytest.mark.parametrize(
    "args",
    [
        ["-N", "mine"],
        ["-Nmine"],
        ["-hI"],
        ["-J", "1-3"],
        ["-o", "/x"],
        ["-koed"],
        ["-r", "y"],
        ["-z"],
        ["-v", "A=1"],
        ["-W", "block=true"],
        ["-Wblock=true"],
        ["-W", "umask=22,block=true"],
        ["-W", "block"],
        ["script.sh"],
        ["--", "hostname"],
        ["-"],
        ["--version"],
    ],
)
def test_arguments_that_would_break_the_job_are_refused(args: list[str]) -> None:
    """With the reason."""
    with pytest.raises(ConfigError, match=r"cannot be given to qsub here: ."):
        read("qsub_args", args)


@pytest.mark.parametrize(
    ("stdout", "number"),
    [
        ("123.pbs\n", "123.pbs"),
        ("Welcome to the machine.\n123.pbs-01.site.org\n", "123.pbs-01.site.org"),
        ("12.30\n123.pbs\n", "123.pbs"),
        ("0.725ccdf1a5fb", "0.725ccdf1a5fb"),
    ],
)
def test_the_job_id_is_a_line_of_its_own(stdout: str, number: str) -> None:
    """A hook may print more before."""
    assert JobId(number) == pbs.submission(REQUEST, "").parse(said(stdout))
    assert pbs.knows(JobId(number))


def test_no_job_id() -> None:
    """qsub -z prints none."""
    with pytest.raises(ValueError, match="no job id"):
        pbs.submission(REQUEST, "").parse(said("Have 12.5 good days\n"))


def test_what_a_hook_says_of_a_job_that_it_takes() -> None:
    """All but the job's number."""
    done = said("12.pbs\n", stderr="qsub: Your project has 5 h left.\n")

    assert "Your project has 5 h left." == pbs.notice(done)
    assert "" == pbs.notice(said("12.pbs\n"))


@pytest.mark.parametrize(
    ("stderr", "advice"),
    [
        ("qsub: Unknown queue\n", "Change 'queue'"),
        ("qsub: Access to queue is denied\n", "You may not use"),
        ("qsub: Job violates queue and/or server resource limits\n", "Ask for less"),
        (
            "qsub: Maximum number of jobs already in queue debug\n",
            f"`qstat -u {login_name()}`",
        ),
        ("qsub: Unknown resource\n", "'qsub_args'"),
        ("Connection refused\nqsub: cannot connect to server s (errno=15010)\n", "-B"),
        ("qsub: too loud\n", ""),
    ],
)
def test_what_to_do_about_a_refusal(stderr: str, advice: str) -> None:
    """By PBS's own words; "" for what we do not know."""
    found = pbs.submit_advice(said(code=1, stderr=stderr))
    assert advice in found
    assert bool(advice) == bool(found)


# Which system


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (said("pbs_version = 2022.1.1.20220926110806\n"), True),
        (said("Be kind.\npbs_version = 18.1.4\n"), True),
        (said(stderr="Version: 6.1.2\nCommit: 661e092552de43a785c15d39a3634a541d86898e\n"), False),
        (said(code=1, stderr="qstat: unknown option --version\n"), False),
        (said(), False),
    ],
)  # fmt: skip
def test_its_qstat_is_known_by_its_version(done: Completed, expected: bool) -> None:
    """Torque's and Grid Engine's have the same name."""
    assert expected == pbs.recognizes(done)
    assert "qstat --version; exec qstat -B" == pbs.question[-1]


def test_version() -> None:
    """A number for people."""
    query = pbs.version()
    assert "PBS 22.05.11" == query.parse(said("pbs_version = 22.05.11\n"))
    assert "" == query.parse(said(code=1))


def test_the_cluster_is_the_server() -> None:
    """By the name that its jobs have."""
    body = {"pbs_server": "p", "Server": {"pbs-01": {"server_state": "Active"}}}
    assert "pbs-01" == pbs.cluster().parse(said(json.dumps(body)))


# A job that is there


def test_jobs_are_asked_for_together() -> None:
    """Without -x, which a site without a history refuses for all of them."""
    expected = ["qstat", "-f", "-F", "json", "1.pbs", "2.pbs"]
    assert expected == list(status_argv(pbs, "1.pbs", "2.pbs"))


def test_states_of_jobs() -> None:
    """Waiting, on hold, running: each with what is told of it."""
    waits, held, runs = f"359322.{POLARIS}", f"412020.{POLARIS}", f"1147579.{POLARIS}"
    found = statuses(pbs, captured("qstat-jobs-2022.1.json"), waits, held, runs)

    assert (Phase.PENDING, "Q", "STDIN", None) == (
        found[waits].phase,
        found[waits].state,
        found[waits].name,
        found[waits].node,
    )
    assert found[waits].reason.startswith("Not Running: Job is requesting an excl")
    assert (Phase.PENDING, "H") == (found[held].phase, found[held].state)
    assert found[held].exit_code is None
    assert (Phase.RUNNING, "R", "", "x3006c0s31b1n0") == (
        found[runs].phase,
        found[runs].state,
        found[runs].reason,
        found[runs].node,
    )
    assert local("2023-11-09 13:05:50") == found[runs].start_time
    assert local("2023-11-10 13:05:50") == found[runs].end_time


def test_a_job_is_known_by_its_number_alone() -> None:
    """As people write it."""
    found = statuses(pbs, captured("qstat-jobs-2022.1.json"), "1147579")
    assert Phase.RUNNING is found["1147579"].phase


def test_numbers_that_are_none() -> None:
    """Older versions print text that looks like a number without quotes."""
    done = captured("qstat-numbers.invented.json")
    found = statuses(pbs, done, "40.pbs")["40.pbs"]

    assert ("jupyter-0a1b2c3d", Phase.RUNNING, "n1") == (
        found.name,
        found.phase,
        found.node,
    )
    assert local("2020-04-28 19:43:16") == found.end_time


def test_a_wrapper_may_say_more_before() -> None:
    """What is not JSON is left out; where a job ran is no reason to wait."""
    fields = {"job_state": "R", "comment": "Job run at Tue Oct 11 at 08:13 on (n1)"}
    text = f"Be kind.\n{json.dumps({'Jobs': {'1.pbs': fields}})}"
    found = statuses(pbs, said(text), "1.pbs")["1.pbs"]

    assert (Phase.RUNNING, "") == (found.phase, found.reason)


def test_when_a_job_is_expected_to_start() -> None:
    """As the scheduler estimates it."""
    estimated = {"start_time": "Wed Oct 12 14:48:45 2022"}
    body = {"Jobs": {"1.pbs": {"job_state": "Q", "estimated": estimated}}}
    found = statuses(pbs, said(json.dumps(body)), "1.pbs")["1.pbs"]

    assert local("2022-10-12 14:48:45") == found.start_time


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("T", Phase.PENDING),
        ("W", Phase.PENDING),
        ("S", Phase.SUSPENDED),
        ("U", Phase.SUSPENDED),
        ("E", Phase.ENDING),
        ("DREAMING", Phase.UNKNOWN),
        ("", Phase.UNKNOWN),
    ],
)
def test_states_by_their_letters(state: str, phase: Phase) -> None:
    """One that we do not know is alive; one that is stopped has no end in sight."""
    fields = {"job_state": state, "stime": "Wed Oct 12 14:48:45 2022"}
    fields["Resource_List"] = {"walltime": "1:00:00"}  # type: ignore[assignment]
    found = statuses(pbs, said(json.dumps({"Jobs": {"1.pbs": fields}})), "1.pbs")
    assert (phase, None) == (found["1.pbs"].phase, found["1.pbs"].end_time)


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        (153, "qstat: Unknown Job Id 9.pbs\n"),
        (
            35,
            (
                "qstat: 9.pbs Job has finished, use -x or -H to obtain historical job "
                "information\n"
            ),
        ),
    ],
)
def test_a_job_that_is_gone_is_missing(code: int, stderr: str) -> None:
    """The others are there, though qstat failed."""
    jobs = captured("qstat-jobs-2022.1.json").stdout
    runs = f"1147579.{POLARIS}"

    assert [runs] == [*statuses(pbs, said(jobs, code, stderr), runs, "9.pbs")]
    assert {} == statuses(pbs, said("", code, stderr), "9.pbs")


@pytest.mark.parametrize(
    "done",
    [
        captured("qstat-refused-22.05.out", 255, "qstat-refused-22.05.err"),
        captured("qstat-refused-22.05.out", 255, "qstat-no-route-2025.2.err"),
        said("", 1, "qstat: Unknown Job Id 9.pbs\nNo route to host\n"),
        said("", 127, ""),
        said("", 0, ""),
        said('{"Jobs": {"1.pb', 0, ""),
    ],
)
def test_no_answer_is_not_an_end(done: Completed) -> None:
    """Nor is half of one."""
    (query,) = pbs.status([job("9.pbs")])
    with pytest.raises(ControllerError):
        query.answer(done)


def test_who_does_not_answer_has_not_refused() -> None:
    """A submission may have been taken."""
    done = captured("qstat-refused-22.05.out", 255, "qstat-refused-22.05.err")
    assert pbs.is_no_answer(done)
    assert not pbs.is_no_answer(said("", 1, "qsub: Unknown queue\n"))


def test_own_jobs_are_found_by_the_user_s_name() -> None:
    """Two commands in one, as qstat has no such filter with -f; perhaps there is none."""
    (query,) = pbs.own("ada")
    assert ["sh", "-c"] == list(query.argv[:2])
    assert ["sh", "ada"] == list(query.argv[-2:])
    found = query.parse(captured("qstat-jobs-2022.1.json"))

    assert ["STDIN", "pyannote", "xgc1_core"] == [status.name for status in found]
    assert [] == query.parse(said())


# Its end


def test_a_job_that_ended_by_itself() -> None:
    """With its exit code and its times."""
    done = captured("qstat-finished-22.05.json")
    found = how_it_ended(pbs, done, "0.725ccdf1a5fb")

    assert found is not None
    assert (Phase.ENDED, 0, True) == (found.phase, found.exit_code, found.by_itself)
    assert local("2022-10-11 08:13:47") == found.end_time
    assert found.end_time == ending(mtime="Tue Oct 11 09:00:00 2022").end_time
    assert pbs.ended_text(found).startswith("The job ended on its own.")


@pytest.mark.parametrize(
    "done",
    [
        said("", 153, "qstat: Unknown Job Id 7.pbs\n"),
        said('{"pbs_server": "pbs"}', 0, "qstat: PBS is not configured to maintain job history 7.pbs\n"),
        said("", 0, "qstat: PBS is not configured to maintain job history 7.pbs\n"),
    ],
)  # fmt: skip
def test_a_site_without_a_history(done: Completed) -> None:
    """It does not know, and says so to people."""
    assert how_it_ended(pbs, done, "7.pbs") is None
    lost = JobStatus(JobId("7.pbs"), Phase.ENDED, "UNKNOWN", vague=True)
    assert "PBS does not tell how it ended" in pbs.ended_text(lost)


@pytest.mark.parametrize(
    ("fields", "code", "signal", "by_itself", "text"),
    [
        ({"Exit_status": 7, "substate": 93}, 7, None, True, "exit code 7"),
        ({"Exit_status": "7"}, 7, None, True, "exit code 7"),
        ({"Exit_status": 265}, None, 9, False, "SIGKILL"),
        ({"Exit_status": -29, "substate": 93}, None, None, False, "its time limit"),
        ({"Exit_status": "-29"}, None, None, False, "its time limit"),
        ({"Exit_status": -27}, None, None, False, "more memory than it had asked"),
        ({"Exit_status": -99}, None, None, False, "PBS ended the job (Exit_status -99)"),
        (
            {
                "Exit_status": 271,
                "resources_used": {"walltime": "00:01:01"},
                "Resource_List": {"walltime": "00:01:00"},
            },
            None,
            15,
            False,
            "its time limit",
        ),
        (
            {
                "Exit_status": 271,
                "substate": 91,
                "comment": "Job run at Tue Oct 11 at 08:13 on (n:ncpus=1) and "
                f"terminated by {login_name()}@login",
            },
            None,
            15,
            False,
            "was deleted by you",
        ),
        (
            {"Exit_status": 271, "substate": 91, "comment": "x and terminated by operator@s"},
            None,
            15,
            False,
            "was deleted by operator",
        ),
        (
            {"Exit_status": None, "substate": 91, "comment": "Not Running: ..."},
            None,
            None,
            False,
            "was deleted, by you or by an administrator",
        ),
        ({"Exit_status": 0, "substate": 91}, 0, None, False, "was deleted"),
        ({"job_state": "M", "Exit_status": None}, None, None, False, "moved to another"),
    ],
)  # fmt: skip
def test_how_a_job_ended(
    fields: dict[str, Any],
    code: int | None,
    signal: int | None,
    by_itself: bool,
    text: str,
) -> None:
    """Whether its script ended, or what ended it: by PBS's codes and substates."""
    status = ending(**fields)

    assert (code, signal, by_itself) == (
        status.exit_code,
        status.signal,
        status.by_itself,
    )
    assert text in pbs.ended_text(status)


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        (0, ""),
        (153, "qdel: Unknown Job Id 7.pbs\n"),
        (35, "qdel: Job has finished 7.pbs\n"),
    ],
)
def test_a_job_that_is_gone_is_cancelled(code: int, stderr: str) -> None:
    """That is no error."""
    query = pbs.cancel(JobId("7.pbs"))
    assert ["qdel", "7.pbs"] == list(query.argv)
    query.parse(said("", code, stderr))


@pytest.mark.parametrize(
    ("code", "stderr", "transient"),
    [
        (168, "qdel: Request invalid for state of job 7.pbs\n", True),
        (1, "Connection refused\nCouldn't connect to cluster: pbs\n", True),
        (159, "qdel: Unauthorized Request  7.pbs\n", False),
    ],
)
def test_a_job_that_is_not_cancelled(code: int, stderr: str, transient: bool) -> None:
    """It is tried again where that may help: one that ends now is soon gone."""
    with pytest.raises(CommandError) as caught:
        pbs.cancel(JobId("7.pbs")).parse(said("", code, stderr))
    assert transient == caught.value.transient


# The time limit


@pytest.mark.parametrize(
    ("limit", "minutes", "expected"),
    [("01:00:00", "30", "1:30:00"), ("100:59:58", "1", "101:00:58")],
)
def test_a_time_limit_is_moved(
    tmp_path: Path, limit: str, minutes: str, expected: str
) -> None:
    """qalter takes the whole limit: the old one is asked for first."""
    query = pbs.extend(JobId("7.pbs"), int(minutes))
    full = f"Job Id: 7.pbs\n    Resource_List.walltime = {limit}\n    stime = Wed"
    for name, text in (
        ("qstat", f'[ "$*" = "-f 7.pbs" ] && echo "{full}"'),
        ("qalter", 'echo "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o700)
    done = subprocess.run(
        query.argv,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"-l walltime={expected} 7.pbs\n" == done.stdout


def test_a_user_may_not_move_it() -> None:
    """Most sites let only their staff."""
    query = pbs.extend(JobId("7.pbs"), 30)
    with pytest.raises(DeniedError):
        query.parse(said("", 159, "qalter: Unauthorized Request  7.pbs\n"))
    with pytest.raises(CommandError) as caught:
        query.parse(said("", 1, "the job has no walltime\n"))
    assert not isinstance(caught.value, DeniedError)


# Its words


def waits(reason: str, state: str = "Q", standing: float = 0.0) -> JobStatus:
    return JobStatus(JobId("7.pbs"), Phase.PENDING, state, reason, standing=standing)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("", "waiting in the queue"),
        (
            "Not Running: Insufficient amount of resource: ncpus (R: 2 A: 1 T: 2)",
            "waiting for free CPUs (Insufficient amount of resource: ncpus (R: 2 A: 1 T: 2))",
        ),
        (
            "Not Running: Insufficient amount of resource qlist",
            "waiting for free nodes of its queue (Insufficient amount of resource qlist)",
        ),
        (
            "Not Running: User has reached server running job limit.",
            ("your running jobs reach a limit of yours (User has reached server running "
            "job limit)"),
        ),
        (
            "Not Running: Job would cross dedicated time boundary",
            ("it would still run when the machine, or its queue, is kept for something "
            "else (Job would cross dedicated time boundary)"),
        ),
        ("Not Running: The moon is wrong", "waiting (Q The moon is wrong)"),
    ],
)  # fmt: skip
def test_what_a_job_waits_for(reason: str, text: str) -> None:
    """In plain words, and in PBS's."""
    assert text == pbs.pending_text(waits(reason))


def test_what_can_be_done_about_it() -> None:
    """With a command to copy."""
    held = waits("Hold_Types=u", "H")
    assert "the job is on hold (Hold_Types=u)" == pbs.pending_text(held)
    assert "`qrls 7.pbs` lets it go on." == pbs.pending_advice(held)
    assert "" == pbs.pending_advice(waits(""))


def test_jobs_that_can_never_start() -> None:
    """Believed after a while, as nodes come back; not where PBS says it of a service."""
    never = "Can Never Run: Insufficient amount of resource: ncpus (R: 30 A: 2 T: 2)"
    service = "Can Never Run: Insufficient amount of server resource: eagle_fs (True != False)"

    assert pbs.never(waits(never), {}) is None
    found = pbs.never(waits(never, standing=60), {})
    assert found is not None
    assert "no node of its queue has so many CPUs" in found
    assert pbs.never(waits(service, standing=60), {}) is None
    given_up = statuses(pbs, captured("qstat-jobs-2022.1.json"), "412020")["412020"]
    assert "failed to start many times" in (pbs.never(given_up, {}) or "")


# The site


def doubts(options: dict[str, Any], name: str) -> list[str]:
    query = pbs.doubts(replace(REQUEST, options=options))
    return query.parse(captured(name)) if query else []


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        ({}, "qstat-queue-20.0.json", ""),
        ({"queue": "qexp", "walltime": "1:00:00"}, "qstat-queue-20.0.json", ""),
        (
            {"queue": "qexp", "walltime": "2:00:00"},
            "qstat-queue-20.0.json",
            "walltime 2:00:00 is over the limit of queue 'qexp', which is 01:00:00",
        ),
        ({"queue": "qexp", "nodes": 5}, "qstat-queue-20.0.json", "which is 4;"),
        (
            {"queue": "qexp", "nodes": 4, "ncpus": 37},
            "qstat-queue-20.0.json",
            "which is 144;",
        ),
        ({"queue": "debg"}, "qstat-queues-2022.1.json", "did you mean 'debug'?"),
        ({"queue": "run_next"}, "qstat-queues-2022.1.json", "takes no jobs now"),
    ],
)
def test_what_a_queue_would_not_take(
    options: dict[str, Any], name: str, expected: str
) -> None:
    """A guess, which refuses nothing."""
    found = doubts(options, name)
    assert bool(expected) == bool(found)
    assert all(expected in one for one in found)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ncpus": 64, "mem": "503G", "ngpus": 4}, ""),
        ({"ncpus": 65}, "no node has ncpus 65; the most is 64. `pbsnodes -aSj`"),
        ({"mem": "504G"}, "no node has mem 504gb; the most is 503gb."),
        ({"ngpus": 5}, "no node has ngpus 5; the most is 4."),
        ({"queue": "qexp", "ncpus": 65}, "no node has ncpus 65"),
        ({"queue": "other", "ncpus": 64}, "qstat shows no queue 'other' here"),
        ({"queue": "other@server", "ncpus": 64}, ""),
    ],
)
def test_what_no_node_has(options: dict[str, Any], expected: str) -> None:
    """Asked together with the queues; how much of it is free does not matter."""
    query = pbs.doubts(replace(REQUEST, options=options))
    assert query is not None
    both = ("qstat-queue-20.0.json", "pbsnodes.invented.json")
    text = "".join(captured(name).stdout for name in both)
    found = query.parse(said(text))

    assert bool(expected) == bool(found)
    assert all(one.startswith(expected) for one in found)
    assert [] == query.parse(said("pbsnodes: command not found"))


def test_queues_to_choose_from() -> None:
    """Those that take jobs of users."""
    query = pbs.offers("queue", "ada")
    assert query is not None
    assert ["debug", "prod"] == query.parse(captured("qstat-queues-2022.1.json"))
    assert pbs.offers("account", "ada") is None


# The script


def test_the_script_tells_the_agent_its_job(tmp_path: Path) -> None:
    """From PBS's variables, and the file that has the nodes, a line for each process."""
    nodes = tmp_path / "nodes"
    nodes.write_text("n1\nn1\nn2\nn2\n")
    told = "echo $RK_JOB_ID $RK_NODE $RK_NODES $RK_NODE_COUNT $RK_CLUSTER $RK_JOB_MARK"
    environ = {"PBS_JOBID": "7.pbs", "PATH": "/usr/bin:/bin"}

    def run(**more: str) -> list[str]:
        argv = ["bash", "-c", f"{pbs.script_head(REQUEST)}\n{told}"]
        said = subprocess.run(
            argv, env={**environ, **more}, capture_output=True, text=True, check=True
        )
        assert "" == said.stderr
        return said.stdout.split()

    found = run(PBS_NODEFILE=str(nodes))
    assert ["7.pbs", "n1", "n1,n2", "2", "pbs", "PBS_JOBID=7.pbs"] == found
    assert ["7.pbs", "pbs", "PBS_JOBID=7.pbs"] == run()


def test_no_script_has_directives() -> None:
    """qsub would obey them: its first line of shell ends its search."""
    way = pbs.submission(REQUEST, "#!/bin/bash -l\n#PBS -N mine\necho\n")
    lines = way.stdin.splitlines()
    first = next(n for n, line in enumerate(lines) if not re.match("#", line))
    assert not any(line.startswith("#PBS") for line in lines[:first])
