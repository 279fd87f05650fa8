"""scheduler.slurm.steps: kernels as steps of a job; answers as Slurm 22.05 writes them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from remote_kernels.errors import ChoiceError, ConfigError, ControllerError
from remote_kernels.scheduler.job import Completed, JobRequest, JobStatus, Phase
from remote_kernels.scheduler.slurm.answers import first_node
from remote_kernels.scheduler.slurm.commands import UNCOUNTED
from remote_kernels.scheduler.slurm.driver import Slurm
from remote_kernels.scheduler.slurm.steps import ENDED
from scheduler.asking import how_it_ended, job, status_argv, statuses

step = Slurm()

MINE = "60|1000|RUNNING|c[1-2]|2|N/A|mine\n"
GPUS = "61|1000|RUNNING|c2|1|gres:gpu:2|deep|learning\n"
KERNEL = "62|1000|RUNNING|c1|1|N/A|jupyter-0123abcd\n"
ROW = "60|RUNNING|None|login1|c[1-2]|2026-11-21T10:00:00|2026-11-21T11:00:00\n"


def request(jobid: str = "auto", **options: str | int | bool) -> JobRequest:
    return JobRequest("jupyter-ab", "/log", {"jobid": jobid, **options}, user="1000")


def said(stdout: str, stderr: str = "", code: int = 0) -> Completed:
    return Completed(("squeue",), code, stdout, stderr)


def test_the_only_job_that_runs() -> None:
    """Other kernels' jobs are not the user's own. The kernel is on the first node."""
    found = step.prepared(request(), [said(MINE + KERNEL)])

    assert {"jobid": "60", "nodelist": "c1"} == found.options
    head = step.script_head(found)
    assert "export RK_NODE_COUNT=2\n" in head
    assert "export RK_NODES='c[1-2]'\n" in head


def test_one_of_several() -> None:
    """It is asked which one."""
    words = r"2 running jobs:\n  60  mine .*\n  61  deep"
    with pytest.raises(ChoiceError, match=words) as caught:
        step.prepared(request(), [said(MINE + GPUS)])
    assert ["60", "61"] == caught.value.choices


def test_none() -> None:
    with pytest.raises(ConfigError, match="salloc --time"):
        step.prepared(request(), [said(KERNEL)])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            said("", "slurm_load_jobs error: Invalid job id specified", 1),
            "knows no job",
        ),
        (said(MINE.replace("1000", "1001")), "not yours: it belongs to user 1001"),
        (said(MINE.replace("RUNNING", "PENDING")), "its state is PENDING"),
    ],
)
def test_a_job_that_cannot_be(answer: Completed, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        step.prepared(request("60"), [answer])


def test_slurm_does_not_answer() -> None:
    """That says nothing of the job."""
    silent = said("", "slurm_load_jobs error: Unable to contact slurm controller", 1)
    with pytest.raises(ControllerError):
        step.prepared(request("60"), [silent])


def test_a_job_of_another_cluster() -> None:
    asked = [query.argv for query in step.questions(request("60;mars"))]
    found = step.prepared(request("60;mars"), [said("CLUSTER: mars\n" + MINE)])

    assert ["squeue", "-M", "mars"] == asked[0][:3]
    assert "60;mars" == found.options["jobid"]
    assert ["srun", "-M", "mars", "--jobid=60"] == after_dashes(found)[4:8]


def test_a_chosen_node() -> None:
    asked = [q.argv for q in step.questions(request("60", nodelist="c2"))]
    assert ["-w", "c2"] == asked[1][-4:-2]

    found = step.prepared(request("60", nodelist="c2"), [said(MINE), said("58\n60\n")])
    assert "--nodelist=c2" in step.submission(found, "").argv

    unknown = said("", "error: Invalid node name specified", 1)
    for answer in (said("58\n"), unknown):
        with pytest.raises(
            ConfigError, match=r"c2 is not in job 60, which has c\[1-2\]"
        ):
            step.prepared(request("60", nodelist="c2"), [said(MINE), answer])


@pytest.mark.parametrize(
    ("gpus", "gres"),
    [(0, "--gres=none"), (1, "--gres=gpu:1"), ("a:2", "--gres=gpu:a:2")],
)
def test_some_of_the_job_s_gpus(gpus: str | int, gres: str) -> None:
    """Only a step that counts can be given some."""
    found = step.prepared(request("61", gpus=gpus), [said(GPUS)])
    assert gres in step.submission(found, "").argv
    assert "srun" == after_dashes(found)[0]


def test_more_gpus_than_there_are() -> None:
    with pytest.raises(ConfigError, match="job 61 has 2 on each node"):
        step.prepared(request("61", gpus=3), [said(GPUS)])


def test_without_a_word_of_gpus() -> None:
    """Then the kernel has all that the job has there."""
    found = step.prepared(request("61"), [said(GPUS)])
    assert not [word for word in step.submission(found, "").argv if "gres" in word]


def test_no_srun_of_the_user_s_waits_for_the_kernel() -> None:
    """From Slurm 24.05 on one with -c, and without -n, would wait for a step that counts."""
    salloc = JobRequest("jupyter-ab", "/log", {"start": "salloc"})
    for found in (step.prepared(request("60"), [said(MINE)]), salloc):
        words = list(step.submission(found, "").argv)
        at = words.index("srun")
        assert [*UNCOUNTED] == words[at - len(UNCOUNTED) : at]
    for command in (step.by_name, step.by_number):
        assert (*UNCOUNTED, "srun") == command[: len(UNCOUNTED) + 1]
        assert not set("{}") & set("".join(UNCOUNTED))  # a job and a node are put in
    assert "unset" in step.script_head(salloc)  # its own sruns are to count


@pytest.mark.parametrize(
    ("version", "uncounted"),
    [
        ("slurm 20.11.9", ""),
        ("slurm-wlm 22.05.8", ""),
        ("slurm 23.11.4", ""),
        ("slurm 24.05.1", "1"),
        ("slurm-wlm 26.05.5", "1"),
        ("slurm 30.05.0", "1"),
    ],
)
def test_which_slurms_have_such_steps(
    tmp_path: Path, version: str, uncounted: str
) -> None:
    """Not a controller that might crash of one (23.11.0 to 6)."""
    srun = f"""[ "$1" != --version ] || exec echo {version}
