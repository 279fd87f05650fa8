"""scheduler.flux: commands out, what Flux says in; captures/flux/SOURCES.md says from where."""

from __future__ import annotations

import os
import subprocess
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
from remote_kernels.scheduler.drivers import environment
from remote_kernels.scheduler.flux.answers import f58, first_node
from remote_kernels.scheduler.flux.driver import Flux
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
)
from scheduler.asking import how_it_ended, job, status_argv, statuses

CAPTURES = Path(__file__).with_name("captures") / "flux"
RUNNING, HELD, PENDING = "fiFkbMhFM", "fiFsPiQD5", "fiFxrykWs"
flux = Flux()


def said(stdout: str = "", stderr: str = "", code: int = 0) -> Completed:
    return Completed(("flux", "jobs"), code, stdout, stderr)


def captured(name: str) -> Completed:
    """What came on standard output; messages come on standard error."""
    text = (CAPTURES / name).read_text()
    return said(text) if name.endswith(".json") else said("", text, 1)


def the_job(name: str, number: str) -> JobStatus:
    return statuses(flux, captured(name), number)[number]


def of_several(number: int) -> JobStatus:
    return the_job("jobs-several-invented.json", f58(number << 24))


def argv(**options: Any) -> list[str]:
    read = {option.name: option.kind.read for option in flux.options}
    given = {name.replace("_", "-"): value for name, value in options.items()}
    if "flux-args" in given:
        given["flux_args"] = given.pop("flux-args")
    known = {name: read[name](value) for name, value in given.items()}
    return list(flux.submission(JobRequest("jupyter-ab", "/log", known), "").argv)


def test_a_script_is_submitted_on_standard_input() -> None:
    """As a batch job: under its name, with its log, and one slot."""
    way = flux.submission(JobRequest("jupyter-ab", "/home/a/log"), "#!/bin/bash\n")

    names = ["--job-name=jupyter-ab", "--output=/home/a/log"]
    assert ["flux", "batch", *names, "--nslots=1"] == list(way.argv)
    assert "#!/bin/bash\n" == way.stdin


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "a", "bank": "b"}, ["--nslots=1", "--queue=a", "--bank=b"]),
        ({"cores_per_slot": 4}, ["--nslots=1", "--cores-per-slot=4"]),
        ({"gpus_per_slot": 1}, ["--nslots=1", "--gpus-per-slot=1"]),
        ({"nodes": 2}, ["--nslots=2", "--nodes=2"]),
        ({"exclusive": True}, ["--nslots=1", "--nodes=1", "--exclusive"]),
        ({"urgency": "hold"}, ["--nslots=1", "--urgency=hold"]),
        ({"signal": "USR1@2m"}, ["--nslots=1", "--signal=USR1@2m"]),
        ({"flux_args": ["-x", "-v"]}, ["--nslots=1", "-x", "-v"]),
        ({"flux_args": ["-S", "a=b"]}, ["--nslots=1", "-S", "a=b"]),
    ],
)
def test_options_are_those_of_flux_batch(
    options: dict[str, Any], words: list[str]
) -> None:
    """A node is a slot; Flux wants nodes wherever they are exclusive."""
    assert words == argv(**options)[4:]


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (90, "90"),
        ("90", "90"),
        ("1.5h", "1.5h"),
        ("2H", "2h"),
        ("1:30:00", "5400s"),
        ("1:30", None),  # minutes to Slurm, hours to LSF
        ("0", None),
        ("0s", None),
        ("0:00:00", None),
        (0, None),
        ("forever", None),
    ],
)
def test_a_time_limit(value: object, limit: str | None) -> None:
    """Flux has no colons; 0 would be no limit at all."""
    if limit is None:
        with pytest.raises(ConfigError):
            argv(time_limit=value)
    else:
        assert f"--time-limit={limit}" == argv(time_limit=value)[-1]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--job-name=mine"], "found again by the name"),
        (["--job=mine"], "found again by the name"),
        (["--output=/log"], "private directory"),
        (["--env=-*"], "env_keep"),
        (["--wrap"], "standard input"),
        (["--quiet"], "hide the job id"),
        (["--dry-run"], "submit nothing"),
        (["--list-plugins"], "submit nothing"),
        (["--cc=1-3"], "a kernel is one job"),
        (["--bcc", "1-3"], "a kernel is one job"),
        (["--watch"], "would not return"),
        (["--wait"], "would not return"),
        (["--wait-event=start"], "would not return"),
        (["-w"], "would not return"),
        (["-n4"], "one slot on each node"),
        (["--"], "ends the options"),
        (["script.sh"], "for a script"),
        (["-x", "script.sh"], "for a script"),
    ],
)
def test_what_would_break_us_is_refused(args: list[str], words: str) -> None:
    """With the reason, before anything is submitted."""
    with pytest.raises(ConfigError, match=words):
        argv(flux_args=args)


