"""scheduler.slurm.driver: commands out, captured answers of several Slurms in."""

from __future__ import annotations

import os
import pwd
import time
from dataclasses import replace

import pytest

from remote_kernels.errors import CommandError, ControllerError
from remote_kernels.scheduler.drivers import environment
from remote_kernels.scheduler.job import Completed, JobRequest, JobStatus, Phase
from remote_kernels.scheduler.slurm.commands import UNCOUNTED
from remote_kernels.scheduler.slurm.driver import Slurm
from scheduler.asking import how_it_ended, job, statuses
from scheduler.captured import VERSIONS, captured

slurm = Slurm()


every_version = pytest.mark.parametrize("version", VERSIONS)


def the_job(name: str, version: str) -> JobStatus:
    """The one job in a captured squeue."""
    done = captured(name, version)
    job_ids = done.argv[done.argv.index("-j") + 1].split(",")
    (status,) = statuses(slurm, done, *job_ids).values()
    return status


def test_submit_has_every_option_by_slurm_s_name() -> None:
    """Options, then further arguments; the script comes on standard input."""
    options = {
        "partition": "gpu",
        "cpus-per-task": 4,
        "exclusive": True,
        "sbatch_args": ("--comment=x",),
    }
    request = JobRequest("jupyter-ab", "/home/a/50%/job.log", options)

    argv = slurm.submission(request, "").argv

    assert ["sbatch", "--parsable", "--no-requeue", "--export=ALL"] == argv[:4]
    assert "--output=/home/a/50%%/job.log" in argv
    assert ["--partition=gpu", "--cpus-per-task=4", "--exclusive", "--comment=x"] == (
        argv[-4:]
    )


@pytest.mark.parametrize(
    ("code", "stdout", "version"),
    [
        (0, "slurm-wlm 22.05.8\n", "slurm-wlm 22.05.8"),
        (0, "Read the rules!\n\nslurm 24.05.1 \n", "slurm 24.05.1"),
        (0, "", ""),
        (1, "usage: sbatch SCRIPT\n", ""),
    ],
)
def test_version(code: int, stdout: str, version: str) -> None:
    """Its last line, as a wrapper may print more before; "" if it knows none."""
    query = slurm.version()
    assert ["sbatch", "--version"] == list(query.argv)
    assert version == query.parse(Completed(("sbatch",), code, stdout, ""))


def submitted(stdout: str) -> str:
    """The job's number, and the cluster, where that is told."""
    way = slurm.submission(JobRequest("jupyter-ab", "/log"), "")
    found = way.parse(Completed(("sbatch",), 0, stdout, ""))
    return f"{found.number};{found.where}" if found.where else found.number


def test_the_job_id_is_the_last_line_of_that_form() -> None:
    """Also with a cluster's name, and with words of a plugin before it."""
    assert "19" == submitted(captured("sbatch-ok").stdout)
    assert "7;big" == submitted("hello 12\n7;big\n")
    with pytest.raises(ValueError, match="no job id"):
        submitted("Your job is in the queue: 12 h are left")


@pytest.mark.parametrize(
    ("stdout", "job_id"),
    [
        ("Submitted batch job 33\n", "33"),
        ("Submitted batch job 33 on cluster big\n", "33;big"),
        ("Welcome!\nSubmitted batch job 33\nSubmitted to queue 7\n", "33"),
        ("sbatch: Submitted batch job 33\n", "33"),
        ("Submitted batch job 3\n33\n", "33"),  # --parsable's form counts
    ],
)
def test_the_sentence_of_an_sbatch_without_parsable(stdout: str, job_id: str) -> None:
    """A site's wrapper may leave the option out."""
    assert job_id == submitted(stdout)


