"""A user's place on the login host: what it is given, and a clean end.

All of a user's own directories are as on any machine; what we give lies in ~/given and
is no trace (as in the tests' `Desk`). Made by `run`, filled by `known`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from on_cluster.traces import Desk, Traces, traces
from testbed.api import Cluster
from testbed.hosts import USER_PATH, wait_for
from testbed.layout import USERS

SHIMS = Path(__file__).parent / "shims"
NODE = "c1"
KEEPER = "keeper"  # the name of the job that lets ssh in
LIBEXEC = "/usr/libexec"


class Seat:
    """One user with one environment, used for one thing at a time."""

    def __init__(self, cluster: Cluster, user: str, environment: Path) -> None:
        self.cluster = cluster
        self.user = user
        self.environment = environment
        self.python = str(environment / "bin/python")
        self.node = NODE
        self.home = Path("/home", user)
        self.given = self.home / Desk.GIVEN
        self._home = cluster.layout.home / user
        # One at a time: traces are counted. The tests' Desk locks the same.
        self._lock = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._given = self._home / Desk.GIVEN
        shutil.rmtree(self._given, ignore_errors=True)  # of one that was killed
        self._given.mkdir()
        self._before = traces(cluster, user)
        self._shown = False

    # What is given

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        """A file in ~/given; where the user finds it."""
        path = self._given / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        self._own(self._given)
        return str(self.given / name)

    def read(self, name: str) -> str:
        """What is in that file by now."""
        return (self._given / name).read_text(errors="replace")

    def shim(self, name: str, where: str = "bin") -> str:
        """One of our programs in place of what is not there."""
        return self.write(f"{where}/{name}", (SHIMS / name).read_text(), 0o755)

    def ssh_file(self, name: str, text: str) -> None:
        """A file in ~/.ssh."""
        path = self._home / ".ssh" / name
        path.write_text(text)
        path.chmod(0o600)
        self._own(path)

    def known_hosts(self) -> None:
        """The cluster's host keys as the user's own; not all read /etc/ssh."""
        keys = self.cluster.path("login1", "/etc/ssh/ssh_known_hosts").read_text()
        self.ssh_file("known_hosts", keys)

    def spec(self, body: dict[str, Any], name: str = "k") -> None:
        """A kernelspec."""
        whole = {"display_name": name, "language": "python", **body}
        self.write(f"kernels/{name}/kernel.json", json.dumps(whole, indent=1))

    def show_in_libexec(self, name: str) -> None:
        """Let the login host, and only it, have one more program in /usr/libexec."""
        layer = f"lowerdir={Path(self.shim(name, 'libexec')).parent}:{LIBEXEC}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", layer, LIBEXEC]
        self.cluster.run("login1", "root", mount)
        self._shown = True

    def keep_job(self, memory: str) -> None:
        """A job on the node: without one, nobody gets in by ssh."""
        command = ["sbatch", "--parsable", f"--job-name={KEEPER}", "--time=30"]
        command += [f"--nodelist={NODE}", f"--mem={memory}", "--output=/dev/null"]
        command += ["--wrap", "sleep 1800"]
        number = self.cluster.run("login1", self.user, command).stdout.strip()
        running = (number, "RUNNING")
        jobs = self.cluster.jobs
        wait_for("a job", lambda: running in [(j.id, j.state) for j in jobs()], 60)

    def _own(self, top: Path) -> None:
        for path in (top, *top.rglob("*")):
            os.chown(path, USERS[self.user], USERS[self.user])

    @property
    def env(self) -> dict[str, str]:
        """What a program of this user needs to find all this."""
        path = f"{self.given / 'bin'}:{self.environment / 'bin'}:{USER_PATH}"
        return {
            "PATH": path,
            "JUPYTER_PATH": str(self.given),
            "IPYTHONDIR": str(self.given / "ipython"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    # What is left

    def clear(self, before: Traces) -> list[str]:
        """Remove what there is more than before; what could not be removed."""
        self._end_jobs(before)
        end = time.monotonic() + 20
        while more := traces(self.cluster, self.user) - before:
            for line in sorted(more, reverse=True):
                self._remove(line)
            if time.monotonic() > end:
                break
            time.sleep(0.2)
        return sorted(more)

    def _end_jobs(self, before: Traces) -> None:
        def ours() -> list[str]:
            jobs = [job for job in self.cluster.jobs() if job.user == self.user]
            return [j.id for j in jobs if f"job {j.id} {j.name}" not in before]

        for job in ours():
            self.cluster.run("ctl", "root", ["scancel", job], check=False)
        wait_for("the end of jobs", lambda: not ours(), 40)

    def _remove(self, line: str) -> None:
        process = re.match(r"(\w+): process (\d+) ", line)
        if process:
            kill = ["kill", "-KILL", process[2]]
            self.cluster.run(process[1], "root", kill, check=False)
            return
        file = re.match(r"(\w+): (?:file|socket) (/.*)", line)
        if file:
            host = "login1" if file[1] == "home" else file[1]
            path = self.cluster.path(host, file[2])
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)  # all in it is new, too
            else:
                path.unlink(missing_ok=True)

    def close(self) -> list[str]:
        """Leave the user as it was; what could not be removed."""
        left = self.clear(self._before)
        if self._shown:
            self.cluster.run("login1", "root", ["umount", LIBEXEC], check=False)
        shutil.rmtree(self._given)
        os.close(self._lock)
        return left