def test_memory_is_nothing_that_flux_counts() -> None:
    """So it is refused, instead of looking granted."""
    assert "memory" not in {option.portable for option in flux.options}
    with pytest.raises(ConfigError, match="no option mem"):
        flux.check(JobRequest("", "", {"mem": "4G"}))


def test_a_name_that_flux_would_change() -> None:
    """{{id}} in the name of a log would become the job's number."""
    with pytest.raises(ConfigError, match="id}}"):
        flux.submission(JobRequest("jupyter-ab", "/home/a/{{id}}/log"), "")


@pytest.mark.parametrize(
    ("stdout", "number"),
    [
        ("ƒiFkbMhFM\n", "fiFkbMhFM"),
        ("fiFkbMhFM\n", "fiFkbMhFM"),
        ("flux is kind today\nƒM7Zq9AKHno\n", "fM7Zq9AKHno"),
    ],
)
def test_the_job_id_in_letters_of_any_terminal(stdout: str, number: str) -> None:
    """ƒ is f where that cannot be shown; the commands take both."""
    way = flux.submission(JobRequest("jupyter-ab", "/log"), "")

    assert JobId(number) == way.parse(said(stdout))
    assert number[1:] not in flux.notice(said(stdout))
    assert flux.knows(JobId(number))


def test_no_job_id() -> None:
    """ValueError, so that the job is looked for by its name."""
    way = flux.submission(JobRequest("jupyter-ab", "/log"), "")
    with pytest.raises(ValueError, match="no job id"):
        way.parse(said("for you: nothing\n"))


@pytest.mark.parametrize(
    ("number", "text"),
    [(91088924704768, RUNNING), (91093387444224, HELD), (0, "f1"), (57, "fz")],
)
def test_numbers_are_written_as_flux_writes_them(number: int, text: str) -> None:
    """Older ones print them as whole numbers alone, in JSON."""
    assert text == f58(number)


@pytest.mark.parametrize(
    ("name", "number", "phase", "state", "node", "reason"),
    [
        ("jobs-running.json", RUNNING, Phase.RUNNING, "RUN", "3db47f546663", ""),
        ("jobs-held.json", HELD, Phase.PENDING, "SCHED", None, "held"),
        ("jobs-pending.json", PENDING, Phase.PENDING, "SCHED", None, ""),
        (
            "jobs-canceled.json",
            RUNNING,
            Phase.ENDED,
            "CANCELED",
            "3db47f546663",
            "cancel",
        ),
    ],
)
def test_a_job_asked_for_alone(
    name: str, number: str, phase: Phase, state: str, node: str | None, reason: str
) -> None:
    """It comes bare."""
    status = the_job(name, number)

    assert (phase, state, node, reason) == (
        status.phase,
        status.state,
        status.node,
        status.reason,
    )


@pytest.mark.parametrize(
    ("number", "phase", "state", "node", "reason"),
    [
        (1, Phase.RUNNING, "RUN", "fluke3", ""),
        (2, Phase.PENDING, "SCHED", None, "insufficient resources"),
        (3, Phase.PENDING, "DEPEND", None, "depends: begin-time=1791490000.000"),
        (4, Phase.ENDED, "COMPLETED", "asp", ""),
        (6, Phase.ENDED, "TIMEOUT", "asp", "timeout: resource allocation expired"),
        (10, Phase.ENDING, "CLEANUP", "asp", ""),
    ],
)
def test_several_jobs(
    number: int, phase: Phase, state: str, node: str | None, reason: str
) -> None:
    """They come in a list."""
    status = of_several(number)

    assert (phase, state, node, reason) == (
        status.phase,
        status.state,
        status.node,
        status.reason,
    )


