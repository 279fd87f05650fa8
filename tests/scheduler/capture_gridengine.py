"""Capture what Grid Engine's commands really say, for the tests of its driver.

    PYTHONPATH=tests python tests/scheduler/capture_gridengine.py

Needs the test cluster with Grid Engine, up and idle (`python3 tests/testbed up
--scheduler gridengine`, and RK_CLUSTER_SCHEDULER=gridengine here); takes three minutes.
Each answer becomes a file in `data/gridengine-VERSION/`, as `job.Completed` holds it.
The driver makes the commands, so a capture is what it will get.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed.api import Cluster

from remote_kernels.scheduler.gridengine.driver import GridEngine
from remote_kernels.scheduler.job import Completed, JobRequest, JobStatus, Query
from scheduler.asking import job as job_id

SLEEP = "#!/bin/bash\nexec sleep 300\n"
CLEAN = "#!/bin/bash\ntrap 'exit 143' USR2\nsleep 300 & wait; wait\n"
STUBBORN = "#!/bin/bash\ntrap '' USR1 USR2\nsleep 300\n"
HUNGRY = "#!/bin/bash\nexec python3 -c 'b = bytearray(400 << 20)'\n"
# Each has less than it may have; together they have more.
TOGETHER = """\
#!/bin/bash
trap '' USR1 USR2
for one in 1 2 3 4; do
  python3 -c 'import time; b = bytearray(150 << 20); time.sleep(40)' &
