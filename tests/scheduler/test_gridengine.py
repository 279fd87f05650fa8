"""scheduler.gridengine: commands out, captured answers of Grid Engine 8.1.9 in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.errors import CommandError, ConfigError, ControllerError
from remote_kernels.scheduler.drivers import environment
from remote_kernels.scheduler.gridengine.driver import GridEngine
from remote_kernels.scheduler.job import Completed, JobId, JobRequest, JobStatus, Phase
from scheduler import captured as captures
from scheduler.asking import how_it_ended, job, statuses

gridengine = GridEngine()
REQUEST = JobRequest("jupyter-0a1b2c3d", "/home/a b/job.log")
OTHERS = Path(__file__).with_name("captures") / "gridengine"
BASH = shutil.which("bash") or "/bin/bash"


def captured(name: str) -> Completed:
    return captures.captured(name, "gridengine-8.1.9")


def said(stdout: str = "", code: int = 0, stderr: str = "") -> Completed:
    return Completed(("qstat",), code, stdout, stderr)


def listed(name: str, number: str) -> JobStatus:
    """One job of a captured qstat."""
    return statuses(gridengine, captured(name), number)[number]


def accounted(name: str, number: str) -> JobStatus:
    found = how_it_ended(gridengine, captured(name), number)
    assert found is not None
    return found


def argv(options: Mapping[str, Any]) -> list[str]:
    """What is asked of qsub besides what always is."""
    found = list(gridengine.submission(replace(REQUEST, options=options), "").argv)
    return found[found.index(f":{REQUEST.output}") + 1 :]


def read(name: str, value: object) -> Any:
    (option,) = (each for each in gridengine.options if each.name == name)
    return option.kind.read(value)


# Submission


def test_what_every_job_is_submitted_with() -> None:
    """Nothing that a line of the script, or the site's defaults, could change."""
    way = gridengine.submission(REQUEST, "#!/bin/bash\n")
    text = " ".join(way.argv)

    assert "#!/bin/bash\n" == way.stdin
    assert "qsub" == way.argv[0]
    for words in (
        *("-terse", "-V", "-notify", "-r n", "-S /bin/bash", "-b n", "-j y", "-wd /"),
        "-now n",
        *("-N jupyter-0a1b2c3d", "-o :/home/a b/job.log"),
    ):
        assert f" {words}" in text
    assert "" == way.argv[way.argv.index("-C") + 1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"q": "long.q"}, ["-q", "long.q"]),
        ({"P": "open", "ar": "7"}, ["-P", "open", "-ar", "7"]),
        ({"h_rt": "1:00:00"}, ["-l", "h_rt=3600"]),
        ({"h_rt": "1-00:00:00", "s_rt": "23h"}, ["-l", "h_rt=86400,s_rt=82800"]),
        ({"slots": 4, "pe": "smp"}, ["-pe", "smp", "4"]),
        ({"slots": 4, "pe": "four", "nodes": 2}, ["-pe", "four", "8"]),
        ({"mem": "4G"}, ["-l", "h_vmem=4194304K"]),
        ({"mem": "4G", "slots": 4, "pe": "smp"}, ["-pe", "smp", "4", "-l", "h_vmem=1048576K"]),
        ({"h_vmem": "1500M", "slots": 4, "pe": "smp"}, ["-pe", "smp", "4", "-l", "h_vmem=1536000K"]),
        ({"l": "arch=lx-amd64", "h_rt": "90m"}, ["-l", "h_rt=5400,arch=lx-amd64"]),
        ({"qsub_args": ("-m", "a")}, ["-m", "a"]),
    ],
)  # fmt: skip
def test_each_option_by_grid_engine_s_name(
    options: dict[str, Any], expected: list[str]
) -> None:
    """Memory is each slot's there, and the whole node's here."""
    assert expected == argv(options)


