"""OAR, from the machine's Debian packages.

PostgreSQL and Almighty run on the controller, an sshd of OAR's own at port 6667 on the
compute hosts, nothing at all on the login hosts. What OAR keeps in /var/lib and makes in
/dev is each host's own, and its cgroups are below one for each host.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from testbed import machine
from testbed.hosts import Process
from testbed.layout import COMPUTE, NET, ClusterError, Host, Layout
from testbed.machine import CGROUP
from testbed.writing import directory, write

from .system import Job, System

if TYPE_CHECKING:
    from testbed.api import Cluster

CORES = 8  # as the nodes pretend: the machine's two or so, again and again
MEMORY = 4000  # MB of a node: a property, which nobody enforces
GPUS = {"c2": 2}
# What job_resource_manager_cgroups.pl joins, as far as a machine apart has them.
GROUPS = ("cpuset", "cpuacct", "devices", "freezer")
PACKAGES = {
    "oar-node": "/etc/init.d/oar-node",
    "postgresql": "/usr/lib/postgresql",
    "libjson-perl": "/usr/share/perl5/JSON.pm",  # for oarstat -J; no dependency
}

# What differs from the package's oar.conf.
SETTINGS = {
    "DB_HOSTNAME": "ctl",
    "DB_BASE_PASSWD": "oar",
    "DB_BASE_PASSWD_RO": "oar_ro",
    "SERVER_HOSTNAME": "ctl",
    "LOG_LEVEL": "3",
    # Seconds between two looks of the scheduler, 5 by default. Above 0, whatever happens
    # in that time waits for Almighty's next round, 10 s later (2.5.9).
    "SCHEDULER_MIN_TIME_BETWEEN_2_CALLS": "0",
    # Seconds between two jobs on a core; 60 by default.
    "SCHEDULER_JOB_SECURITY_TIME": "1",
    # The shortest time for which a job is put before another one; 300 by default.
    "SCHEDULER_GANTT_HOLE_MINIMUM_TIME": "10",
    # How often nodes are looked at; 300 by default. They come back by themselves.
    "FINAUD_FREQUENCY": "10",
    "CHECK_NODES_WITH_RUNNING_JOB": "yes",
    # Seconds for a job to end before it is given up; 300 by default.
    "JOBDEL_SOFTWALLTIME": "5",
    "JOBDEL_WALLTIME": "30",
    # A job's cgroup without the part that is the host's.
    "GET_CURRENT_CPUSET_CMD": "sed -e 's@^/oar_[^/]*@@' /proc/self/cpuset",
    "WALLTIME_CHANGE_ENABLED": "yes",
    "WALLTIME_MAX_INCREASE": "-1",
}

PROPERTIES = {"host": "VARCHAR(255)", "core": "INT", "mem": "INT", "gpu": "INT"}
INSERT = """\
INSERT INTO resources (network_address, host, cpuset, core, mem, gpu) VALUES"""
ROLES = """\
CREATE ROLE oar LOGIN;
CREATE ROLE oar_ro LOGIN;
CREATE DATABASE oar OWNER oar;
"""
# As `oar-database --create` does, which asks on a terminal.
TABLES = """\
\\i /usr/lib/oar/database/pg_structure.sql
\\i /usr/lib/oar/database/default_data.sql
\\i /usr/lib/oar/database/pg_default_admission_rules.sql
INSERT INTO queues (queue_name, priority, scheduler_policy) VALUES
  ('long', 1, ''), ('shut', 1, '');
UPDATE queues SET scheduler_policy = (
  SELECT scheduler_policy FROM queues WHERE queue_name = 'default');
UPDATE queues SET state = 'notActive' WHERE queue_name = 'shut';
GRANT SELECT ON ALL TABLES IN SCHEMA public TO oar_ro;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO oar_ro;
REVOKE SELECT ON challenges FROM oar_ro;
"""
POSTGRES = "/var/lib/postgresql/oar"
MAKE = f"""\
set -e
initdb --no-sync -A trust -E UTF8 --locale C.UTF-8 -D {POSTGRES} >/dev/null
echo "host all all {NET}.0/24 trust" >> {POSTGRES}/pg_hba.conf
printf "%s\\n" "listen_addresses='*'" fsync=off "unix_socket_directories=''" \\
  >> {POSTGRES}/postgresql.conf
"""
# A /dev of the host's own, in which OAR finds the host's cgroups as if it had made them.
DEV = f"""\
set -e
mkdir /run/dev
mount -t tmpfs -o mode=755 rk-dev /run/dev
find /dev -mindepth 1 -maxdepth 1 ! -type d ! -name cpuset -exec cp -a {{}} /run/dev ';'
mkdir /run/dev/pts /run/dev/shm /run/dev/oar_cgroups_links
mount --rbind /dev/pts /run/dev/pts
mount --rbind /dev/shm /run/dev/shm
for group in {" ".join(GROUPS)}; do
  ln -s {CGROUP}/$group/oar_$(uname -n) /run/dev/oar_cgroups_links/$group