echo "$SLURM_EXTERNAL_LAUNCHER|$1" """
    done = asked(tmp_path, [*UNCOUNTED, "srun", "--jobid=60"], srun=srun)

    assert f"{uncounted}|--jobid=60\n" == done.stdout


def test_what_only_a_new_job_could_obey() -> None:
    asked = {"time": 5, "mem": 1, "sbatch_args": ("--x",), "jobid": "1"}
    (text,) = step.contradictions(asked)
    assert "cannot have time, mem, sbatch_args. Take" in text


def after_dashes(found: JobRequest) -> list[str]:
    argv = list(step.submission(found, "").argv)
    return argv[argv.index("--") + 1 :]


def test_a_step_that_runs() -> None:
    """It is where its job is, and ends when its job does."""
    found = statuses(step, said(ROW + "step|60.0\nstep|60.3\n"), "60.3")
    (status,) = found.values()

    assert ("60.3", Phase.RUNNING, "c1") == (
        str(status.job_id),
        status.phase,
        status.node,
    )
    assert status.end_time is not None


def test_a_step_that_is_not_listed() -> None:
    assert {} == statuses(step, said(ROW + "step|60.0\n"), "60.3")


SQUEUE = """\
case "$*" in
  *-s*) echo 'step|60.extern'; echo 'step|60.13'; echo '60.13|jupyter-b' ;;
  *) echo '60|RUNNING|None|login1|c1|2026-11-21T10:00:00|2026-11-21T11:00:00' ;;