@pytest.mark.parametrize("options", [{"gpu": 1}, {"slots": 4}, {"nodes": 2}])
def test_what_the_site_has_other_words_for(options: dict[str, Any]) -> None:
    """Without these nothing is submitted: qsub would get a request for less."""
    with pytest.raises(ConfigError, match="`prepare` comes first"):
        argv(options)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("q", "long.q@@nodes", "long.q@@nodes"),
        ("q", "a.q,b.q", "a.q,b.q"),
        ("l", "gpu=1,arch=lx-*", "gpu=1,arch=lx-*"),
        ("l", "exclusive", "exclusive"),
        ("gpu", 0, 0),
        ("qsub_args", ["-l", "h=c1"], ("-l", "h=c1")),
    ],
)
def test_values_that_are_read(name: str, value: object, expected: object) -> None:
    """As Grid Engine writes them."""
    assert expected == read(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("h_rt", "60"),  # seconds to Grid Engine, minutes to others
        ("h_rt", "30:00"),
        ("mem", "400"),
        ("slots", 0),
        ("q", "long q"),
        ("l", "gpu=1, arch=x"),
        ("l", "=1"),
        ("qsub_args", ["script.sh"]),
    ],
)
def test_values_that_are_refused(name: str, value: object) -> None:
    """Before anything is submitted."""
    with pytest.raises(ConfigError):
        read(name, value)


@pytest.mark.parametrize(
    "arg",
    [
        *("-t", "-tc", "-e", "-o", "-j", "-V", "-v", "-help", "-verify", "-b", "-C"),
        *("-S", "-shell", "-i", "-N", "-terse", "-notify", "-r", "-ckpt", "-sync"),
        *("-now", "-wd", "-cwd", "-@", "-clear", "-l foo=1", "-", "--"),
    ],
)
def test_arguments_that_would_break_the_job_are_refused(arg: str) -> None:
    """With the reason."""
    with pytest.raises(ConfigError, match=r"cannot be given to qsub here: ."):
        read("qsub_args", ["-m", "n", arg, "x"])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-w", "v"], "it would submit nothing"),
        (["-w", "p"], "it would submit nothing"),
        (["-l foo=1"], 'two words: "-l", "foo=1"'),
        (["-h "], 'two words: "-h"'),
        (["-m", "n", "/path/script"], "would take it for a script"),
        (["-h", "/path/script"], "would take it for a script"),
        (["-p", "-100", "/path/script"], "would take it for a script"),
        (["-pe", "smp", "4", "/path/script"], "would take it for a script"),
        (["-binding", "linear:1", "/path/script"], "would take it for a script"),
    ],
)
def test_arguments_that_would_submit_something_else(
    args: list[str], words: str
) -> None:
    """Or nothing."""
    with pytest.raises(ConfigError, match=words):
        read("qsub_args", args)


@pytest.mark.parametrize(
    "args",
    [
        *(["-w", "e", "-h"], ["-p", "-100", "-m", "n"], ["-pe", "smp", "4"]),
        *(["-soft", "-l", "arch=x"], ["-binding", "env", "linear:1", "-h"]),
    ],
)
def test_arguments_that_are_taken(args: list[str]) -> None:
    """Each with as many values as it has."""
    assert tuple(args) == read("qsub_args", args)


@pytest.mark.parametrize("path", ["/home/a,b/job.log", "/home/$x/job.log"])
def test_a_log_that_grid_engine_cannot_name(path: str) -> None:
    """It would be another file, and the log be lost."""
    with pytest.raises(ConfigError, match=r"no \$ and no comma"):
        gridengine.submission(replace(REQUEST, output=path), "")


def test_memory_is_given_once() -> None:
    """The node's or the slot's."""
    assert [] == [*gridengine.contradictions({"mem": "4G"})]
    (text,) = gridengine.contradictions({"mem": "4G", "h_vmem": "1G"})
    assert "exclude each other" in text


@pytest.mark.parametrize(
    ("option", "further"),
    [
        ("h_rt", "arch=x,h_rt=10"),
        ("s_rt", "s_rt=10"),
        ("h_vmem", "h_vmem=1G"),
        ("mem", "h_vmem=1G"),
    ],
)
def test_a_limit_is_given_once(option: str, further: str) -> None:
    """By its option, or among the further resources: the last would win."""
    (text,) = gridengine.contradictions({option: "1h", "l": further})
    assert f"option '{option}' and " in text
    assert [] == [*gridengine.contradictions({option: "1h", "l": "arch=x"})]
    assert [] == [*gridengine.contradictions({"l": further})]


