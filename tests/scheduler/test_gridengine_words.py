"""scheduler.gridengine.words: what Grid Engine says, in plain words, from real texts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from remote_kernels.scheduler.gridengine import answers, words
from remote_kernels.scheduler.gridengine.driver import GridEngine
from remote_kernels.scheduler.job import Completed, JobStatus, Phase
from scheduler.asking import how_it_ended, job
from scheduler.captured import captured

gridengine = GridEngine()
OF = "gridengine-8.1.9"

# A captured answer, and what it is told as: one of each row at least.
WAITS = {
    "after": ("waiting for the jobs it depends on (job dropped because", "-hold_jid"),
    "begin": ("waiting for its begin time (execution time not reached)", "Take -a out"),
    "hold": ("the job is on hold (Job is in hold state)", "`qrls 17`"),
    "quota": ("a quota of the site holds it back (cannot run because", "`qquota`"),
    "maxujobs": (
        "as many of your jobs run as may run at once (job",
        "one of them ends",
    ),
    "full": ("waiting for free slots (queue instance", "Asking for less"),
    "disabled": ("its queues are busy or closed for the time being (", "`qstat -g c`"),
    "suspended": ("its queues are busy or closed for the time being (", "or wait"),
    "overload": ("its queues are busy or closed for the time being (", "or wait"),
    "load": ("no node has enough of that at present (", "asking for less of it"),
}
FAILS = {
    "chdir": ("could not enter its directory", "home directory is not shared"),
    "log": ("its log could not be opened", "Set 'state_dir'"),
    "prolog": (
        "preparation of the node failed (exit_status of",
        "Start the kernel again",
    ),
    "pe": ("preparation of the node failed (exit_status of", "Start the kernel again"),
}
NEVER = {
    "time": "(-l h_rt=3596400) cannot run in queue",
    "memory": "offers only hc:h_vmem=32.000G",
    "gpus": "offers only hc:gpu=2.000000",
    "load-gpus": "offers only hc:gpu=2.000000",
    "nowhere": "job requests unknown resource (fpga)",
    "slots": 'cannot run in PE "smp"',
    "arch": "offers only hl:arch=lx-amd64",
    "users": '(no suitable queues; has no permission for cluster queue "long.q")',
}
SUBMITS = {
    "down": "The qmaster does not answer now",
    "queue": "`qconf -sql`",
    "project": "Set 'account' to a project of yours",
    "no-project": "Set 'account' to a project of yours",
    "pe": "`qconf -spl`",
    "resource": "`qconf -sc`",
    "hostname": "Correct the host's name",
    "time": "Correct that option",
    "memory": "Correct that option",
    "option": "Correct 'qsub_args'",
    "ar": "Take 'ar' out",
    "verified": "Ask for less",
    "jobs": "end one of them",
    "host": "start the notebook server on a login node",
    "unset": "Set SGE_ROOT and SGE_CELL",
}
ENDS = {
    "ok": ("68", "The job ended on its own."),
    "7": ("69", "failed with exit code 7"),
    "memory": ("71", "failed with exit code 1"),
    "memory-together": ("79", "used more memory"),
    "time": ("65", "reached its time limit"),
    "time-clean": ("66", "reached its time limit"),
    "cancelled": ("73", "cancelled (qdel)"),
    "cancelled-clean": ("72", "cancelled (qdel)"),
    "signalled": ("70", "or killed for lack of memory on its node"),
    "chdir": ("62", "could not enter its directory on the node (28  : changing into"),
    "log": (
        "63",
        "its log could not be opened on the node (26  : opening input/output",
    ),
    "prolog": ("92", "the preparation of the node failed (8   : in prolog)"),
    "pe": ("93", "the preparation of the node failed (10  : in pestart)"),
}


def waiting(name: str, state: str = "qw", standing: float = 60) -> JobStatus:
    """The one job of captured reasons, as it waits for that."""
    done = captured(f"reasons-{name}", OF)
    ((job_id, text),) = gridengine.reasons([]).parse(done).items()
    return JobStatus(job_id, Phase.PENDING, state, text, standing=standing)


@pytest.mark.parametrize("name", WAITS)
def test_what_a_job_waits_for(name: str) -> None:
    """A clause, Grid Engine's own sentences that say so, and what can be done."""
    clause, remedy = WAITS[name]
    status = waiting(name, "hqw" if name in ("hold", "after") else "qw")

    text = gridengine.pending_text(status)

    assert text.startswith(clause)
    assert text.endswith(")")
    assert remedy in gridengine.pending_advice(status)
    assert gridengine.never(status, {}) is None


