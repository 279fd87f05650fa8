"""scheduler.lsf: commands out, what LSF says in; captures/lsf/SOURCES.md says from where."""

from __future__ import annotations

import os
import subprocess
import time
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
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
)
from remote_kernels.scheduler.lsf.answers import epoch, first_host
from remote_kernels.scheduler.lsf.driver import Lsf
from scheduler.asking import how_it_ended, job, statuses

CAPTURES = Path(__file__).with_name("captures") / "lsf"
lsf = Lsf()


def said(command: str, stdout: str = "", stderr: str = "", code: int = 0) -> Completed:
    return Completed((command,), code, stdout, stderr)


def captured(name: str, code: int = 0) -> Completed:
    return said(name.partition("-")[0], (CAPTURES / name).read_text(), code=code)


def the_job(number: str) -> JobStatus:
    return statuses(lsf, captured("bjobs-invented.json"), number)[number]


def argv(**options: Any) -> list[str]:
    read = {option.name: option.kind.read for option in lsf.options}
    known = {name: read[name](value) for name, value in options.items()}
    return list(lsf.submission(JobRequest("jupyter-ab", "/log", known), "").argv)


def test_a_script_is_submitted_on_standard_input() -> None:
    """Under its name, with its log, and never to be run again."""
    way = lsf.submission(JobRequest("jupyter-ab", "/home/a/log"), "#!/bin/bash\n")

    assert ["bsub", "-J", "jupyter-ab", "-o", "/home/a/log", "-rn"] == list(way.argv)
    assert "#!/bin/bash\n" == way.stdin


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"q": "gpu", "P": "proj42", "G": "chem"}, ["-q", "gpu", "-P", "proj42"]),
        ({"n": 4}, ["-n", "4", "-R", "span[hosts=1]"]),
        ({"n": 1}, ["-n", "1"]),
        ({"nodes": 2, "n": 4}, ["-n", "8", "-R", "span[ptile=4]"]),
        ({"gpu": 2}, ["-gpu", "num=2"]),
        ({"gpu": "num=2:mode=shared"}, ["-gpu", "num=2:mode=shared"]),
        ({"M": "4gb"}, ["-M", "4GB", "-R", "rusage[mem=4GB]"]),
        ({"M": "4GB!"}, ["-M", "4GB!", "-R", "rusage[mem=4GB]"]),
        ({"M": "4GB", "R": "rusage[mem=2GB]"}, ["-M", "4GB", "-R", "rusage[mem=2GB]"]),
        (
            {"M": "4GB", "R": "select[a] rusage[scratch=10]"},
            ["-M", "4GB", "-R", "select[a] rusage[mem=4GB,scratch=10]"],
        ),
        (
            {"M": "4GB", "n": 3, "R": "2*{select[a]}+1*{select[b]}"},
            ["-M", "4GB", "-n", "3", "-R", "2*{select[a]}+1*{select[b]}"],
        ),
        (
            {"n": 2, "R": "select[avx512] span[hosts=-1]"},
            ["-n", "2", "-R", "select[avx512] span[hosts=-1]"],
        ),
        (
            {"n": 2, "M": "1TB", "R": "select[avx512]"},
            ["-n", "2", "-R", "select[avx512] rusage[mem=1TB] span[hosts=1]"],
        ),
        ({"x": True}, ["-x"]),
        ({"wa": "USR1@5"}, ["-wa", "USR1", "-wt", "5"]),
        ({"bsub_args": ["-b", "8:00", "-N"]}, ["-b", "8:00", "-N"]),
        ({"bsub_args": ["-Jd", "mine", "-Lp", "x"]}, ["-Jd", "mine", "-Lp", "x"]),
    ],
)
def test_options_are_bsub_s(options: dict[str, Any], words: list[str]) -> None:
    """All requirements are in one -R, as some sites refuse several."""
    found = argv(**options)

    assert words == [word for word in found if word in words]
    assert found.count("-R") <= 1


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (90, "90"),
        ("90", "90"),
        ("1:30", "1:30"),
        ("1:5", "1:05"),
        ("2:00:00", "2:00"),
        ("0:59:30", "1:00"),
        ("0", None),
        ("0:00", None),
        ("1:75", None),
        ("1-00:00", None),
        ("forever", None),
    ],
)
def test_a_run_limit(value: object, limit: str | None) -> None:
    """Two numbers are hours and minutes, as bsub has them; seconds are rounded up."""
    if limit is None:
        with pytest.raises(ConfigError):
            argv(W=value)
    else:
        assert ["-W", limit] == argv(W=value)[-2:]