@pytest.mark.parametrize(
    ("stdout", "number"),
    [
        ("67\n", "67"),
        ("3\n67\n", "67"),
        ("Welcome!\n  12 jobs of yours wait\n67 \n", "67"),
        ("Your job 67 (\"jupyter-0a1b2c3d\") has been submitted\n", "67"),
        ("8\nYour job 7 (\"x\") has been submitted\n", "8"),
    ],
)  # fmt: skip
def test_the_job_s_number(stdout: str, number: str) -> None:
    """The last line of that form; a wrapper may leave -terse out."""
    assert JobId(number) == gridengine.submission(REQUEST, "").parse(said(stdout))


def test_no_number_is_an_error() -> None:
    """The job is looked for by its name then."""
    with pytest.raises(ValueError, match="no job id"):
        gridengine.submission(REQUEST, "").parse(said("You have 3 jobs\n"))
    assert JobId("67") == gridengine.submission(REQUEST, "").parse(captured("qsub-ok"))


def test_variables_of_the_server_that_reach_the_commands() -> None:
    """How the qmaster is found; nothing of an enclosing job, though a pattern asks."""
    environ = {
        "SGE_ROOT": "/opt/sge",
        "SGE_CELL": "big",
        "SGE_TASK_ID": "3",
        "JOB_ID": "7",
        "PE_HOSTFILE": "/x",
        "HOME": "/home/a",
    }
    kept = {"SGE_ROOT", "SGE_CELL", "HOME"}
    assert kept == {*environment(gridengine, environ, ["*"])}


# Which system


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (captured("qconf-sss"), True),
        (captured("qconf-sss-down"), True),
        (captured("qconf-sss-unset"), True),
        (said("qconf: no such option\n", 2), False),
        (said("usage: qconf FILE\n"), False),
    ],
)
def test_it_is_known_by_its_qmaster(done: Completed, expected: bool) -> None:
    """Also where that does not answer, or where it cannot be looked for."""
    assert expected == gridengine.recognizes(done)


def test_the_cluster_is_the_qmaster_s_host() -> None:
    """Many sites name no cluster."""
    assert "ctl" == gridengine.cluster().parse(captured("qconf-sss"))
    with pytest.raises(ControllerError):
        gridengine.cluster().parse(captured("qconf-sss-down"))
    assert "SGE 8.1.9" == gridengine.version().parse(captured("qstat-help"))


@pytest.mark.parametrize("masters", ["", "ctl\nshadow1\n"])
def test_a_cluster_whose_qmaster_moved(tmp_path: Path, masters: str) -> None:
    """Its name stays where the site says which host is first in line (sge_shadowd(8))."""
    common = tmp_path / "default" / "common"
    common.mkdir(parents=True)
    if masters:
        (common / "shadow_masters").write_text(masters)
    qconf = tmp_path / "qconf"
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SGE_ROOT": str(tmp_path)}
    query = gridengine.cluster()
    for text, code, expected in (
        ("shadow1", 0, "ctl" if masters else "shadow1"),
        ("error: commlib error: got select error", 1, None),
    ):
        qconf.write_text(f"#!/bin/sh\necho '{text}'\nexit {code}\n")
        qconf.chmod(0o700)
        done = subprocess.run(
            query.argv, env=env, capture_output=True, text=True, check=False
        )
        completed = Completed(("sh",), done.returncode, done.stdout, done.stderr)
        if expected:
            assert expected == query.parse(completed)
        else:
            with pytest.raises(ControllerError):
                query.parse(completed)


# A job that is there


@pytest.mark.parametrize(
    ("name", "number", "phase", "state", "node"),
    [
        ("qstat-running", "57", Phase.RUNNING, "r", "c2"),
        ("qstat-hr", "57", Phase.RUNNING, "hr", "c2"),
        ("qstat-s", "57", Phase.SUSPENDED, "s", "c2"),
        ("qstat-dr", "57", Phase.ENDING, "dr", "c2"),
        ("qstat-t", "58", Phase.RUNNING, "t", "c1"),
        ("qstat-S", "60", Phase.SUSPENDED, "S", "c2"),
        ("qstat-S", "61", Phase.RUNNING, "r", "c2"),
        ("qstat-Eqw", "62", Phase.PENDING, "Eqw", None),
        ("qstat-Rq", "64", Phase.PENDING, "Rq", None),
        ("qstat-Rr", "64", Phase.RUNNING, "Rr", "c1"),
        ("qstat-pending", "45", Phase.PENDING, "qw", None),
        ("qstat-pending", "46", Phase.PENDING, "hqw", None),
        ("qstat-array", "59", Phase.RUNNING, "r", "c1"),
    ],
)
def test_states(
    name: str, number: str, phase: Phase, state: str, node: str | None
) -> None:
    """By the letters that decide, with the node."""
    status = listed(name, number)
    found = (status.phase, status.state, status.node, status.name)
    called = "sleep" if name == "qstat-array" else "rk-capture"
    assert (phase, state, node, called) == found


