"""scheduler.oar: commands out, captured answers of OAR 2.5.9 in."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.config import parse
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
from remote_kernels.scheduler.oar import options, reasons
from remote_kernels.scheduler.oar.driver import Oar
from scheduler.asking import how_it_ended, job, statuses

oar = Oar()
DATA = Path(__file__).with_name("captures") / "oar"
ROOT = "you" if login_name() == "root" else "root"
LOG = "/home/alice/.local/state/remote_kernels/kernels/k/job.log"


def captured(name: str) -> Completed:
    """One command's argv, exit code and both streams."""
    body = json.loads((DATA / f"{name}.json").read_text())
    return Completed(
        tuple(body["argv"]), body["returncode"], body["stdout"], body["stderr"]
    )


def numbers(done: Completed) -> list[str]:
    return [done.argv[i + 1] for i, word in enumerate(done.argv) if word == "-j"]


def the_job(name: str) -> JobStatus:
    """The one job in a captured oarstat."""
    done = captured(name)
    (status,) = statuses(oar, done, *numbers(done)).values()
    return status


def submitted(given: dict[str, Any]) -> list[str]:
    """What oarsub gets for a kernelspec's options."""
    settings = parse({"scheduler": "oar", **given})
    request = JobRequest("jupyter-ab", LOG, settings.options)
    argv = [*oar.submission(request, "").argv]
    return argv[argv.index("oarsub") :]


# Submission


def test_submit_has_every_option_by_oarsub_s_name() -> None:
    """The parts of -l are one option; further arguments come last."""
    argv = submitted(
        {
            "queue": "long",
            "account": "proj42",
            "time": "1:30:00",
            "nodes": 2,
            "cores": 4,
            "property": "mem > 8000",
            "type": "besteffort",
            "oarsub_args": ["--notify=mail:a@b.c"],
        }
    )

    assert ["oarsub", "--name=jupyter-ab", "--directory=/"] == argv[:3]
    assert [f"--stdout={LOG}", f"--stderr={LOG}"] == argv[3:5]
    assert [
        "--queue=long",
        "--project=proj42",
        "--property=mem > 8000",
        "--resource=/nodes=2/core=4,walltime=1:30:00",
        "--type=besteffort",
        "--notify=mail:a@b.c",
    ] == argv[5:]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, []),
        ({"walltime": "0:10"}, ["--resource=walltime=0:10"]),
        ({"walltime": "1-02:00:00"}, ["--resource=walltime=26:00:00"]),
        ({"core": 2}, ["--resource=/nodes=1/core=2"]),
        ({"gpu": 2}, ["--resource=/nodes=1/gpu=2"]),
        ({"gpu": 2, "core": 8}, ["--resource=/nodes=1/gpu=2/core=4"]),
        ({"resource": "/cpu=1,walltime=2"}, ["--resource=/cpu=1,walltime=2"]),
    ],
)
def test_what_is_asked_for(given: dict[str, Any], wanted: list[str]) -> None:
    """A level counts within the one above it; what is not asked for is the site's."""
    assert wanted == submitted(given)[5:]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"walltime": 2}, "2 alone would be hours for oarsub, but minutes elsewhere"),
        ({"time": "30"}, "write '30:00:00' for hours, or '0:30:00' for minutes"),
        ({"walltime": "soon"}, "expected a walltime: 2h, 90m, H:MM"),
        ({"walltime": "0:00:00"}, "expected a walltime"),
        ({"walltime": "²"}, "expected a walltime"),
        ({"walltime": "\u0661:00"}, "expected a walltime"),
        ({"walltime": "\u0661-02"}, "expected a walltime"),
        ({"memory": "4G"}, "OAR has no option for memory"),
        ({"resource": "/core=1", "time": "1:00:00"}, "exclude each other"),
        ({"gpu": 2, "core": 3}, "3 cores cannot be shared out among 2 GPUs"),
        ({"type": "deploy"}, "its script would run on a frontend"),
        ({"type": ["idempotent"]}, "a job that starts anew has lost its kernel"),
        ({"queue": "it's"}, "expected letters, digits"),
        ({"oarsub_args": ["script.sh"]}, "oarsub would take it for a command"),
        ({"oarsub_args": ["--array=3"]}, "a kernel is one job"),
        ({"oarsub_args": ["-n", "mine"]}, "found again by the name"),
        ({"oarsub_args": ["-t", "deploy"]}, "its script would run on a frontend"),
        ({"oarsub_args": ["--type=noop"]}, "it would run nothing"),
        ({"oarsub_args": ["-tnoop"]}, "it would run nothing"),
        ({"oarsub_args": ["--ty=idempotent"]}, "has lost its kernel"),
        ({"oarsub_args": ["--ty", "idempotent"]}, "has lost its kernel"),
        ({"oarsub_args": ["--T=idempotent"]}, "has lost its kernel"),
        ({"oarsub_args": ["--TYPE", "idempotent"]}, "has lost its kernel"),
        ({"oarsub_args": ["-kt", "idempotent"]}, "has lost its kernel"),
        ({"oarsub_args": ["--std=x"]}, "kernel's own private directory"),
        ({"oarsub_args": ["--STDOUT=/home/alice/zz"]}, "own private directory"),
        ({"oarsub_args": ["--E=/home/alice/zz"]}, "own private directory"),
        ({"oarsub_args": ["-kI"]}, "the job's script is made here"),
        ({"oarsub_args": ["--hold", "sleep"]}, "would take it for a command"),
        ({"oarsub_args": ["-k", "sleep"]}, "would take it for a command"),
        ({"oarsub_args": ["--queue=", "sleep"]}, "would take it for a command"),
        ({"oarsub_args": ["--interact"]}, "the job's script is made here"),
        ({"oarsub_args": ["--"]}, "ends the options of oarsub"),
        ({"partition": "debug"}, "OAR has 'queue' for that"),
    ],
)
def test_what_is_refused_before_it_is_submitted(
    given: dict[str, Any], words: str
) -> None:
    """With what is wrong about it."""
    with pytest.raises(ConfigError, match=words):
        submitted(given)


