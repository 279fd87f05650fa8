"""Slurm, from the Debian packages of the machine, or of another release."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from testbed import machine
from testbed.layout import COMPUTE, Host, Layout
from testbed.roots import Root
from testbed.writing import directory, write

from .measured import MeasuredSlurm
from .system import Job, System

if TYPE_CHECKING:
    from testbed.api import Cluster

JOB_FIELDS = "%i|%u|%j|%P|%T|%r|%N"
ADOPT = "libpam-slurm-adopt"

SLURM_CONF = """\
# The test cluster's slurm.conf. Defaults are kept unless a line says why.
ClusterName=rk
SlurmctldHost=ctl
SlurmUser=slurm
AuthType=auth/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
MpiDefault=none
# Nodes pretend to have more cores than the machine.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
GresTypes=gpu
# Where nodes connect back to srun: what a firewall would have to let through.
SrunPortRange=61000-61999
# A failed node is noticed in half a minute instead of five, and comes back by itself.
SlurmdTimeout=30
ReturnToService=2
# Between SIGTERM and SIGKILL; 30 s by default.
KillWait=5
# sbatch waits this long for more jobs before it schedules; 3 s by default.
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
# What can never start is accepted and stays pending with its reason: the default,
# and what tests of impossible requests need.
EnforcePartLimits=NO
# A job in `urgent` ends those in `cheap` (and in `class`); no other takes part.
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
"""

CONFINED = """\
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/cgroup
# The step that ssh sessions are adopted into.
PrologFlags=Alloc,Contain
"""

UNCONFINED = """\
# No cgroup v1 here: no memory limits, and ssh to nodes is open to everybody.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
PrologFlags=Alloc
"""

CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
ConstrainRAMSpace=yes
# So that "over its memory" ends in OUT_OF_MEMORY and not in swapping.
ConstrainSwapSpace=yes
AllowedSwapSpace=0
# The two cores of a small machine cannot be divided as eight.
ConstrainCores=no
ConstrainDevices=yes
"""

PARTITIONS = """\
PartitionName=DEFAULT PreemptMode=OFF
PartitionName=debug Nodes=c1,c2 Default=YES DefaultTime=30 MaxTime=60
PartitionName=long Nodes=c1,c2 DefaultTime=60 MaxTime=7-0
PartitionName=gpu Nodes=c2 DefaultTime=30 MaxTime=60
PartitionName=cheap Nodes=c2 DefaultTime=60 MaxTime=7-0 PreemptMode=CANCEL
PartitionName=urgent Nodes=c2 DefaultTime=30 MaxTime=60 PriorityTier=9
# Room for a class: 52 jobs at once, up to four on a core. Nobody shares cores in a
# partition of PreemptMode=OFF where jobs can be preempted at all (22.05.8).
PartitionName=class Nodes=c1,c2 DefaultTime=30 MaxTime=60 DefMemPerCPU=150 \
    OverSubscribe=FORCE:4 PreemptMode=CANCEL
"""

# Two devices that every Linux has stand in for GPUs.
GRES_CONF = "NodeName=c2 Name=gpu File=/dev/tty[0-1]\n"