@pytest.mark.parametrize(
    ("value", "words"),
    [("4000", "no unit"), (4, "no unit"), ("lots", ""), ("0GB", ""), ("1.5GB", "")],
)
def test_a_size_has_a_unit(value: object, words: str) -> None:
    """A bare number is something else on each site."""
    with pytest.raises(ConfigError) as caught:
        argv(M=value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-J", "mine"], "found again by the name"),
        (["-Jx[1-3]"], "found again by the name"),
        (["-o/log"], "private directory"),
        (["-oo", "/log"], "private directory"),
        (["-env", "none"], "env_keep"),
        (["-Is"], "no interactive one"),
        (["-K"], "would not return"),
        (["-r"], "has lost its kernel"),
        (["-H", "-json", "a"], "something else"),
        (["sleep"], "for the job's command"),
        (["-b", "8:00", "sleep"], "for the job's command"),
    ],
)
def test_what_would_break_us_is_refused(args: list[str], words: str) -> None:
    """With the reason, before anything is submitted."""
    with pytest.raises(ConfigError, match=words):
        argv(bsub_args=args)


def test_what_cannot_be_together() -> None:
    """Nodes, and the user's own span."""
    assert 1 == len([*lsf.contradictions({"nodes": 2, "R": "span[hosts=1]"})])
    assert [] == [*lsf.contradictions({"nodes": 2, "R": "select[avx512]"})]
    assert 1 == len([*lsf.contradictions({"nodes": 2, "R": "2*{a}+1*{b}"})])
    several = {"M": "4GB", "R": "rusage[a=1||b=2]"}
    assert 1 == len([*lsf.contradictions(several)])
    several["R"] = "rusage[a=1,mem=2||b=2,mem=2]"
    assert [] == [*lsf.contradictions(several)]


def test_a_name_that_lsf_would_change() -> None:
    """%J in the name of a log would become the job's number."""
    with pytest.raises(ConfigError, match="%J"):
        lsf.submission(JobRequest("jupyter-ab", "/home/a/%J/log"), "")


@pytest.mark.parametrize(
    ("stdout", "number"),
    [
        ("Job <542935> is submitted to queue <short>.\n", "542935"),
        ("Job <764254593> is submitted to queue <test>.", "764254593"),
        ("Job <1> is submitted to default queue <normal>.\n", "1"),
        ("Cannot connect to LSF. Please wait ...\nJob <7> is submitted", "7"),
        ("Memory: 2 GB\nJob <8> is submitted to queue <a>.\nBe kind.\n", "8"),
        ("Job <7> is submitted by a rule.\nJob <8> is submitted to queue <a>.\n", "8"),
    ],
)
def test_the_job_id_in_the_sentence(stdout: str, number: str) -> None:
    """Also with words of LSF, or of the site, around it; these are a notice."""
    way = lsf.submission(JobRequest("jupyter-ab", "/log"), "")

    assert JobId(number) == way.parse(said("bsub", stdout))
    assert "submitted" not in lsf.notice(said("bsub", stdout))


def test_no_job_id() -> None:
    """ValueError, so that the job is looked for by its name."""
    way = lsf.submission(JobRequest("jupyter-ab", "/log"), "")
    with pytest.raises(ValueError, match="no job id"):
        way.parse(said("bsub", "Job <7> is kept for later"))


def test_jobs_that_a_cluster_listed() -> None:
    """Several in one answer, and others that were not asked for."""
    done = captured("bjobs-several.json")

    found = statuses(lsf, done, "487641", "491861", "1")

    assert {"487641": "EXIT", "491861": "DONE"} == {
        number: status.state for number, status in found.items()
    }


def test_a_job_that_is_done() -> None:
    """Its times have no year: the nearest one."""
    status = statuses(lsf, captured("bjobs-done.json"), "22005")["22005"]

    assert (Phase.ENDED, "DONE", 0, True) == (
        status.phase,
        status.state,
        status.exit_code,
        status.by_itself,
    )
    assert "exec-host" == status.node
    assert status.end_time is not None
    assert "Dec 28 19:56" == time.strftime(
        "%b %d %H:%M", time.localtime(status.end_time)
    )


def test_a_held_job_is_pending() -> None:
    """PSUSP is no failure, and no pause of a job that ran."""
    done = captured("bjobs-held.json")
    text = done.stdout.replace('"STAT"', '"JOBID":"58652","STAT"')

    status = statuses(lsf, said("bjobs", text), "58652")["58652"]

    assert (Phase.PENDING, None) == (status.phase, status.node)
    assert "on hold" in lsf.pending_text(status)
    assert "`bresume 58652`" in lsf.pending_advice(status)