def test_an_option_with_a_value_beside_it_is_taken() -> None:
    """As it is."""
    args = ["--notify", "mail:a@b.c", "-a", "12", "-t", "besteffort"]

    assert args == submitted({"oarsub_args": args})[5:]


def test_the_script_waits_in_a_file_beside_the_log() -> None:
    """oarsub reads none, and would keep and tell what is on its command line."""
    for login in (False, True):
        request = JobRequest("jupyter-ab", LOG, login=login)

        way = oar.submission(request, "#!/bin/bash\n: the script")

        own = way.argv[: way.argv.index("--")]
        assert f"--script={LOG}.script" in own
        assert login == ("--login" in own)
        assert "#!/bin/bash\n: the script" == way.stdin
        assert ": the script" not in " ".join(way.argv)


def job_id_in(stdout: str) -> JobId:
    way = oar.submission(JobRequest("jupyter-ab", LOG), "")
    return way.parse(Completed(("oarsub",), 0, stdout, ""))


def test_the_job_id() -> None:
    """Among what the site's rules say; a number below 0 is none."""
    found = re.search(r"OAR_JOB_ID=(\d+)", captured("oarsub-ok").stdout)
    assert found
    assert JobId(found[1]) == job_id_in(captured("oarsub-ok").stdout)
    for stdout in ("OAR_JOB_ID=-5\n", "OAR_JOB_ID=\n", "my OAR_JOB_ID=7\n", ""):
        with pytest.raises(ValueError, match="no job id"):
            job_id_in(stdout)


