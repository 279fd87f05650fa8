"""scheduler.torque: commands out, captured answers of Torque in."""

from __future__ import annotations

import re
import subprocess
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
from remote_kernels.scheduler.job import Completed, JobId, JobRequest, JobStatus, Phase
from remote_kernels.scheduler.torque.driver import Torque
from scheduler.asking import how_it_ended, job, status_argv, statuses

torque = Torque()
CAPTURES = Path(__file__).with_name("captures") / "torque"
AWS = "ip-10-0-0-196.eu-west-1.compute.internal"
REQUEST = JobRequest("jupyter-0a1b2c3d", "/home/a b/job.log")


def captured(name: str, code: int = 0, stderr: str = "") -> Completed:
    return Completed(("qstat",), code, (CAPTURES / name).read_text(), stderr)


def said(stdout: str = "", code: int = 0, stderr: str = "") -> Completed:
    return Completed(("qstat",), code, stdout, stderr)


def ending(status: str | None, used: str = "00:00:10", limit: str = "") -> JobStatus:
    """The captured job that completed, with another exit status: how it ended."""
    text = (CAPTURES / "qstat-completed.xml").read_text()
    text = re.sub("<Job>.*(?=<Job>)", "", text)
    told = "" if status is None else f"<exit_status>{status}</exit_status>"
    text = text.replace("<exit_status>0</exit_status>", told)
    text = text.replace("<mtime>1480547422<", "<mtime>1480547777<")
    text = text.replace("<walltime>00:00:00<", f"<walltime>{used}<")
    if limit:
        text = text.replace("<nice>", f"<walltime>{limit}</walltime><nice>")
    found = how_it_ended(torque, said(text), "673174.superserver.stanford.edu")
    assert found is not None
    return found


def argv(options: Mapping[str, Any]) -> list[str]:
    """What is asked of qsub besides what always is."""
    found = list(torque.submission(replace(REQUEST, options=options), "").argv)
    return found[found.index("/dev/null") + 1 :]


def read(name: str, value: object) -> object:
    (option,) = (each for each in torque.options if each.name == name)
    return option.kind.read(value)


# Submission


def test_the_script_writes_the_log_itself() -> None:
    """Torque would copy it there when the job has ended."""
    way = torque.submission(REQUEST, "#!/bin/bash -l\necho it runs\n")

    assert ["qsub", "-N", "jupyter-0a1b2c3d", "-S", "/bin/bash"] == list(way.argv)[:5]
    assert ["#!/bin/bash -l", "exec >>'/home/a b/job.log' 2>&1", "echo it runs"] == (
        way.stdin.splitlines()
    )
    assert JobId("12.s.org") == way.parse(said("12.s.org\n"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"queue": "q1", "account": "a1"}, ["-q", "q1", "-A", "a1"]),
        ({"ppn": 4, "mem": "8G"}, ["-l", "nodes=1:ppn=4", "-l", "mem=8gb"]),
        ({"nodes": 2, "gpus": 1}, ["-l", "nodes=2:gpus=1"]),
        ({"nodes": 3, "mem": "8G"}, ["-l", "nodes=3", "-l", "mem=24gb"]),
        ({"properties": ("big", "ib")}, ["-l", "nodes=1:big:ib"]),
        ({"gpus": 0}, []),
        ({"walltime": "2:00:00"}, ["-l", "walltime=2:00:00"]),
        ({"qsub_args": ("-m", "n")}, ["-m", "n"]),
    ],
)
def test_resources_are_asked_for_by_node(
    options: dict[str, Any], expected: list[str]
) -> None:
    """But for memory, which is the whole job's there."""
    assert expected == argv(options)


@pytest.mark.parametrize("args", [["-t", "1-3"], ["-I"], ["-F", "x"], ["-P", "root"]])
def test_arguments_that_would_break_the_job_are_refused(args: list[str]) -> None:
    """Its own besides those that PBS has, too."""
    with pytest.raises(ConfigError, match=r"cannot be given to qsub here: ."):
        read("qsub_args", args)
    assert ("-W", "group_list=g") == read("qsub_args", ["-W", "group_list=g"])


@pytest.mark.parametrize("printed", ["123.server.site\n", "123\n", "Welcome!\n123\n"])
def test_a_job_s_number_may_be_without_its_server(printed: str) -> None:
    """As display_job_server_suffix has it."""
    done = said(printed)
    found = torque.submission(REQUEST, "").parse(done)
    assert ("123", True) == (found.number.partition(".")[0], torque.knows(found))
    assert "123" not in torque.notice(done)


@pytest.mark.parametrize(("number", "cluster"), [("7.a.b", "a.b"), ("7", "unset")])
def test_a_job_s_cluster_is_its_server(number: str, cluster: str) -> None:
    """Where its number names that."""
    script = f"{torque.script_head(REQUEST)}\necho ${{RK_CLUSTER-unset}}"
    env = {"PATH": "/usr/bin:/bin", "PBS_JOBID": number}
    told = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert cluster == told.stdout.strip()