@pytest.mark.parametrize(
    ("status", "text", "advice"),
    [
        (("qw", ""), "waiting in the queue", ""),
        (("qw", "the moon is wrong"), "waiting (the moon is wrong)", ""),
        (("hqw", ""), "the job is on hold (hqw)", "`qrls 7`"),
        (("s", ""), "the job is paused (s)", ""),
        (("Xr", ""), "in a state that we do not know (Xr)", ""),
    ],
)
def test_words_that_we_do_not_know(
    status: tuple[str, str], text: str, advice: str
) -> None:
    """They are shown as they are."""
    state, said = status
    found = JobStatus(job("7"), answers.phase(state), state, said)
    assert text == gridengine.pending_text(found)
    assert advice in gridengine.pending_advice(found)
    assert bool(advice) == bool(gridengine.pending_advice(found))


def test_a_sentence_for_each_queue_hides_none() -> None:
    """The one that tells is shown, and of a kind only one."""
    many = [
        f'queue instance "q@c{node}" dropped because it is full' for node in range(99)
    ]
    status = waiting("begin")
    told = "; ".join([*many, status.reason])
    found = gridengine.pending_text(replace(status, reason=told))
    assert "waiting for its begin time (execution time not reached)" == found
    found = gridengine.pending_text(replace(status, reason="; ".join(many)))
    assert f"waiting for free slots ({many[0]})" == found


@pytest.mark.parametrize("name", NEVER)
def test_a_job_that_can_never_start(name: str) -> None:
    """Nothing of the site could run it, whoever ends; after a while, as nodes come back."""
    text = gridengine.never(waiting(name), {})
    assert text
    assert NEVER[name] in text
    assert "Ask for less" in text
    assert gridengine.never(waiting(name, standing=5), {}) is None
    running = replace(waiting(name), phase=Phase.RUNNING)
    assert gridengine.never(running, {}) is None


def test_what_no_queue_can_give_comes_first() -> None:
    """What is said of single queues does not hide it."""
    of_queues = [
        f'(-l h_rt=7200) cannot run in queue "{name}" because of cluster queue'
        for name in ("debug.q", "long.q", "urgent.q", "cheap.q")
    ]
    status = waiting("memory")
    first, *rest = status.reason.split("; ")
    told = "; ".join([first, *of_queues, *rest])
    text = gridengine.never(replace(status, reason=told), {})
    assert text is not None
    assert "offers only hc:h_vmem=32.000G" in text


@pytest.mark.parametrize("name", FAILS)
def test_a_job_in_error_state(name: str) -> None:
    """Grid Engine keeps it for ever: why, and what helps."""
    clause, remedy = FAILS[name]
    text = gridengine.never(waiting(name, "Eqw", 0), {})
    assert text
    for words_ in ("error state (Eqw)", clause, remedy):
        assert words_ in text


def test_an_error_that_we_do_not_know() -> None:
    """Told as it is, or that there is one."""
    unknown = waiting("begin", "Eqw")
    for status in (replace(unknown, reason="gremlins"), replace(unknown, reason="")):
        text = gridengine.never(status, {})
        assert text
        assert "it failed to start" in text
        assert ("gremlins" in status.reason) == ("(gremlins)" in text)


@pytest.mark.parametrize("name", SUBMITS)
def test_what_to_do_about_a_refusal(name: str) -> None:
    """By Grid Engine's own words."""
    assert SUBMITS[name] in gridengine.submit_advice(captured(f"qsub-{name}", OF))


def test_a_refusal_that_we_do_not_know() -> None:
    """A site's own: its words are shown, nothing is invented."""
    said = "Unable to run job: JSV: be nice.\nExiting.\n"
    assert "" == gridengine.submit_advice(Completed(("qsub",), 1, "", said))


@pytest.mark.parametrize("name", ENDS)
def test_how_a_job_ended(name: str) -> None:
    """In plain words, with what to change."""
    number, text = ENDS[name]
    status = how_it_ended(gridengine, captured(f"qacct-{name}", OF), number)
    assert status
    assert text in gridengine.ended_text(status)


@pytest.mark.parametrize("state", [*words.ENDS, "failed 21"])
def test_ends_without_a_reason(state: str) -> None:
    """Whole sentences."""
    text = gridengine.ended_text(JobStatus(job("7"), Phase.ENDED, state))
    assert re.fullmatch(r"The job .*\.", text)


def test_each_row_has_its_text() -> None:
    """No pattern that no captured answer fits."""
    reasons = [waiting(name).reason for name in (*WAITS, *FAILS, *NEVER)]
    said = [captured(f"qsub-{name}", OF).stderr for name in SUBMITS]
    for table, texts in (
        (words.WAITS, reasons),
        (words.FAILS, reasons),
        (words.SUBMITS, said),
    ):
        used = [
            row
            for row in table
            if any(re.search(row[0], text, re.IGNORECASE) for text in texts)
        ]
        assert [*table] == used
