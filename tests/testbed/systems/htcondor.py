"""HTCondor 23.9, from Debian 13.

A pool as sites have it: `ctl` has the collector and the negotiator, each login host a
schedd of its own with the jobs that were submitted there, the compute hosts a startd.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from testbed.layout import HOSTS, USERS, Host, Layout, host_named
from testbed.machine import has_cgroup_v1
from testbed.roots import Root
from testbed.writing import directory, write

from .system import Job, System

if TYPE_CHECKING:
    from testbed.api import Cluster

CONFIG = """\
CONDOR_HOST = ctl
UID_DOMAIN = pool
FILESYSTEM_DOMAIN = pool
TRUST_DOMAIN = pool
# The hosts have no domain that would be compared with it: else jobs run as nobody.
TRUST_UID_DOMAIN = true
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS
# What users of a login host see without a name; they have no token for the collector.
SEC_CLIENT_AUTHENTICATION_METHODS = FS, IDTOKENS, ANONYMOUS
SEC_READ_AUTHENTICATION_METHODS = FS, IDTOKENS, ANONYMOUS
ALLOW_WRITE = *@pool
ALLOW_DAEMON = condor@pool
ALLOW_ADMINISTRATOR = condor@pool, root@pool
# Root of any host has the pool's token.
QUEUE_SUPER_USERS = root, condor, condor@pool
START = true
RUNBENCHMARKS = false
# Else condor_master, as root, changes how the whole machine writes to disks (/proc/sys/vm).
ENABLE_KERNEL_TUNING = false
# Else a startd takes 7 s to begin: it tries each of these.
FILETRANSFER_PLUGINS =
JAVA =
DOCKER =
SINGULARITY =
STARTD_DETECT_GPUS = false
# A job runs within two seconds, and what changes is seen soon: by default in minutes.
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 5
CLAIM_WORKLIFE = 0
STARTER_INITIAL_UPDATE_INTERVAL = 1
PERIODIC_EXPR_INTERVAL = 2
# The silence of a node that failed is noticed after 25 to 35 s (see IMPATIENT), and its
# jobs are waited for a while longer; by default both take many minutes.
TCP_KEEPALIVE_INTERVAL = 10
JOB_DEFAULT_LEASE_DURATION = 40
# Between SIGTERM and SIGKILL; 10 minutes by default.
MachineMaxVacateTime = 5
JOB_DEFAULT_REQUESTMEMORY = 500
"""
NODE = """\
NUM_CPUS = 8
MEMORY = 4000
BASE_CGROUP = {cgroup}
"""
# Two that nobody looks for stand in for GPUs.
GPUS = "MACHINE_RESOURCE_GPUs = CUDA0, CUDA1\n"
# It wants one tree for these two, as systemd has it. The machine's /sys/fs/cgroup stays.
CGROUPS = """\
set -e
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t tmpfs none /sys/fs/cgroup
cd /sys/fs/cgroup
for name in memory freezer devices cpuacct; do
  mkdir $name
  mount --bind /run/cgroup/$name $name