done
wait
"""
DATA = Path(__file__).parent / "data"
NOBODY = ["env", "SGE_QMASTER_PORT=9"]
cluster = Cluster()
gridengine = GridEngine()
folder = DATA / "unknown"


def run(argv: Sequence[str], script: str = "", *, user: str = "alice") -> Completed:
    """As a user on the login host."""
    done = cluster.run("login1", user, argv, input=script, check=False)
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)


def admin(script: str) -> None:
    cluster.run("ctl", "root", ["bash", "-ec", script])


def keep(name: str, done: Completed) -> None:
    text = json.dumps(done.__dict__, indent=1)
    (folder / f"{name}.json").write_text(text + "\n")
    print(f"{name}: {done.returncode} {(done.stdout + done.stderr).strip()[:150]!r}")


def bare(prefix: Sequence[str], argv: Sequence[str], script: str = "") -> Completed:
    """What a command says with that before it; kept as the driver makes it."""
    done = run([*prefix, *argv], script)
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)


def submit_argv(*extra: str, **options: object) -> list[str]:
    asked = {**options, "qsub_args": extra}
    request = JobRequest("rk-capture", "/home/alice/capture.log", asked)
    return list(gridengine.submission(request, "").argv)


def submit(*extra: str, script: str = SLEEP, **options: object) -> str:
    done = run(submit_argv(*extra, **options), script)
    request = JobRequest("rk-capture", "/home/alice/capture.log")
    return str(gridengine.submission(request, "").parse(done))


def ask(query: Query[object]) -> Completed:
    return run(query.argv)


def listing() -> Completed:
    (query,) = gridengine.own("alice")
    return ask(query)


def found(job: str) -> JobStatus | None:
    (query,) = gridengine.own("alice")
    return {str(s.job_id): s for s in query.parse(listing())}.get(job)


def until(is_so: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(listing().stdout)
        time.sleep(0.1)


def await_state(job: str, *states: str) -> None:
    """Wait for one of these letters; "" is a job that is not listed."""
    until(lambda: getattr(found(job), "state", "") in states)


def accounted(job: str) -> Completed:
    (query,) = gridengine.ended(job_id(job))
    return ask(query)


def cancel(job: str, user: str = "alice") -> Completed:
    return run(gridengine.cancel(job_id(job)).argv, user=user)


def ended(name: str, job: str) -> None:
    await_state(job, "")
    until(lambda: accounted(job).returncode == 0)
    keep(f"qacct-{name}", accounted(job))


def refusals() -> None:
    """What qsub does not take."""
    long = {"h_rt": "999:00:00"}
    keep("qsub-queue", run(submit_argv(q="nope"), SLEEP))
    keep("qsub-project", run(submit_argv(P="bobs"), SLEEP))
    keep("qsub-no-project", run(submit_argv(P="nope"), SLEEP))
    keep("qsub-resource", run(submit_argv(l="nope=1"), SLEEP))
    keep("qsub-time", run(submit_argv(l="h_rt=soon"), SLEEP))
    keep("qsub-memory", run(submit_argv(l="h_vmem=lots"), SLEEP))
    keep("qsub-pe", run(submit_argv(pe="nope", slots=2), SLEEP))
    keep("qsub-ar", run(submit_argv(ar="99"), SLEEP))
    keep("qsub-hostname", run(submit_argv(l="hostname=nope"), SLEEP))
    keep("qsub-option", run(submit_argv("-nope"), SLEEP))
    keep("qsub-verified", run(submit_argv("-w", "e", **long), SLEEP))
    admin("qconf -ds login1; qconf -dh login1")
    keep("qsub-host", run(submit_argv(), SLEEP))
    admin("qconf -as login1; qconf -ah login1")
    admin("qconf -sconf | sed 's/^max_u_jobs.*/max_u_jobs 1/' >/tmp/global")
    admin("cd /tmp; qconf -Mconf global")
    first = submit()
    keep("qsub-jobs", run(submit_argv(), SLEEP))
    admin("cd /tmp; sed -i 's/^max_u_jobs.*/max_u_jobs 0/' global; qconf -Mconf global")
    cancel(first)


def silence() -> None:
    """No qmaster at that port; and no Grid Engine at that path."""
    job = submit()
    queries = {
        "qstat": gridengine.own("alice")[0].argv,
        "qdel": gridengine.cancel(job_id(job)).argv,
        "qacct": gridengine.ended(job_id(job))[0].argv,
        "qconf-sss": gridengine.cluster().argv,
        "reasons": gridengine.reasons([job_id(job)]).argv,
        "places": gridengine.places([]).argv,
    }
    for name, prefix in (("down", NOBODY), ("unset", ["env", "SGE_ROOT=/nope"])):
        keep(f"qsub-{name}", bare(prefix, submit_argv(), SLEEP))
        for command, argv in queries.items():
            keep(f"{command}-{name}", bare(prefix, argv))
    keep("qdel-not-ours", cancel(job, "bob"))
    keep("qdel-ok", cancel(job))


def site() -> None:
    """What this site has."""
    request = JobRequest("rk", "/log", {"slots": 2, "gpu": 1, "q": "long.q"})
    names = ("environments", "complexes")
    for name, query in zip(names, gridengine.questions(request)[1:], strict=True):
        keep(f"qconf-{name}", ask(query))
    doubts = gridengine.doubts(request)
    assert doubts
    keep("qconf-queues", ask(doubts))
    keep("qconf-sss", ask(gridengine.cluster()))
    keep("qconf-ssconf", run(["qconf", "-ssconf"]))
    keep("qstat-help", ask(gridengine.version()))
    for option in ("q", "P", "pe"):
        offers = gridengine.offers(option, "alice")
        assert offers
        keep(f"qconf-offers-{option}", ask(offers))


def waiting() -> None:
    """Jobs that wait, each for a reason of its own; some can never start."""
    keep("qstat-none", listing())
    keep("places-none", ask(gridengine.places([])))
    whole = [submit(pe="smp", slots=8, l=f"hostname=c{node}") for node in (1, 2)]
    for job in whole:
        await_state(job, "r")
    jobs = {
        "full": submit(),
        "hold": submit("-h"),
        "begin": submit("-a", "203701010000"),
        "after": submit("-hold_jid", whole[0]),
        "time": submit(h_rt="999:00:00"),
        "memory": submit(mem="100G"),
        "gpus": submit(l="gpu=9"),
        "slots": submit(pe="smp", slots=99),
        "arch": submit(l="arch=nope"),
    }
    time.sleep(5)  # two rounds of the scheduler
    keep("qstat-pending", listing())
    keep("places-pending", ask(gridengine.places([])))
    for name, job in jobs.items():
        keep(f"reasons-{name}", ask(gridengine.reasons([job_id(job)])))
    several = [job_id(job) for job in (*jobs.values(), "999999")]
    keep("reasons-pending", ask(gridengine.reasons(several)))
    admin("qmod -d '*'")
    time.sleep(5)
    keep("reasons-disabled", ask(gridengine.reasons([job_id(jobs["full"])])))
    admin("qmod -e '*'")
    for job in (*jobs.values(), *whole):
        cancel(job)
    for job in whole:
        await_state(job, "")


def loads() -> None:
    """What changes with the load, which -w v takes for missing; and what no host has."""
    admin(
        "qconf -sc >/tmp/complexes; echo 'fpga fpga INT <= YES YES 0 0' >>/tmp/complexes"
    )
    admin("qconf -Mc /tmp/complexes")
    jobs = {
        "load": submit(l="mem_free=900G"),
        "load-gpus": submit(l="mem_free=900G,gpu=99"),
        "nowhere": submit(l="fpga=1"),
    }
    time.sleep(5)
    for name, job in jobs.items():
        keep(f"reasons-{name}", ask(gridengine.reasons([job_id(job)])))
        cancel(job)


def quota() -> None:
    """A quota of the site's that holds a job back; its scheduler says why."""
    rules = "{\n name rk\n enabled TRUE\n limit users {*} to slots=1\n}"
    admin(f"echo {shlex.quote(rules)} >/tmp/rqs; qconf -Arqs /tmp/rqs")
    first = submit()
    await_state(first, "r")
    second = submit()
    time.sleep(5)
    keep("reasons-quota", ask(gridengine.reasons([job_id(second)])))
    admin("qconf -drqs rk")
    for job in (first, second):
        cancel(job)
    told = "sed 's/^schedd_job_info .*/schedd_job_info {}/' >/tmp/sched"
    admin(f"qconf -ssconf | {told.format('false')}; qconf -Msconf /tmp/sched")
    job = submit("-a", "203701010000")
    time.sleep(5)
    keep("reasons-off", ask(gridengine.reasons([job_id(job)])))
    admin(f"qconf -ssconf | {told.format('true')}; qconf -Msconf /tmp/sched")
    cancel(job)