def test_an_unknown_state_is_alive() -> None:
    """A letter of a later version never means that the job is gone."""
    done = captured("qstat-running")
    text = done.stdout.replace("<state>r<", "<state>Xr<")
    found = statuses(gridengine, replace(done, stdout=text), "57")["57"]
    assert (Phase.UNKNOWN, "Xr") == (found.phase, found.state)


def test_when_a_job_ends() -> None:
    """At its own limit; the queue's is not told."""
    status = listed("qstat-running", "57")
    assert status.start_time
    assert status.end_time == status.start_time + 600
    assert listed("qstat-S", "61").end_time is None
    assert listed("qstat-pending", "49").end_time is None  # it has not started


def test_a_job_that_is_not_listed_is_missing() -> None:
    """The others are there."""
    done = captured("qstat-S")
    assert ["60"] == [*statuses(gridengine, done, "60", "999999")]
    assert {} == statuses(gridengine, captured("qstat-none"), "60")


@pytest.mark.parametrize("name", ["qstat-down", "qstat-unset"])
def test_no_answer_is_not_gone(name: str) -> None:
    """A qmaster that does not answer says nothing about a job."""
    with pytest.raises(ControllerError, match="says nothing about the job"):
        statuses(gridengine, captured(name), "57")


def test_half_an_answer_is_none() -> None:
    """As when qstat is ended by its time limit."""
    done = captured("qstat-running")
    (query,) = gridengine.status([job("57")])
    with pytest.raises(ControllerError, match="not understood"):
        query.answer(replace(done, stdout=done.stdout[:300]))


def test_own_jobs() -> None:
    """With their names; an array is one job."""
    (query,) = gridengine.own("alice")
    assert ["58", "59"] == [str(s.job_id) for s in query.parse(captured("qstat-array"))]
    assert {"rk-capture", "sleep"} == {s.name for s in query.parse(captured("qstat-array"))}  # fmt: skip


def test_a_row_for_each_slot() -> None:
    """`-g t` in ~/.sge_qstat: the script is where the master is, wherever its row."""
    done = captured("qstat-tasks")
    assert "c1" == listed("qstat-tasks", "58").node
    text = done.stdout.replace("MASTER", "SLAVE", 1)
    text = "MASTER".join(text.rsplit("SLAVE", 1))
    found = statuses(gridengine, replace(done, stdout=text), "58")
    assert ["c2"] == [status.node for status in found.values()]


def test_rows_below_their_queues() -> None:
    """`-f` there: the node is told by the queue above."""
    assert (Phase.RUNNING, "c1") == (
        listed("qstat-full", "58").phase,
        listed("qstat-full", "58").node,
    )


def test_other_users_jobs_are_not_own() -> None:
    """`-u *` there: all are listed, and one may have a name like ours."""
    (query,) = gridengine.own("bob")
    assert [] == query.parse(captured("qstat-running"))


def test_waiting_jobs_are_asked_for() -> None:
    """`-s r` there would hide them, and they would be taken for ended."""
    for (query,) in (gridengine.own("alice"), gridengine.status([job("7")])):
        assert "-s prs -u" in " ".join(query.argv)


def test_places() -> None:
    """Among those that can run, by their priority."""
    ids = [job(number) for number in ("52", "50", "46", "999999")]
    query = gridengine.places(ids)
    assert {job("52"): 1, job("50"): 4} == query.parse(captured("places-pending"))
    assert {} == query.parse(captured("places-none"))
    with pytest.raises(ControllerError):
        query.parse(captured("places-down"))