@pytest.mark.parametrize(
    ("number", "phase", "node", "reason"),
    [
        ("1", Phase.PENDING, None, "New job is waiting for scheduling"),
        ("3", Phase.RUNNING, "nodes-1.example.com", ""),
        ("4", Phase.RUNNING, "hostC", ""),
        ("5", Phase.SUSPENDED, "tbi-cn019", ""),
        ("6", Phase.ENDED, "a", ""),
        ("7", Phase.ENDED, "a", "TERM_OWNER: job killed by owner"),
    ],
)
def test_bjobs(number: str, phase: Phase, node: str | None, reason: str) -> None:
    """Phase, the host of the script, and LSF's own words."""
    status = the_job(number)

    assert (phase, node, reason) == (status.phase, status.node, status.reason)


def test_the_run_limit_is_the_end_of_a_job_that_runs() -> None:
    """L marks it; E marks an estimate, which nothing enforces."""
    assert time.mktime((2026, 4, 12, 22, 27, 1, 0, 0, -1)) == the_job("3").end_time
    assert time.mktime((2026, 4, 12, 18, 10, 55, 0, 0, -1)) == the_job("3").start_time
    assert the_job("4").end_time is None


@pytest.mark.parametrize(
    ("number", "code", "by_itself", "words"),
    [
        ("6", 27, True, "failed with exit code 27"),
        ("7", 2, False, "cancelled by you"),
        ("8", 140, False, "reached its run limit. Ask for more with 'W'"),
    ],
)
def test_how_a_job_ended(number: str, code: int, by_itself: bool, words: str) -> None:
    """By LSF's keyword; a job without one ended by itself."""
    status = how_it_ended(lsf, captured("bjobs-invented.json"), number)

    assert status is not None
    assert (code, by_itself) == (status.exit_code, status.by_itself)
    assert words in lsf.ended_text(status)


def test_every_time_that_a_cluster_printed() -> None:
    """With one blank or two before the day, and letters behind."""
    rows = captured("bjobs-columns.txt").stdout.splitlines()
    times = [cells for row in rows for cells in row.split("|")[9:11]]

    now = time.mktime((2018, 2, 3, 0, 0, 0, 0, 0, -1))
    read = [epoch(text, now) for text in times]

    assert [text != "-" for text in times] == [moment is not None for moment in read]
    assert time.mktime((2018, 2, 2, 7, 48, 0, 0, 0, -1)) == read[8]
    assert time.mktime((2017, 12, 31, 23, 48, 0, 0, 0, -1)) == read[11]


@pytest.mark.parametrize(
    ("hosts", "first"),
    [("4*a:2*b", "a"), ("a:a:b", "a"), ("a.b.c", "a.b.c"), ("-", None), ("", None)],
)
def test_the_first_host(hosts: str, first: str | None) -> None:
    """Where the script runs, as LSF counts hosts."""
    assert first == first_host(hosts)


def test_an_unknown_state_is_alive() -> None:
    """Also UNKWN, whose host does not answer LSF."""
    done = captured("bjobs-invented.json")
    for word in ("UNKWN", "DREAMING"):
        text = done.stdout.replace('"RUN"', f'"{word}"')
        assert Phase.UNKNOWN is statuses(lsf, said("bjobs", text), "3")["3"].phase


@pytest.mark.parametrize(
    "done",
    [
        said("bjobs", stderr="Job <9> is not found\n", code=255),
        said("bjobs", stderr="No unfinished job found\n"),
        said("bjobs", '{"COMMAND":"bjobs","JOBS":0,"RECORDS":[]}'),
        captured("bjobs-invented.json"),
        captured("bjobs-invented.json", code=255),
    ],
)
def test_a_job_that_is_not_listed_is_gone(done: Completed) -> None:
    """Whether that is an error of the command or not; others in the answer stay."""
    assert "9" not in statuses(lsf, done, "9", "3")


