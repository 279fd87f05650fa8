"""What the hosts find in /etc, /home and /var: written here, mounted by `init`.

Nothing of the machine is changed. Called by `api.Cluster.up`, before any host starts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.layout import HOSTS, MACHINE, USERS, Host, Layout
from testbed.systems import System
from testbed.writing import directory, write

# Of the environments in /opt; hosts with a root of their own have it from the machine.
PYTHON = Path("/usr/bin/python3").resolve()
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


def write_all(layout: Layout, system: System) -> None:
    """Everything that the hosts read; the directory is empty before."""
    layout.root.mkdir(mode=0o700, parents=True)
    layout.marker.touch()
    layout.scheduler.write_text(system.name)
    layout.home.mkdir(mode=0o755)
    _copy_etc(layout, system.root.path if system.root else Path("/"))
    _write_users(layout)
    system.write(layout)
    for host in HOSTS.values():
        _write_host(layout, host, system)
    _write_names(layout)
    with ThreadPoolExecutor(4) as pool:  # ssh-keygen takes its time
        homes = [layout.home / user for user in USERS]
        list(pool.map(_write_home, homes, USERS, USERS.values()))


def fresh_boot(layout: Layout, host: Host) -> None:
    """What a machine loses when it starts again."""
    shutil.rmtree(layout.host(host.name) / "tmp", ignore_errors=True)
    directory(layout.host(host.name) / "tmp", 0o1777)


def _copy_etc(layout: Layout, root: Path) -> None:
    """The hosts' own /etc, the same for all of them; what we write is left out."""
    subprocess.run(["cp", "-a", root / "etc", layout.etc], check=True)
    for name in ("slurm", "munge", "ssh"):
        shutil.rmtree(layout.etc / name, ignore_errors=True)
    for name in ("hostname", "hosts"):  # may be a link, or a mount in a container
        (layout.etc / name).unlink(missing_ok=True)
        (layout.etc / name).touch()
    (layout.etc / "ssh").mkdir()
    (layout.etc / "resolv.conf").unlink(missing_ok=True)  # asks nobody: there is nobody
    write(layout.etc / "resolv.conf", "")


def _write_users(layout: Layout) -> None:
    """The users of the hosts' root plus ours, for the hosts alone."""
    lines = {
        "passwd": "{0}:x:{1}:{1}::/home/{0}:/bin/bash",
        "group": "{0}:x:{1}:",
        "shadow": "{0}:*:19000:0:99999:7:::",
    }
    for name, line in lines.items():
        old = (layout.etc / name).read_text().splitlines()
        kept = [text for text in old if text.split(":")[0] not in USERS]
        new = [line.format(user, number) for user, number in USERS.items()]
        write(layout.etc / name, "\n".join([*kept, *new, ""]))
    (layout.etc / "shadow").chmod(0o640)


def _write_host(layout: Layout, host: Host, system: System) -> None:
    """The private files of one host, as they are when it first starts."""
    own = layout.host(host.name)
    own.mkdir(parents=True)
    for name in ("ssh", "log", "spool"):
        directory(own / name)
    directory(own / "tmp", 0o1777)
    directory(own / "var-tmp", 0o1777)
    if system.root:
        _write_root(own / "root")
    system.write_host(layout, host)
    write(own / "hostname", host.name + "\n")
    write(own / "ssh" / "sshd_config", SSHD_CONFIG)
    write(own / "ssh" / "ssh_config", "")
    adopt = host.role == "compute" and system.needs_a_job
    write(own / "pam-sshd", PAM_COMPUTE if adopt else PAM_LOGIN)
    make_key(own / "ssh" / "ssh_host_ed25519_key", f"root@{host.name}")
    write(own / "host.json", json.dumps(_description(layout, host, system)))


def _write_root(own: Path) -> None:
    """What the host's root has over that of its release: where the Python is mounted."""
    directory(own)
    for name in ("top", "upper", "work"):
        directory(own / name)
    (own / "upper" / "usr" / "bin").mkdir(parents=True)
    (own / "upper" / "usr" / "lib" / PYTHON.name).mkdir(parents=True)
    write(own / "upper" / PYTHON.relative_to("/"), "")
    # The machine's has environments that lead there.
    (own / "upper" / "usr" / "bin" / "python3").symlink_to(PYTHON.name)


def _description(layout: Layout, host: Host, system: System) -> dict[str, object]:
    """What `init` makes of the host."""
    mounts = layout.mounts(host, system.mounts(layout, host))
    root = system.root
    if root:
        shared = [PYTHON, Path("/usr/lib", PYTHON.name), Path("/opt")]
        mounts = [*mounts, *((path, str(path)) for path in shared)]
    own = layout.host(host.name) / "root"
    return {
        "root": (str(root.path), str(own)) if root else None,
        "mounts": [(str(source), to) for source, to in mounts],
        "directories": [
            ("/run/lock", "root", 0o1777),
            ("/run/sshd", "root", 0o755),
            *system.directories(),
        ],
    }


def _write_names(layout: Layout) -> None:
    """Every host knows every host's address and key."""
    hosts = [MACHINE, *HOSTS.values()]
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    lines += [f"{host.address} {host.name}" for host in hosts]
    write(layout.etc / "hosts", "\n".join([*lines, ""]))
    known = ""
    for host in HOSTS.values():
        key = layout.host(host.name) / "ssh" / "ssh_host_ed25519_key.pub"
        known += f"{host.name},{host.address} {key.read_text()}"
    for host in HOSTS.values():
        write(layout.host(host.name) / "ssh" / "ssh_known_hosts", known)


def _write_home(home: Path, user: str, number: int) -> None:
    """A home with a key that opens every host to its user without a question.

    Mode 0755, as on many sites: what must be private has to see to it itself.
    """
    directory(home)
    directory(home / ".ssh", 0o700)
    make_key(home / ".ssh" / "id_ed25519", f"{user}@login1")
    public = (home / ".ssh" / "id_ed25519.pub").read_text()
    write(home / ".ssh" / "authorized_keys", public, 0o600)
    for path in (home, *home.rglob("*")):
        os.chown(path, number, number)


def make_key(path: Path, comment: str) -> None:
    """An ssh key pair without passphrase."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]
    subprocess.run([*command, str(path)], check=True)