def reason(name: str, number: str) -> str:
    query = gridengine.reasons([job(number)])
    return query.parse(captured(name))[job(number)]


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("begin", "18", "execution time not reached"),
        ("after", "19", "job dropped because of job dependencies"),
        ("hold", "17", "Job is in hold state"),
        ("quota", "26", 'cannot run because it exceeds limit "alice/////" in rule "rk/1"'),
        ("disabled", "16", "All queues dropped because of overload or full"),
        ("chdir", "40", "can't chdir to /nope: No such file or directory"),
        ("log", "41", 'can\'t open output file "/nope/job.log": No such file or directory'),
        ("time", "20", 'no suitable queues; (-l h_rt=3596400) cannot run in queue "cheap.q"'),
        ("memory", "21", "no suitable queues; (-l h_vmem=104857600K) cannot run at host"),
        ("slots", "23", 'no suitable queues; cannot run in PE "smp" because it only offers'),
        ("off", "27", ""),
    ],
)  # fmt: skip
def test_what_a_job_waits_for(name: str, number: str, expected: str) -> None:
    """The error, or all that the scheduler says; first, that no queue could run it."""
    found = reason(f"reasons-{name}", number)
    assert expected in found
    assert bool(expected) == bool(found)
    assert found.startswith(expected) or "; " in found


def test_what_several_jobs_wait_for() -> None:
    """In one question; of one that is unknown nothing is told, and others are not spoilt."""
    ids = [job(str(number)) for number in range(16, 25)]
    query = gridengine.reasons([*ids, job("999999")])
    found = query.parse(captured("reasons-pending"))
    assert {*ids} == {*found}
    names = [
        "full",
        "hold",
        "begin",
        "after",
        "time",
        "memory",
        "gpus",
        "slots",
        "arch",
    ]
    for name, one in zip(names, ids, strict=True):
        assert reason(f"reasons-{name}", one.number) == found[one]
    with pytest.raises(ControllerError):
        query.parse(captured("reasons-down"))


def test_what_jobs_wait_for_costs_as_much_for_many() -> None:
    """The same commands, with all their numbers in one argument."""
    one = gridengine.reasons([job("1")]).argv
    three = gridengine.reasons([job("1"), job("2"), job("3")]).argv
    assert [*one[:-1], "1,2,3"] == [*three]


# Its end


def test_a_job_that_is_cancelled_as_it_begins() -> None:
    """SIGUSR2 ends a shell that does not listen yet."""
    done = captured("qacct-cancelled-clean")
    early = replace(done, stdout=done.stdout.replace("143 ", "140 "))
    (query,) = gridengine.ended(job("72"))
    status = query.parse(early)
    assert status is not None
    assert ("ended from outside", 140) == (status.state, status.exit_code)