def test_what_the_site_says_of_a_job_it_takes() -> None:
    """What a fresh installation says of every job is no news."""
    assert "" == oar.notice(captured("oarsub-ok"))
    assert [
        "[ADMISSION RULE] Automatically redirect in the besteffort queue",
        "[ADMISSION RULE] Automatically add the besteffort constraint on the resources",
    ] == oar.notice(captured("oarsub-besteffort")).splitlines()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("queue", "without 'queue'"),
        ("queue-admin", "Leave 'queue' out"),
        ("nodes", "busy or not"),
        ("core", "busy or not"),
        ("property", "no such property"),
        ("property-sql", "conditions of SQL"),
        ("property-none", "busy or not"),
        ("resource", "no such property"),
        ("resource-form", "'resource' is written as for -l"),
        ("type", "'type' is one that this site knows"),
        ("log", "'state_dir'"),
        ("root", "ordinary user"),
        ("down", "does not answer"),
        ("no-server", "does not answer"),
        ("option", ""),
    ],
)
def test_what_oarsub_refuses_gets_advice(name: str, advice: str) -> None:
    """Of what we know; a refusal is an answer."""
    done = captured(f"oarsub-{name}")

    assert advice in oar.submit_advice(done)
    assert bool(advice) == bool(oar.submit_advice(done))
    assert (name in ("down", "no-server")) == oar.is_no_answer(done)


def test_a_refusal_that_we_do_not_know_is_not_the_rules() -> None:
    """Whatever they said before of the job, as they do of each."""
    notices = captured("oarsub-nodes").stdout
    assert "[ADMISSION RULE] Set default walltime" in notices

    def advice(stderr: str) -> str:
        return oar.submit_advice(Completed(("oarsub",), 1, notices, stderr))

    assert "" == advice("something else went wrong\n")
    assert "site's rules" in advice("[ADMISSION RULE] Error: no jobs on Sundays\n")
    quoted = 'ERROR:  unterminated quoted identifier at or near """ at character 7\n'
    assert "conditions of SQL" in advice(quoted)


# States


@pytest.mark.parametrize(
    ("name", "phase", "state", "node"),
    [
        ("hold", Phase.PENDING, "Hold", None),
        ("waiting", Phase.PENDING, "Waiting", None),
        ("running", Phase.RUNNING, "Running", "c1"),
        ("suspended", Phase.SUSPENDED, "Suspended", "c1"),
        ("cancelled", Phase.ENDED, "Error", "c1"),
        ("completed", Phase.ENDED, "Terminated", "c1"),
        ("failed", Phase.ENDED, "Terminated", "c1"),
    ],
)
def test_oarstat(name: str, phase: Phase, state: str, node: str | None) -> None:
    """Phase, OAR's own word, and the node on which the script runs."""
    status = the_job(f"oarstat-{name}")

    assert (phase, state) == (status.phase, status.state)
    assert (node is None) == (status.node is None)


def test_the_time_of_a_job_that_was_suspended() -> None:
    """It stands still meanwhile (sarko), so nobody knows the end of one that is."""
    assert the_job("oarstat-suspended").end_time is None
    done = captured("oarstat-suspended")
    told = json.loads(done.stdout)
    (one,) = told.values()
    one["state"] = "Running"
    (hold,) = one["events"]
    one["events"] = [{**hold, "type": "RESUME_JOB", "date": hold["date"] + 300}, hold]

    (status,) = statuses(oar, replace(done, stdout=json.dumps(told)), "23").values()

    assert one["startTime"] + 600 + 300 == status.end_time


def test_the_first_of_several_nodes_runs_the_script() -> None:
    """They are sorted, and so does OAR choose."""
    told = json.loads(captured("oarstat-running").stdout)
    (one,) = told.values()

    assert ["c1", "c2"] == one["assigned_network_address"]
    assert "c1" == the_job("oarstat-running").node


@pytest.mark.parametrize(
    ("word", "phase"),
    [
        ("toLaunch", Phase.PENDING),
        ("Launching", Phase.PENDING),
        ("toAckReservation", Phase.PENDING),
        ("Resuming", Phase.SUSPENDED),
        ("Finishing", Phase.ENDING),
        ("toError", Phase.ENDING),
        ("Dreaming", Phase.UNKNOWN),
    ],
)
def test_the_other_states(word: str, phase: Phase) -> None:
    """All that 2.5.9 has; one that it has not is alive."""
    done = captured("oarstat-running")
    text = done.stdout.replace('"Running"', f'"{word}"')

    (status,) = statuses(oar, replace(done, stdout=text), *numbers(done)).values()

    assert (phase, word) == (status.phase, status.state)


