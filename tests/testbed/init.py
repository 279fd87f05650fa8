"""PID 1 of a host: makes the namespaces and mounts, then reaps orphans for ever.

Run by `hosts.boot` as `python3 -I -S init.py MARK NAME DIRECTORY`; a program of its
own, because the namespaces are made of the process that asks for them. It starts
nothing: daemons are started from outside and are adopted here. Killing it kills
every process of the host, which is how a crash is made.

On standard output: its PID as the machine sees it, once the host is ready.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
from pathlib import Path

# <linux/sched.h>; `os.unshare` is there from Python 3.12 on.
LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x20000000,
    0x40000000,
)
MNT_DETACH = 2


def call(function: str, *arguments: object) -> None:
    """Call a function of libc's."""
    if LIBC[function](*arguments):
        error = ctypes.get_errno()
        raise OSError(error, f"{function}: {os.strerror(error)}")


def mount(*arguments: str) -> None:
    """Call mount(8); its message says more than mount(2)'s errno."""
    subprocess.run(["mount", *arguments], check=True)


def make_namespaces() -> None:
    """Come back as the first process of namespaces of our own."""
    call("unshare", NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET)
    if os.fork():
        os._exit(0)
    os.setsid()


def make_directories(directories: list[tuple[str, str, int]]) -> None:
    """Directories that packages' service files would make in /run."""
    for path, owner, mode in directories:
        Path(path).mkdir(exist_ok=True, parents=True)
        user = pwd.getpwnam(owner)
        os.chown(path, user.pw_uid, user.pw_gid)
        Path(path).chmod(mode)


def mount_all(binds: list[tuple[str, str]], top: str) -> None:
    """Private copies of what a machine does not share with its neighbours.

    `top` is where the host's root is, "" for the machine's own.
    """
    for source, target in binds:
        mount("--bind", source, top + target)
    mount("-t", "tmpfs", "-o", "mode=755", "rk-run", f"{top}/run")
    mount("-t", "tmpfs", "-o", "mode=1777", "rk-shm", f"{top}/dev/shm")
    options = "newinstance,ptmxmode=0666,mode=620,gid=5"
    mount("-t", "devpts", "-o", options, "rk-pts", f"{top}/dev/pts")
    mount("-t", "proc", "proc", f"{top}/proc")
    mount_sys(top)


def mount_sys(top: str) -> None:
    """Show the host's own network devices, by which UCX goes, beside the cgroups."""
    mount("--rbind", "/sys/fs/cgroup", f"{top}/mnt")
    mount("-t", "sysfs", "sysfs", f"{top}/sys")
    mount("--rbind", f"{top}/mnt", f"{top}/sys/fs/cgroup")
    subprocess.run(["umount", "--lazy", f"{top}/mnt"], check=True)


def mount_root(lower: str, own: str) -> str:
    """A root of the host's own: what it writes is in `own`. Where it is for now."""
    top = f"{own}/top"
    layers = f"lowerdir={lower},upperdir={own}/upper,workdir={own}/work"
    mount("-t", "overlay", "-o", layers, "rk-root", top)
    mount("--rbind", "/dev", f"{top}/dev")
    return top


def take_root(top: str) -> None:
    """Leave the machine's root for the one that is there."""
    subprocess.run(["pivot_root", ".", "mnt"], cwd=top, check=True)
    call("umount2", b"/mnt", MNT_DETACH)


def main() -> None:
    """Become the host."""
    name, directory = sys.argv[2:4]
    text = (Path(directory) / "hosts" / name / "host.json").read_text()
    description = json.loads(text)
    make_namespaces()
    # The old /proc is still there and knows us by the machine's number.
    pid = Path("/proc/self").readlink().name
    socket.sethostname(name)
    mount("--make-rprivate", "/")
    top = mount_root(*description["root"]) if description["root"] else ""
    mount_all(description["mounts"], top)
    if top:
        take_root(top)
    make_directories(description["directories"])
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # then the kernel reaps
    print(pid, flush=True)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    while True:
        signal.pause()


main()