def closed() -> None:
    """Queues that take no job of this user's, or none now."""
    admin("qconf -rattr queue user_lists bobs long.q")
    job = submit(q="long.q")
    time.sleep(5)
    keep("reasons-users", ask(gridengine.reasons([job_id(job)])))
    admin("qconf -rattr queue user_lists NONE long.q; qmod -sq '*'")
    cancel(job)
    job = submit()
    time.sleep(5)
    keep("reasons-suspended", ask(gridengine.reasons([job_id(job)])))
    admin("qmod -usq '*'")
    every = "for q in $(qconf -sql); do qconf -rattr queue load_thresholds {} $q; done"
    admin(every.format("np_load_avg=0"))
    cancel(job)
    job = submit()
    time.sleep(5)
    keep("reasons-overload", ask(gridengine.reasons([job_id(job)])))
    admin(every.format("NONE"))
    admin("qconf -ssconf | sed 's/^maxujobs .*/maxujobs 1/' >/tmp/sched")
    admin("qconf -Msconf /tmp/sched")
    cancel(job)
    first = submit()
    await_state(first, "r")
    job = submit()
    time.sleep(5)
    keep("reasons-maxujobs", ask(gridengine.reasons([job_id(job)])))
    admin("sed -i 's/^maxujobs .*/maxujobs 0/' /tmp/sched; qconf -Msconf /tmp/sched")
    for one in (first, job):
        cancel(one)
        await_state(one, "")
    admin("qconf -sp smp >/tmp/pe; qconf -rattr pe start_proc_args /bin/false smp")
    unprepared("pe")
    admin("qconf -Mp /tmp/pe; qconf -rattr queue prolog /bin/false debug.q")
    unprepared("prolog")
    admin("qconf -rattr queue prolog NONE debug.q")