def test_when_the_time_is_over() -> None:
    """The start and the walltime tell; before a job runs, only when it may start."""
    running, waiting = the_job("oarstat-running"), the_job("oarstat-waiting")
    (told,) = json.loads(captured("oarstat-running").stdout).values()

    assert told["startTime"] + told["walltime"] == running.end_time
    assert told["startTime"] == running.start_time
    assert waiting.start_time
    assert waiting.end_time is None
    assert (None, None) == (
        the_job("oarstat-hold").start_time,
        the_job("oarstat-hold").end_time,
    )


def test_numbers_may_be_text() -> None:
    """As MySQL's driver gives them."""
    done = captured("oarstat-failed")
    text = re.sub(r'"(\w+)" : (\d+)', r'"\1" : "\2"', done.stdout)

    (status,) = statuses(oar, replace(done, stdout=text), *numbers(done)).values()

    assert replace(the_job("oarstat-failed"), job_id=status.job_id) == status


def test_what_a_job_waits_for_does_not_change_with_each_look() -> None:
    """The summary of the request is left out, and the user's share."""
    assert "" == the_job("oarstat-waiting").reason
    assert "" == the_job("oarstat-hold").reason
    assert "" == the_job("oarstat-postponed").reason
    done = captured("oarstat-waiting")
    for said, reason in {
        "(Karma=0.031,quota_ok)": "",
        "(Karma=0.031,quota_exceeded: too many)": "quota_exceeded: too many",
        "(FIFO)": "FIFO",
    }.items():
        text = done.stdout.replace("(Karma=0.000,quota_ok)", said)
        (status,) = statuses(oar, replace(done, stdout=text), *numbers(done)).values()
        assert reason == status.reason


def test_jobs_are_asked_for_in_one_command() -> None:
    """What OAR does not know is missing, alone and among others."""
    done = captured("oarstat-several")
    (query,) = oar.status([job(one) for one in numbers(done)])

    asked = [*query.argv][query.argv.index("oarstat") :]
    assert ["oarstat", "-J", "--format=2", "-f"] == asked[:4]
    assert [word for one in numbers(done) for word in ("-j", one)] == asked[4:]
    assert {*numbers(done)} - {"999999"} == {*statuses(oar, done, *numbers(done))}
    assert {} == statuses(oar, captured("oarstat-unknown"), "999999")


def test_the_user_s_own_jobs_have_their_names() -> None:
    """All that have not ended; none is no error."""
    (query,) = oar.own("alice")

    named = query.parse(captured("oarstat-own"))

    assert {"Hold", "Waiting", "Running"} == {status.state for status in named}
    assert {"jupyter-c0ffee00"} == {status.name for status in named}
    assert [] == query.parse(captured("oarstat-own-none"))


@pytest.mark.parametrize("name", ["oarstat-down", "oarstat-own-down"])
def test_no_answer_is_not_gone(name: str) -> None:
    """A database that is not there says nothing about a job."""
    with pytest.raises(ControllerError, match="says nothing about the job"):
        statuses(oar, captured(name), "5")


def test_a_command_that_was_ended_has_not_answered() -> None:
    """It may have said nothing at all, as where packets vanish."""
    silent = Completed(("oarstat",), 142, "", "")

    assert oar.is_no_answer(silent)
    with pytest.raises(ControllerError):
        oar.cancel(job("5")).parse(silent)


@pytest.mark.parametrize("stdout", ["", "{}\n", "null\n"])
def test_no_jobs_at_all(stdout: str) -> None:
    """Nothing in 2.5.9; an empty set, however it is written, in others."""
    assert {} == statuses(oar, Completed(("oarstat",), 0, stdout, ""), "5")


def test_half_an_answer_is_none() -> None:
    """A question that failed in the middle leaves the exit code at 0."""
    done = captured("oarstat-several")
    broken = "DBD::Pg::st execute failed: server closed the connection unexpectedly\n"

    with pytest.raises(ControllerError):
        statuses(oar, replace(done, stderr=broken), *numbers(done))