class Slurm(System):
    """Slurm 22.05."""

    name = scheduler = "slurm"
    programs: ClassVar[Mapping[str, str]] = {
        "slurmctld": "slurmctld",
        "slurmd": "slurmd",
        "sbatch": "slurm-client",
        "munged": "munge",
    }
    controller = "slurmctld"
    measured = MeasuredSlurm()
    carrier = "srun"
    gpus: ClassVar = {"gres": "gpu:2", "cores": 2}
    two_nodes: ClassVar = {"nodes": 2, "mem": "2000M"}
    on_both = "srun -N2 hostname"
    job_variable = "SLURM_JOB_ID"
    waits_word = "BeginTime"
    cancelled_words = "CANCELLED.*cancelled"
    refuses_word = "Invalid partition name specified"

    @property
    def needs_a_job(self) -> bool:  # type: ignore[override]
        return machine.has_cgroup_v1()

    def missing_packages(self) -> set[str]:
        if self.root:
            return set()
        places = [Path("/lib/security"), *Path("/lib").glob("*/security")]
        there = any((place / "pam_slurm_adopt.so").exists() for place in places)
        return {ADOPT} if machine.has_cgroup_v1() and not there else set()

    def write(self, layout: Layout) -> None:
        directory(layout.etc / "slurm")
        files = {
            "slurm.conf": slurm_conf(),
            "gres.conf": GRES_CONF,
            "cgroup.conf": CGROUP_CONF,
            "plugstack.conf": "",
        }
        for name, text in files.items():
            write(layout.etc / "slurm" / name, text)
        _write_munge_key(layout)

    def write_host(self, layout: Layout, host: Host) -> None:
        own = layout.host(host.name)
        directory(own / "log" / "munge", 0o700, layout.owner("munge"))
        directory(own / "spool" / "slurmd")
        directory(own / "spool" / "slurmctld", 0o700, layout.owner("slurm"))

    def directories(self) -> list[tuple[str, str, int]]:
        return [("/run/munge", "munge", 0o755), ("/run/slurm", "slurm", 0o755)]

    def daemons(self, host: Host) -> list[tuple[str, list[str]]]:
        munged = ["/usr/sbin/munged", "--key-file=/etc/munge/munge.key"]
        munged.append("--seed-file=/run/munge/seed")
        own = {"controller": ["slurmctld"], "compute": ["slurmd"]}.get(host.role)
        return [("munge", munged), *([("root", own)] if own else [])]

    def answers(self, cluster: Cluster) -> bool:
        ping = cluster.run("ctl", "root", ["scontrol", "ping"], check=False)
        return ping.returncode == 0

    def keeps(self, cluster: Cluster, job: Job) -> bool:
        """Its state is written up to five seconds after a change."""
        state = cluster.path("ctl", "/var/spool/slurmctld/job_state")
        return state.exists() and job.name.encode() in state.read_bytes()

    def nodes(self, cluster: Cluster) -> dict[str, str]:
        """As sinfo names them, but "down" for what it does not know; "*" is no answer."""
        command = ["sinfo", "--noheader", "--Node", "--format", "%N %T"]
        rows = cluster.run("ctl", "root", command).stdout.splitlines()
        found = dict(row.split() for row in rows)
        return {
            name: "down" if state == "unknown" or state.endswith("*") else state
            for name, state in found.items()
        }

    def lose_jobs(self, cluster: Cluster, host: Host) -> None:
        """Tell slurmctld.

        A real node is away for minutes and the controller notices (here: after 45 s).
        Ours is back in half a second, and slurmctld 22.05.8 then goes on believing in
        the jobs that ran there.
        """
        down = ["state=down", "reason=crashed"]
        update = ["scontrol", "update", f"nodename={host.name}", *down]
        cluster.run("ctl", "root", update)

    def jobs(self, cluster: Cluster) -> list[Job]:
        command = ["squeue", "--noheader", "--all", "--format", JOB_FIELDS]
        rows = cluster.run("ctl", "root", command).stdout.splitlines()
        return [Job(*row.split("|")) for row in rows]

    spool = "/var/spool/slurmd"

    def tell_all(self, job: str) -> list[list[str]]:
        return [["squeue", "-o", "%all"], ["scontrol", "show", "job", "-dd", job]]

    def on(self, node: str) -> dict[str, Any]:
        return {"nodelist": node}

    def later(self, seconds: int) -> dict[str, Any]:
        return {"sbatch_args": [f"--begin=now+{seconds}"]}

    def cancel(self, job: str) -> list[str]:
        return ["scancel", job]

    def suspend(self, job: str) -> list[str]:
        return ["scontrol", "suspend", job]

    def resume(self, job: str) -> list[str]:
        return ["scontrol", "resume", job]

    def cancel_all(self, user: str) -> list[str]:
        return ["scancel", f"--user={user}"]

    def submit(self, command: str, *, whole: bool = False) -> list[str]:
        every = ["--exclusive", "--nodes=2"] if whole else []
        argv = ["sbatch", "--parsable", "--output=/dev/null", *every]
        return [*argv, f"--wrap={command}"]

    def status_commands(self) -> list[list[str]]:
        return [["sinfo"], ["squeue"]]


PACKAGES = ("libpam-slurm-adopt", "munge", "slurm-client", "slurmctld", "slurmd")


class Slurm2411(Slurm):
    """Slurm 24.11, of Debian 13."""

    name = "slurm-24.11"
    root = Root(name, "trixie", PACKAGES)
    programs: ClassVar = {}


class Slurm2605(Slurm):
    """Slurm 26.05, of Debian's unstable; a later one as soon as that has it."""

    name = "slurm-26.05"
    root = Root(name, "sid", PACKAGES)
    programs: ClassVar = {}


def slurm_conf() -> str:
    """The whole slurm.conf."""
    gres = {"c2": " Gres=gpu:2 Feature=gpu"}
    nodes = [
        f"NodeName={host.name} CPUs=8 RealMemory=4000{gres.get(host.name, '')}\n"
        for host in COMPUTE
    ]
    confined = CONFINED if machine.has_cgroup_v1() else UNCONFINED
    return "".join([SLURM_CONF, confined, *nodes, PARTITIONS])


def _write_munge_key(layout: Layout) -> None:
    """One key for all hosts, as munged wants it: its own and nobody else's."""
    owner = layout.owner("munge")
    key = layout.etc / "munge" / "munge.key"
    directory(key.parent, 0o700, owner)
    key.touch(0o600)
    os.chown(key, *owner)
    key.write_bytes(secrets.token_bytes(128))