done
ln -s {CGROUP}/cpuset/oar_$(uname -n) /run/dev/cpuset
mount --rbind /run/dev /dev
"""


class Oar(System):
    """OAR 2.5.9."""

    name = scheduler = "oar"
    programs: ClassVar = {
        "oar-server": "oar-server",
        "oarsub": "oar-user",
        "ping": "iputils-ping",
    }
    controller = "oar-server"
    carrier = "oarsh"
    gpus: ClassVar = {"gpu": 2}
    job_variable = "OAR_JOB_ID"
    waits_word = "Waiting"
    cancelled_words = "Error.*cancelled by"
    refuses_word = "does not exist"
    spool = "/var/lib/oar"
    spool_owner = "oar"

    def missing_packages(self) -> set[str]:
        return {name for name, path in PACKAGES.items() if not Path(path).exists()}

    def write(self, layout: Layout) -> None:
        path = layout.etc / "oar" / "oar.conf"
        write(path, oar_conf(), 0o600)
        shutil.chown(path, "oar", "oar")

    def write_host(self, layout: Layout, host: Host) -> None:
        own = layout.host(host.name)
        # With the key that the package has made, which opens all nodes to OAR.
        subprocess.run(["cp", "-a", "/var/lib/oar", own / "oar"], check=True)
        write(own / "log" / "oar.log", "")
        shutil.chown(own / "log" / "oar.log", "oar")
        if host.role == "controller":
            directory(own / "postgresql", owner=layout.owner("postgres"))

    def mounts(self, layout: Layout, host: Host) -> list[tuple[Path, str]]:
        own = layout.host(host.name)
        found = [(own / "oar", "/var/lib/oar")]
        if host.role == "controller":
            found.append((own / "postgresql", "/var/lib/postgresql"))
        return found

    def prepare(self, cluster: Cluster, host: Host) -> None:
        if not machine.has_cgroup_v1():
            raise ClusterError("OAR 2.5.9 needs cgroup v1, which is not here")
        if host.role == "controller":
            is_new = not cluster.path("ctl", POSTGRES).exists()
            if is_new:
                _as_postgres(cluster, "bash", "-c", MAKE)
            _start_postgres(cluster)
            if is_new:  # Almighty wants it as soon as it starts
                sql(cluster, "postgres", ROLES)
                sql(cluster, "oar", TABLES + _nodes())
        if host.role == "compute":
            _make_cgroups(host)
            cluster.run(host.name, "root", ["bash", "-c", DEV], cwd="/")
            if self.nodes(cluster)[host.name] == "down":
                self._set(cluster, host, "Alive")

    def daemons(self, host: Host) -> list[tuple[str, list[str]]]:
        if host.role == "controller":
            return [("root", ["/usr/sbin/oar-server"])]
        if host.role == "compute":
            sshd = ["/usr/sbin/sshd", "-f", "/etc/oar/sshd_config"]
            sshd += ["-E", "/var/log/oar-sshd.log", "-o", "PidFile=/run/oar-sshd.pid"]
            return [("root", sshd)]
        return []

    def controllers(self, cluster: Cluster) -> list[Process]:
        """Almighty alone: were a look at the nodes ended, they would be Suspected."""
        found = cluster.processes("ctl")
        return [p for p in found if any("Almighty" in word for word in p.cmdline)]

    def stopped(self, cluster: Cluster) -> None:
        """Stop the database, of which people ask how their jobs are.

        Without it what of Almighty had not ended yet never would.
        """
        _as_postgres(cluster, "pg_ctl", "-sw", "-D", POSTGRES, "-m", "fast", "stop")

    def kill(self, cluster: Cluster) -> None:
        super().kill(cluster)
        for process in cluster.processes("ctl"):
            if "postgres" in process.cmdline[0]:
                # Its children end with it.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)

    def start(self, cluster: Cluster) -> None:
        _start_postgres(cluster)
        super().start(cluster)

    def answers(self, cluster: Cluster) -> bool:
        listening = cluster.run("ctl", "root", ["ss", "-Hltn", "sport = :6666"])
        return bool(listening.stdout)

    def nodes(self, cluster: Cluster) -> dict[str, str]:
        """ "down" where any of a node's cores is; Alive, the others."""
        query = "SELECT DISTINCT network_address, state FROM resources"
        found: dict[str, str] = {}
        for row in sql(cluster, "oar", query).splitlines():
            name, state = row.split("|")
            if state != "Alive" or name not in found:
                found[name] = state if state == "Alive" else "down"
        return found

    def lose_jobs(self, cluster: Cluster, host: Host) -> None:
        """Tell OAR, which believes in a job until its time is over.

        A node that does not answer is Suspected (here: after 40 s), and Alive again as
        soon as it does; only where an administrator says that it is away its jobs end.
        """
        self._set(cluster, host, "Absent")

    def _set(self, cluster: Cluster, host: Host, state: str) -> None:
        argv = ["oarnodesetting", "--no-wait", "-h", host.name, "-s", state]
        cluster.run("ctl", "root", argv, check=False)

    def jobs(self, cluster: Cluster) -> list[Job]:
        rows = sql(cluster, "oar", JOBS).splitlines()
        return [_job(row.split("|")) for row in rows]

    def tell_all(self, job: str) -> list[list[str]]:
        return [["oarstat", "-f", "-j", job], ["oarstat", "-J", "-f"], ["oarnodes"]]

    def on(self, node: str) -> dict[str, Any]:
        return {"property": f"host='{node}'"}

    def later(self, seconds: int) -> dict[str, Any]:
        when = time.localtime(time.time() + seconds)
        return {"type": [time.strftime("postpone=%Y-%m-%d %H:%M:%S", when)]}

    def cancel(self, job: str) -> list[str]:
        return ["oardel", job]

    def suspend(self, job: str) -> list[str]:
        return ["oarhold", "-r", job]

    def resume(self, job: str) -> list[str]:
        return ["oarresume", job]

    def cancel_all(self, user: str) -> list[str]:
        wanted = f"job_user = '{user}' AND state NOT IN ('Terminated', 'Error')"
        # It fails where one is being ended already.
        return ["sh", "-c", 'oardel --sql "$1" || true', "sh", wanted]

    def submit(self, command: str, *, whole: bool = False) -> list[str]:
        every = ["-l", "nodes=2,walltime=1:00:00"] if whole else []
        argv = ["oarsub", "-d", "/", "-O", "/dev/null", "-E", "/dev/null", *every]
        only = '"$@" | sed -n "s/^OAR_JOB_ID=//p"'
        return ["sh", "-c", only, "sh", *argv, command]

    def status_commands(self) -> list[list[str]]:
        return [["oarnodes", "-s"], ["oarstat"]]