@pytest.mark.parametrize(
    ("code", "stdout", "stderr"),
    [
        (255, "", "LSF is down. Please wait ...\n"),
        (255, "Cannot connect to LSF. Please wait ...\n", ""),
        (255, "", "Request from non-LSF host rejected\n"),
        (255, "", "The mbatchd is on holiday.\n"),  # LSB_MBD_DOWN_MSG
        (0, "", ""),
        (0, '{"COMMAND":"bjobs","JOBS":1,"RECO', ""),
    ],
)
def test_no_answer_is_not_gone(code: int, stdout: str, stderr: str) -> None:
    """A site may have words of its own for it; half an answer is none, too."""
    (query,) = lsf.status([job("9")])
    with pytest.raises(ControllerError):
        query.answer(said("bjobs", stdout, stderr, code))


def test_what_lsf_says_before_its_answer() -> None:
    """That it was busy, as it was at first."""
    busy = "Cannot connect to LSF. Please wait ...\n" * 2
    done = captured("bjobs-invented.json")

    assert ["3"] == [*statuses(lsf, said("bjobs", busy + done.stdout), "3")]


@pytest.mark.parametrize(
    ("name", "code", "by_itself", "reason"),
    [
        (
            "bhist-memory-invented.txt",
            1,
            False,
            "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
        ),
        ("bhist-failed-invented.txt", 96, True, ""),
    ],
)
def test_bhist_has_what_bjobs_has_lost(
    name: str, code: int, by_itself: bool, reason: str
) -> None:
    """Its lines are folded in the midst of words."""
    status = how_it_ended(lsf, captured(name), "4711")

    assert status is not None
    assert (Phase.ENDED, "EXIT", code) == (status.phase, status.state, status.exit_code)
    assert (by_itself, reason) == (status.by_itself, status.reason)
    assert status.end_time is not None


@pytest.mark.parametrize("text", ["", "Tue Dec 23 14:46:43: Starting (Pid 258999);\n"])
def test_bhist_that_does_not_know(text: str) -> None:
    """Not there, or no end of it."""
    done = said("bhist", text, "No matching job found\n", 255)

    assert how_it_ended(lsf, done, "4711") is None


@pytest.mark.parametrize(
    ("code", "stdout", "stderr"),
    [
        (0, "Job <11> is being terminated\n", ""),
        (255, "", "Job <11>: Job has already finished\n"),
        (255, "", "Job <11>: No matching job found\n"),
    ],
)
def test_a_job_that_is_gone_is_cancelled(code: int, stdout: str, stderr: str) -> None:
    """No error when there is nothing left to cancel."""
    lsf.cancel(job("11")).parse(said("bkill", stdout, stderr, code))


def test_a_cancel_that_failed_is_an_error() -> None:
    """Somebody else's job; and an LSF that is down may be asked again."""
    query = lsf.cancel(job("11"))
    with pytest.raises(CommandError, match="User permission denied") as caught:
        query.parse(said("bkill", "", "Job <11>: User permission denied\n", 255))
    assert not caught.value.transient
    with pytest.raises(ControllerError):
        query.parse(said("bkill", "", "LSF is down. Please wait ...\n", 255))


def test_a_run_limit_is_asked_for_in_minutes(tmp_path: Path) -> None:
    """However the site has times shown (LSB_HMS_TIME_FORMAT)."""
    for name, text in {
        "bjobs": "[ $LSB_HMS_TIME_FORMAT = N ] && echo 10.0/hostA || echo 00:10:00",
        "bmod": 'echo "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o700)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LSB_HMS_TIME_FORMAT": "Y"}
    argv = lsf.extend(job("11"), 30).argv

    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)

    assert "-W 40 11" == done.stdout.strip()


def test_a_run_limit_is_moved() -> None:
    """bmod sets it anew, so the present one is asked for first."""
    query = lsf.extend(job("11"), 30)

    assert ["11", "30"] == list(query.argv)[-2:]
    query.parse(said("sh", "Parameters of job <11> are being changed\n"))
    with pytest.raises(DeniedError, match="bqueues -l"):
        query.parse(said("sh", "", "Job <11>: User permission denied\n", 255))
    with pytest.raises(CommandError, match="has no run limit"):
        query.parse(said("sh", "", "Job <11> has no run limit.\n", 2))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("New job is waiting for scheduling", "next round"),
        (
            "Job's resource requirements not satisfied: 3 hosts",
            "that have what it asks",
        ),
        (
            "Job requirements for reserving resource (mem) not satisfied: 2 hosts",
            "enough of",
        ),
        ("The user has reached his/her job slot limit", "reach a limit"),
        (
            "User has reached the per-user job slot limit of the queue (Queue: ana)",
            "reach a limit",
        ),
        ("Resource (mem) limit defined cluster-wide has been reached", "of the site"),
        ("Job dependency condition not satisfied", "jobs it depends on"),
        ("Not enough processors to meet the job's spanning requirement", "together"),
        ("Load information unavailable: 1 host", "out of order"),
        ("Job slot limit reached: 5 hosts", "free slots"),
        ("Something of the future", "PEND: Something of the future"),
    ],
)
def test_what_a_job_waits_for(reason: str, words: str) -> None:
    """By the family of LSF's reason, which is in brackets; no full stop."""
    status = JobStatus(job("1"), Phase.PENDING, "PEND", reason)

    text = lsf.pending_text(status)

    assert words in text
    assert reason in text
    assert not text.endswith(".")


