"""Capture what Grid Engine's commands print, for the tests of its magics.

    PYTHONPATH=tests python tests/magics/capture_gridengine.py

Needs a Grid Engine where you may submit jobs that wait, with a parallel environment `mpi`
and no job of yours; they are cancelled at the end. The magics make the commands, so a
capture is what they will get.
"""

from __future__ import annotations

import json
import re
import time

from magics.capture import DATA, SCRIPT, run
from remote_kernels.magics.gridengine import tables
from remote_kernels.scheduler.gridengine import DRIVER, site
from remote_kernels.scheduler.job import login_name

# What a user may call a job.
NAMES = ("a<b&c", 'it\'s_"quoted"', "a_name_that_is_long;|,x", "STDIN")

TABLES = {
    "qstat": ["qstat"],
    "qstat-all": ["qstat", "-u", "*"],
    "qstat-ext": ["qstat", "-ext"],
    "qstat-pri": ["qstat", "-pri"],
    "qstat-queues": ["qstat", "-g", "c"],
    "qstat-none": ["qstat", "-u", "nosuch"],
    "qhost": ["qhost"],
    "qhost-one": ["qhost", "-h", "c2"],
}
OTHERS = {
    "qsub-queue": ["qsub", "-q", "nosuch"],
    "qsub-resource": ["qsub", "-l", "nope=1"],
    "qsub-name": ["qsub", "-N", "a b"],
    "qsub": ["qsub", "-h"],
    "qsub-terse": ["qsub", "-h", "-terse"],
    "qsub-array": ["qsub", "-h", "-t", "1-10:2"],
    "qsub-array-terse": ["qsub", "-h", "-terse", "-t", "1-10:2"],
    "qsub-now": ["qsub", "-now", "y"],
    "qsub-verify": ["qsub", "-verify"],
    "qsub-file": ["qsub", "nosuch.sh"],
    "qdel-unknown": ["qdel", "99999"],
    "qacct": ["qacct", "-j", "99999"],
    "qstat-job-unknown": ["qstat", "-j", "99999"],
    "qstat-option": ["qstat", "-nosuch"],
    "qstat-own": list(DRIVER.own(login_name())[0].argv),
    "qconf-queue": list(site.limits(["debug.q@c1"]).argv),
}


def main() -> None:
    said = run(["qstat", "-help"]).stdout
    version = re.match(r"\S+ (\S+)", said)
    assert version is not None, said
    folder = DATA / f"gridengine-{version[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    submit = ["qsub", "-S", "/bin/bash", "-o", "/dev/null", "-j", "y"]
    run([*submit, "-N", NAMES[0], "-pe", "mpi", "4", "-l", "h_rt=600"], SCRIPT)
    run([*submit, "-N", NAMES[1], "-t", "1-2"], SCRIPT)
    run([*submit, "-N", NAMES[2], "-h", "-p", "-5"], SCRIPT)
    run([*submit, "-h", "-t", "1-10:2"], SCRIPT)
    time.sleep(5)  # until they run
    wanted = {name: tables.argv(argv[0], argv[1:]) for name, argv in TABLES.items()}
    for name, argv in [*wanted.items(), *OTHERS.items()]:
        assert argv is not None, name
        script = "sleep 1\n" if argv[0] == "qsub" else ""
        text = json.dumps(run(argv, script).__dict__, indent=1)
        (folder / f"{name}.json").write_text(text + "\n")
    run(["sh", "-c", "qdel -u $(id -un)"])


if __name__ == "__main__":
    main()