@pytest.mark.parametrize(
    ("stdout", "stderr", "notice"),
    [
        ("19\n", "", ""),
        ("Submitted batch job 19 on cluster big\n", "", ""),
        ("19;big\n", "sbatch: 5 h are left.\n\n", "5 h are left."),
        ("== Welcome ==\n19\n", "Be kind.\n", "Be kind.\n== Welcome =="),
    ],
)
def test_what_the_site_says_of_a_job_it_takes(
    stdout: str, stderr: str, notice: str
) -> None:
    """All but the job's number, of either stream."""
    assert notice == slurm.notice(Completed(("sbatch",), 0, stdout, stderr))
    assert "" == slurm.notice(Completed(("python", "hold.py"), 0, stdout, stderr))


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: usage: sbatch SCRIPT\n",
        "usage: sbatch [-h] script\nsbatch: error: unrecognized arguments: --parsable\n",
        "Usage: sbatch [options] file\n",
    ],
)
def test_a_wrapper_that_wants_a_file(said: str) -> None:
    """What is wrong is the wrapper, not the job."""
    advice = slurm.submit_advice(Completed(("sbatch",), 1, "", said))

    assert "`type -a sbatch`" in advice
    assert "takes no script on standard input" in advice


@every_version
@pytest.mark.parametrize(
    ("name", "phase", "state", "node"),
    [
        ("squeue-running", Phase.RUNNING, "RUNNING", "c1"),
        ("squeue-fresh", Phase.PENDING, "PENDING", None),
        ("squeue-completing", Phase.ENDING, "COMPLETING", "c1"),
        ("squeue-suspended", Phase.SUSPENDED, "SUSPENDED", "c1"),
        ("squeue-completed", Phase.ENDED, "COMPLETED", "c1"),
        ("squeue-failed", Phase.ENDED, "FAILED", "c1"),
        ("squeue-cancelled", Phase.ENDED, "CANCELLED", "c1"),
        ("squeue-timeout", Phase.ENDED, "TIMEOUT", "c1"),
        ("squeue-out-of-memory", Phase.ENDED, "OUT_OF_MEMORY", "c1"),
        ("squeue-node-fail", Phase.ENDED, "NODE_FAIL", "c2"),
    ],
)
def test_squeue(
    name: str, phase: Phase, state: str, node: str | None, version: str
) -> None:
    """Phase, Slurm's own word, and the batch host."""
    status = the_job(name, version)

    assert (phase, state, node) == (status.phase, status.state, status.node)


def test_a_reason_may_hold_anything() -> None:
    """Spaces, commas and bars in it break nothing."""
    done = captured("squeue-fresh")
    reason = "Nodes required for job are DOWN, DRAINED | or reserved"
    text = done.stdout.replace("Resources", reason)

    status = statuses(slurm, replace(done, stdout=text), text.partition("|")[0])

    assert [reason] == [job.reason for job in status.values()]


def test_an_unknown_state_is_alive() -> None:
    """A word of a later Slurm never means that the job is gone."""
    done = captured("squeue-running")
    text = done.stdout.replace("RUNNING", "DREAMING")

    (status,) = statuses(slurm, replace(done, stdout=text), "18").values()

    assert (Phase.UNKNOWN, "DREAMING") == (status.phase, status.state)


@every_version
def test_an_unknown_id_alone_is_no_error(version: str) -> None:
    """Finished and purged: nothing known of it."""
    assert {} == statuses(slurm, captured("squeue-unknown", version), "999999")


def test_an_unknown_id_among_others_is_missing() -> None:
    """The others are there."""
    done = captured("squeue-some-unknown")

    assert ["18"] == [*statuses(slurm, done, "18", "999999")]


@every_version
@pytest.mark.parametrize("name", ["squeue-down", "squeue-unset"])
def test_no_answer_is_not_gone(name: str, version: str) -> None:
    """A controller that does not answer says nothing about a job."""
    with pytest.raises(ControllerError, match="says nothing about the job"):
        statuses(slurm, captured(name, version), "18")


@every_version
@pytest.mark.parametrize(
    ("name", "state", "code", "signum", "words"),
    [
        ("scontrol-completed", "COMPLETED", 0, None, "ended on its own"),
        ("scontrol-failed", "FAILED", 97, None, "exit code 97"),
        ("scontrol-cancelled", "CANCELLED", 0, 9, "was cancelled"),
        ("scontrol-timeout", "TIMEOUT", 0, 15, "time limit"),
        ("scontrol-out-of-memory", "OUT_OF_MEMORY", 0, 125, "more memory"),
        ("scontrol-node-fail", "NODE_FAIL", None, None, "node failed"),
    ],
)
def test_scontrol_of_an_ended_job(
    name: str,
    state: str,
    code: int | None,
    signum: int | None,
    words: str,
    version: str,
) -> None:
    """How it ended, in Slurm's word and in plain ones."""
    done = captured(name, version)

    status = how_it_ended(slurm, done, done.argv[-1])

    assert status is not None
    assert (Phase.ENDED, state) == (status.phase, status.state)
    if code is not None:
        assert (code, signum) == (status.exit_code, status.signal)
    assert words in slurm.ended_text(status)


