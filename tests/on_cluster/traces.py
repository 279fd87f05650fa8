"""What a user has on the cluster, counted; and a place for a user's kernels.

`Traces` are sets of lines, so that what is left over is a difference: jobs, processes,
TCP listeners, files and sockets. `Desk` is a directory of a user with a Jupyter of its
own. Both are used by the tests of leftovers and of isolation.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed.api import Cluster
from testbed.hosts import USER_PATH
from testbed.layout import USERS

HOSTS = ("login1", "c1", "c2")
GOING = 90.0  # seconds at most for all traces to go
PLACES = ("/tmp", "/var/tmp", "/run", "/dev/shm", "/dev/mqueue")
BIN = Path(sys.executable).parent
# Options of a server that no browser opens: without extensions that nobody uses then,
# it starts in a third of the time.
PLAIN = tuple(
    f"--ServerApp.jpserver_extensions={name}=False"
    for name in (
        "jupyter_lsp",
        "jupyter_server_proxy",
        "jupyter_server_terminals",
        "jupyterlab",
        "notebook",
        "notebook_shim",
    )
)
IPYKERNEL = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]

Traces = frozenset[str]


def traces(cluster: Cluster, user: str) -> Traces:
    """All that the user has on the login host and on the nodes, at this moment."""
    uid = USERS[user]
    found = {f"job {job.id} {job.name}" for job in cluster.jobs() if job.user == user}
    for host in HOSTS:
        for process in cluster.processes(host, user):
            found.add(f"{host}: process {process.inner} {' '.join(process.cmdline)}")
        for address, owner in listeners(cluster, host):
            if owner == uid:
                found.add(f"{host}: TCP listener {address}")
        for place in PLACES:
            found.update(
                f"{host}: {line}" for line in _files(cluster, host, place, uid)
            )
    found.update(f"home: {line}" for line in _files(cluster, "login1", "/home", uid))
    return frozenset(found)


def left_over(
    cluster: Cluster, user: str, before: Traces, seconds: float = GOING
) -> list[str]:
    """What there is more than before; waits for it to go, for a bounded time."""
    end = time.monotonic() + seconds
    while more := traces(cluster, user) - before:
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return sorted(more)


def listeners(cluster: Cluster, host: str) -> Iterator[tuple[str, int]]:
    """Address (as proc(5) writes it: hexadecimal, IP:PORT) and owner of each."""
    for name in ("tcp", "tcp6"):
        table = Path(f"/proc/{cluster.pid(host)}/net/{name}")
        for row in table.read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A":  # TCP_LISTEN
                yield fields[1], int(fields[7])


def _files(cluster: Cluster, host: str, place: str, uid: int) -> Iterator[str]:
    top = cluster.path(host, place)
    for directory, names, files in os.walk(top):
        for given in {Desk.GIVEN, Desk.MEMORY} & set(names):
            names.remove(given)
        for name in (*names, *files):
            path = Path(directory, name)
            try:
                status = path.lstat()
            except OSError:
                continue
            if status.st_uid == uid:
                kind = "socket" if stat.S_ISSOCK(status.st_mode) else "file"
                yield f"{kind} {place}/{path.relative_to(top)}"


class Desk:
    """A directory in a user's home with kernelspecs, records and run-time files.

    What the test gave it lies in `given/` and is no trace, nor is what is remembered
    of kernels on purpose; all else is counted.
    """

    GIVEN = "given"
    MEMORY = "kernel_info"

    def __init__(self, cluster: Cluster, user: str) -> None:
        self.cluster = cluster
        self.user = user
        home = cluster.layout.home / user
        # One desk at a time: traces are counted.
        self._lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._here = Path(tempfile.mkdtemp(prefix="desk-", dir=home))
        self.path = Path("/home", user, self._here.name)
        self.private = Path("/tmp", self._here.name)  # on the login host alone
        # As after earlier kernels and servers of this user.
        for name in ("given/bin", "state/kernels", "state/allocations", "runtime"):
            (self._here / name).mkdir(parents=True)
        self.write("../state/carriers.json", "{}")
        self.write("../runtime/jupyter_cookie_secret", "x" * 64, 0o600)
        self._give()
        kernels = str(self.private / "kernels")
        cluster.run("login1", user, ["mkdir", "-p", kernels])

    def remove(self) -> None:
        try:
            shutil.rmtree(self._here)
            self.cluster.run("login1", self.user, ["rm", "-rf", str(self.private)])
        finally:
            os.close(self._lock)  # or the next one waits for ever

    def _give(self) -> None:
        for path in (self._here, *self._here.rglob("*")):
            os.chown(path, USERS[self.user], USERS[self.user])

    def given(self, name: str) -> Path:
        """Where the user sees that file."""
        return self.path / self.GIVEN / name

    def has(self, name: str) -> bool:
        """Whether that file is there by now."""
        return (self._here / self.GIVEN / name).exists()

    def has_attached(self) -> bool:
        """Whether a kernel's agent has been reached, as a record says."""
        records = self._here.glob("state/kernels/*/record.json")
        return any('"attached"' in record.read_text() for record in records)

    def read(self, name: str) -> str:
        """What is in that file by now."""
        return (self._here / self.GIVEN / name).read_text()

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Give the user a file."""
        path = self._here / self.GIVEN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        for made in (path, *path.parents):
            if not made.is_relative_to(self._here):
                break
            os.chown(made, USERS[self.user], USERS[self.user])
        return self.given(name)

    def program(self, name: str, script: str) -> None:
        """A program that is found before the system's."""
        self.write(f"bin/{name}", f"#!/bin/sh\n{script}\n", 0o755)

    def spec(
        self,
        config: dict[str, Any],
        argv: list[str] | None = None,
        name: str = "k",
        **more: Any,
    ) -> None:
        """Write a kernelspec."""
        scheduler = self.cluster.system.scheduler
        state = str(self.path / "state")
        if config.get("carrier") == self.cluster.system.carrier:
            config = {**self.cluster.system.inside, **config}
        config = {"scheduler": scheduler, "state_dir": state, **config}
        provisioner = {"provisioner_name": "remote-kernels", "config": config}
        metadata = {"kernel_provisioner": provisioner, **more.pop("metadata", {})}
        body = {
            "argv": argv or IPYKERNEL,
            "display_name": "k",
            "language": "python",
            "metadata": metadata,
            "env": {"IPYTHONDIR": str(self.given("ipython"))},
            **more,
        }
        self.write(f"kernels/{name}/kernel.json", json.dumps(body))

    @property
    def env(self) -> dict[str, str]:
        """What a program of this user needs to use this Jupyter."""
        return {
            "PATH": f"{self.given('bin')}:{BIN}:{USER_PATH}",
            "JUPYTER_DATA_DIR": str(self.given("")),
            "JUPYTER_CONFIG_DIR": str(self.given("config")),
            "JUPYTER_RUNTIME_DIR": str(self.path / "runtime"),
            "IPYTHONDIR": str(self.given("ipython")),
            "PYTHONDONTWRITEBYTECODE": "1",
            "npm_config_cache": str(self.given("npm")),  # jupyter_lsp asks npm
        }