def oar_conf() -> str:
    """The package's oar.conf with our settings."""
    text = Path("/usr/share/oar/oar-common/oar.conf").read_text()
    for name, value in SETTINGS.items():
        text = re.sub(rf"^#?{name}=.*\n", "", text, flags=re.MULTILINE)
        text += f'{name}="{value}"\n'
    return text


def sql(cluster: Cluster, user: str, text: str) -> str:
    """Run SQL on the controller; what it finds, with bars between the columns."""
    argv = ["psql", "-h", "127.0.0.1", "-U", user, "-qAt", "-v", "ON_ERROR_STOP=1"]
    return cluster.run("ctl", "root", [*argv, user], input=text).stdout


def _as_postgres(cluster: Cluster, *argv: str) -> None:
    path = f"{_programs()}:/usr/bin:/bin"
    cluster.run("ctl", "postgres", argv, cwd="/", env={"PATH": path})


def _start_postgres(cluster: Cluster) -> None:
    log = "/var/lib/postgresql/log"
    _as_postgres(cluster, "pg_ctl", "-sw", "-D", POSTGRES, "-l", log, "start")


def _programs() -> Path:
    """Where the newest PostgreSQL's are."""
    places = Path("/usr/lib/postgresql").glob("*/bin")
    return max(places, key=lambda place: float(place.parent.name))


def _make_cgroups(host: Host) -> None:
    """The host's, and the one of OAR's jobs in it.

    OAR makes that before a node's first job; but after a crash its job of before is what
    it cleans first, and without that the node would be Suspected for good.
    """
    for group in GROUPS:
        top = CGROUP / group / f"oar_{host.name}"
        for path in (top, top / "oar"):
            path.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new one
                if (path / name).exists():
                    (path / name).write_text((path.parent / name).read_text())
        for path in (top / "oar", *(top / "oar").iterdir()):
            shutil.chown(path, "oar", "oar")


def _nodes() -> str:
    """What makes the nodes known: a row for each core, since when it is there."""
    lines = [
        f"ALTER TABLE resources ADD COLUMN {column} {kind};"
        for column, kind in PROPERTIES.items()
    ]
    real = len(os.sched_getaffinity(0))
    for host in COMPUTE:
        gpus = GPUS.get(host.name, 0)
        for core in range(CORES):
            number = CORES * (host.number % 10) + core
            gpu = str(core * gpus // CORES + 1) if gpus else "NULL"
            row = f"'{host.name}', '{host.name}', {core % real}, {number}, {MEMORY}, {gpu}"
            lines.append(f"{INSERT} ({row});")
    lines.append(
        "INSERT INTO resource_logs (resource_id, attribute, value, date_start) "
        "SELECT resource_id, 'state', state, extract(epoch FROM now())::int "
        "FROM resources;"
    )
    return "\n".join(lines)


JOBS = """\
SELECT job_id, job_user, coalesce(job_name, ''), queue_name, state, message,
  coalesce((SELECT string_agg(DISTINCT network_address, ',')
    FROM assigned_resources JOIN resources USING (resource_id)
    WHERE moldable_job_id = assigned_moldable_job), '')
FROM jobs WHERE state NOT IN ('Terminated', 'Error') ORDER BY job_id
"""
_STATES = {
    "Running": "RUNNING",
    "Suspended": "SUSPENDED",
    "Resuming": "SUSPENDED",
    "Finishing": "COMPLETING",
    "toError": "COMPLETING",
}


def _job(row: list[str]) -> Job:
    number, user, name, queue, state, *reason, nodes = row
    word = _STATES.get(state, "PENDING")
    return Job(number, user, name, queue, word, "|".join(reason), nodes)
