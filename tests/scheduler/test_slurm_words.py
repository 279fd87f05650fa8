"""scheduler.slurm.words: every reason and state of Slurm in plain words."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from remote_kernels.scheduler.job import Completed, JobStatus, Phase
from remote_kernels.scheduler.slurm import reasons, refusals
from remote_kernels.scheduler.slurm import words as plain
from remote_kernels.scheduler.slurm.driver import Slurm
from scheduler.asking import job, statuses
from scheduler.reasons import (
    ALIVE,
    DOCUMENTED,
    ENDED,
    FAMILY_OF,
    IMPOSSIBLE,
    JUST_WAIT,
    LATER,
    MAPPED,
    NEVER,
    PERHAPS,
    PERHAPS_NEVER,
    TEXTS,
    VERBATIM,
    WAITS,
)

# Slurm's own words, and those of administrators: only as a name of an option or command.
JARGON = re.compile(
    r"\b(qos|gres|tres|assoc\w*|backfill\w*|prolog\b|epilog|drain\w*|requeue\w*|"
    r"federat\w*|sibling|slurmctld|slurmd|controller|burst buffer|array task|cgroup|"
    r"preempt\w*|feature list|trackable|walltime|DOWN|stage\w*|daemon|slurm\.conf)\b",
    re.IGNORECASE,
)
QUOTED = re.compile(r"'[\w-]+'|`[^`]+`|--[a-z-]+|the burst buffer's options")


def waiting(reason: str, state: str = "PENDING", standing: float = 0) -> JobStatus:
    """A job that has been waiting for this reason for so long."""
    return JobStatus(job("1"), Phase.PENDING, state, reason, standing=standing)


def over(
    state: str,
    reason: str = "",
    exit_code: int | None = None,
    signal: int | None = None,
) -> JobStatus:
    """A job that has ended so."""
    return JobStatus(job("1"), Phase.ENDED, state, reason, None, exit_code, signal)


def phase(state: str) -> Phase:
    """What the driver makes of a state that squeue tells."""
    done = Completed(("squeue",), 0, f"7|{state}|None|n/a||N/A|N/A\n", "")
    return statuses(Slurm(), done, "7")["7"].phase


def clauses() -> list[str]:
    """Every clause of the tables."""
    rows = (*reasons.WAITS, *reasons.NEVER, *reasons.PERHAPS_NEVER)
    states = reasons.STATES.values()
    return [says for _, says, _ in rows] + [says for says, _ in states]


def sentences() -> list[str]:
    """Every sentence: what can be done, and how jobs end."""
    rows = (*reasons.WAITS, *reasons.NEVER, *reasons.PERHAPS_NEVER)
    advice = [what for _, _, what in rows]
    advice += [what for _, what in reasons.STATES.values()]
    ends = chain.from_iterable(reasons.ENDS.values())
    fails = chain.from_iterable(row[1:] for row in reasons.FAILURES)
    return [text for text in chain(advice, ends, fails) if text]


def test_the_lists_are_whole() -> None:
    """The figures that may be quoted; and no reason is in two lists."""
    lists = [*NEVER.values(), *PERHAPS_NEVER.values(), *WAITS.values()]
    reasons = {*FAMILY_OF, *VERBATIM}
    later = {reason for reason in reasons if LATER.fullmatch(reason)}

    assert 224 == len(reasons)
    assert 198 == len(reasons - later - DOCUMENTED)  # 22.05.8
    assert 24 == len(later)  # 25.11, 26.05
    assert (221, 3) == (len(FAMILY_OF), len(VERBATIM))
    assert 221 == len(" ".join(lists).split())
    assert 13 == len(TEXTS)
    assert (73, 3) == (len(IMPOSSIBLE), len(PERHAPS))
    assert 29 == len({*ALIVE.split(), *ENDED.split(), "PENDING"})


@pytest.mark.parametrize("reason", MAPPED)
def test_each_reason_is_of_one_family(reason: str) -> None:
    """Of the one that is meant, and no other pattern fits, whatever the order."""
    rows = (*reasons.WAITS, *reasons.NEVER, *reasons.PERHAPS_NEVER)

    fit = [says for pattern, says, _ in rows if re.fullmatch(pattern, reason)]

    assert [MAPPED[reason]] == fit


def test_each_family_has_a_reason() -> None:
    """No pattern that fits nothing, and no family without its list here."""
    rows = (*reasons.WAITS, *reasons.NEVER, *reasons.PERHAPS_NEVER)

    used = [row for row in rows if any(re.fullmatch(row[0], each) for each in MAPPED)]
    assert [row for row in rows if row[0]] == used


@pytest.mark.parametrize("reason", MAPPED)
def test_each_reason_is_told_with_what_can_be_done(reason: str) -> None:
    """A clause, then Slurm's own word in brackets; advice unless one can only wait."""
    status = waiting(reason)

    assert f"{MAPPED[reason]} ({reason})" == plain.pending(status)
    assert (reason in JUST_WAIT.split()) == (plain.advice(status) == "")


