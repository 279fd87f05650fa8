"""The command line: `python3 tests/testbed --help`."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:
    # Started as a directory: make `import testbed` find this very directory.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from testbed import machine
from testbed.apart import apart
from testbed.api import Cluster
from testbed.layout import HOSTS, ClusterError, default_scheduler
from testbed.systems import SYSTEMS, named

PASSED_ON = {
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
SI_KERNEL = 0x80  # the terminal sent it, and so to the command as well


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    top = argparse.ArgumentParser(
        prog="python3 tests/testbed",
        description="A small cluster of real parts on one machine.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="bring the cluster up")
    up.add_argument("--login2", action="store_true", help="with a second login host")
    with_scheduler(up)
    for name, text in {
        "down": "take it down and leave nothing",
        "status": "show hosts, nodes and jobs",
        "stop-controller": "stop the batch system's controller",
        "start-controller": "start it again",
        "logs": "show the end of every log",
    }.items():
        commands.add_parser(name, help=text)
    text = "install the Debian packages that it needs"
    with_scheduler(commands.add_parser("install", help=text))
    for name, text in {
        "cut": "cut a host's cable: packets vanish",
        "mend": "mend the cable",
        "crash": "kill all of a host at once",
        "boot": "start a host",
    }.items():
        commands.add_parser(name, help=text).add_argument("host", choices=HOSTS)
    for name, text in {
        "block": "answers from some TCP ports of a host vanish, as behind a firewall",
        "unblock": "let them through again",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("host", choices=HOSTS)
        command.add_argument("ports", help="as in 22 or 61000-61999")
    slow = commands.add_parser("slow", help="limit a host's network")
    slow.add_argument("host", choices=HOSTS)
    rate = slow.add_mutually_exclusive_group(required=True)
    rate.add_argument("rate", nargs="?", help="as in 10mbit")
    rate.add_argument("--off", action="store_true", help="no limit any more")
    add_run(commands.add_parser("run", help="run a command on a host as a user"))
    shell = commands.add_parser("shell", help="a shell on a host")
    shell.add_argument("host", choices=HOSTS)
    shell.add_argument("user", nargs="?", default="alice")
    apart = commands.add_parser("apart", help="run a command where no cluster is")
    apart.add_argument("argv", nargs="+", metavar="-- CMD", help="the command")
    return top


def with_scheduler(command: argparse.ArgumentParser) -> None:
    """The argument of commands that can be about any batch system."""
    text = "the batch system ($RK_CLUSTER_SCHEDULER, or else slurm)"
    command.add_argument("--scheduler", choices=SYSTEMS, help=text)


def add_run(run: argparse.ArgumentParser) -> None:
    """The arguments of `run`."""
    run.add_argument("host", choices=HOSTS)
    run.add_argument("user", help="alice, bob, student01..30 or root")
    run.add_argument("--env", action="append", default=[], metavar="K=V")
    run.add_argument("--cwd", default="", help="start there instead of at home")
    run.add_argument("argv", nargs="+", metavar="-- CMD", help="the command")


def run(cluster: Cluster, options: argparse.Namespace) -> int:
    """Run a command with our own streams; its exit code."""
    env = dict(pair.split("=", 1) for pair in options.env)
    watched = {*PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = cluster.popen(options.host, options.user, options.argv, env, options.cwd)
    while child.poll() is None:
        info = signal.sigwaitinfo(watched)
        if info.si_signo in PASSED_ON and info.si_code != SI_KERNEL:
            child.send_signal(info.si_signo)
    code = child.returncode
    return code if code >= 0 else 128 - code


def shell(cluster: Cluster, options: argparse.Namespace) -> int:
    """A login shell with a terminal of the host's own."""
    options.argv = ["script", "--quiet", "--command", "exec bash -l", "/dev/null"]
    options.env, options.cwd = ["TERM=xterm-256color"], ""
    return run(cluster, options)


def status(cluster: Cluster) -> None:
    """Hosts, nodes, jobs."""
    print(f"directory {cluster.layout.root}")
    for host in HOSTS.values():
        on = cluster.is_running(host.name)
        state = "down" if not on else "cut" if cluster.is_cut(host.name) else "up"
        print(f"{host.name:8} {host.address:15} {host.role:11} {state}")
    if not cluster.is_up():
        print("not up; start it with: python3 tests/testbed up")
        return
    for command in cluster.system.status_commands():
        done = cluster.run("ctl", "root", command, check=False, timeout=30)
        print(done.stdout + done.stderr, end="")


def install(scheduler: str | None) -> None:
    """Install what is missing."""
    names = machine.install(named(scheduler or default_scheduler()), print)
    print(f"installed {' '.join(names)}" if names else "nothing is missing")


def main() -> int:
    """Do one command."""
    options = parser().parse_args()
    cluster = Cluster(say=lambda line: print(line, flush=True))
    name = options.command
    try:
        if name in ("run", "shell"):
            return {"run": run, "shell": shell}[name](cluster, options)
        if name == "apart":
            return apart(options.argv)
        do(cluster, name, options)
    except (ClusterError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the next up or down cleans what is left", file=sys.stderr)
        return 130
    return 0


def do(cluster: Cluster, name: str, options: argparse.Namespace) -> None:
    """The commands that have no exit code of their own."""
    if name == "up":
        cluster.up(options.login2, scheduler=options.scheduler)
    elif name == "slow":
        cluster.slow(options.host, options.rate or "")
    elif name in ("block", "unblock"):
        getattr(cluster, name)(options.host, options.ports)
    elif name == "status":
        status(cluster)
    elif name == "install":
        install(options.scheduler)
    elif name == "logs":
        print(cluster.logs())
    elif "host" in options:
        getattr(cluster, name)(options.host)
    else:
        getattr(cluster, name.replace("-", "_"))()


if __name__ == "__main__":
    sys.exit(main())