def test_a_long_list_of_hosts_is_cut() -> None:
    """A reason may count all hosts of the cluster."""
    reason = "Closed by LSF administrator: 1 host;" * 20
    status = JobStatus(job("1"), Phase.PENDING, "PEND", reason)

    assert len(lsf.pending_text(status)) < 300


def test_hosts_that_are_down_or_closed_are_waited_for() -> None:
    """LSF says the same of them as of hosts that it has not."""
    reason = "There are no suitable hosts for the job;"
    status = JobStatus(job("1"), Phase.PENDING, "PEND", reason, standing=9999)

    assert lsf.never(status, {}) is None
    assert lsf.pending_text(status).startswith("no host can take it at present")
    assert "If it lasts, ask for less" in lsf.pending_advice(status)


@pytest.mark.parametrize(("standing", "hopeless"), [(0, False), (600, True)])
def test_impossible_is_believed_when_it_stands(standing: float, hopeless: bool) -> None:
    """What it waits for may be looked at again."""
    reason = "Job dependency condition invalid or never satisfied;"
    status = JobStatus(job("1"), Phase.PENDING, "PEND", reason, standing=standing)

    assert hopeless == (lsf.never(status, {}) is not None)


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("EXIT", "TERM_MEMLIMIT: job killed after reaching LSF memory", "with 'M'"),
        ("EXIT", "TERM_PREEMPT: job killed after preemption", "more urgent job"),
        ("EXIT", "TERM_ADMIN: job killed by root or LSF administrator", "Ask them why"),
        ("EXIT", "TERM_FUTURE: job killed by the times", "TERM_FUTURE"),
        ("EXIT", "", "does not say why"),
        ("DONE", "", "on its own"),
        ("UNKNOWN", "", "no longer knows"),
    ],
)
def test_how_it_ended_in_plain_words(state: str, reason: str, words: str) -> None:
    """And what to change."""
    text = lsf.ended_text(JobStatus(job("1"), Phase.ENDED, state, reason))

    assert words in text
    assert text.endswith(".")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("missing: No such queue. Job not submitted.", "Change 'q'"),
        ("RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.", "'W'"),
        ("MEMLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.", "'M'"),
        ("Too many processors requested. Job not submitted.", "'n'"),
        ('Error near "select" : duplicate section. Job not submitted.', "'R'"),
        ("User cannot use the queue. Job not submitted.", "`bqueues -u "),
        ("Request aborted by esub. Job not submitted.", "rule of this site"),
        ("LSF is down. Please wait ...", "did not answer"),
        ("A word of the future. Job not submitted.", ""),
    ],
)
def test_bsub_s_errors_get_advice(text: str, advice: str) -> None:
    """What to do about each that we know."""
    found = lsf.submit_advice(said("bsub", "", text, 255))

    assert advice in found
    assert bool(advice) == bool(found)
    assert ("down" in text) == lsf.is_no_answer(said("bsub", "", text, 255))


@pytest.mark.parametrize(
    ("done", "is_it"),
    [
        (captured("lsid-invented.txt"), True),
        (said("lsid", "LSF 10.1.0, Jan 5 2016\nMy cluster name is lsf10\n"), True),
        (said("lsid", "LSF 10.1.0, Jan 5 2016\n", "LIM is down; try later", 255), True),
        (said("lsid", "openlava project 2.2\n\nMy cluster name is a\n"), False),
        (said("lsid", "", "LSF? command not found", 127), False),
    ],
)
def test_it_is_told_from_another_by_asking(done: Completed, is_it: bool) -> None:
    """OpenLava has commands of the same names, but no JSON; LSF may be silent."""
    assert ("lsid",) == lsf.question
    assert is_it == lsf.recognizes(done)


def test_what_lsid_says() -> None:
    """The version, and the cluster's name."""
    done = captured("lsid-invented.txt")

    assert "IBM Spectrum LSF Standard 10.1.0.15, Apr 14 2025" == lsf.version().parse(
        done
    )
    assert "abc" == lsf.cluster().parse(done)