@pytest.mark.parametrize("reason", [*VERBATIM, "Reason of the future, 1|2", "187"])
def test_an_unknown_reason_is_shown_as_it_is(reason: str) -> None:
    """No guess, no advice, and no end to the wait."""
    status = waiting(reason, standing=86400)

    assert f"waiting ({reason})" == plain.pending(status)
    assert ("", None) == (plain.advice(status), plain.never(status))


def test_no_reason_yet() -> None:
    """Slurm has not looked at the job."""
    assert "waiting in the queue" == plain.pending(waiting(""))
    assert "" == plain.advice(waiting(""))


@pytest.mark.parametrize("reason", MAPPED)
def test_only_the_impossible_is_given_up(reason: str) -> None:
    """At once; what a node that is away can cause too, only when it stands."""
    at_once = plain.never(waiting(reason)) is not None
    later = plain.never(waiting(reason, standing=plain.PATIENCE)) is not None

    assert (reason in IMPOSSIBLE) == at_once
    assert (reason in IMPOSSIBLE | PERHAPS) == later


def test_what_passes_by_itself_is_never_given_up() -> None:
    """Others' use, a share, maintenance, a hold, changes of nodes: these may end."""
    passing = (
        "AssocGrp QOSGrp PerUser PerAccount QOSUsageThreshold Held Down NotAvail "
        "Requeue Priority Resources Licenses BeginTime Prolog Cleaning requeued"
    )

    hopeless = {word for word in passing.split() for each in IMPOSSIBLE if word in each}

    assert set() == hopeless
    assert "Constraints" not in IMPOSSIBLE | PERHAPS


def test_the_impossible_is_told_with_what_to_change() -> None:
    """Slurm's word, what it means, what can be done."""
    status = waiting("MaxMemPerLimit")

    assert (
        "The job can never start as asked (MaxMemPerLimit): it asks for more memory than "
        "a job there may have. Ask for less with 'mem', or choose another 'partition'."
    ) == plain.never(status)


def test_a_deleted_reservation_is_told_by_the_text_that_slurm_shows() -> None:
    """Its reason is never seen: Slurm puts this text in its place, and a state."""
    status = waiting("Reservation course was deleted", state="RESV_DEL_HOLD")

    assert "'reservation'" in str(plain.never(status))
    assert "reservation is gone" in plain.pending(status)
    assert "'reservation'" in plain.advice(status)


@pytest.mark.parametrize("state", ALIVE.split())
def test_each_state_of_a_job_that_is_there(state: str) -> None:
    """Its own words, not those for a job in the queue."""
    assert reasons.STATES[state][0] == plain.pending(waiting("", state))
    advice = reasons.STATES[state][1].replace("{job}", "1")
    assert advice == plain.advice(waiting("", state))
    assert {*ALIVE.split()} == {*reasons.STATES}


def test_an_unknown_state_is_shown_as_it_is() -> None:
    """With its reason; no advice."""
    status = JobStatus(job("1"), Phase.UNKNOWN, "DREAMING", "OfSheep")

    assert "DREAMING OfSheep" in plain.pending(status)
    assert "" == plain.advice(status)
    assert "The job ended: VANISHED." in plain.ended(over("VANISHED"))