@pytest.mark.parametrize(
    ("stderr", "advice"),
    [
        (
            "qsub: submit error (Unknown queue MSG=requested queue not found)\n",
            "Change 'queue'",
        ),
        (
            (
                "qsub: submit error (Job exceeds queue resource limits MSG=cannot satisfy "
                "queue max walltime requirement)\n"
            ),
            "Ask for less",
        ),
        (
            "qsub: cannot connect to server s (errno=111) Connection refused\n",
            "`qstat -B`",
        ),
        ("qsub: too loud\n", ""),
    ],
)
def test_what_to_do_about_a_refusal(stderr: str, advice: str) -> None:
    """By Torque's own words; "" for what we do not know."""
    found = torque.submit_advice(said(code=1, stderr=stderr))
    assert advice in found
    assert bool(advice) == bool(found)


# Which system


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (said(stderr="Version: 6.1.2\nCommit: 661e092552de43a785c15d39a3634a541\n"), True),
        (said(stderr="version: 2.5.7\n"), True),
        (said("pbs_version = 2022.1.1.20220926110806\n"), False),
        (said(code=1, stderr="qstat: unknown option --version\n"), False),
    ],
)  # fmt: skip
def test_its_qstat_is_known_by_its_version(done: Completed, expected: bool) -> None:
    """PBS's and Grid Engine's have the same name."""
    assert expected == torque.recognizes(done)
    assert "qstat --version; exec qstat -B" == torque.question[-1]


def test_the_cluster_is_the_server() -> None:
    """By the name that its jobs have."""
    text = f"Server: {AWS}\n    server_state = Active\n    pbs_version = 6.1.2\n"
    assert torque.cluster().parse(said(text)) == AWS


# A job that is there


def test_states_of_jobs() -> None:
    """Running on one node and on two, waiting: each with what is told of it."""
    ids = [f"{number}.{AWS}" for number in (149, 150, 152)]
    assert ["qstat", "-x", *ids] == list(status_argv(torque, *ids))
    one, two, waits = statuses(torque, captured("qstat-jobs-6.1.xml"), *ids).values()

    assert (Phase.RUNNING, "R", "", "ip-10-0-1-168", "STDIN") == (
        one.phase,
        one.state,
        one.reason,
        one.node,
        one.name,
    )
    assert (1562156185, 1562159785) == (one.start_time, one.end_time)
    assert "ip-10-0-1-95" == two.node
    assert (Phase.PENDING, None, None) == (waits.phase, waits.node, waits.end_time)
    assert waits.reason.startswith("Not Running - PBS Error: Resource temporarily")
    assert torque.pending_text(waits).startswith("waiting for free nodes (PBS Error")


def test_a_job_is_known_by_its_number_alone() -> None:
    """As people write it; a part of an array is none of ours."""
    found = statuses(torque, captured("qstat-jobs-6.1.xml"), "149", "166")
    assert ["149"] == [*found]


def test_a_document_for_each_job() -> None:
    """That is what qstat prints for several."""
    text = (CAPTURES / "qstat-completed.xml").read_text()
    other = (CAPTURES / "qstat-jobs-6.1.xml").read_text()
    found = statuses(torque, said(text + other), "149", "673174")

    assert [Phase.RUNNING, Phase.ENDED] == [status.phase for status in found.values()]


def test_what_users_write_is_no_field() -> None:
    """Some versions escape less than they should."""
    body = "<Job_Id>1.s</Job_Id><job_state>Q</job_state>"
    before = "<Variable_List>A=<job_state>C</job_state>&</Variable_List>"
    found = statuses(torque, said(f"<Data><Job>{before}{body}</Job></Data>"), "1.s")
    assert Phase.PENDING is found["1.s"].phase


def test_own_jobs_are_found_by_the_user_s_name() -> None:
    """Without those that have ended."""
    (query,) = torque.own("ada")
    assert ["sh", "ada"] == list(query.argv[-2:])
    assert ["int_tmux"] == [
        s.name for s in query.parse(captured("qstat-completed.xml"))
    ]
    assert [] == query.parse(said())


def test_a_job_that_is_gone_is_missing() -> None:
    """The others are there, though qstat failed."""
    gone = "qstat: Unknown Job Id Error 9.s\n"
    jobs = (CAPTURES / "qstat-jobs-6.1.xml").read_text()

    assert ["149"] == [*statuses(torque, said(jobs, 153, gone), "149", "9.s")]
    assert {} == statuses(torque, said("", 153, gone), "9.s")


@pytest.mark.parametrize(
    "done",
    [
        said("", 111, "qstat: cannot connect to server s (errno=111) Connection refused\n"),
        said("", 137, "Communication failure.\nqstat: cannot connect to server s (errno=15137) could not connect to trqauthd\n"),
        said("<Data><Job><Job_Id>9.s</Job_Id>", 0),
        said("", 127),
    ],
)  # fmt: skip
def test_no_answer_is_not_an_end(done: Completed) -> None:
    """Nor is half of one."""
    (query,) = torque.status([job("9.s")])
    with pytest.raises(ControllerError):
        query.answer(done)