@pytest.mark.parametrize(
    ("queue", "words"),
    [
        ("normal", None),
        ("normal night", None),
        ("norml", "did you mean 'normal'?"),
        ("night", "queue 'night' is Closed:Inact"),
    ],
)
def test_a_queue_that_is_not_there(queue: str, words: str | None) -> None:
    """A doubt before it is submitted; of several queues one is enough."""
    query = lsf.doubts(JobRequest("", "", {"q": queue}))
    assert query is not None

    doubts = query.parse(captured("bqueues-invented.txt"))

    assert [] == doubts if words is None else words in doubts[0]


def test_completion_offers_queues() -> None:
    """By bqueues; of a project nobody knows the names."""
    query = lsf.offers("q", "alice")
    assert query is not None
    assert ["night", "normal", "priority"] == query.parse(
        captured("bqueues-invented.txt")
    )
    assert lsf.offers("P", "alice") is None


def test_the_job_sees_no_other_job_s_variables() -> None:
    """Those by which the commands find their cluster stay."""
    environ = {
        "PATH": "/bin",
        "LSF_ENVDIR": "/etc/lsf",
        "LSB_JOBID": "12",
        "LS_SUBCWD": "/home/a",
        "MY_DATA": "/data",
    }

    kept = set(environment(lsf, environ, keep=("MY_*", "L*")))

    assert {"PATH", "LSF_ENVDIR", "MY_DATA"} == kept


# --- what runs in the job -----------------------------------------------------------


def told(script: str, **environ: str) -> dict[str, str]:
    """The facts that those lines export."""
    words = ["/bin/bash", "-c", f"{script}\necho restarted=${{rk_restarted:-0}}; env"]
    said = subprocess.run(
        words,
        env={"PATH": os.environ["PATH"], **environ},
        check=True,
        capture_output=True,
        text=True,
    )
    pairs = (line.partition("=")[::2] for line in said.stdout.splitlines())
    return {n: v for n, v in pairs if n.startswith(("RK_", "restarted"))}


def test_the_script_is_told_its_job() -> None:
    """Its hosts, each of which comes with its slots; the first one by LSF's name for it."""
    here = os.uname().nodename
    nowhere = JobRequest("jupyter-ab", "/nowhere/log")

    facts = told(
        lsf.script_head(nowhere),
        LSB_JOBID="4711",
        LSB_MCPU_HOSTS=f"{here}.domain 4 other 2",
        LSB_RESTART="N",
    )

    assert {
        "RK_JOB_ID": "4711",
        "RK_JOB_MARK": "LSB_JOBID=4711",
        "RK_LAUNCHERS": "blaunch jsrun",
        "RK_NODE": f"{here}.domain",
        "RK_NODES": f"{here}.domain other",
        "RK_NODE_COUNT": "2",
        "restarted": "0",
    } == facts


def test_a_job_that_lsf_started_anew() -> None:
    """Its kernel is lost; and hosts that LSF does not tell are not known."""
    facts = told(
        lsf.script_head(JobRequest("a", "/nowhere/log")), LSB_JOBID="1", LSB_RESTART="Y"
    )

    assert ("1", "", "") == (
        facts["restarted"],
        facts["RK_NODES"],
        facts["RK_NODE_COUNT"],
    )


def test_the_script_writes_to_its_log_itself(tmp_path: Path) -> None:
    """LSF would copy its output there when the job ends."""
    log = tmp_path / "a log"
    assert {} == told(lsf.script_head(JobRequest("a", str(log))), LSB_JOBID="1")
    assert "RK_JOB_ID=1\n" in log.read_text()


@pytest.mark.parametrize(
    ("number", "host"), [("0", "node0"), ("1", "node1"), ("2", None)]
)
def test_another_node_by_its_number(
    tmp_path: Path, number: str, host: str | None
) -> None:
    """blaunch knows names alone."""
    program = tmp_path / "blaunch"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o700)
    words = [word.format(job="4711", node=number) for word in lsf.by_number]
    places = f"{tmp_path}:{os.environ['PATH']}"

    said = subprocess.run(
        [*words, "bash", "a b"],
        env={"PATH": places, "LSB_MCPU_HOSTS": "node0 4 node1 4"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert (f"-z {host} -no-shell bash a b\n" if host else "") == said.stdout
    assert (host is None) == ("no such host" in said.stderr)