@pytest.mark.parametrize(
    "state", [*ENDED.split(), "UNKNOWN", "CANCELLED by 0", "VANISHED"]
)
def test_each_end_is_told_with_what_can_be_done(state: str) -> None:
    """Two sentences: what was, and what to do."""
    text = plain.ended(over(state))

    assert re.fullmatch(r"[A-Z].+?[^.]\. [A-Z].+\.", text)
    assert state.partition(" ")[0] in {*ENDED.split(), "UNKNOWN", "VANISHED"}


def test_every_driver_s_end_has_words() -> None:
    """What the driver takes for an end is in the table, or is FAILED."""
    done = [
        state for state in f"{ALIVE} {ENDED}".split() if phase(state) is Phase.ENDED
    ]

    assert ENDED.split() == done
    assert {*ENDED.split()} - {"FAILED"} | {"UNKNOWN"} == {*reasons.ENDS}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (over("FAILED", "NonZeroExitCode", exit_code=97), "exit code 97. The end of"),
        (over("FAILED", "RaisedSignal:9(Killed)", signal=9), "9 (SIGKILL). This often"),
        (over("FAILED", "RaisedSignal:99", signal=99), "signal 99. The end"),
        (
            over("FAILED", "RaisedSignal:53(Real-time_signal_19)", signal=53),
            "state_dir",
        ),
        (over("FAILED", "JobLaunchFailure", exit_code=1), "not be started on its node"),
        (over("FAILED", "launch_failed_requeued_held"), "not be started on its node"),
        (
            over("FAILED", "PrologSlurmctld_failed,_job_killed"),
            "preparation of the node",
        ),
        (over("FAILED", "SystemFailure", exit_code=1), "a file system or the network"),
        (over("FAILED", "OutOfMemory"), "more memory than it had asked for"),
        (
            over("FAILED", "InvalidAccount"),
            "its account may not be used there (Invalid",
        ),
        (over("FAILED", "Unheard_of", exit_code=0), "The job failed (Unheard_of). The"),
        (over("FAILED"), "The job failed (no reason given). The"),
        (over("CANCELLED by 987654"), "cancelled by user 987654. Ask them why"),
        (over("CANCELLED+"), "by you or by an administrator. If it was not"),
    ],
)
def test_why_it_failed(status: JobStatus, words: str) -> None:
    """By Slurm's reason where that says more than the exit code; scontrol's underscores."""
    assert words in plain.ended(status)


@pytest.mark.parametrize("clause", clauses())
def test_a_clause_can_stand_in_brackets_or_after_a_colon(clause: str) -> None:
    """Starts small, ends without a stop, and is short."""
    assert re.fullmatch(r"[a-z][^.]*[a-z]", clause)
    assert len(clause) < 90


@pytest.mark.parametrize("sentence", sentences())
def test_a_sentence_ends_as_one(sentence: str) -> None:
    """A capital (or a command) first, one full stop last, nothing doubled."""
    assert re.fullmatch(r"[A-Z`].*[\w)']\.", sentence)
    assert not re.search(r"  |\.\.|,,| \.|\bwho many\b", sentence)
    assert sentence.count("(") == sentence.count(")")
    assert 0 == sentence.count("`") % 2


@pytest.mark.parametrize(
    "text",
    [
        *sentences(),
        *(text for _, text in refusals._LIMITED),
        *(text for _, text in refusals._REFUSED),
    ],
)
def test_what_is_to_be_copied_has_no_percent_sign(text: str) -> None:
    """jupyter_server (2.21) shows each twice, in the page that asked for a kernel."""
    assert "%" not in text
    assert 0 == text.count("`") % 2


@pytest.mark.parametrize("text", clauses() + sentences())
def test_no_word_of_slurm_s_own_is_left_unexplained(text: str) -> None:
    """Only the names of options and commands, in quotes."""
    assert JARGON.search(QUOTED.sub("", text)) is None