def unprepared(name: str) -> None:
    """A job whose node cannot be made ready; its queue there is in error then."""
    job = submit(q="debug.q", pe="smp", slots=2)
    await_state(job, "Eqw", "qw")
    time.sleep(4)
    keep(f"qstat-{name}", listing())
    keep(f"reasons-{name}", ask(gridengine.reasons([job_id(job)])))
    cancel(job)
    keep(f"qacct-{name}", accounted(job))
    admin("qmod -cq '*'")


def states() -> None:
    """Rows of jobs in all states that can be had."""
    job = submit(h_rt="0:10:00", script=STUBBORN)
    await_state(job, "r")
    keep("qstat-running", listing())
    run(["qhold", job])
    keep("qstat-hr", listing())
    run(["qrls", job])
    admin(f"qmod -sj {job}")
    await_state(job, "s")
    keep("qstat-s", listing())
    admin(f"qmod -usj {job}")
    await_state(job, "r")
    keep("qdel-running", cancel(job))
    keep("qstat-dr", listing())
    keep("qdel-twice", cancel(job))
    ended("killed", job)
    keep("qdel-ended", cancel(job))
    keep("qdel-unknown", cancel("999999"))
    slow = submit(pe="pair", slots=2, nodes=2)
    await_state(slow, "t", "r")
    keep("qstat-t", listing())
    await_state(slow, "r")
    run(["sh", "-c", "echo '-g t' >.sge_qstat"])
    keep("qstat-tasks", listing())
    run(["sh", "-c", "echo '-f' >.sge_qstat"])
    keep("qstat-full", listing())
    run(["rm", ".sge_qstat"])
    array = run(["qsub", "-terse", "-t", "1-3:2", "-b", "y", "sleep", "60"]).stdout
    array = array.partition(".")[0]
    await_state(array, "r")
    keep("qstat-array", listing())
    for one in (slow, array):
        cancel(one)
    for one in (slow, array):
        await_state(one, "")
    below = submit(q="cheap.q", l="hostname=c2", script=STUBBORN)
    await_state(below, "r")
    above = submit(q="urgent.q", l="hostname=c2")
    await_state(below, "S")
    keep("qstat-S", listing())
    for one in (above, below):
        cancel(one)
        await_state(one, "")
    failed()
    again = [*submit_argv()]
    again[again.index("-r") + 1] = "y"
    rerun = run(again, SLEEP).stdout.strip()
    await_state(rerun, "r")
    admin("qconf -rattr queue rerun TRUE debug.q; qmod -d '*'")
    admin(f"qmod -rj {rerun}")
    await_state(rerun, "Rq")
    keep("qstat-Rq", listing())
    admin("qmod -e '*'; qconf -rattr queue rerun FALSE debug.q")
    await_state(rerun, "Rr")
    keep("qstat-Rr", listing())
    cancel(rerun)
    ended("rerun", rerun)


def failed() -> None:
    """Jobs in error state: no directory, no place for the log."""
    there = run([*submit_argv("-wd", "/nope")], SLEEP).stdout.strip()
    log = submit_argv()
    log[log.index("-o") + 1] = ":/nope/job.log"
    nowhere = run(log, SLEEP).stdout.strip()
    for name, job in (("chdir", there), ("log", nowhere)):
        await_state(job, "Eqw")
        keep(f"reasons-{name}", ask(gridengine.reasons([job_id(job)])))
    keep("qstat-Eqw", listing())
    for name, job in (("chdir", there), ("log", nowhere)):
        cancel(job)
        keep(f"qacct-{name}", accounted(job))


