"""The kernel's own job of Grid Engine's: known, with its end, and not ended by mistake."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from magics.capture_gridengine import NAMES
from magics.commands import Commands, captured, owned
from remote_kernels.errors import ControllerError
from remote_kernels.magics.gridengine.own_job import (
    GridEngineJob,
    own_job,
    why_not_delete,
)
from remote_kernels.scheduler.job import Completed, login_name

OWN = owned(captured("qstat-own", "gridengine-8.1.9"))
QUEUE = captured("qconf-queue", "gridengine-8.1.9")
# In that capture: one that asked for 600 s, one that asked for no time, one that waits.
LIMITED, UNLIMITED, WAITS = "44", "45", "46"
STARTED = time.mktime((2026, 11, 29, 15, 15, 24, 0, 0, -1))
ENV = {
    "JOB_ID": LIMITED,
    "SGE_TASK_ID": "undefined",
    "JOB_NAME": NAMES[0],
    "QUEUE": "debug.q",
    "HOSTNAME": "c2",
    "NSLOTS": "4",
}


def job(**more: str) -> GridEngineJob:
    found = own_job({**ENV, **more})
    assert found is not None
    return found


@pytest.fixture
def answers(commands: Commands) -> Commands:
    """What was captured."""
    commands.answer("qstat", OWN)
    commands.answer("qconf", QUEUE)
    return commands


def test_what_it_was_told(tmp_path: Path) -> None:
    """From its environment, and the file of its parallel environment."""
    hosts = tmp_path / "pe_hostfile"
    hosts.write_text("c2 3 debug.q@c2 UNDEFINED\nc1 1 debug.q@c1 UNDEFINED\n")
    found = job(PE_HOSTFILE=str(hosts))

    assert (LIMITED, NAMES[0], "debug.q") == (found.id, found.name, found.partition)
    assert ("c2", 3) == (found.node, found.cpus)
    assert 4 == job().cpus
    assert own_job({"JOB_ID": "1"}) is None


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the limit of addresses, which h_vmem becomes on a node."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 << 30, 3 << 30))
    assert 3 << 30 == job().memory
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert job().memory is None


def test_its_own_time_limit(answers: Commands) -> None:
    """It is what the job asked for; its queue has not to be asked."""
    assert STARTED + 600 == job().end_time()
    assert [] == answers.calls("qconf")


def test_the_time_limit_of_its_queue(answers: Commands) -> None:
    """It counts for a job that asked for none."""
    assert STARTED + 1 + 3600 == job(JOB_ID=UNLIMITED).end_time()
    assert [["-sq", "debug.q@c2"]] == answers.calls("qconf")


def test_no_time_limit(answers: Commands) -> None:
    """Of neither."""
    text = QUEUE.stdout.replace("1:00:00", "INFINITY")
    answers.answer("qconf", Completed((), 0, text, ""))

    assert job(JOB_ID=UNLIMITED).end_time() is None


@pytest.mark.usefixtures("answers")
def test_a_job_that_is_not_listed() -> None:
    """It has no end that one knows."""
    with pytest.raises(ControllerError, match="does not list job 99"):
        job(JOB_ID="99").end_time()


def refusal(typed: Sequence[str], argvs: list[list[str]] | None = None) -> str:
    def ask(argv: Sequence[str]) -> Completed:
        if argvs is not None:
            argvs.append([*argv])
        return OWN

    return why_not_delete([*typed], job(), ask) or ""


@pytest.mark.parametrize(
    "typed",
    [["44"], ["1", "44"], ["1,44"], ["44.1"], ["044"], ["-f", "44"], ["44", "-t", "1"]],
)
def test_its_number(typed: list[str]) -> None:
    """In every way to write it, beside others and with options."""
    assert "this kernel's own" in refusal(typed)


@pytest.mark.parametrize(
    "typed",
    [["1"], ["440"], ["1", "-t", "44"], ["-u", "nosuch"], ["-u", "nosuch,no*such"]],
)
def test_other_jobs(typed: list[str]) -> None:
    """Other numbers, tasks, other users': nobody is asked."""
    argvs: list[list[str]] = []

    assert "" == refusal(typed, argvs)
    assert [] == argvs


def test_the_others() -> None:
    """The refusal says how to end only those."""
    assert "\n  %qdel 1 2.3" in refusal(["1,2.3,44"])


def test_all_of_mine() -> None:
    """qstat is asked which they are."""
    argvs: list[list[str]] = []

    for typed in (["-u", login_name()], ["-u", "*"], ["-u", f"nosuch,{login_name()}"]):
        assert f"\n  %qdel {UNLIMITED} {WAITS}" in refusal(typed, argvs)
    assert [["qstat", "-xml", "-r", "-s", "prs", "-u", login_name()]] * 3 == argvs


def test_jobs_by_name() -> None:
    """A name or a pattern chooses all that have it."""
    assert f"\n  %qdel {WAITS}" in refusal(["a*"])
    assert "" == refusal(["it*"])
    assert "" == refusal(["nosuch"])
    assert f"\n  %qdel 7 {WAITS}" in refusal(["7", "a*"])


def test_nobody_answers() -> None:
    """What cannot be known is refused, with what was said."""

    def silent(argv: Sequence[str]) -> Completed:
        raise ControllerError("no answer", argv, 1)

    def failing(argv: Sequence[str]) -> Completed:
        return Completed(tuple(argv), 1, "", "error: commlib error: no")

    for ask, words in ((silent, "no answer"), (failing, "commlib error")):
        assert words in (why_not_delete(["a*"], job(), ask) or "")