def test_when_it_ends() -> None:
    """A job without a limit has a time beyond all; that is none."""
    assert the_job("jobs-running.json", RUNNING).end_time is None
    assert 1791488939.5 == of_several(1).end_time
    assert 2.5 == of_several(4).end_time
    assert 1791490000.0 == of_several(2).start_time


@pytest.mark.parametrize(
    ("number", "code", "signal", "by_itself", "words"),
    [
        (4, 0, None, True, "on its own"),
        (5, 42, None, True, "failed with exit code 42"),
        (6, 142, None, False, "time limit. Ask for more with 'time-limit'"),
        (7, None, None, False, "cancelled"),
        (8, 1, None, False, "asks for: unsatisfiable request. Ask for less"),
        (9, None, 15, True, "signal 15"),
        (11, 0, None, True, "on its own"),
    ],
)
def test_how_a_job_ended(
    number: int, code: int | None, signal: int | None, by_itself: bool, words: str
) -> None:
    """By an exception of severity 0, or else by itself; -128 is no exit code."""
    done = captured("jobs-several-invented.json")

    status = how_it_ended(flux, done, f58(number << 24))

    assert status is not None
    assert (code, signal, by_itself) == (
        status.exit_code,
        status.signal,
        status.by_itself,
    )
    assert words in flux.ended_text(status)


def test_jobs_are_asked_for_by_their_numbers() -> None:
    """In one command; states are no filter then."""
    assert ["flux", "jobs", "--json", "fA", "fB"] == list(status_argv(flux, "fA", "fB"))


def test_a_job_that_is_not_known_is_gone() -> None:
    """Alone that is an error of the command, among others it is not."""
    assert {} == statuses(flux, captured("jobs-unknown.txt"), "f68GN")
    some = replace(captured("jobs-running.json"), stderr="JobID f68GN unknown\n")
    assert [RUNNING] == [*statuses(flux, some, "f68GN", RUNNING)]


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        ("", "flux-jobs: ERROR: Unable to connect to Flux: Connection refused\n"),
        ("", ""),
        ('{"jobs": []}', "rpc: Connection reset by peer\n"),
        ('{"jobs": [{"id', ""),
    ],
)
def test_no_answer_is_not_gone(stdout: str, stderr: str) -> None:
    """Half an answer is none, too."""
    (query,) = flux.status([job(RUNNING)])
    with pytest.raises(ControllerError):
        query.answer(said(stdout, stderr, 1))


def test_no_jobs_are_an_answer() -> None:
    """For who looks for jobs of ours."""
    (query,) = flux.own("alice")

    assert [] == query.parse(said('{"jobs": []}\n'))
    assert ["jupyter-00000001", "jupyter-00000002"] == [
        status.name for status in query.parse(captured("jobs-several-invented.json"))
    ][:2]


def test_an_unknown_state_is_alive() -> None:
    """A word of a later Flux never means that the job is gone."""
    text = captured("jobs-running.json").stdout.replace('"RUN"', '"DREAM"')

    status = statuses(flux, said(text), RUNNING)[RUNNING]

    assert (Phase.UNKNOWN, "DREAM") == (status.phase, status.state)


@pytest.mark.parametrize(
    "done",
    [
        said(),
        captured("cancel-unknown.txt"),
        said("", "flux-cancel: ERROR: ƒ68GN: job is inactive\n", 1),
    ],
)
def test_a_job_that_is_gone_is_cancelled(done: Completed) -> None:
    """No error when there is nothing left to cancel."""
    flux.cancel(job("f68GN")).parse(done)


