"""Which hosts there are, their addresses, and where each thing of theirs lies.

Everything here is names; nothing is made. Read by every other file of the cluster.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PREFIX = "rk-"
BRIDGE = PREFIX + "br0"
# Nothing is routed out of it; change it only where the machine uses this range.
NET = os.environ.get("RK_CLUSTER_NET", "10.197.53")
STUDENTS = {f"student{number:02}": 20100 + number for number in range(1, 31)}
USERS = {"alice": 20001, "bob": 20002, **STUDENTS}


class ClusterError(Exception):
    """The cluster cannot do what was asked; the text says what to do next."""


@dataclass(frozen=True)
class Host:
    """One pretended machine. `number` is the last byte of its addresses."""

    name: str
    number: int
    role: str

    @property
    def address(self) -> str:
        """Where the other hosts and the machine itself reach it."""
        return f"{NET}.{self.number}"

    @property
    def mac(self) -> str:
        """A fixed hardware address, so that nobody needs to ask for it (ARP)."""
        return f"02:72:6b:00:00:{self.number:02x}"

    @property
    def cable(self) -> str:
        """The machine's end of the host's network cable."""
        return PREFIX + self.name


# The machine itself takes part in the network as a host, so that a browser on it
# reaches a notebook server on a login host.
MACHINE = Host("machine", 1, "machine")
HOSTS = {
    host.name: host
    for host in (
        Host("ctl", 10, "controller"),
        Host("login1", 11, "login"),
        Host("login2", 12, "login"),
        Host("c1", 21, "compute"),
        Host("c2", 22, "compute"),
    )
}
COMPUTE = [host for host in HOSTS.values() if host.role == "compute"]


def host_named(name: str) -> Host:
    """The host of that name."""
    if name not in HOSTS:
        raise ClusterError(f"no host {name!r}; there are {', '.join(HOSTS)}")
    return HOSTS[name]


def default_scheduler() -> str:
    """The batch system of a new cluster, unless told otherwise."""
    return os.environ.get("RK_CLUSTER_SCHEDULER", "slurm")


def default_directory() -> Path:
    """Where the cluster keeps all its files unless told otherwise."""
    path = os.environ.get("RK_CLUSTER_DIR", "/var/tmp/remote_kernels-cluster")
    return Path(path).absolute()


class Layout:
    """Paths below the cluster's one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.marker = root / "this-is-a-test-cluster"
        self.ready = root / "ready.json"
        self.scheduler = root / "scheduler"
        self.home = root / "home"
        self.etc = root / "etc"

    def host(self, name: str) -> Path:
        """The private files of one host."""
        return self.root / "hosts" / name

    def owner(self, user: str) -> tuple[int, int]:
        """The user's and the group's number, as the hosts have it; /etc is there."""
        rows = (self.etc / "passwd").read_text().splitlines()
        fields = (row.split(":") for row in rows)
        return next((int(of[2]), int(of[3])) for of in fields if of[0] == user)

    def logs(self, name: str) -> Path:
        """What the host sees as /var/log."""
        return self.host(name) / "log"

    def mounts(
        self, host: Host, more: list[tuple[Path, str]]
    ) -> list[tuple[Path, str]]:
        """What is mounted where on the host, in order; `more` is the batch system's."""
        own = self.host(host.name)
        mounts = [
            # Whole: a mount over one file of the machine's is gone as soon as that
            # file is replaced, as apt-get does with /etc/passwd (Linux 6.18).
            (self.etc, "/etc"),
            (own / "hostname", "/etc/hostname"),
            (own / "ssh", "/etc/ssh"),
            (own / "pam-sshd", "/etc/pam.d/sshd"),
            (own / "log", "/var/log"),
            (own / "spool", "/var/spool"),
            (own / "tmp", "/tmp"),
            (own / "var-tmp", "/var/tmp"),
            (self.home, "/home"),
            *more,
        ]
        # The mount that hides our own directory comes last.
        return sorted(mounts, key=lambda mount: self.root.is_relative_to(mount[1]))