@every_version
def test_accounting_that_is_off_knows_nothing(version: str) -> None:
    """sacct's error is not an answer."""
    assert how_it_ended(slurm, captured("sacct-disabled", version), "18") is None


@pytest.mark.parametrize("version", VERSIONS[1:])
@pytest.mark.parametrize(
    ("name", "state", "code", "signum", "by_itself"),
    [
        ("sacct-completed", "COMPLETED", 0, None, True),
        ("sacct-failed", "FAILED", 97, None, True),
        ("sacct-signalled", "FAILED", 0, 9, True),
        ("sacct-cancelled", "CANCELLED by 2001", 0, None, False),
    ],
)
def test_accounting_of_an_ended_job(
    name: str,
    state: str,
    code: int,
    signum: int | None,
    by_itself: bool,
    version: str,
) -> None:
    """How it ended, and who cancelled it, which the controller does not say."""
    status = how_it_ended(slurm, captured(name, version), "18")

    assert status is not None
    assert (Phase.ENDED, state) == (status.phase, status.state)
    assert (code, signum) == (status.exit_code, status.signal)
    assert (by_itself, False) == (status.by_itself, status.vague)
    assert status.end_time is not None


@pytest.mark.parametrize("version", VERSIONS[1:])
@pytest.mark.parametrize("name", ["sacct-running", "sacct-unknown"])
def test_accounting_does_not_know_of_an_end(name: str, version: str) -> None:
    """Of a job that runs, or of none."""
    assert how_it_ended(slurm, captured(name, version), "18") is None


@pytest.mark.parametrize(
    ("version", "reason", "words"),
    [
        ("22.05", "JobLaunchFailure", "could not be started"),
        ("24.11", "RaisedSignal:9(Killed)", "ended by signal 9"),
        ("26.05", "RaisedSignal:9(Killed)", "ended by signal 9"),
    ],
)
def test_a_script_that_was_killed(version: str, reason: str, words: str) -> None:
    """Slurm's own reason has become a better one."""
    done = captured("scontrol-signalled", version)

    status = how_it_ended(slurm, done, done.argv[-1])

    assert status is not None
    assert (reason, 9) == (status.reason, status.signal)
    assert words in slurm.ended_text(status)


@every_version
def test_every_reason_has_its_words(version: str) -> None:
    """None of those that wait is said to do so for an unknown reason."""
    done = captured("squeue-pending", version)
    numbers = done.argv[done.argv.index("-j") + 1].split(",")

    for status in statuses(slurm, done, *numbers).values():
        assert "waiting (" not in slurm.pending_text(status)


@pytest.mark.parametrize(
    ("reason", "standing", "hopeless"),
    [
        ("PartitionTimeLimit", 0, True),
        ("PartitionConfig", 0, False),
        ("PartitionConfig", 600, True),
        ("Resources", 86400, False),
        ("Priority", 86400, False),
        ("ReasonOfTheFuture", 86400, False),
    ],
)
def test_impossible_is_told_from_long(
    reason: str, standing: float, hopeless: bool
) -> None:
    """Some reasons are believed at once, some only when they stand."""
    status = JobStatus(job("1"), Phase.PENDING, "PENDING", reason, standing=standing)

    assert hopeless == (slurm.never(status, {}) is not None)


@every_version
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("sbatch-partition", "sinfo -s"),
        ("sbatch-reservation", "scontrol show reservation"),
        ("sbatch-gres", "'gres'"),
        ("sbatch-mem", "sinfo -N"),
        ("sbatch-down", "Try again"),
        ("sbatch-option", "sbatch --version"),
    ],
)
def test_sbatch_s_errors_get_advice(name: str, advice: str, version: str) -> None:
    """What to do about each that we know."""
    assert advice in slurm.submit_advice(captured(name, version))