done
mkdir cpu,cpuacct
mount --bind /run/cgroup/cpuacct cpu,cpuacct
umount --lazy /run/cgroup
"""
DAEMONS = {
    "controller": "COLLECTOR, NEGOTIATOR",
    "login": "SCHEDD",
    "compute": "STARTD",
}
# What runs on a login host.
SUBMITS = ("condor_master", "condor_schedd", "condor_procd", "condor_shared_port")
INTRODUCE = (
    "umask 077; condor_token_create -identity condor@pool > /etc/condor/tokens.d/pool"
)
# Of the host's own network; HTCondor sets the first of the three itself.
IMPATIENT = """\
cd /proc/sys/net/ipv4
echo 5 >tcp_keepalive_intvl
echo 3 >tcp_keepalive_probes
"""
DIRECTORIES = ("/var/log/condor", "/var/spool/condor", "/var/lib/condor/execute")
UNHEARD = 15  # seconds, of which a node tells every five
STATES = {
    1: "PENDING",
    2: "RUNNING",
    3: "COMPLETING",
    4: "COMPLETING",
    5: "HELD",
    6: "RUNNING",
    7: "SUSPENDED",
}
FIELDS = "ClusterId,ProcId,Owner,JobBatchName,JobStatus,HoldReason,RemoteHost"
# condor_submit has a file, and says the first and the last job's number.
SUBMIT = """\
printf '%s\\n' "$1" | condor_submit -terse - | sed "s/$2.*//"
"""
DESCRIPTION = """\
executable = /bin/sh
transfer_executable = false
arguments = "-c '{command}'"
initialdir = /
should_transfer_files = NO
request_cpus = {cpus}
queue {count}"""


class HTCondor(System):
    """HTCondor 23.9."""

    name = scheduler = "htcondor"
    root = Root(name, "trixie", ("condor",))
    programs: ClassVar = {}
    controller = "condor_schedd"
    controller_host = "login1"
    carrier = "condor_ssh_to_job"
    gpus: ClassVar = {"request_gpus": 2}
    job_variable = "RK_JOB_ID"  # its own tell a file, which has it
    waits_word = "no match found|0 of 2 machines match"
    cancelled_words = r"The job was removed by"
    refuses_word = "HTCondor has no queues"

    def write(self, layout: Layout) -> None:
        there = layout.etc / "condor"
        write(there / "config.d" / "50-pool", CONFIG)
        write(there / "config.d" / "60-host", "")  # where each host's own is mounted
        directory(there / "passwords.d", 0o700)
        directory(there / "tokens.d", 0o700)
        write(there / "passwords.d" / "POOL", secrets.token_hex(32), 0o600)

    def write_host(self, layout: Layout, host: Host) -> None:
        lines = f"DAEMON_LIST = MASTER, {DAEMONS[host.role]}\n"
        cgroup = f"htcondor_{host.name}" if has_cgroup_v1() else ""
        lines += NODE.format(cgroup=cgroup) if host.role == "compute" else ""
        lines += GPUS if host.name == "c2" else ""
        # With "@", as a name without is looked up, and hosts have no domain. Elsewhere
        # commands go to the first login host's.
        login = host.role == "login"
        lines += f"SCHEDD_NAME = {host.name}@\n" if login else "SCHEDD_HOST = login1@\n"
        write(layout.host(host.name) / "condor.conf", lines)

    def mounts(self, layout: Layout, host: Host) -> list[tuple[Path, str]]:
        return [
            (layout.host(host.name) / "condor.conf", "/etc/condor/config.d/60-host")
        ]

    def directories(self) -> list[tuple[str, str, int]]:
        return [(f"/run/{name}", "condor", 0o755) for name in ("condor", "lock/condor")]

    def prepare(self, cluster: Cluster, host: Host) -> None:
        make = ["install", "-d", "-o", "condor", "-g", "condor", *DIRECTORIES]
        cluster.run(host.name, "root", make)
        cluster.run(host.name, "root", ["sh", "-c", IMPATIENT])
        if host.role == "compute" and has_cgroup_v1():
            cluster.run(host.name, "root", ["sh", "-c", CGROUPS])
        if host.role == "controller":
            cluster.run(host.name, "root", ["sh", "-c", INTRODUCE])

    def configure(self, cluster: Cluster) -> None:
        """Its commands make this in any home, sooner or later: none is a test's trace."""
        for user, number in USERS.items():
            there = cluster.layout.home / user / ".condor"
            directory(there, 0o700, (number, number))
            write(there / "known_hosts", "", 0o600)
            os.chown(there / "known_hosts", number, number)

    def daemons(self, host: Host) -> list[tuple[str, list[str]]]:
        return [("root", ["/usr/sbin/condor_master"])]

    def stop(self, cluster: Cluster) -> None:
        # At once: else it takes the jobs from their machines first.
        self._tell(cluster, "condor_off", "-fast")

    def kill(self, cluster: Cluster) -> None:
        # With its master, which would start it again.
        for process in cluster.processes(self.controller_host):
            if Path(process.cmdline[0]).name in SUBMITS:
                os.kill(process.pid, signal.SIGKILL)

    def start(self, cluster: Cluster) -> None:
        host = host_named(self.controller_host)
        (master,) = self.daemons(host)
        if any(master[1][0] in p.cmdline[0] for p in cluster.processes(host.name)):
            self._tell(cluster, "condor_on")
        else:
            cluster.start_daemon(host, *master)

    def _tell(self, cluster: Cluster, command: str, *options: str) -> None:
        argv = [command, *options, "-daemon", "schedd"]
        cluster.run(self.controller_host, "root", argv)

    def answers(self, cluster: Cluster) -> bool:
        ask = ["condor_q", "-totals"]
        return cluster.run("login1", "root", ask, check=False).returncode == 0

    def nodes(self, cluster: Cluster) -> dict[str, str]:
        argv = ["condor_status", "-constraint", 'SlotType =!= "Dynamic"', "-af"]
        argv += ["Machine", "State", "time()-LastHeardFrom"]
        rows = cluster.run("ctl", "root", argv, check=False).stdout.splitlines()
        found = [row.split() for row in rows]
        return {
            name: "down" if int(seconds) > UNHEARD else state
            for name, state, seconds in found
        }

    def jobs(self, cluster: Cluster) -> list[Job]:
        argv = ["condor_q", "-allusers", "-json", "-attributes", FIELDS]
        logins = [host.name for host in HOSTS.values() if host.role == "login"]
        told = [
            cluster.run(name, "root", argv).stdout
            for name in logins
            if cluster.is_running(name)
        ]
        return [_job(ad) for text in told if text.strip() for ad in json.loads(text)]

    job_tmp = spool = "/var/lib/condor/execute"

    def tell_all(self, job: str) -> list[list[str]]:
        every = ["condor_q", "-allusers"]
        return [every, [*every, "-long", job], ["condor_status", "-long"]]

    def on(self, node: str) -> dict[str, Any]:
        return {"requirements": f'Machine == "{node}"'}

    def later(self, seconds: int) -> dict[str, Any]:
        # Not deferral_time, which waits on a machine.
        return {"requirements": f"time() > {int(time.time()) + seconds}"}

    def cancel(self, job: str) -> list[str]:
        return ["condor_rm", job]

    def suspend(self, job: str) -> list[str]:
        return ["condor_suspend", job]

    def resume(self, job: str) -> list[str]:
        return ["condor_continue", job]

    def cancel_all(self, user: str) -> list[str]:
        # It fails where there is none.
        line = (
            'for host in login1@ login2@; do condor_rm -name "$host" "$1" || true; done'
        )
        return ["sh", "-c", line, "sh", user]

    def submit(self, command: str, *, whole: bool = False) -> list[str]:
        count, cpus, end = (2, 8, r"\.") if whole else (1, 1, " ")
        text = DESCRIPTION.format(command=command, cpus=cpus, count=count)
        return ["sh", "-c", SUBMIT, "sh", text, end]

    def status_commands(self) -> list[list[str]]:
        return [["condor_status"], ["condor_q", "-allusers", "-global", "-nobatch"]]


def _job(ad: dict[str, Any]) -> Job:
    return Job(
        f"{ad['ClusterId']}.{ad['ProcId']}",
        ad["Owner"],
        ad.get("JobBatchName", ""),
        "",
        STATES[ad["JobStatus"]],
        ad.get("HoldReason", ""),
        ad.get("RemoteHost", "").rpartition("@")[2],
    )
