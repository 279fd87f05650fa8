"""Capture what Slurm's commands really say, for the tests of the parsers.

    PYTHONPATH=tests python tests/scheduler/capture.py

Needs the test cluster, up and idle (`python3 tests/testbed up`); takes two minutes.
Each answer becomes a file in `data/slurm-VERSION/`, as `job.Completed` holds it.
The driver makes the commands, so a capture is what it will get.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from testbed.api import Cluster

from remote_kernels.scheduler.job import Completed, JobRequest, Phase
from remote_kernels.scheduler.slurm.driver import Slurm
from scheduler.asking import job as job_id
from scheduler.asking import status_argv, statuses

SLEEP = "#!/bin/bash\nexec sleep 300\n"
DATA = Path(__file__).parent / "data"
cluster = Cluster()
slurm = Slurm()
folder = DATA / "unknown"


def run(argv: Sequence[str], script: str = "", *, user: str = "alice") -> Completed:
    """As a user on the login host."""
    done = cluster.run("login1", user, argv, input=script, check=False)
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)


def admin(*argv: str) -> None:
    cluster.run("ctl", "root", argv)


def keep(name: str, done: Completed) -> None:
    text = json.dumps(done.__dict__, indent=1)
    (folder / f"{name}.json").write_text(text + "\n")
    print(f"{name}: {done.returncode} {(done.stdout + done.stderr).strip()[:150]}")


def submit_argv(*extra: str, **options: str | int) -> list[str]:
    named = {name.replace("_", "-"): value for name, value in options.items()}
    asked: dict[str, object] = {**named, "sbatch_args": extra}
    request = JobRequest("rk-capture", "/home/alice/capture.log", asked)
    return list(slurm.submission(request, "").argv)


def submit(*extra: str, script: str = SLEEP, **options: str | int) -> str:
    return number(run(submit_argv(*extra, **options), script))


def number(done: Completed) -> str:
    request = JobRequest("rk-capture", "/home/alice/capture.log")
    return str(slurm.submission(request, "").parse(done))


def hopeless(name: str, **options: int) -> list[str]:
    """What no node could ever give: 24.11 refuses it, 22.05 and 26.05 let it wait."""
    done = run(submit_argv(**options), SLEEP)
    keep(f"sbatch-{name}", done)
    return [] if done.returncode else [number(done)]


def ended_argvs(number: str) -> list[Sequence[str]]:
    return [query.argv for query in slurm.ended(job_id(number))]


def cancel_argv(number: str) -> Sequence[str]:
    return slurm.cancel(job_id(number)).argv


def status(*jobs: str) -> Completed:
    return run(status_argv(slurm, *jobs))


def shown(job: str) -> Completed:
    return run(ended_argvs(job)[0])


def await_phase(job: str, phase: Phase, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while statuses(slurm, status(job), job)[job].phase is not phase:
        if time.monotonic() > deadline:
            raise TimeoutError(f"job {job} is not {phase}: {status(job).stdout}")
        time.sleep(0.2)


def ended(name: str, job: str) -> None:
    """Both answers about a job that has ended."""
    await_phase(job, Phase.ENDED)
    keep(f"squeue-{name}", status(job))
    keep(f"scontrol-{name}", shown(job))


def refusals() -> None:
    """What sbatch does not take."""
    keep("sbatch-partition", run(submit_argv(partition="nope"), SLEEP))
    keep("sbatch-time", run(submit_argv(time="soon"), SLEEP))
    keep("sbatch-mem", run(submit_argv(mem="100G"), SLEEP))
    keep("sbatch-gres", run(submit_argv(gres="nope:1"), SLEEP))
    keep("sbatch-gpus", run(submit_argv(gpus=64), SLEEP))
    keep("sbatch-constraint", run(submit_argv(constraint="nope"), SLEEP))
    keep("sbatch-reservation", run(submit_argv(reservation="nope"), SLEEP))
    keep("sbatch-nodelist", run(submit_argv(nodelist="nope"), SLEEP))
    keep("sbatch-option", run(submit_argv("--nope"), SLEEP))
    keep("sbatch-cluster", run(submit_argv("-M", "nope"), SLEEP))


def site() -> None:
    """What this site has."""
    query = slurm.doubts(JobRequest("rk-capture", "/home/alice/capture.log"))
    assert query is not None
    keep("sinfo-site", run(query.argv))


def silence() -> None:
    """No controller: nobody listens at its port; and no configuration at all."""
    job = submit()
    nobody = [
        "sh",
        "-c",
        "sed 's/^ClusterName.*/&\\nSlurmctldPort=9/' /etc/slurm/*m.conf",
    ]
    conf = run([*nobody]).stdout
    run(["sh", "-c", "cat > nobody.conf"], conf)
    for name, path in (("down", "/home/alice/nobody.conf"), ("unset", "/nope")):
        env = ["env", f"SLURM_CONF={path}"]
        keep(f"sbatch-{name}", bare(run([*env, *submit_argv()], SLEEP), env))
        keep(f"squeue-{name}", bare(run([*env, *status_argv(slurm, job)]), env))
        argv = ended_argvs(job)[0]
        keep(f"scontrol-{name}", bare(run([*env, *argv]), env))
        keep(f"scancel-{name}", bare(run([*env, *cancel_argv(job)]), env))
    keep("scancel-not-ours", run(cancel_argv(job), user="bob"))
    keep("scancel-ok", run(cancel_argv(job)))
    run(["rm", "nobody.conf"])


def bare(done: Completed, prefix: Sequence[str]) -> Completed:
    """The command as the driver makes it."""
    return Completed(
        done.argv[len(prefix) :], done.returncode, done.stdout, done.stderr
    )


def waiting() -> None:
    """Jobs that wait, each for a reason of its own; some can never start."""
    admin("scontrol", "update", "nodename=c2", "state=drain", "reason=capture")
    try:
        jobs = [
            *hopeless("cpus", cpus_per_task=99),
            submit(time="2:00:00"),
            *hopeless("nodes", nodes=5),
            submit("--hold"),
            submit("--begin=now+1hour"),
            submit(gpus=1),
            submit(nodelist="c2"),
        ]
        fresh = submit()
        keep("squeue-fresh", status(fresh))
        time.sleep(3)  # one round of the scheduler, which sets the reasons
        keep("squeue-pending", status(*jobs, fresh))
        keep("scontrol-pending", shown(jobs[0]))
        keep("squeue-places", run(slurm.places([]).argv))
    finally:
        admin("scontrol", "update", "nodename=c2", "state=resume")
    for job in (*jobs, fresh):
        run(cancel_argv(job))


def lives() -> None:
    """Jobs that run, and all the ways in which they end."""
    late = submit(time=1)
    job = submit(script="#!/bin/bash\ntrap '' TERM\nsleep 300 & wait; sleep 300\n")
    await_phase(job, Phase.RUNNING)
    keep("sbatch-ok", run(submit_argv(), "#!/bin/bash\n"))
    keep("squeue-running", status(job))
    keep("squeue-some-unknown", status("999999", job))
    keep("squeue-unknown", status("999999"))
    keep("scontrol-running", shown(job))
    keep("scontrol-unknown", shown("999999"))
    keep("sacct-disabled", run(ended_argvs(job)[1]))
    admin("scontrol", "suspend", job)
    keep("squeue-suspended", status(job))
    admin("scontrol", "resume", job)
    run(cancel_argv(job))
    keep("squeue-completing", status(job))
    ended("cancelled", job)
    keep("scancel-ended", run(cancel_argv(job)))
    keep("scancel-unknown", run(cancel_argv("999999")))
    ended("completed", submit(script="#!/bin/bash\n"))
    ended("failed", submit(script="#!/bin/bash\nexit 97\n"))
    ended("signalled", submit(script="#!/bin/bash\nkill -9 $$\n"))
    hungry = "#!/bin/bash\nexec python3 -c 'b = bytearray(400 << 20)'\n"
    ended("out-of-memory", submit(script=hungry, mem="50M"))
    lost = submit(nodelist="c2")
    await_phase(lost, Phase.RUNNING)
    admin("scontrol", "update", "nodename=c2", "state=down", "reason=capture")
    ended("node-fail", lost)
    ended("timeout", late)


def own_jobs() -> None:
    """Scripts of the user's own: one with an odd name, arrays, and some that wait."""
    begin = "mkdir -p 'a b'; cd 'a b'; printf '#!/bin/bash\\nsleep 300\\n' >run.sh"
    submits = f'{begin}; exec sbatch --parsable "$@" run.sh'
    asked: list[list[str]] = [
        ["-J", "odd|name % x", "-o", "out-%x-%j.txt"],
        ["-J", "plain"],
        ["-J", "arr", "--array=1-3"],
        ["-J", "held", "--hold"],
        ["-J", "heldarr", "--hold", "--array=1-3"],
        ["-J", "mailed", "--mail-type=END,FAIL", "--mail-user=alice"],
    ]
    made = [run(["sh", "-c", submits, "sh", *one]).stdout.strip() for one in asked]
    time.sleep(3)  # one round of the scheduler
    (listing,) = slurm.every("alice")
    keep("squeue-every", run(listing.argv))
    for name, job in zip(("name", "usual", "array"), made, strict=False):
        keep(f"scontrol-log-{name}", run(slurm.log_of(job_id(job)).argv))
    for job in made:
        run(cancel_argv(job))


def main() -> None:
    global folder
    version = run(["sbatch", "--version"]).stdout.split()[1]
    folder = DATA / f"slurm-{'.'.join(version.split('.')[:2])}"
    folder.mkdir(parents=True, exist_ok=True)
    site()
    refusals()
    silence()
    waiting()
    lives()
    own_jobs()


if __name__ == "__main__":
    main()