def ends() -> None:
    """All the ways in which jobs end."""
    late = submit(h_rt="0:00:05", script=STUBBORN)
    late_clean = submit(h_rt="0:00:05", script=CLEAN)
    keep("qsub-ok", run(submit_argv(), "#!/bin/bash\n"))
    ended("ok", submit(script="#!/bin/bash\n"))
    ended("7", submit(script="#!/bin/bash\nexit 7\n"))
    ended("signalled", submit(script="#!/bin/bash\nkill -9 $$\n"))
    ended("memory", submit(script=HUNGRY, mem="200M"))
    together = submit(script=TOGETHER, h_vmem="200M", slots=2, pe="smp")
    ended("memory-together", together)
    for name, script in (("cancelled-clean", CLEAN), ("cancelled", SLEEP)):
        job = submit(script=script)
        await_state(job, "r")
        cancel(job)
        ended(name, job)
    held = submit("-h")
    cancel(held)
    await_state(held, "")
    time.sleep(3)
    keep("qacct-cancelled-pending", accounted(held))
    keep("qacct-unknown", accounted("999999"))
    ended("time", late)
    ended("time-clean", late_clean)
    within()


def within() -> None:
    """Tasks in a job's parallel environment have records, too, before the job has."""
    job = submit(pe="smp", slots=2, script=CLEAN)
    await_state(job, "r")
    status = found(job)
    assert status
    assert status.node
    for code in (0, 3):
        argv = ["sh", "-c", f"exit {code}"]
        keep(f"qrsh-{code}", run(gridengine.into(job_id(job), status.node, argv)))
    until(lambda: accounted(job).stdout.count("jobnumber") == 2)
    keep("qacct-tasks-running", accounted(job))
    cancel(job)
    await_state(job, "")
    until(lambda: accounted(job).stdout.count("jobnumber") == 3)
    keep("qacct-tasks", accounted(job))
    alone = submit(pe="smp", slots=2, script="#!/bin/bash\nexit 5\n")
    ended("slots", alone)
    loose = submit(pe="loose", slots=2)
    await_state(loose, "r")
    status = found(loose)
    assert status
    assert status.node
    keep("qrsh-refused", run(gridengine.into(job_id(loose), status.node, ["true"])))
    cancel(loose)


def own_jobs() -> None:
    """Scripts of the user's own: each with its log at another place, an array, one held."""
    begin = "mkdir -p sub; cd sub; printf '#!/bin/bash\\nsleep 300\\n' >run.sh"
    submits = f'{begin}; exec qsub -terse "$@" run.sh'
    asked: dict[str, list[str]] = {
        "plain": ["-cwd"],
        "athome": [],
        "pat": ["-cwd", "-o", "out-$JOB_NAME-$JOB_ID.txt"],
        "dir": ["-cwd", "-o", "/tmp/"],
        "arr": ["-cwd", "-t", "1-3"],
        "held": ["-cwd", "-h"],
    }
    made = {
        name: run(["sh", "-c", submits, "sh", "-N", name, *one]).stdout
        for name, one in asked.items()
    }
    time.sleep(4)  # one round of the scheduler
    (listing,) = gridengine.every("alice")
    keep("qstat-every", run(listing.argv))
    for name, said in made.items():
        if name != "held":
            number = job_id(said.partition(".")[0].strip())
            keep(f"log-{name}", run(gridengine.log_of(number).argv))
    run(["qdel", "-u", "alice"])


def main() -> None:
    global folder
    version = run(gridengine.version().argv).stdout.split()[1]
    folder = DATA / f"gridengine-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    parts = (refusals, silence, site, waiting, loads, quota, closed, states, ends)
    for part in (*parts, own_jobs):
        part()
        run(["qdel", "-u", "alice"])


if __name__ == "__main__":
    main()