@pytest.mark.parametrize(
    ("name", "number", "state", "code", "signal", "by_itself"),
    [
        ("qacct-ok", "68", "finished", 0, None, True),
        ("qacct-7", "69", "finished", 7, None, True),
        ("qacct-signalled", "70", "ended from outside", None, 9, False),
        ("qacct-memory", "71", "finished", 1, None, True),
        ("qacct-cancelled-clean", "72", "ended from outside", 143, 15, False),
        ("qacct-cancelled", "73", "ended from outside", None, 12, False),
        ("qacct-killed", "57", "ended from outside", None, 9, False),
        ("qacct-time", "65", "time limit", 137, 9, False),
        ("qacct-time-clean", "66", "time limit", 143, 15, False),
        ("qacct-chdir", "62", "failed 28", 0, None, False),
        ("qacct-log", "63", "failed 26", 0, None, False),
        ("qacct-rerun", "64", "ended from outside", None, 12, False),
        ("qacct-slots", "76", "finished", 5, None, True),
        ("qacct-tasks", "75", "ended from outside", 143, 15, False),
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
    """A record each, of the job itself."""
    found = accounted(name, number)
    assert (Phase.ENDED, state, code, signal, by_itself) == (
        found.phase,
        found.state,
        found.exit_code,
        found.signal,
        found.by_itself,
    )


def test_times_and_node_of_a_job_that_ended() -> None:
    """In the time of this host; one that never began has none."""
    found = accounted("qacct-time", "65")
    assert found.start_time
    assert found.end_time
    assert (16, "c2") == (found.end_time - found.start_time, found.node)
    failed = accounted("qacct-chdir", "62")
    assert (None, None) == (failed.start_time, failed.end_time)


@pytest.mark.parametrize(
    "name",
    ["qacct-unknown", "qacct-cancelled-pending", "qacct-down", "qacct-unset"],
)
def test_accounting_that_does_not_know_a_job(name: str) -> None:
    """It never ran, or has ended this moment, or the file is not on this host."""
    assert how_it_ended(gridengine, captured(name), "74") is None


@pytest.mark.parametrize(
    ("name", "number", "changes", "state"),
    [
        ("qacct-memory-together", "79", {}, "memory limit"),
        ("qacct-memory-together", "79", {"h_vmem=204800K": "h_vmem=1G"}, "some limit"),
        ("qacct-memory-together", "79", {"-l h_vmem=204800K": ""}, "some limit"),
        ("qacct-time", "65", {"h_rt=5": "h_rt=50"}, "memory limit"),
        ("qacct-time", "65", {"h_rt=5": "h_vmem=4G"}, "some limit"),
        ("qacct-time", "65", {"h_rt, h_cpu, or h_vmem": "h_rt", "-l h_rt=5": ""}, "time limit"),
        ("qacct-time", "65", {"category     -l": "submit_cmd   qsub -l"}, "time limit"),
        ("qacct-time", "65", {"h_rt=5": "h_rt=0:0:16,h_vmem=1M"}, "memory limit"),
        ("qacct-time", "65", {"h_rt=5": "h_rt=0:0:16"}, "time limit"),
    ],
)  # fmt: skip
def test_the_limit_that_was_reached(
    name: str, number: str, changes: dict[str, str], state: str
) -> None:
    """The record names several: what was asked for, and what was used, tells which."""
    done = captured(name)
    text = done.stdout
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    found = how_it_ended(gridengine, replace(done, stdout=text), number)
    assert found
    assert (state, False) == (found.state, found.by_itself)


RULE = "=" * 62


def records(
    *chosen: int, of: str = "qacct-tasks", number: str = "75"
) -> JobStatus | None:
    """How a job ended whose accounting has these of the captured records."""
    done = captured(of)
    every = done.stdout.split(RULE)[1:]
    text = "".join(f"{RULE}{every[each]}" for each in chosen)
    return how_it_ended(gridengine, replace(done, stdout=text), number)


def test_records_of_what_ran_in_a_job_are_not_the_job_s() -> None:
    """The job's encloses them, and comes last."""
    found = records(0, 1, 2)
    assert found
    assert (143, False) == (found.exit_code, found.vague)
    assert records(2, 1) is None


def test_a_record_that_may_be_of_what_ran_in_a_job() -> None:
    """One alone, or several that began in the same second: to be asked for again."""
    done = captured("qacct-tasks-running")
    for found in (records(0), how_it_ended(gridengine, done, "75")):
        assert found
        assert found.vague


def test_records_that_tell_what_they_are_of() -> None:
    """As those of Univa's and later ones do."""
    done = captured("qacct-tasks")
    task = "pe_taskid    1.c1\nqsub_time"
    *tasks, own = done.stdout.replace("qsub_time", task).split(RULE)
    text = RULE.join([*tasks, own.replace("1.c1", "NONE")])
    found = how_it_ended(gridengine, replace(done, stdout=text), "75")
    assert found
    assert (143, False) == (found.exit_code, found.vague)
    assert (
        how_it_ended(gridengine, replace(done, stdout=RULE.join(tasks)), "75") is None
    )


def test_a_number_that_was_another_job_s() -> None:
    """They begin anew after ten million; the name tells."""
    done = captured("qacct-tasks")
    old = captured("qacct-slots").stdout.replace("76  ", "75  ")
    old = old.replace("rk-capture", "simulation").replace(" 2026\n", " 2016\n")
    found = how_it_ended(gridengine, replace(done, stdout=old + done.stdout), "75")
    assert found
    assert 143 == found.exit_code


def test_a_start_that_came_to_nothing() -> None:
    """Its record is of 1970."""
    done = captured("qacct-rerun")
    text = done.stdout.replace("granted_pe   NONE", "granted_pe   smp ")
    found = how_it_ended(gridengine, replace(done, stdout=text), "64")
    assert found
    assert 12 == found.signal
    assert records(0, of="qacct-rerun", number="64") is None


@pytest.mark.parametrize(
    "name", ["qdel-ok", "qdel-twice", "qdel-ended", "qdel-unknown", "qdel-running"]
)
def test_a_job_that_is_cancelled(name: str) -> None:
    """Or was already, or is gone: no error."""
    gridengine.cancel(JobId("57")).parse(captured(name))


def test_a_job_that_is_not_cancelled() -> None:
    """Somebody else's; or nobody answers, and it is tried again."""
    with pytest.raises(CommandError, match="could not be cancelled") as caught:
        gridengine.cancel(JobId("31")).parse(captured("qdel-not-ours"))
    assert not isinstance(caught.value, ControllerError)
    with pytest.raises(ControllerError):
        gridengine.cancel(JobId("31")).parse(captured("qdel-down"))


@pytest.mark.parametrize(
    "name", ["qsub-down", "qstat-down", "qdel-down", "places-down"]
)
def test_a_qmaster_that_is_away(name: str) -> None:
    """Whatever it is asked."""
    assert gridengine.is_no_answer(captured(name))


@pytest.mark.parametrize(
    "name",
    [
        "qsub-queue",
        "qsub-hostname",
        "qsub-unset",
        "qdel-unknown",
        "qacct-unknown",
        "qstat-none",
    ],
)
def test_an_answer_that_is_one(name: str) -> None:
    """A refusal, or nothing to tell."""
    assert not gridengine.is_no_answer(captured(name))


# Other Grid Engines


def of_others(name: str) -> Completed:
    return said((OTHERS / name).read_text())


def test_jobs_of_sun_s() -> None:
    """Below their queues, and waiting ones after all queues."""
    done = of_others("qstat-full-6.2.xml")
    found = statuses(gridengine, done, "88", "1045", "1046", "44")
    assert [Phase.RUNNING, *[Phase.PENDING] * 3] == [s.phase for s in found.values()]
    running = found["88"]
    assert running.start_time
    assert ("worker", "job_15") == (running.node, running.name)
    assert running.end_time == running.start_time + 360


def test_jobs_of_univa_s() -> None:
    """With milliseconds, and without what has ended."""
    done = of_others("qstat-univa.invented.xml")
    (query,) = gridengine.own("user1")
    running, waiting = query.parse(done)
    assert ("compute-19-11.localdomain", "jupyter-0a1b2c3d") == (
        running.node,
        running.name,
    )
    assert running.start_time
    assert running.end_time == running.start_time + 14400
    assert ("748173", Phase.PENDING) == (str(waiting.job_id), waiting.phase)


@pytest.mark.parametrize(
    ("name", "number", "state", "code", "seconds"),
    [
        ("qacct-killed-6.2.txt", "1072", "ended from outside", None, 361),
        ("qacct-univa.txt", "2701173", "finished", 0, 314),
        ("qacct-ocs-9.0.txt", "22", "finished", 0, 1),
    ],
)
def test_accounting_of_others(
    name: str, number: str, state: str, code: int | None, seconds: int
) -> None:
    """Each has dates of its own, and fields that the others lack."""
    done = replace(of_others(name), argv=("qacct",))
    found = how_it_ended(gridengine, done, number)
    assert found
    assert (state, code) == (found.state, found.exit_code)
    assert found.start_time
    assert found.end_time
    assert seconds == found.end_time - found.start_time


# The script, on the node


def environment_of(head: str, environ: Mapping[str, str], *more: str) -> dict[str, str]:
    """Run these lines as a job's script does; what the agent would see."""
    script = "\n".join([head, *more, "env -0"])
    env = {"PATH": os.environ["PATH"], "JOB_ID": "7", "HOSTNAME": "c1", **environ}
    done = subprocess.run([BASH, "-c", script], env=env, stdout=-1, check=True)
    rows = done.stdout.decode().split("\0")
    return dict(row.split("=", 1) for row in rows if "=" in row)


def test_facts_of_a_job(tmp_path: Path) -> None:
    """On one node, with nothing besides."""
    found = environment_of(gridengine.script_head(REQUEST), {"NHOSTS": "1"})
    facts = {name: value for name, value in found.items() if name.startswith("RK_")}
    assert {
        "RK_JOB_ID": "7",
        "RK_NODE": "c1",
        "RK_NODES": "c1",
        "RK_NODE_COUNT": "1",
        "RK_JOB_MARK": "JOB_ID=7",
        "RK_LAUNCHERS": "qrsh rk-spread",
        "RK_ENDS": "USR2",
        "RK_WARNS": "",
        "RK_IGNORES": "USR1 USR2",
    } == facts


def test_a_job_begins_at_home(tmp_path: Path) -> None:
    """As a prologue is used to; if there is none on the node, where it is."""
    head = gridengine.script_head(REQUEST)
    assert str(tmp_path) == environment_of(head, {"HOME": str(tmp_path)})["PWD"]
    assert str(Path.cwd()) == environment_of(head, {"HOME": "/nope"})["PWD"]


def test_nodes_of_a_job_on_several(tmp_path: Path) -> None:
    """The parallel environment's file, each once, the first one first."""
    hosts = tmp_path / "hosts"
    hosts.write_text("c1 2 debug.q@c1 UNDEFINED\nc2 1 a@c2 <NULL>\nc2 1 b@c2 <NULL>\n")
    given = {"NHOSTS": "2", "PE_HOSTFILE": str(hosts)}
    found = environment_of(gridengine.script_head(REQUEST), given)
    assert ("c1,c2", "2") == (found["RK_NODES"], found["RK_NODE_COUNT"])


def test_the_gpus_of_a_job() -> None:
    """Univa's, whatever the site calls them; other resources are none."""
    given = {"SGE_HGR_gpu": "0 3", "SGE_HGR_licence": "9"}
    found = environment_of(gridengine.script_head(REQUEST), given)
    assert "0,3" == found["CUDA_VISIBLE_DEVICES"]
    assert "CUDA_VISIBLE_DEVICES" not in environment_of(
        gridengine.script_head(REQUEST), {"SGE_HGR_licence": "9"}
    )


def test_signals_of_a_job() -> None:
    """USR1 comes before a pause, too, and ends nothing; it is the kernel's if asked for."""
    request = replace(REQUEST, options={"s_rt": "1:00:00"})
    head = gridengine.script_head(request)
    more = ["kill -USR1 $$", "trap 'export END=1' ${rk_ends:-}", "kill -USR2 $$"]
    found = environment_of(head, {}, *more)
    assert ("USR2", "1") == (found["RK_IGNORES"], found["END"])
    assert "USR1 USR2" == environment_of(gridengine.node_head(), {})["RK_IGNORES"]


def test_a_job_that_was_started_anew() -> None:
    """Its script ends then."""
    head = gridengine.script_head(REQUEST)
    more = "export AGAIN=$rk_restarted"
    assert "1" == environment_of(head, {"RESTARTED": "1"}, more)["AGAIN"]
    assert "0" == environment_of(head, {}, more)["AGAIN"]


# Other nodes, and the way in

ODD = ["python", "-c", "print('a b', \"$HOME\", `x`)", "", "--y=*"]


@pytest.mark.parametrize("way", ["by_name", "by_number"])
def test_the_agent_on_another_node(way: str, tmp_path: Path) -> None:
    """Whatever is in its command arrives there, through two shells."""
    (tmp_path / "qrsh").write_text(
        f'#!{BASH}\necho "$1 $2" >"{tmp_path}/where"\nshift 2\nexec {BASH} -c "$*"\n'
    )
    (tmp_path / "python").write_text(
        f'#!{BASH}\nprintf \'%s\\0\' "$RK_NODES" "$RK_NODE_COUNT" "$@"\n'
    )
    for name in ("qrsh", "python"):
        (tmp_path / name).chmod(0o755)
    node = "c2" if way == "by_name" else "1"
    command = [one.format(job="7", node=node) for one in getattr(gridengine, way)]
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RK_NODES": "c1,c2",
        "RK_NODE_COUNT": "2",
    }

    done = subprocess.run([*command, *ODD], env=env, stdout=-1, check=True)

    assert "-inherit c2\n" == (tmp_path / "where").read_text()
    assert ["c1,c2", "2", *ODD[1:]] == done.stdout.decode().split("\0")[:-1]


def test_the_way_into_a_job(tmp_path: Path) -> None:
    """As one of its tasks; a shell there reads the command."""
    command = gridengine.into(JobId("7"), "c2", ["sh", "-c", "echo 'a b'"])
    assert ["env", "JOB_ID=7"] == command[:2]
    assert ["qrsh", "-inherit", "c2"] == command[-4:-1]
    done = subprocess.run([BASH, "-c", command[-1]], stdout=-1, check=True)
    assert b"a b\n" == done.stdout