@pytest.mark.parametrize("name", ["sbatch-cpus", "sbatch-nodes"])
def test_what_can_never_start_may_be_refused(name: str) -> None:
    """24.11 takes no such job; 22.05 and 26.05 let it wait for ever."""
    assert "sinfo -N" in slurm.submit_advice(captured(name, "24.11"))
    assert 0 == captured(name, "26.05").returncode


@pytest.mark.parametrize(
    ("name", "says", "says_not"),
    [
        ("sbatch-qos-submit", "You have as many jobs", "'time'"),
        ("sbatch-assoc-submit", "You have as many jobs", "'time'"),
        ("sbatch-account-submit", "Your group has as many jobs", "'time'"),
        ("sbatch-qos-wall", "`sacctmgr show qos format=name,maxwall`", "sinfo"),
        ("sbatch-assoc-wall", "qos,maxwall`", "sinfo"),
        ("sbatch-qos-cpus", "format=name,maxtres", "sinfo"),
        ("sbatch-qos-nodes", "maxtrespu", "sinfo"),
        ("sbatch-qos-min", "Ask for more (`sacctmgr show qos", "sk for less"),
        ("sbatch-qos-unknown", "Change 'qos'", "sinfo"),
        ("sbatch-account", "Set 'account'", "sinfo"),
        ("sbatch-time-over", "`sinfo -O partition,time`", "sacctmgr"),
        ("sbatch-nodes-over", "No node has what is asked for", "'time'"),
        ("sbatch-partition-down", "Choose another 'partition'", "'time'"),
        ("sbatch-partition-group", "Choose another 'partition'", "'account'"),
    ],
)
def test_each_limit_gets_its_own_advice(name: str, says: str, says_not: str) -> None:
    """By the reason on the line before, as the last line is the same for all."""
    advice = slurm.submit_advice(captured(name))

    assert says in advice
    assert says_not not in advice


@pytest.mark.parametrize("version", VERSIONS[1:])
@pytest.mark.parametrize(
    "name",
    [
        *("sbatch-account", "sbatch-qos-unknown", "sbatch-qos-submit"),
        *("sbatch-qos-cpus", "sbatch-qos-wall"),
    ],
)
def test_each_slurm_says_its_limits_alike(name: str, version: str) -> None:
    """So the advice is the same."""
    assert captured(name).stderr == captured(name, version).stderr


@pytest.mark.parametrize("word", ["AssocMaxSubmitJobLimit", "SomethingNew"])
def test_a_limit_by_whatever_name_is_no_limit_of_time(word: str) -> None:
    """The last line speaks of time limits, too."""
    text = (
        f"sbatch: error: {word}\nsbatch: error: Batch job submission failed: Job "
        "violates accounting/QOS policy (job submit limit, user's size and/or time "
        "limits)\n"
    )

    advice = slurm.submit_advice(Completed(("sbatch",), 1, "", text))

    assert "end" in advice
    assert "squeue --me" in advice
    assert "sinfo" not in advice


def test_advice_has_the_user_s_own_names() -> None:
    """A command can be copied as it is: no $USER, no placeholder, no doubled %."""
    me = pwd.getpwuid(os.getuid()).pw_name
    gres = captured("sbatch-gres")
    gpu = Completed((*gres.argv, "--partition=gpu"), 1, "", gres.stderr)

    assert f"user={me} " in slurm.submit_advice(captured("sbatch-account"))
    assert "`sinfo -p gpu -O partition,gres:40`" in slurm.submit_advice(gpu)
    assert "`sinfo -O partition,gres:40`" in slurm.submit_advice(gres)
    held = JobStatus(job("12;big"), Phase.PENDING, "PENDING", "JobHeldUser")
    assert "`scontrol -M big release 12`" in slurm.pending_advice(held)
    assert "`scontrol release 7`" in slurm.pending_advice(
        replace(held, job_id=job("7"))
    )


@every_version
@pytest.mark.parametrize("name", ["scancel-ok", "scancel-ended", "scancel-unknown"])
def test_a_job_that_is_gone_is_cancelled(name: str, version: str) -> None:
    """No error when there is nothing left to cancel."""
    slurm.cancel(job("1")).parse(captured(name, version))