# Its end


@pytest.mark.parametrize(
    ("name", "code", "signum", "by_itself", "words"),
    [
        ("completed", 0, None, True, "ended on its own"),
        ("failed", 97, None, True, "exit code 97"),
        ("signalled", 0, 9, True, "signal 9"),
        ("cancelled", None, None, False, "cancelled by alice"),
        ("cancelled-waiting", None, None, False, "cancelled by alice"),
        ("cancelled-late", None, None, False, "cancelled by alice"),
        ("cancelled-by-root", None, None, False, f"cancelled by {ROOT}"),
        ("walltime", None, None, False, "time limit"),
        ("no-log", None, None, False, "state directory is not shared"),
        ("besteffort", None, None, False, "make room for another one"),
        ("no-node", None, None, False, "could not be started on its node"),
    ],
)
def test_how_a_job_ended(
    name: str, code: int | None, signum: int | None, by_itself: bool, words: str
) -> None:
    """Its script's exit code, or what ended it: the events tell."""
    done = captured(f"oarstat-{name}")

    status = how_it_ended_here(done)

    assert Phase.ENDED is status.phase
    assert (code, signum, by_itself) == (
        status.exit_code,
        status.signal,
        status.by_itself,
    )
    assert words in oar.ended_text(status)


def how_it_ended_here(done: Completed) -> JobStatus:
    """`asking.how_it_ended`, for the command that runs it."""
    (number,) = numbers(done)
    (query,) = oar.ended(job(number))
    status = how_it_ended(oar, replace(done, argv=tuple(query.argv)), number)
    assert status is not None
    return status


def test_a_job_that_nobody_knows_has_no_end() -> None:
    """Nothing is made up."""
    (query,) = oar.ended(job("999999"))
    assert query.parse(captured("oarstat-unknown")) is None


@pytest.mark.parametrize("name", ["oardel-ok", "oardel-ended", "oardel-again"])
def test_twice_is_no_error(name: str) -> None:
    """To end what has ended."""
    oar.cancel(job("5")).parse(captured(name))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("oardel-not-ours", CommandError),
        ("oardel-unknown", CommandError),
        ("oardel-down", ControllerError),
        ("oardel-no-server", ControllerError),
    ],
)
def test_what_is_not_cancelled(name: str, kind: type[CommandError]) -> None:
    """Nobody answered, and it is to be tried again; or the job is somebody else's."""
    with pytest.raises(kind) as caught:
        oar.cancel(job("5")).parse(captured(name))
    assert (kind is ControllerError) == caught.value.transient


def test_a_job_is_ended_by_its_name() -> None:
    """One that lives: OAR keeps the others for ever."""
    argv = oar.cancel_by_name(JobRequest("jupyter-ab", LOG))

    wanted = "job_name = 'jupyter-ab' AND state NOT IN ('Terminated', 'Error')"
    assert ["oardel", "--sql", wanted] == argv[-3:]


def test_the_time_limit_is_moved() -> None:
    """Where the site lets it."""
    query = oar.extend(job("5"), 90)
    assert ["oarwalltime", "5", "+1:30:00"] == [*query.argv][-3:]
    query.parse(captured("oarwalltime-ok"))

    off = "Not available: functionality is disabled.\n"
    for stdout in (captured("oarwalltime-not-ours").stdout, off):
        with pytest.raises(DeniedError, match="was not moved"):
            query.parse(Completed(("oarwalltime",), 3, stdout, ""))
    with pytest.raises(CommandError, match="was not moved"):
        query.parse(captured("oarwalltime-unknown"))
    with pytest.raises(ControllerError):
        query.parse(captured("oarwalltime-down"))


# The ways into it


def test_the_way_into_a_job() -> None:
    """oarsh makes one text of its arguments; it is told the job."""
    argv = oar.into(job("5"), "c1", ["python3", "-c", "print('a  b')"])

    argv = argv[argv.index("--held") :]
    assert ["--held", "--", "env", "OAR_JOB_ID=5", "oarsh", "-q", "c1"] == argv[:7]
    assert ["python3 -c 'print('\"'\"'a  b'\"'\"')'"] == argv[7:]


