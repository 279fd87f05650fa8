"""Root file systems of other Debian releases, for batch systems that the machine's has not.

debootstrap makes the base, apt in it installs the rest, both from the mirror of the
machine's own apt. A root is kept outside the cluster and the checkout, in RK_ROOTS; it is
made under another name and renamed, so one that is there is whole. Nothing is written to
it later: a host is an overlay over it. Called by `machine` and `files`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.layout import ClusterError

PROGRAMS = {"debootstrap": "debootstrap"}
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
SCRIPTS = Path("/usr/share/debootstrap/scripts")
COMMON = ("iproute2", "openssh-client", "openssh-server", "procps", "python3")
APT = """\
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";  // sid's has expired at times
"""
DPKG = """\
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
"""
# Not by debootstrap's --include, which knows nothing of virtual packages.
INSTALL = """set -e
root=$1; shift
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
chroot "$root" apt-get update -qq
chroot "$root" apt-get install -yqq "$@"
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/*
"""
STAMP = "etc/made-of"


def directory() -> Path:
    """Where all roots are kept."""
    return Path(os.environ.get("RK_ROOTS", "/var/cache/remote_kernels-roots"))


@dataclass(frozen=True)
class Root:
    """The root file system of a batch system's hosts.

    Parameters
    ----------
    name
        Of its directory.
    suite
        The release of Debian.
    packages
        What is installed in it besides `COMMON`.
    """

    name: str
    suite: str
    packages: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        return directory() / self.name

    @property
    def is_made(self) -> bool:
        """Whether it is there, of these packages."""
        try:
            return (self.path / STAMP).read_text() == self.stamp
        except OSError:
            return False

    def make(self, say: Callable[[str], object]) -> bool:
        """Make it if it is not there; whether it was made."""
        with _locked():
            if self.is_made:
                return False
            new, old = (directory() / f".{self.name}.{word}" for word in ("new", "old"))
            for left in (new, old):  # by one that was interrupted
                shutil.rmtree(left, ignore_errors=True)
            say(f"making {self.path} of Debian {self.suite}: some minutes")
            self._build(new)
            if self.path.exists():
                self.path.rename(old)
            new.rename(self.path)
            shutil.rmtree(old, ignore_errors=True)
            return True

    @property
    def stamp(self) -> str:
        """What tells it from a root of other packages."""
        return " ".join([self.suite, *COMMON, *self.packages, "\n"])

    def _build(self, root: Path) -> None:
        script = SCRIPTS / self.suite
        script = script if script.exists() else SCRIPTS / "sid"
        options = [
            "--variant=minbase",
            f"--keyring={KEYS}",
            "--include=ca-certificates",
        ]
        _call("debootstrap", *options, self.suite, str(root), mirror(), str(script))
        _write(root / "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        _write(root / "etc/apt/apt.conf.d/99lean", APT)
        _write(root / "etc/dpkg/dpkg.cfg.d/lean", DPKG)
        for name in ("resolv.conf", "ssl/certs/ca-certificates.crt"):
            if Path("/etc", name).exists():
                shutil.copyfile(Path("/etc", name), root / "etc" / name)
        alone = ["unshare", "--mount", "--propagation", "private"]
        packages = [*COMMON, *self.packages]
        _call(*alone, "bash", "-c", INSTALL, "install", str(root), *packages)
        _write(root / STAMP, self.stamp)


def mirror() -> str:
    """The mirror of the machine's own release, as its apt has it."""
    release = _call("sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"').strip()
    form = "$(RELEASE) $(REPO_URI)"
    rows = _call("apt-get", "indextargets", "--format", form).splitlines()
    found = [row.split()[1] for row in rows if row.split()[:1] == [release]]
    if not found:
        raise ClusterError(f"apt has no mirror of Debian's {release}")
    return found[0]


def _call(*argv: str) -> str:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        argv, capture_output=True, text=True, env=environ, check=False
    )
    if done.returncode:
        said = "\n".join(
            [*done.stdout.splitlines()[-5:], *done.stderr.splitlines()[-10:]]
        )
        raise ClusterError(f"{argv[0]}: exit code {done.returncode}\n{said}")
    return done.stdout


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.write_text(text)
    path.chmod(mode)


@contextmanager
def _locked() -> Iterator[None]:
    """Alone, beside others on the machine, and those that are apart."""
    directory().mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
