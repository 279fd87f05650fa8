"""What the machine must have, and the lock that keeps it to one cluster.

Called by `api` before anything is made, and by the `install` command.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import roots
from testbed.layout import ClusterError

if TYPE_CHECKING:
    from testbed.systems import System

# Programs that we call, and the Debian package of each; a batch system has more.
PROGRAMS = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ip": "iproute2",
    "bridge": "iproute2",
}
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


def missing_packages(system: System) -> list[str]:
    """Debian packages that must be installed first."""
    more = {**system.programs, **(roots.PROGRAMS if system.root else {})}
    missing = {
        package
        for program, package in {**PROGRAMS, **more}.items()
        if shutil.which(program, path=SBIN) is None
    }
    return sorted(missing | system.missing_packages())


def why_not(system: System) -> str:
    """Why no cluster can be made here, or nothing."""
    if os.geteuid():
        return "the test cluster needs root: it makes namespaces and mounts"
    command = f"python3 tests/testbed install --scheduler {system.name}"
    if missing := missing_packages(system):
        names = " ".join(missing)
        return (
            f"these Debian packages are missing: {names}. Install them with: {command}"
        )
    if system.root and not system.root.is_made:
        what = f"{system.root.path}, a root file system of Debian {system.root.suite}"
        return f"{what}, is missing. Make it with: {command}"
    return ""


def require(system: System) -> None:
    """Stop unless a cluster can be made here."""
    if reason := why_not(system):
        raise ClusterError(reason)


def install(system: System, say: Callable[[str], object]) -> list[str]:
    """Install what is missing, and make the hosts' root; what was installed."""
    missing = missing_packages(system)
    if missing:
        _install(missing)
    made = system.root is not None and system.root.make(say)
    return [*missing, *([str(system.root.path)] if system.root and made else [])]


def _install(missing: list[str]) -> None:
    """Install packages, without starting their daemons here."""
    if os.geteuid() or shutil.which("apt-get") is None:
        names = " ".join(missing)
        raise ClusterError(f"needs root and apt-get to install: {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with no_daemons():
        for command in (["update"], ["install", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "-qy", *command], check=True, env=environment)


@contextmanager
def no_daemons() -> Iterator[None]:
    """Keep apt from starting daemons on the machine itself."""
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