# Its end


def test_a_job_that_ended_by_itself() -> None:
    """With its exit code and its times."""
    found = ending("0")
    assert (Phase.ENDED, 0, True, 1480547422) == (
        found.phase,
        found.exit_code,
        found.by_itself,
        found.end_time,
    )


def test_a_job_that_is_forgotten() -> None:
    """After some minutes."""
    done = said("", 153, "qstat: Unknown Job Id Error 9.s\n")
    assert how_it_ended(torque, done, "9.s") is None
    lost = JobStatus(JobId("9.s"), Phase.ENDED, "UNKNOWN", vague=True)
    assert "Torque no longer knows" in torque.ended_text(lost)


@pytest.mark.parametrize(
    ("status", "code", "signal", "by_itself", "text"),
    [
        (ending("7"), 7, None, True, "exit code 7"),
        (ending("265"), None, 9, False, "SIGKILL"),
        (ending("271"), None, 15, False, "was deleted, or ended by SIGTERM"),
        (ending("271", "01:00:03", "01:00:00"), None, 15, False, "its time limit"),
        (ending("271", "00:00:03", "01:00:00"), None, 15, False, "was deleted"),
        (ending("-11"), None, None, False, "its time limit"),
        (ending("-10"), None, None, False, "more memory than it had asked"),
        (ending("-9"), None, None, False, "output could not be opened"),
        (ending("-99"), None, None, False, "exit_status -99"),
        (ending(None), None, None, False, "deleted before it ran"),
    ],
)
def test_how_a_job_ended(
    status: JobStatus,
    code: int | None,
    signal: int | None,
    by_itself: bool,
    text: str,
) -> None:
    """Whether its script ended, or what ended it: by Torque's codes."""
    assert (code, signal, by_itself) == (
        status.exit_code,
        status.signal,
        status.by_itself,
    )
    assert text in torque.ended_text(status)


@pytest.mark.parametrize(
    "stderr",
    [
        "qdel: nonexistent job id: 9.s\n",
        "qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE 9.s\n",
    ],
)
def test_a_job_that_is_gone_is_cancelled(stderr: str) -> None:
    """That is no error."""
    torque.cancel(JobId("9.s")).parse(said("", 168, stderr))


@pytest.mark.parametrize(
    ("stderr", "transient"),
    [
        ("qdel: Request invalid for state of job MSG=invalid state for job - EXITING 9.s\n", True),
        ("qdel: cannot connect to server s (errno=111) Connection refused\n", True),
        ("qdel: Unauthorized Request  9.s\n", False),
    ],
)  # fmt: skip
def test_a_job_that_is_not_cancelled(stderr: str, transient: bool) -> None:
    """It is tried again where that may help: one that ends now is soon gone."""
    with pytest.raises(CommandError) as caught:
        torque.cancel(JobId("9.s")).parse(said("", 168, stderr))
    assert transient == caught.value.transient


def test_a_user_may_not_move_the_time_limit() -> None:
    """Most sites let only their staff."""
    with pytest.raises(DeniedError):
        torque.extend(JobId("7.s"), 30).parse(
            said("", 159, "qalter: Unauthorized Request  7.s\n")
        )


# Its words


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("", "waiting in the queue"),
        (
            "Not Running: Not enough of the right type of nodes are available",
            "waiting for free nodes (Not enough of the right type of nodes are available)",
        ),
        ("Hold_Types=u", "the job is on hold (Hold_Types=u)"),
        ("Not Running: The moon is wrong", "waiting (Q The moon is wrong)"),
    ],
)
def test_what_a_job_waits_for(reason: str, text: str) -> None:
    """In plain words, and in its own."""
    status = JobStatus(JobId("7.s"), Phase.PENDING, "Q", reason)
    assert text == torque.pending_text(status)


# The site


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ""),
        ({"queue": "batch", "walltime": "24:00:00"}, ""),
        ({"queue": "batch", "walltime": "25:00:00"}, "which is 24:00:00;"),
        ({"queue": "closed"}, "takes no jobs now"),
        ({"queue": "other"}, "There are: batch, closed"),
    ],
)
def test_what_a_queue_would_not_take(options: dict[str, Any], expected: str) -> None:
    """A guess, which refuses nothing."""
    query = torque.doubts(replace(REQUEST, options=options))
    found = query.parse(captured("qstat-queues.invented.txt")) if query else []
    assert bool(expected) == bool(found)
    assert all(expected in one for one in found)


def test_queues_to_choose_from() -> None:
    """All of them."""
    query = torque.offers("queue", "ada")
    assert query is not None
    assert ["batch", "closed"] == query.parse(captured("qstat-queues.invented.txt"))
