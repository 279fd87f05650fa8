"""`Cluster`: everything that tests and the command line do with the cluster.

Rules: nothing happens in `__init__`; what is started is waited for, for a bounded
time; errors are `ClusterError` and say what to do next. The cluster lives on the
machine, not in this object: any process may make a `Cluster` and use the one that is up.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from testbed import files, hosts, machine, network, systems
from testbed.hosts import Process, wait_for
from testbed.layout import (
    COMPUTE,
    HOSTS,
    USERS,
    ClusterError,
    Host,
    Layout,
    default_directory,
    default_scheduler,
    host_named,
)
from testbed.systems import Job, System

__all__ = ["Cluster", "Job"]


class Cluster:
    """The test cluster of one directory."""

    def __init__(
        self,
        directory: Path | None = None,
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.layout = Layout(directory or default_directory())
        self._say = say
        self._pids: dict[str, int] = {}

    @property
    def system(self) -> System:
        """The batch system: that of the cluster that is up, or of the next one."""
        try:
            return systems.named(self.layout.scheduler.read_text())
        except OSError:
            return systems.named(default_scheduler())

    # Life of the cluster

    def up(
        self,
        login2: bool = False,
        owner: int | None = None,
        scheduler: str | None = None,
    ) -> None:
        """Bring the cluster up; one that is up already stays as it is.

        `owner` is the PID of a process that the cluster is not to outlive: when it is
        gone, the next `up` starts afresh. `scheduler` is the batch system's name.
        """
        system = systems.named(scheduler or default_scheduler())
        machine.require(system)
        with machine.locked():
            if self.is_up():
                self._say(f"up already, in {self.layout.root}")
                if scheduler not in (None, self.system.name):
                    raise ClusterError(
                        f"the cluster that is up has {self.system.name}; take it down "
                        "first: python3 tests/testbed down"
                    )
            else:
                self._make(system, owner)
            if login2 and not self.is_running("login2"):
                self._boot(host_named("login2"))

    def down(self) -> None:
        """Take the cluster down and leave nothing behind."""
        with machine.locked():
            self._clean()

    def is_up(self) -> bool:
        """Whether `up` has finished, and nobody took it down since."""
        try:
            ready = json.loads(self.layout.ready.read_text())
        except OSError:
            return False
        owner = ready["owner"]
        wanted = owner is None or Path(f"/proc/{owner}").exists()
        return wanted and self.is_running("ctl")

    def _make(self, system: System, owner: int | None) -> None:
        begun = time.monotonic()
        self._clean()
        files.write_all(self.layout, system)
        network.make_bridge(self.layout.root)
        if not machine.has_cgroup_v1():
            self._say("no cgroup v1 here: no memory limits, ssh to nodes needs no job")
        try:
            for name in ("ctl", "login1", "c1", "c2"):
                self._boot(host_named(name))
                if name == system.controller_host:
                    wait_for(
                        f"{system.controller} to answer",
                        partial(system.answers, self),
                        20,
                    )
                    system.configure(self)
            self._settle()
        except ClusterError as error:
            raise ClusterError(f"{error}\n{self.logs()}") from error
        self.layout.ready.write_text(json.dumps({"owner": owner}))
        self._say(f"up after {time.monotonic() - begun:.1f} s")

    def _clean(self) -> None:
        """Remove this cluster, whole or in pieces; refuse another's."""
        other = network.owner()
        if other and other != self.layout.root and other.exists():
            raise ClusterError(
                f"a cluster of {other} is on this machine. Take it down with: "
                f"RK_CLUSTER_DIR={other} python3 tests/testbed down"
            )
        for (_, name), pid in hosts.running().items():
            self._say(f"{name}: down")
            hosts.kill(pid, host_named(name))
        for host in HOSTS.values():
            network.remove(host.cable)
            hosts.remove_cgroups(host)
        network.remove_bridge()
        self._remove_directory()

    def _remove_directory(self) -> None:
        root, marker = self.layout.root, self.layout.marker
        if not root.exists():
            return
        if any(root.iterdir()) and not marker.exists():
            raise ClusterError(f"{root} exists and is not ours; set RK_CLUSTER_DIR")
        # The marker goes last: an interrupted removal can be finished.
        for path in set(root.iterdir()) - {marker}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        marker.unlink(missing_ok=True)
        root.rmdir()

    def logs(self, lines: int = 15) -> str:
        """The last lines of every log of every host."""
        parts = []
        for path in sorted(self.layout.root.glob("hosts/*/log/**/*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            title = f"--- {path.relative_to(self.layout.root)}"
            parts += [title, *tail] if tail else []
        return "\n".join(parts)

    # Hosts

    def is_running(self, name: str) -> bool:
        """Whether the host is switched on."""
        return hosts.find(self.layout, host_named(name)) is not None

    def boot(self, name: str) -> None:
        """Start a host that is down, and wait until it works."""
        with machine.locked():
            if self.is_running(name):
                raise ClusterError(f"{name} is up already")
            self._lose_jobs(host_named(name))
            self._boot(host_named(name))
            self._settle()

    def crash(self, name: str) -> None:
        """Kill all of a host at once, as a power cut does. `boot` starts it again."""
        with machine.locked():
            hosts.kill(self.pid(name), host_named(name))

    def pid(self, name: str) -> int:
        """The machine's number of the host's PID 1."""
        known = self._pids.get(name)
        # Only looked for again when it is gone: this is on the way of every command.
        if known is None or hosts.MARK not in hosts.cmdline(known):
            found = hosts.find(self.layout, host_named(name))
            if found is None:
                raise ClusterError(f"{name} is down; python3 tests/testbed boot {name}")
            self._pids[name] = found
        return self._pids[name]

    def address(self, name: str) -> str:
        """Where the host is reached from the other hosts and from the machine."""
        return host_named(name).address

    def _boot(self, host: Host) -> None:
        begun = time.monotonic()
        hosts.remove_cgroups(host)
        files.fresh_boot(self.layout, host)
        network.plug_in(host, hosts.start(self.layout, host))
        batch = network.inside_commands(host)
        self.run(host.name, "root", ["ip", "-batch", "-"], input=batch)
        self.system.prepare(self, host)
        for user, daemon in [*self.system.daemons(host), SSHD]:
            self.start_daemon(host, user, daemon)
        wait_for(f"sshd on {host.name}", lambda: answers(host.address), 60)
        self._say(f"{host.name}: up ({time.monotonic() - begun:.1f} s)")

    def start_daemon(self, host: Host, user: str, argv: list[str]) -> None:
        """Start a daemon, which goes to the background by itself when it is ready."""
        log = self.layout.logs(host.name) / "start.log"
        with log.open("a") as output:
            process = self.popen(
                host.name,
                user,
                argv,
                cwd="/",
                die=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if code := process.wait(30):
            raise ClusterError(f"{argv[0]} on {host.name}: exit code {code}")

    # Commands

    def popen(
        self,
        host: str,
        user: str,
        argv: Sequence[str],
        env: dict[str, str] | None = None,
        cwd: str = "",
        die: bool = True,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command on a host; a real Popen whose process is the command.

        Signals sent to it reach the command itself. With `die` the command is killed
        when the thread that called this ends; what it started lives on, as on any
        machine. The environment is a login's plus `env`; the directory is the home.
        """
        return hosts.popen(self.pid(host), user, argv, env, cwd, die, **options)

    def run(
        self,
        host: str,
        user: str,
        argv: Sequence[str],
        input: str | None = None,
        check: bool = True,
        timeout: float = 60,
        env: dict[str, str] | None = None,
        cwd: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host to its end, with its output as text."""
        process = self.popen(
            host,
            user,
            argv,
            env,
            cwd,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        if check and process.returncode:
            raise ClusterError(
                f"{' '.join(argv)} as {user} on {host}: "
                f"exit code {process.returncode}\n{out}{err}"
            )
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    # What is there

    def processes(self, host: str, user: str | None = None) -> list[Process]:
        """The processes on a host, all or those of one user."""
        uid = None if user is None else USERS.get(user, 0)
        return hosts.processes(self.pid(host), uid)

    def kill(self, host: str, inner: int, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process, by the number that the host itself uses."""
        pids = [p.pid for p in self.processes(host) if p.inner == inner]
        if not pids:
            raise ClusterError(f"no process {inner} on {host}")
        os.kill(pids[0], number)

    def path(self, host: str, path: str) -> Path:
        """Where a path of a running host is found from the machine."""
        return Path(f"/proc/{self.pid(host)}/root", path.lstrip("/"))

    def files(self, host: str, path: str) -> list[str]:
        """Everything below a directory of a host: files, sockets, directories."""
        top = self.path(host, "/")
        found = self.path(host, path).rglob("*")
        return sorted("/" + str(entry.relative_to(top)) for entry in found)

    def jobs(self) -> list[Job]:
        """The jobs that wait, run or are just ending."""
        return self.system.jobs(self)

    def nodes(self) -> dict[str, str]:
        """The state of every compute node, in the batch system's words."""
        return self.system.nodes(self)

    # Trouble

    def cut(self, name: str) -> None:
        """Cut the host's cable: packets vanish without an answer."""
        network.cut(host_named(name))

    def mend(self, name: str) -> None:
        """Undo `cut`."""
        network.mend(host_named(name))

    def is_cut(self, name: str) -> bool:
        """Whether the host's cable is cut."""
        return network.is_cut(host_named(name))

    def block(self, name: str, ports: str) -> None:
        """From now on what comes from these TCP ports of the host ("22", "9-11") vanishes.

        To those who connect there it is a firewall that drops.
        """
        self.run(name, "root", network.block_command("add", ports))

    def unblock(self, name: str, ports: str) -> None:
        """Undo `block`."""
        self.run(name, "root", network.block_command("del", ports))

    def slow(self, name: str, rate: str) -> None:
        """Limit the host's cable in both directions, as in "10mbit"."""
        network.call(*network.slow_command(host_named(name).cable, rate))
        self.run(name, "root", network.slow_command("eth0", rate))

    def fast(self, name: str) -> None:
        """Undo `slow`."""
        self.slow(name, "")

    def stop_controller(self) -> None:
        """Stop the batch system's controller: commands find nobody, jobs run on."""
        self.system.stop(self)
        self._await_its_end()
        self.system.stopped(self)

    def kill_controller(self) -> None:
        """Let the controller end at once, without having put anything in order."""
        self.system.kill(self)
        self._await_its_end()

    def _await_its_end(self) -> None:
        wait_for(
            "the end of the controller",
            lambda: not self.system.controllers(self),
            20,
        )

    def start_controller(self) -> None:
        """Start the controller again and wait until the nodes are back."""
        if self.system.controllers(self):
            raise ClusterError(f"{self.system.controller} runs already")
        self.system.start(self)
        self._settle()

    def _lose_jobs(self, host: Host) -> None:
        """Let the controller know that the node failed, before it is back."""
        if host.role == "compute" and self._has_controller():
            self.system.lose_jobs(self, host)

    def _settle(self) -> None:
        """Wait until the controller answers and has heard of every node that is up."""
        if not self._has_controller():
            return
        name = self.system.controller
        wait_for(f"{name} to answer", partial(self.system.answers, self), 60)
        names = [host.name for host in COMPUTE if self._can_talk(host.name)]
        # An execd of Grid Engine tries again each half minute.
        wait_for(f"{name} to hear of {names}", partial(self._known, names), 60)

    def _has_controller(self) -> bool:
        there = self._can_talk(self.system.controller_host)
        return there and bool(self.system.controllers(self))

    def _can_talk(self, name: str) -> bool:
        return self.is_running(name) and not self.is_cut(name)

    def _known(self, names: list[str]) -> bool:
        """Whether the controller has heard of these nodes."""
        states = self.nodes()
        return not any(states.get(name, "down").startswith("down") for name in names)


SSHD = ("root", ["/usr/sbin/sshd", "-E", "/var/log/sshd.log"])


def answers(address: str) -> bool:
    """Whether an ssh server says hello there."""
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