def test_a_cancel_that_failed_is_an_error() -> None:
    """Somebody else's job; and a broker that is down may be asked again."""
    query = flux.cancel(job("f68GN"))
    guests = "guests can only raise exceptions on their own jobs"
    with pytest.raises(CommandError, match=guests) as caught:
        query.parse(said("", f"flux-cancel: ERROR: ƒ68GN: {guests}\n", 1))
    assert not caught.value.transient
    with pytest.raises(ControllerError):
        query.parse(said("", "flux-cancel: ERROR: Unable to connect to Flux\n", 1))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "duration update of running job requires instance owner privileges",
            DeniedError,
        ),
        ("job is immutable due to previous instance owner update", DeniedError),
        ("requested duration (1h) exceeds policy limit of 30m", DeniedError),
        ("duration for ƒ68GN is unlimited, can't update by +30m", CommandError),
    ],
)
def test_a_time_limit_is_not_moved(text: str, kind: type[CommandError]) -> None:
    """On a cluster only its administrators move that of a job that runs."""
    query = flux.extend(job("f68GN"), 30)

    assert ["flux", "update", "f68GN", "duration=+30m"] == list(query.argv)
    query.parse(said())
    with pytest.raises(CommandError, match="instance") as caught:
        query.parse(said("", f"flux-update: ERROR: {text}\n", 1))
    assert kind is type(caught.value)


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("SCHED", "", "waiting for free nodes, or behind other jobs"),
        ("SCHED", "held", "on hold (held)"),
        ("SCHED", "priority-hold", "your bank or of the site"),
        ("SCHED", "insufficient resources", "free nodes (insufficient resources)"),
        ("DEPEND", "depends: begin-time=17.0", "its begin time"),
        ("DEPEND", "depends: after-ok=ƒA", "what it depends on"),
        ("PRIORITY", "", "its priority"),
        ("FUTURE", "words", "FUTURE: words"),
    ],
)
def test_what_a_job_waits_for(state: str, reason: str, words: str) -> None:
    """Flux's own word is in brackets; no full stop."""
    phase = Phase.UNKNOWN if state == "FUTURE" else Phase.PENDING
    text = flux.pending_text(JobStatus(job("fA"), phase, state, reason))

    assert words in text
    assert not text.endswith(".")


def test_advice_names_the_job() -> None:
    """So that the command can be copied."""
    status = JobStatus(job("fA"), Phase.PENDING, "SCHED", "held")

    assert "`flux job urgency fA default`" in flux.pending_advice(status)


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("FAILED", "exec: No such file or directory", "run on its node: No such file"),
        ("FAILED", "exec", "run on its node. Start"),
        ("FAILED", "myexception: mine", "Flux ended the job: myexception: mine"),
        ("FAILED", "", "does not say why"),
        ("UNKNOWN", "", "no longer knows"),
    ],
)
def test_how_it_ended_in_plain_words(state: str, reason: str, words: str) -> None:
    """And what to change."""
    text = flux.ended_text(JobStatus(job("fA"), Phase.ENDED, state, reason))

    assert words in text
    assert text.endswith(".")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("Invalid queue 'gpu' specified", "Change 'queue'"),
        ("job submission to debug is disabled: maintenance", "another 'queue'"),
        ("requested duration (2h) exceeds policy limit of 1h", "'time-limit'"),
        ("nnodes (5) exceeds policy limit", "Ask for less"),
        ("unsatisfiable request: need 9 node(s)", "No nodes have"),
        ("invalid Flux standard duration", "Correct 'time-limit'"),
        ("unrecognized arguments: --foo", "'flux_args'"),
        ("Unable to connect to Flux: Connection refused", "did not answer"),
        ("a word of the future", ""),
    ],
)
def test_errors_of_flux_batch_get_advice(text: str, advice: str) -> None:
    """What to do about each that we know."""
    done = said("", f"flux-batch: ERROR: {text}\n", 1)

    found = flux.submit_advice(done)

    assert advice in found
    assert bool(advice) == bool(found)
    assert ("connect" in text) == flux.is_no_answer(done)


