"""Capture what OAR's commands really say, for the tests of the parsers.

    PYTHONPATH=tests python tests/scheduler/capture_oar.py [refusals] [silence] ...

Needs the test cluster with OAR, up and idle (`python3 tests/testbed up --scheduler oar`);
takes some minutes. Each answer becomes a file in `captures/oar/`, as `job.Completed`
holds it, but for what runs the command (see `scheduler/oar/commands.py`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.api import Cluster

from remote_kernels.scheduler.job import Completed, JobId, JobRequest, JobStatus, Phase
from remote_kernels.scheduler.oar.driver import Oar

SLEEP = "#!/bin/bash\nexec sleep 300\n"
FOLDER = Path(__file__).parent / "captures" / "oar"
NAME = "jupyter-c0ffee00"
DEAF = {"PGHOSTADDR": "127.0.0.1"}  # where nobody listens
cluster = Cluster()
oar = Oar()


def run(
    argv: Sequence[str],
    script: str = "",
    *,
    user: str = "alice",
    env: Mapping[str, str] | None = None,
) -> Completed:
    """As a user on the login host."""
    done = cluster.run(
        "login1", user, argv, input=script, check=False, env=dict(env or {}), timeout=90
    )
    words = [*argv]
    words = words[words.index("--") + 1 :] if "--" in words else words
    return Completed(tuple(words), done.returncode, done.stdout, done.stderr)


def admin(*argv: str) -> None:
    cluster.run("ctl", "root", argv)


def keep(name: str, done: Completed) -> Completed:
    (FOLDER / f"{name}.json").write_text(json.dumps(done.__dict__, indent=1) + "\n")
    print(f"{name}: {done.returncode} {(done.stdout + done.stderr).strip()[:150]!r}")
    return done


def submission(options: Mapping[str, Any]) -> list[str]:
    request = JobRequest(NAME, "/home/alice/capture.log", options)
    return [*oar.submission(request, "").argv]


def submit(script: str = SLEEP, **options: object) -> JobId:
    argv = submission({"walltime": "0:10:00", **options})
    return oar.submission(JobRequest(NAME, "/log"), "").parse(run(argv, script))


def status(job_id: JobId) -> Completed:
    return run(oar.status([job_id])[0].argv)


def await_state(job_id: JobId, *words: Phase | str, seconds: float = 120) -> JobStatus:
    deadline = time.monotonic() + seconds
    while True:
        found = oar.status([job_id])[0].parse(status(job_id))[job_id]
        if found.phase in words or found.state in words:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"job {job_id} is {found}")
        time.sleep(0.2)


def ended(name: str, job_id: JobId) -> None:
    await_state(job_id, Phase.ENDED)
    keep(name, status(job_id))


def refusals() -> None:
    """What oarsub does not take."""
    refused: dict[str, dict[str, Any]] = {
        "queue": {"queue": "nope"},
        "queue-admin": {"queue": "admin"},
        "nodes": {"nodes": 9},
        "core": {"core": 99},
        "property": {"property": "nope=1"},
        "property-sql": {"property": "mem >"},
        "property-none": {"property": "mem > 9000"},
        "resource": {"resource": "/nope=1"},
        "resource-form": {"resource": "two nodes"},
        "type": {"type": ("nope",)},
        "option": {"oarsub_args": ("--nope",)},
    }
    for name, options in refused.items():
        keep(f"oarsub-{name}", run(submission(options), SLEEP))
    request = JobRequest(NAME, "/home/alice/é.log")
    keep("oarsub-log", run(oar.submission(request, "").argv, SLEEP))
    keep("oarsub-root", run(submission({}), SLEEP, user="root"))


def silence() -> None:
    """Nobody at the database; and no Almighty."""
    job = submit()
    await_state(job, Phase.RUNNING)
    for name, argv in {
        "oarsub": submission({}),
        "oarstat": oar.status([job])[0].argv,
        "oarstat-own": oar.own("alice")[0].argv,
        "oardel": oar.cancel(job).argv,
        "oarwalltime": oar.extend(job, 5).argv,
        "question": oar.question,
    }.items():
        argv = [word.replace("--seconds=20", "--seconds=6") for word in argv]
        keep(f"{name}-down", run(argv, SLEEP, env=DEAF))
    cluster.stop_controller()
    try:
        keep("oarsub-no-server", run(submission({}), SLEEP))
        keep("oardel-no-server", run(oar.cancel(job).argv))
    finally:
        cluster.start_controller()
    # It has forgotten; "already killed" tells it again.
    keep("oardel-again", run(oar.cancel(job).argv))
    ended("oarstat-cancelled-late", job)


def waiting() -> None:
    """Jobs that wait, each for a reason of its own."""
    held = submit(oarsub_args=("--hold",))
    keep("oarstat-hold", status(held))
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + 600))
    later = submit(type=(f"postpone={when}",))
    keep("oarstat-postponed", status(later))
    run(oar.cancel(later).argv)
    every = submit(nodes=2)
    await_state(every, Phase.RUNNING)
    waits = submit(core=2)
    after = submit(oarsub_args=(f"--anterior={every}",))
    shut = submit(queue="shut")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done = status(waits)
        if oar.status([waits])[0].parse(done)[waits].start_time:
            break
        time.sleep(0.2)
    keep("oarstat-waiting", done)
    time.sleep(3)
    keep("oarstat-after", status(after))
    keep("oarstat-shut", status(shut))
    keep("oarstat-own", run(oar.own("alice")[0].argv))
    keep("oarstat-own-none", run(oar.own("bob")[0].argv))
    several = oar.status([held, every, JobId("999999")])[0].argv
    keep("oarstat-several", run(several))
    for job in (held, waits, after, shut):
        run(oar.cancel(job).argv)
    ended("oarstat-cancelled-waiting", waits)
    run(oar.cancel(every).argv)
    await_state(every, Phase.ENDED)


def absent() -> None:
    """Nodes that are away, and a job that no node could have now."""
    admin("oarnodesetting", "-h", "c2", "-s", "Absent")
    time.sleep(2)
    try:
        job = submit(nodes=2)
        time.sleep(4)
        keep("oarstat-absent", status(job))
        run(oar.cancel(job).argv)
    finally:
        admin("oarnodesetting", "-h", "c2", "-s", "Alive")


def lives() -> None:
    """Jobs that run, and all the ways in which they end."""
    late = submit(walltime="0:00:30")
    job = submit(nodes=2)
    keep("oarsub-ok", run(submission({"walltime": "0:01:00"}), "#!/bin/bash\n"))
    keep(
        "oarsub-besteffort", run(submission({"type": ("besteffort",)}), "#!/bin/bash\n")
    )
    await_state(job, Phase.RUNNING)
    keep("oarstat-running", status(job))
    keep("oarstat-unknown", status(JobId("999999")))
    keep("oarwalltime-ok", run(oar.extend(job, 90).argv))
    keep("oarwalltime-unknown", run(oar.extend(JobId("999999"), 90).argv))
    keep("oarwalltime-not-ours", run(oar.extend(job, 90).argv, user="bob"))
    admin("oarhold", "-r", str(job))
    await_state(job, "Suspended")
    keep("oarstat-suspended", status(job))
    admin("oarresume", str(job))
    await_state(job, Phase.RUNNING)
    keep("oardel-not-ours", run(oar.cancel(job).argv, user="bob"))
    keep("oardel-unknown", run(oar.cancel(JobId("999999")).argv))
    keep("oardel-ok", run(oar.cancel(job).argv))
    ended("oarstat-cancelled", job)
    keep("oardel-ended", run(oar.cancel(job).argv))
    ended("oarstat-completed", submit("#!/bin/bash\n"))
    ended("oarstat-failed", submit("#!/bin/bash\nexit 97\n"))
    ended("oarstat-signalled", submit("#!/bin/bash\nkill -9 $$\n"))
    by_root = submit()
    await_state(by_root, Phase.RUNNING)
    admin("oardel", str(by_root))
    ended("oarstat-cancelled-by-root", by_root)
    ended("oarstat-walltime", late)
    keep("question", run(oar.question))
    keep("oarnodes", run(oar.offers("property", "alice").argv))  # type: ignore[union-attr]


def troubles() -> None:
    """What ends jobs besides."""
    kept = "/home/alice/not-here/capture.log"
    request = JobRequest(NAME, kept, {"walltime": "0:10:00"})
    cluster.run("login1", "alice", ["mkdir", "-p", "/home/alice/not-here"])
    way = oar.submission(request, "")
    job = way.parse(run(way.argv, SLEEP))
    cluster.run("login1", "alice", ["rm", "-r", "/home/alice/not-here"])
    ended("oarstat-no-log", job)
    cheap = submit(nodes=2, type=("besteffort",))
    await_state(cheap, Phase.RUNNING)
    dear = submit(nodes=2)
    ended("oarstat-besteffort", cheap)
    await_state(dear, Phase.RUNNING)
    run(oar.cancel(dear).argv)
    await_state(dear, Phase.ENDED)
    # What OAR runs on a node before a job fails there.
    lock = "/var/lib/oar/job_manager_lock_file"
    cluster.run("c2", "root", ["sh", "-c", f"rm -f {lock}; mkdir {lock}"])
    lost = submit(property="host='c2'")
    try:
        ended("oarstat-no-node", lost)
    finally:
        cluster.run("c2", "root", ["rmdir", lock])
        admin("oarnodesetting", "-h", "c2", "-s", "Alive")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    every = (refusals, silence, waiting, absent, lives, troubles)
    for one in every:
        if len(sys.argv) == 1 or one.__name__ in sys.argv:
            one()


if __name__ == "__main__":
    main()