# Who is it?


def test_it_is_recognized_by_what_it_says() -> None:
    """And only if its database answers; not another program of that name."""
    assert oar.recognizes(captured("question"))
    assert not oar.recognizes(captured("question-down"))
    assert not oar.recognizes(Completed(("oarsub",), 0, "usage: oarsub\n", ""))
    assert "2.5.9 (Canicule)" == oar.version().parse(captured("question"))


def test_properties_are_offered() -> None:
    """Those of which nodes have few values; none of OAR's own."""
    query = oar.offers("property", "alice")
    assert query is not None

    offered = query.parse(captured("oarnodes"))

    assert {"host='c1'", "host='c2'", "gpu='1'"} <= {*offered}
    assert not [text for text in offered if text.startswith(("state", "cpuset"))]
    assert "mem='4000'" not in offered  # all nodes have it
    assert oar.offers("walltime", "alice") is None


# Its words

JARGON = re.compile(
    r"\b(frag\w*|Leon|oarexec|moldable|Karma|bipbip|sarko)\b", re.IGNORECASE
)
QUOTED = re.compile(r"'[\w-]+'|`[^`]+`|\([A-Z_]+\)|\"[^\"]+\"")


def test_its_words_are_for_people() -> None:
    """Clauses have no full stop, sentences have one; OAR's own words are quoted."""
    clauses = [row[1] for row in reasons.WAITS]
    clauses += [row[0] for row in reasons.STATES.values()]
    sentences = [row[2] for row in reasons.WAITS]
    sentences += [row[1] for row in reasons.STATES.values()]
    sentences += [*chain.from_iterable(reasons.ENDS.values())]
    sentences += [row[1] for row in reasons.REFUSALS]

    for text in clauses:
        assert text[0].islower()
        assert not text.endswith(".")
    for text in filter(None, sentences):
        assert text.rstrip('"').endswith((".", '."')), text
    for text in (*clauses, *sentences):
        assert not JARGON.search(QUOTED.sub("", text)), text


@pytest.mark.parametrize(
    ("state", "reason", "text", "advice"),
    [
        ("Hold", "", "held, and not to be started (Hold)", "`oarresume 7`"),
        ("Launching", "", "starting on its node (Launching)", ""),
        ("Waiting", "", "waiting for its turn (Waiting)", ""),
        (
            "Waiting",
            "No enough matching resources (no_matching_slot)",
            f"{reasons.WAITS[0][1]} (No enough matching resources (no_matching_slot))",
            "oarnodes -s",
        ),
        ("Waiting", "Something new", "waiting (Something new)", ""),
        ("Dreaming", "", "in a state that we do not know (Dreaming)", ""),
    ],
)
def test_what_a_job_waits_for(state: str, reason: str, text: str, advice: str) -> None:
    """In plain words, with OAR's own in brackets."""
    status = JobStatus(job("7"), Phase.PENDING, state, reason)

    assert text == oar.pending_text(status)
    assert advice in oar.pending_advice(status)
    assert bool(advice) == bool(oar.pending_advice(status))


def test_a_job_that_nodes_that_are_away_could_run() -> None:
    """It waits, and may never start; that is for OAR to know."""
    status = the_job("oarstat-absent")

    assert "No enough matching resources" in status.reason
    assert "no node that fits" in oar.pending_text(status)
    assert oar.never(status, {}) is None


def test_what_can_never_start() -> None:
    """OAR ends such a job itself, a moment later."""
    said = "Inner job: container 3 does not exist, inner job will never run"
    status = JobStatus(job("7"), Phase.PENDING, "Waiting", said)

    assert "can never start" in str(oar.never(status, {}))


def test_every_option_is_known_by_its_refusals() -> None:
    """What may not be given has a reason that is a clause."""
    for why in options._REASONS.values():
        assert not why.endswith(".")
