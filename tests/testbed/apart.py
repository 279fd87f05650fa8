"""A machine within the machine, where a cluster meets none of those beside it.

`python3 tests/testbed apart -- CMD` runs CMD in network, PID, mount and cgroup
namespaces of its own, with a /var/tmp of its own. All that CMD started ends with it,
the cluster, too, and nothing stays; what one leaves that was killed, the next one
removes. Called by the command line, and so by `make test`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from testbed import hosts
from testbed.machine import CGROUP, CONTROLLERS, has_cgroup_v1, locked

PLACE = Path("/var/tmp")
PREFIX = "remote_kernels-apart-"
SPACES = ("--net", "--mount", "--pid", "--cgroup", "--fork", "--kill-child")
PR_SET_PDEATHSIG = 1
# PID 1 of the namespaces: reaps, and does not hear Ctrl-C, which is for CMD.
INSIDE = """set -e
here=$1 groups=$2; shift 2
mount --bind "$here" /var/tmp
mount -t tmpfs none /run/lock  # machine.locked: for this cluster alone
umount -R /sys/fs/cgroup  # Java 17 would find these, of which it sees no root, and fail
mount -t sysfs sysfs /sys
mount -t tmpfs none /sys/fs/cgroup
for group in $groups; do
  mkdir "/sys/fs/cgroup/$group"
  mount -t cgroup -o "$group" cgroup "/sys/fs/cgroup/$group"
done
ip link set lo up
set +e
"$@"
exit $?
"""


def apart(argv: Sequence[str]) -> int:
    """Run a command apart; its exit code.

    It hears Ctrl-C itself, as it is of this process group; SIGTERM ends it at once, as
    does the end of this process.
    """
    groups = CONTROLLERS if has_cgroup_v1() else ()
    with _directory() as here, _branches(here.name, groups) as branches:
        inside = ["bash", "-c", INSIDE, "apart", str(here), " ".join(groups), *argv]
        child = subprocess.Popen(
            ["unshare", *SPACES, "--mount-proc", *inside],
            preexec_fn=lambda: _prepare(branches),  # noqa: PLW1509 - no threads here
        )
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: child.kill())
        code = child.wait()
    return code if code >= 0 else 128 - code


def _prepare(branches: Sequence[Path]) -> None:
    """Go into these cgroups, and do not outlive who started us."""
    for branch in branches:
        (branch / "cgroup.procs").write_text("0")
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def _directory() -> Iterator[Path]:
    """What is /var/tmp inside; locked for as long as it is used."""
    with ExitStack() as stack:
        with locked():
            _sweep()
            here = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PLACE))
            stack.enter_context(_used(here))
        here.chmod(0o1777)
        yield here
        shutil.rmtree(here)


@contextmanager
def _used(directory: Path) -> Iterator[None]:
    """Say that it is used; BlockingIOError says that it is already."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _sweep() -> None:
    """Remove what those have left that were killed."""
    for old in PLACE.glob(f"{PREFIX}*"):
        with suppress(BlockingIOError), _used(old):
            for branch in CGROUP.glob(f"*/{old.name}"):
                hosts.remove_cgroup(branch)
            shutil.rmtree(old)


@contextmanager
def _branches(name: str, groups: Sequence[str]) -> Iterator[list[Path]]:
    """A cgroup of this name in each hierarchy; its namespace takes it for the root."""
    branches = [CGROUP / group / name for group in groups]
    try:
        for branch in branches:
            branch.mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):  # empty in a new one
                if (branch / file).exists():
                    (branch / file).write_text((branch.parent / file).read_text())
        yield branches
    finally:
        for branch in branches:
            hosts.remove_cgroup(branch)
