"""What the machine must have, and the lock that keeps it to one cluster.

Called by `api` before anything is made, and by the `install` command.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.layout import ClusterError

# Programs that we call, and the Debian package of each.
PROGRAMS = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ip": "iproute2",
    "bridge": "iproute2",
}
ADOPT = "libpam-slurm-adopt"
SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
POLICY = Path("/usr/sbin/policy-rc.d")
CGROUP = Path("/sys/fs/cgroup")
CONTROLLERS = ("freezer", "cpuset", "memory", "devices", "cpuacct")


def has_cgroup_v1() -> bool:
    """Whether Slurm 22.05 can confine jobs here; it needs cgroup v1 for that.

    RK_CLUSTER_CGROUP=none pretends that it cannot.
    """
    if os.environ.get("RK_CLUSTER_CGROUP") == "none":
        return False
    return all((CGROUP / name / "cgroup.procs").exists() for name in CONTROLLERS)


def missing_packages() -> list[str]:
    """Debian packages that must be installed first."""
    missing = {
        package
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=SBIN) is None
    }
    places = [Path("/lib/security"), *Path("/lib").glob("*/security")]
    modules = [place / "pam_slurm_adopt.so" for place in places]
    if has_cgroup_v1() and not any(module.exists() for module in modules):
        missing.add(ADOPT)
    return sorted(missing)


def why_not() -> str:
    """Why no cluster can be made here, or nothing."""
    if os.geteuid():
        return "the test cluster needs root: it makes namespaces and mounts"
    if missing := missing_packages():
        return (
            f"these Debian packages are missing: {' '.join(missing)}. "
            "Install them with: python3 tests/testbed install"
        )
    return ""


def require() -> None:
    """Stop unless a cluster can be made here."""
    if reason := why_not():
        raise ClusterError(reason)


def install() -> list[str]:
    """Install what is missing, without starting the packages' daemons here."""
    missing = missing_packages()
    if not missing:
        return []
    if os.geteuid() or shutil.which("apt-get") is None:
        names = " ".join(missing)
        raise ClusterError(f"needs root and apt-get to install: {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with no_daemons():
        for command in (["update"], ["install", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "-qy", *command], check=True, env=environment)
    return missing


@contextmanager
def no_daemons() -> Iterator[None]:
    """Keep apt from starting slurmd, munged and sshd on the machine itself."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


@contextmanager
def locked() -> Iterator[None]:
    """Alone, while the cluster is made, changed or taken down.

    The lock is on a directory that is there anyway, so no lock file stays behind.
    """
    descriptor = os.open("/run/lock", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
