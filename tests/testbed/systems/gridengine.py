"""Grid Engine (Son of Grid Engine 8.1.9), from the machine's Debian packages.

`$SGE_ROOT/default` is shared by the hosts, as on most sites; spools are each host's own.
"""

from __future__ import annotations

import os
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from testbed.layout import COMPUTE, HOSTS, Host, Layout
from testbed.writing import directory, write

from .measured import MeasuredGridEngine
from .system import Job, System

if TYPE_CHECKING:
    from testbed.api import Cluster

ROOT = "/var/lib/gridengine"
SPOOL = "/var/spool/gridengine"
SHARE = Path("/usr/share/gridengine")
ARCH = f"{SHARE}/util/arch"
ADMIN = "sgeadmin"
CONFIGURED = "/etc/gridengine"  # what the controller is told once, when it is new

BOOTSTRAP = f"""\
Version: 6.2
admin_user              {ADMIN}
default_domain          none
ignore_fqdn             false
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         {SPOOL}/spooldb
binary_path             /usr/sbin
qmaster_spool_dir       {SPOOL}/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""

# What differs from the package's own configuration, and why.
CONFIGURATION = {
    "load_report_time": "00:00:05",
    "max_unheard": "00:00:30",  # a node that fails is noticed in half a minute
    "reschedule_unknown": "00:00:00",
    "mailer": "/bin/true",
    "administrator_mail": "none",
    "loglevel": "log_info",
    "gid_range": "50700-50900",  # the users' groups are below
    "finished_jobs": "0",
    "execd_params": "PDC_INTERVAL=1",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 "
    "joblog=false sharelog=00:00:00",
}

# Starts in less than a second: by default the scheduler looks every 15 s.
SCHEDULER = """\
algorithm                         default
schedule_interval                 0:0:2
maxujobs                          0
queue_sort_method                 load
job_load_adjustments              NONE
load_adjustment_decay_time        0:0:0
load_formula                      slots
schedd_job_info                   true
flush_submit_sec                  1
flush_finish_sec                  1
params                            none
reprioritize_interval             0:0:0
halftime                          168
usage_weight_list                 cpu=1.000000,mem=0.000000,io=0.000000
compensation_factor               5.000000
weight_user                       0.250000
weight_project                    0.250000
weight_department                 0.250000
weight_job                        0.250000
weight_tickets_functional         0
weight_tickets_share              0
share_override_tickets            TRUE
share_functional_shares           TRUE
max_functional_jobs_to_schedule   200
report_pjob_tickets               TRUE
max_pending_tasks_per_job         50
halflife_decay_list               none
policy_hierarchy                  OFS
weight_ticket                     0.010000
weight_waiting_time               0.000000
weight_deadline                   3600000.000000
weight_urgency                    0.100000
weight_priority                   1.000000
max_reservation                   0
default_duration                  INFINITY
"""

# Memory is a slot's, and a limit of addresses (RLIMIT_AS): a kernel has 1 GB of them
# before it does anything.
COMPLEXES = {
    "h_vmem": {"consumable": "YES", "default": "2G"},
    "gpu": {
        "name": "gpu",
        "shortcut": "gpu",
        "type": "INT",
        "relop": "<=",
        "requestable": "YES",
        "consumable": "YES",
        "default": "0",
        "urgency": "0",
    },
}

QUEUES = {
    "debug.q": {"hostlist": "@nodes", "h_rt": "1:00:00", "seq_no": "0"},
    "long.q": {"hostlist": "@nodes", "h_rt": "168:00:00", "seq_no": "1"},
    # A job in `urgent.q` suspends those of `cheap.q`.
    "cheap.q": {"hostlist": "c2", "h_rt": "168:00:00", "seq_no": "9"},
    "urgent.q": {
        "hostlist": "c2",
        "h_rt": "1:00:00",
        "seq_no": "9",
        "subordinate_list": "cheap.q=1",
    },
}
QUEUE = {
    "seq_no": "0",
    "load_thresholds": "NONE",
    "suspend_thresholds": "NONE",
    "nsuspend": "1",
    "suspend_interval": "00:05:00",
    "priority": "0",
    "min_cpu_interval": "00:05:00",
    "processors": "UNDEFINED",
    "qtype": "BATCH INTERACTIVE",
    "ckpt_list": "NONE",
    "pe_list": "smp mpi single pair loose untied",
    "rerun": "FALSE",
    "slots": "8",
    "tmpdir": "/tmp",
    "shell": "/bin/sh",
    "prolog": "NONE",
    "epilog": "NONE",
    "shell_start_mode": "posix_compliant",
    "starter_method": "NONE",
    "suspend_method": "NONE",
    "resume_method": "NONE",
    "terminate_method": "NONE",
    "notify": "00:00:10",
    "owner_list": "NONE",
    "user_lists": "NONE",
    "xuser_lists": "NONE",
    "subordinate_list": "NONE",
    "complex_values": "NONE",
    "projects": "NONE",
    "xprojects": "NONE",
    "calendar": "NONE",
    "initial_state": "default",
    **{
        f"{kind}_{what}": "INFINITY"
        for kind in "sh"
        for what in ("rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem")
    },
}

PE = """\
pe_name            {name}
slots              999
user_lists         NONE
xuser_lists        NONE
start_proc_args    NONE
stop_proc_args     NONE
allocation_rule    {rule}
control_slaves     {tight}
job_is_first_task  FALSE
urgency_slots      min
accounting_summary FALSE
qsort_args         NONE
"""
PES = {
    "smp": {"rule": "$pe_slots", "tight": "TRUE"},
    "mpi": {"rule": "$round_robin", "tight": "TRUE"},
    "single": {"rule": "1", "tight": "TRUE"},  # one slot on each node
    "pair": {"rule": "2", "tight": "TRUE"},  # two
    "loose": {"rule": "$pe_slots", "tight": "FALSE"},  # qrsh -inherit is refused
    "untied": {"rule": "$round_robin", "tight": "FALSE"},
}

HOST = """\
hostname              {name}
load_scaling          NONE
complex_values        slots={slots},h_vmem=32G{more}
user_lists            NONE
xuser_lists           NONE
projects              NONE
xprojects             NONE
usage_scaling         NONE
report_variables      NONE
"""
NODES = "group_name @nodes\nhostlist {}\n"
# A project that nobody but bob may use.
USERS = "name bobs\ntype ACL\nfshare 0\noticket 0\nentries bob\n"
PROJECT = "name {name}\noticket 0\nfshare 0\nacl {acl}\nxacl NONE\n"

# What makes the database: as the package does when it is installed.
MAKE = f"""\
set -e
export SGE_ROOT={ROOT} SGE_CELL=default
bin=/usr/lib/gridengine
mkdir -p {SPOOL}/qmaster/job_scripts {SPOOL}/spooldb
$bin/spoolinit berkeleydb libspoolb {SPOOL}/spooldb init
$bin/spooldefaults configuration {CONFIGURED}/configuration
$bin/spooldefaults complexes {CONFIGURED}/centry
$bin/spooldefaults usersets {SHARE}/util/resources/usersets
$bin/spooldefaults managers {ADMIN} root
"""
TELL = f"""\
set -e
cd {CONFIGURED}
for host in {" ".join(HOSTS)}; do qconf -as $host; qconf -ah $host; done
for host in {" ".join(host.name for host in COMPUTE)}; do qconf -Ae host-$host; done
qconf -Ahgrp nodes
qconf -Au users
for project in project-*; do qconf -Aprj $project; done
for pe in pe-*; do qconf -Ap $pe; done
for queue in queue-*; do qconf -Aq $queue; done
qconf -Msconf scheduler
"""


class GridEngine(System):
    """Grid Engine 8.1.9."""

    name = scheduler = "gridengine"
    programs: ClassVar = {
        "sge_qmaster": "gridengine-master",
        "sge_execd": "gridengine-exec",
        "qsub": "gridengine-client",
    }
    controller = "sge_qmaster"
    measured = MeasuredGridEngine()
    carrier = "qrsh"
    carrier_may_break = False
    inside: ClassVar = {"pe": "smp", "slots": 3}  # as many sessions
    gpus: ClassVar = {"l": "gpu=2"}
    two_nodes: ClassVar = {
        "pe": "mpi",
        "nodes": 2,
        "slots": 2,
        "mem": "12G",
        "qsub_args": ["-masterq", "debug.q@c1"],
    }
    on_both = (
        'for n in $(echo "$RK_NODES" | tr , " "); do qrsh -inherit $n hostname; done'
    )
    job_variable = "JOB_ID"
    waits_word = "execution time not reached"
    cancelled_words = r"ended from outside: cancelled \(qdel\)"
    refuses_word = "unknown queue"

    def write(self, layout: Layout) -> None:
        cell, owner = layout.root / "gridengine", layout.owner(ADMIN)
        directory(cell, owner=owner)
        directory(cell / "common", owner=owner)
        write(cell / "common" / "bootstrap", BOOTSTRAP)
        write(cell / "common" / "act_qmaster", "ctl\n")
        write(cell / "common" / "accounting", "")  # as where a job has ended before
        for path in cell.rglob("*"):
            os.chown(path, *owner)
        told = layout.etc / "gridengine"
        directory(told)
        kind = subprocess.check_output([ARCH], text=True)
        write(told / "arch", f"#!/bin/sh\necho {kind}", 0o755)
        directory(told / "centry")
        for name, text in _files().items():
            write(told / name, text)

    def write_host(self, layout: Layout, host: Host) -> None:
        own = layout.host(host.name) / "spool" / "gridengine"
        directory(own, owner=layout.owner(ADMIN))
        directory(own / "execd", owner=layout.owner(ADMIN))

    def mounts(self, layout: Layout, host: Host) -> list[tuple[Path, str]]:
        # Each command asks twice what kind of machine this is, and that asks a compiler.
        arch = layout.etc / "gridengine" / "arch"
        return [(layout.root / "gridengine", f"{ROOT}/default"), (arch, ARCH)]

    def prepare(self, cluster: Cluster, host: Host) -> None:
        if host.role == "controller" and not self._is_made(cluster.layout):
            cluster.run(host.name, ADMIN, ["bash", "-c", MAKE], cwd="/")

    def configure(self, cluster: Cluster) -> None:
        cluster.run("ctl", "root", ["bash", "-c", TELL])

    def _is_made(self, layout: Layout) -> bool:
        return (layout.host("ctl") / "spool" / "gridengine" / "spooldb").exists()

    def daemons(self, host: Host) -> list[tuple[str, list[str]]]:
        program = {"controller": "sge_qmaster", "compute": "sge_execd"}.get(host.role)
        return [("root", [program])] if program else []

    def stop(self, cluster: Cluster) -> None:
        # SIGTERM takes 20 s.
        cluster.run("ctl", "root", ["qconf", "-km"])

    def answers(self, cluster: Cluster) -> bool:
        return cluster.run("ctl", "root", ["qconf", "-sh"], check=False).returncode == 0

    def nodes(self, cluster: Cluster) -> dict[str, str]:
        """The load tells that the node is heard of."""
        told = cluster.run("ctl", "root", ["qhost"]).stdout.splitlines()
        rows = [row.split() for row in told]
        names = [host.name for host in COMPUTE]
        return {
            row[0]: "down" if row[6] == "-" else "up" for row in rows if row[0] in names
        }

    def jobs(self, cluster: Cluster) -> list[Job]:
        told = cluster.run("ctl", "root", ["qstat", "-xml", "-u", "*"]).stdout
        return [_job(element) for element in ET.fromstring(told).iter("job_list")]  # noqa: S314

    spool = f"{SPOOL}/execd"

    def tell_all(self, job: str) -> list[list[str]]:
        return [["qstat", "-r", "-u", "*"], ["qstat", "-j", job], ["qhost", "-j"]]

    def on(self, node: str) -> dict[str, Any]:
        return {"l": f"hostname={node}"}

    def later(self, seconds: int) -> dict[str, Any]:
        when = time.localtime(time.time() + seconds)
        return {"qsub_args": ["-a", time.strftime("%Y%m%d%H%M.%S", when)]}

    def cancel(self, job: str) -> list[str]:
        return ["qdel", job]

    def suspend(self, job: str) -> list[str]:
        return ["qmod", "-sj", job]

    def resume(self, job: str) -> list[str]:
        return ["qmod", "-usj", job]

    def cancel_all(self, user: str) -> list[str]:
        # It fails where there is none.
        return ["sh", "-c", 'qdel -f -u "$1" || true', "sh", user]

    def submit(self, command: str, *, whole: bool = False) -> list[str]:
        every = ["-pe", "mpi", "16", "-l", "h_vmem=10M"] if whole else []
        argv = ["qsub", "-terse", "-b", "y", "-o", "/dev/null", "-j", "y", *every]
        return [*argv, "-S", "/bin/sh", "sh", "-c", f"'{command}'"]

    def status_commands(self) -> list[list[str]]:
        return [["qhost"], ["qstat", "-u", "*"]]


def _files() -> dict[str, str]:
    """What the controller is told, by the names that TELL and MAKE use."""
    gpus = {"c2": ",gpu=2"}
    names = " ".join(host.name for host in COMPUTE)
    files = {
        "configuration": _changed(SHARE / "default-configuration", CONFIGURATION),
        "scheduler": SCHEDULER,
        "nodes": NODES.format(names),
        "users": USERS,
        "project-open": PROJECT.format(name="open", acl="NONE"),
        "project-bobs": PROJECT.format(name="bobs", acl="bobs"),
    }
    for host in COMPUTE:
        more = gpus.get(host.name, "")
        files[f"host-{host.name}"] = HOST.format(name=host.name, slots=8, more=more)
    files |= {f"pe-{name}": PE.format(name=name, **pe) for name, pe in PES.items()}
    for name, queue in QUEUES.items():
        files[f"queue-{name}"] = _rows({"qname": name, **QUEUE, **queue})
    for path in (SHARE / "util" / "resources" / "centry").iterdir():
        files[f"centry/{path.name}"] = _changed(path, COMPLEXES.get(path.name, {}))
    files["centry/gpu"] = _rows(COMPLEXES["gpu"])
    return files


def _changed(path: Path, changes: dict[str, str]) -> str:
    """A file of the package's, with some rows changed."""
    rows = dict(
        line.split(None, 1)
        for line in path.read_text().splitlines()
        if line and not line.startswith("#")
    )
    return _rows({**rows, **changes})


def _rows(values: dict[str, str]) -> str:
    return "".join(f"{name} {value}\n" for name, value in values.items())


_STATES = {"r": "RUNNING", "t": "RUNNING", "w": "PENDING"}


def _job(element: ET.Element) -> Job:
    def text(name: str) -> str:
        return (element.findtext(name) or "").strip()

    state = text("state")
    queue, _, node = text("queue_name").partition("@")
    word = "COMPLETING" if "d" in state else _STATES.get(state[-1:], "SUSPENDED")
    return Job(
        text("JB_job_number"), text("JB_owner"), text("JB_name"), queue, word, "", node
    )