esac"""


def asked(tmp_path: Path, argv: Sequence[str], **programs: str) -> Completed:
    """What a driver's shell script says where Slurm's commands are these."""
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(argv, env=path, capture_output=True, text=True, check=False)
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("sattach", "lives"),
    [
        ("echo 'Job step layout:'", True),
        (
            "echo 'Could not get job step info: Invalid job id specified' >&2; exit 1",
            False,
        ),
        ("exit 127", False),  # it may not be installed
    ],
)
def test_a_step_that_a_node_manages(tmp_path: Path, sattach: str, lives: bool) -> None:
    """Squeue lists none of those (24.11, 26.05); that node is asked."""
    argv = status_argv(step, "60.3", "60.13")
    done = asked(tmp_path, argv, squeue=SQUEUE, sattach=sattach)

    wanted = {"60.3", "60.13"} if lives else {"60.13"}
    assert wanted == {*statuses(step, done, "60.3", "60.13")}


def test_a_node_that_does_not_answer_for_its_steps(tmp_path: Path) -> None:
    """Nothing is known of them."""
    silent = "echo 'Could not get job step info: Connection timed out' >&2; exit 1"
    argv = status_argv(step, "60.3")
    done = asked(tmp_path, argv, squeue=SQUEUE, sattach=silent)

    with pytest.raises(ControllerError):
        statuses(step, done, "60.3")


@pytest.mark.parametrize(
    ("name", "ended"), [("jupyter-a", "60.3"), ("jupyter-b", "60.13")]
)
def test_a_step_is_ended_by_its_name(tmp_path: Path, name: str, ended: str) -> None:
    """Whether squeue lists it, or the node that manages the job's steps knows it."""
    shown = "echo 'StepId=60.3 UserId=1000 Tasks=1 Name=jupyter-a Network=(null)'"
    argv = step.cancel_by_name(JobRequest(name, "/log", {"jobid": "60"}, user="1000"))
    programs = {"squeue": SQUEUE, "scontrol": shown, "scancel": 'echo "$@"'}

    assert f"{ended}\n" == asked(tmp_path, argv, **programs).stdout


@pytest.mark.parametrize(
    ("state", "phase", "word"),
    [
        ("RUNNING", Phase.ENDED, ENDED),
        ("COMPLETING", Phase.ENDING, "COMPLETING"),
        ("TIMEOUT", Phase.ENDED, "TIMEOUT"),
    ],
)
def test_how_a_step_ended(state: str, phase: Phase, word: str) -> None:
    """With its job, with it soon, or without it."""
    shown = f"JobId=60 JobName=mine JobState={state} Reason=None BatchHost=c1"
    done = Completed(("scontrol",), 0, shown, "")

    status = how_it_ended(step, done, "60.3")

    assert status is not None
    assert ("60.3", phase, word) == (str(status.job_id), status.phase, status.state)


def test_the_end_in_words() -> None:
    alone = JobStatus(job("60.3"), Phase.ENDED, ENDED)
    together = JobStatus(job("60.3"), Phase.ENDED, "TIMEOUT", name="mine")

    assert "goes on" in step.ended_text(alone)
    text = step.ended_text(together)
    assert "The job 60 (mine) in which it was has ended." in text
    assert "time limit" in text


def test_only_the_step_is_cancelled() -> None:
    assert ["scancel", "60.3"] == step.cancel(job("60.3")).argv
    assert ["scancel", "-M", "mars", "60.3"] == step.cancel(job("60.3;mars")).argv


def test_carriers_go_into_the_job() -> None:
    argv = step.into(job("60.3"), "c1", ["x"])
    assert "--jobid=60" in argv


def test_steps_of_ours() -> None:
    _, query = step.own("alice")
    (found,) = query.parse(said("extern|60.extern\njupyter-0123abcd|60.0\n"))
    assert ("jupyter-0123abcd", job("60.0")) == (found.name, found.job_id)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("c1", "c1"),
        ("c[1-2]", "c1"),
        ("n[007,010-012],z9", "n007"),
        ("a,b[1-2]", "a"),
        ("r[1-2]n[3-4]", "r1n3"),
        ("", ""),
    ],
)
def test_the_first_node(nodes: str, first: str) -> None:
    """Source: slurm.conf(5), NodeName."""
    assert first == first_node(nodes)


def test_the_step_s_id() -> None:
    way = step.submission(request("60", nodelist="c1"), "")
    assert job("60.3") == way.parse(said("60.3\n"))
    with pytest.raises(ValueError, match="no ID"):
        way.parse(said("60\n"))