@every_version
def test_a_cancel_that_failed_is_an_error(version: str) -> None:
    """Somebody else's job; and a controller that is down may be asked again."""
    with pytest.raises(CommandError, match="Access/permission denied"):
        slurm.cancel(job("1")).parse(captured("scancel-not-ours", version))
    with pytest.raises(ControllerError):
        slurm.cancel(job("1")).parse(captured("scancel-down", version))


def test_attach_asks_for_no_resources() -> None:
    """A step that never waits for what the job uses, and for which none waits."""
    argv = slurm.into(job("12;big"), "c1", ["cat"])

    assert [*UNCOUNTED, "srun", "-M", "big", "--jobid=12", "--overlap"] == argv[:9]
    assert {"--mem=0", "--gres=none", "--unbuffered"} < set(argv)
    assert ["cat"] == argv[-1:]


def test_the_job_sees_no_secret_of_the_server() -> None:
    """An allow-list; SLURM_* of an enclosing job stay out, a site's own stay in."""
    environ = {
        "HOME": "/home/a",
        "PATH": "/bin",
        "JUPYTERHUB_API_TOKEN": "secret",
        "SLURM_CPU_BIND": "verbose",
        "SLURM_CONF": "/etc/slurm.conf",
        "XDG_RUNTIME_DIR": "/run/user/1",
        "MY_DATA": "/data",
    }

    kept = {"HOME", "PATH", "SLURM_CONF", "MY_DATA"}
    assert kept == set(environment(slurm, environ, keep=("MY_*",)))


def test_places_of_jobs_that_wait() -> None:
    """Only those that compete are counted: not the held, nor the impossible."""
    done = captured("squeue-places")
    jobs = [job(str(number)) for number in range(9, 17)]

    assert {job("14"): 1, job("16"): 2} == slurm.places(jobs).parse(done)


@pytest.mark.parametrize(
    ("job_id", "place"),
    [
        ("21", 3),  # behind a higher priority, and the same with a lower number
        ("22", 1),
        ("22;big", None),  # of another cluster
        ("25", 4),  # may run in two, and is nearer to its start in one
        ("30", None),  # held
        ("40", None),  # has no number for a priority
        ("99", None),  # is not there
    ],
)
def test_places_in_several_queues(job_id: str, place: int | None) -> None:
    """By partition, priority and number; an array counts once, for others."""
    rows = [
        "21|cpu|100|Priority",
        "19_[1-500%5]|cpu|100|Resources",
        "18|cpu|99|Priority",
        "23|cpu|700|None",
        "22|gpu|5|Priority",
        "24|gpu|4|Priority",
        "25|cpu,gpu|4|Priority",
        "26|gpu|5|Priority",
        "30|cpu|900|JobHeldUser",
        "31|cpu|900|Dependency",
        "40|cpu|N/A|Priority",
        "squeue: a line that is none",
    ]
    done = Completed(("squeue",), 0, "\n".join(rows), "")

    found = slurm.places([job(job_id)]).parse(done)

    assert ({} if place is None else {job(job_id): place}) == found


def test_no_answer_tells_no_place() -> None:
    """It is not an empty queue."""
    with pytest.raises(ControllerError, match="says nothing about the job"):
        slurm.places([job("14")]).parse(captured("squeue-down"))


def test_when_jobs_are_expected_to_start() -> None:
    """As far as Slurm says; in the local time of its commands."""
    done = captured("squeue-pending")
    jobs = done.argv[done.argv.index("-j") + 1].split(",")

    found = statuses(slurm, done, *jobs)

    times = {number: status.start_time for number, status in found.items()}
    expected = {
        "13": time.mktime((2026, 11, 21, 12, 8, 14, 0, 0, -1)),
        "16": time.mktime((2026, 11, 21, 11, 8, 17, 0, 0, -1)),
    }
    assert {**dict.fromkeys(jobs), **expected} == times


@pytest.mark.parametrize(
    ("job_id", "words"),
    [("12", "scontrol release"), ("13", "--begin"), ("15", "nodelist"), ("16", "less")],
)
def test_advice_for_a_job_that_waits(job_id: str, words: str) -> None:
    """It fits what the job waits for."""
    (status,) = statuses(slurm, captured("squeue-pending"), job_id).values()

    assert words in slurm.pending_advice(status)