@pytest.mark.parametrize(
    ("done", "is_it"),
    [
        (said(" 07:48:42 run 2.1d,  owner flux,  depth 0,  size 8\n"), True),
        (said(" 07:47:18 run 1.6m,  owner user42,  depth 1,  size 2\n"), True),
        (said("", "flux: flux_open: No such file or directory\n", 1), True),
        (said("", "flux-uptime: Unable to connect to Flux\n", 1), True),
        (said("", "sh: 1: flux: not found\n", 127), False),
        (said("flux: a program of another kind\n"), False),
        (said("", 'Error: unknown command "uptime" for "flux"\n', 1), False),
    ],
)
def test_it_is_told_from_another_by_asking(done: Completed, is_it: bool) -> None:
    """A program for Kubernetes has the same name; Flux may be silent."""
    assert ("flux", "uptime") == flux.question
    assert is_it == flux.recognizes(done)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("fluke[3-4]", "fluke3"), ("fluke[07,9],asp", "fluke07"), ("asp,asp", "asp")],
)
def test_the_first_node(nodes: str, first: str) -> None:
    """Where the script runs; and, of all of its hosts, what a Flux is known by."""
    assert first == first_node(nodes)
    assert first == flux.cluster().parse(said(f"{nodes}\n"))


def test_versions() -> None:
    """Of its commands."""
    text = "commands:    \t\t0.54.0\nlibflux-core:\t\t0.54.0\n"

    assert "flux-core 0.54.0" == flux.version().parse(said(text))
    assert "" == flux.version().parse(said("flux: v2.6.4\n"))


@pytest.mark.parametrize(
    ("stdout", "doubts"),
    [("batch\ndebug\n", 1), ("gpu\nbatch\n", 0), ("\n", 0), ("", 0)],
)
def test_a_queue_that_is_not_there(stdout: str, doubts: int) -> None:
    """A doubt before it is submitted; a Flux without queues is none."""
    query = flux.doubts(JobRequest("", "", {"queue": "gpu"}))
    offers = flux.offers("queue", "alice")
    assert query is not None
    assert offers is not None

    assert doubts == len(query.parse(said(stdout)))
    assert sorted(stdout.split()) == offers.parse(said(stdout))


def test_the_job_sees_no_other_job_s_variables() -> None:
    """Which Flux is meant stays."""
    environ = {
        "PATH": "/bin",
        "FLUX_URI": "local:///run/flux/local",
        "FLUX_JOB_ID": "ƒA",
        "PMI_RANK": "0",
        "MY_DATA": "/data",
    }

    kept = set(environment(flux, environ, keep=("MY_*", "F*", "P*")))

    assert {"PATH", "FLUX_URI", "MY_DATA"} == kept


# --- what runs in the job -----------------------------------------------------------


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize(
    ("environ", "mark"),
    [
        ({"FLUX_ENCLOSING_ID": "ƒiFkbMhFM"}, "FLUX_ENCLOSING_ID=ƒiFkbMhFM"),
        ({"FLUX_ENCLOSING_ID": "fiFkbMhFM"}, "FLUX_ENCLOSING_ID=fiFkbMhFM"),
        ({}, None),
    ],
)
def test_the_script_is_told_its_job(
    tmp_path: Path, locale: str, environ: dict[str, str], mark: str | None
) -> None:
    """By the Flux that is its job; Flux writes ƒ, in two bytes."""
    program = tmp_path / "flux"
    said = "jobid) echo ƒiFkbMhFM;; size) echo 2;; hostlist) echo 'fluke[3-4]';;"
    program.write_text(f'#!/bin/sh\ncase "$2" in {said} esac\n')
    program.chmod(0o700)
    places = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LC_ALL": locale}

    head = flux.script_head(JobRequest("jupyter-ab", "/log"))
    told = subprocess.run(
        ["/bin/bash", "-c", f"{head}\nenv"],
        env={**places, **environ},
        check=True,
        capture_output=True,
    ).stdout.decode()

    pairs = (line.partition("=")[::2] for line in told.splitlines())
    facts = {name: value for name, value in pairs if name.startswith("RK_")}
    assert mark == facts.pop("RK_JOB_MARK", None)
    assert {
        "RK_JOB_ID": RUNNING,
        "RK_NODE": os.uname().nodename,
        "RK_NODES": "fluke[3-4]",
        "RK_NODE_COUNT": "2",
        "RK_LAUNCHERS": "flux flux-job",
    } == facts
