"""What the hosts find in /etc, /home and /var: written here, mounted by `init`.

Nothing of the machine is changed. Called by `api.Cluster.up`, before any host starts.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.layout import COMPUTE, HOSTS, MACHINE, USERS, Host, Layout
from testbed.machine import has_cgroup_v1

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

SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM yes
PrintMotd no
PidFile /run/sshd.pid
LogLevel VERBOSE
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
"""

# pam_systemd and pam_loginuid are left out: there is no systemd on the hosts.
PAM_LOGIN = """\
auth required pam_deny.so
account required pam_unix.so
session required pam_unix.so
session required pam_limits.so
session required pam_env.so
"""
PAM_COMPUTE = PAM_LOGIN.replace(
    "account required pam_unix.so",
    "account required pam_slurm_adopt.so action_no_jobs=deny",
)


def write_all(layout: Layout) -> None:
    """Everything that the hosts read; the directory is empty before."""
    layout.root.mkdir(mode=0o700, parents=True)
    layout.marker.touch()
    layout.home.mkdir(mode=0o755)
    _copy_etc(layout)
    _write_users(layout)
    _write_slurm(layout)
    _write_munge_key(layout)
    for host in HOSTS.values():
        _write_host(layout, host)
    _write_names(layout)
    with ThreadPoolExecutor(4) as pool:  # ssh-keygen takes its time
        homes = [layout.home / user for user in USERS]
        list(pool.map(_write_home, homes, USERS, USERS.values()))


def fresh_boot(layout: Layout, host: Host) -> None:
    """What a machine loses when it starts again."""
    shutil.rmtree(layout.host(host.name) / "tmp", ignore_errors=True)
    _directory(layout.host(host.name) / "tmp", 0o1777)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """A file with exactly this mode, whatever the umask is."""
    path.write_text(text)
    path.chmod(mode)


def _directory(path: Path, mode: int = 0o755, owner: str = "root") -> None:
    path.mkdir()
    shutil.chown(path, owner)
    path.chmod(mode)


def _copy_etc(layout: Layout) -> None:
    """The hosts' own /etc, the same for all of them; what we write is left out."""
    subprocess.run(["cp", "-a", "/etc", layout.etc], check=True)
    for name in ("slurm", "munge", "ssh"):
        shutil.rmtree(layout.etc / name, ignore_errors=True)
    for name in ("hostname", "hosts"):  # may be a link, or a mount in a container
        (layout.etc / name).unlink(missing_ok=True)
        (layout.etc / name).touch()
    (layout.etc / "ssh").mkdir()


def _write_users(layout: Layout) -> None:
    """The machine's users plus ours, for the hosts alone."""
    lines = {
        "passwd": "{0}:x:{1}:{1}::/home/{0}:/bin/bash",
        "group": "{0}:x:{1}:",
        "shadow": "{0}:*:19000:0:99999:7:::",
    }
    for name, line in lines.items():
        old = Path("/etc", name).read_text().splitlines()
        kept = [text for text in old if text.split(":")[0] not in USERS]
        new = [line.format(user, number) for user, number in USERS.items()]
        _write(layout.etc / name, "\n".join([*kept, *new, ""]))
    (layout.etc / "shadow").chmod(0o640)
    shutil.chown(layout.etc / "shadow", "root", "shadow")


def _write_slurm(layout: Layout) -> None:
    _directory(layout.etc / "slurm")
    files = {
        "slurm.conf": slurm_conf(),
        "gres.conf": GRES_CONF,
        "cgroup.conf": CGROUP_CONF,
        "plugstack.conf": "",
    }
    for name, text in files.items():
        _write(layout.etc / "slurm" / name, text)


def slurm_conf() -> str:
    """The whole slurm.conf."""
    gres = {"c2": " Gres=gpu:2 Feature=gpu"}
    nodes = [
        f"NodeName={host.name} CPUs=8 RealMemory=4000{gres.get(host.name, '')}\n"
        for host in COMPUTE
    ]
    confined = CONFINED if has_cgroup_v1() else UNCONFINED
    return "".join([SLURM_CONF, confined, *nodes, PARTITIONS])


def _write_munge_key(layout: Layout) -> None:
    """One key for all hosts, as munged wants it: its own and nobody else's."""
    user = pwd.getpwnam("munge")
    key = layout.etc / "munge" / "munge.key"
    _directory(key.parent, 0o700, "munge")
    key.touch(0o600)
    os.chown(key, user.pw_uid, user.pw_gid)
    key.write_bytes(secrets.token_bytes(128))


def _write_host(layout: Layout, host: Host) -> None:
    """The private files of one host, as they are when it first starts."""
    own = layout.host(host.name)
    own.mkdir(parents=True)
    for name in ("ssh", "log", "spool"):
        _directory(own / name)
    _directory(own / "tmp", 0o1777)
    _directory(own / "var-tmp", 0o1777)
    _directory(own / "log" / "munge", 0o700, "munge")
    _directory(own / "spool" / "slurmd")
    _directory(own / "spool" / "slurmctld", 0o700, "slurm")
    _write(own / "hostname", host.name + "\n")
    _write(own / "ssh" / "sshd_config", SSHD_CONFIG)
    _write(own / "ssh" / "ssh_config", "")
    adopt = host.role == "compute" and has_cgroup_v1()
    _write(own / "pam-sshd", PAM_COMPUTE if adopt else PAM_LOGIN)
    make_key(own / "ssh" / "ssh_host_ed25519_key", f"root@{host.name}")
    _write(own / "host.json", json.dumps(_description(layout, host)))


def _description(layout: Layout, host: Host) -> dict[str, object]:
    """What `init` makes of the host."""
    return {
        "mounts": [(str(source), to) for source, to in layout.mounts(host)],
        "directories": [
            ("/run/lock", "root", 0o1777),
            ("/run/sshd", "root", 0o755),
            ("/run/munge", "munge", 0o755),
            ("/run/slurm", "slurm", 0o755),
        ],
    }


def _write_names(layout: Layout) -> None:
    """Every host knows every host's address and key."""
    hosts = [MACHINE, *HOSTS.values()]
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    lines += [f"{host.address} {host.name}" for host in hosts]
    _write(layout.etc / "hosts", "\n".join([*lines, ""]))
    known = ""
    for host in HOSTS.values():
        key = layout.host(host.name) / "ssh" / "ssh_host_ed25519_key.pub"
        known += f"{host.name},{host.address} {key.read_text()}"
    for host in HOSTS.values():
        _write(layout.host(host.name) / "ssh" / "ssh_known_hosts", known)


def _write_home(home: Path, user: str, number: int) -> None:
    """A home with a key that opens every host to its user without a question.

    Mode 0755, as on many sites: what must be private has to see to it itself.
    """
    _directory(home)
    _directory(home / ".ssh", 0o700)
    make_key(home / ".ssh" / "id_ed25519", f"{user}@login1")
    public = (home / ".ssh" / "id_ed25519.pub").read_text()
    _write(home / ".ssh" / "authorized_keys", public, 0o600)
    for path in (home, *home.rglob("*")):
        os.chown(path, number, number)


def make_key(path: Path, comment: str) -> None:
    """An ssh key pair without passphrase."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]
    subprocess.run([*command, str(path)], check=True)
