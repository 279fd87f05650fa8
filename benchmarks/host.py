"""Runs the programs of inside/ on the test cluster's login host, as a user.

Called by figures/. The cluster is the tests' own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from testbed.api import Cluster
from testbed.systems.measured import Measured

HERE = Path(__file__).resolve().parent
USER = "bob"
PROGRAMS = "benchmark-programs"  # in the user's home


class Host:
    """The login host.

    Parameters
    ----------
    cluster:
        A cluster that is up, with nobody else on it.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @property
    def system(self) -> Measured:
        """What differs from one batch system to another."""
        found = self.cluster.system.measured
        assert found is not None, "the command line has looked"
        return found

    @contextmanager
    def programs(self) -> Iterator[None]:
        """A copy of them for the user, who may not be able to read the checkout."""
        self.cluster.run("login1", USER, ["mkdir", "-p", PROGRAMS])
        argv = ["tar", "-x", "-C", PROGRAMS]
        process = self.cluster.popen("login1", USER, argv, stdin=subprocess.PIPE)
        with process, tarfile.open(fileobj=process.stdin, mode="w|") as archive:
            archive.add(HERE, "benchmarks", filter=_program)
        try:
            yield
        finally:
            self.cluster.run("login1", USER, ["rm", "-rf", PROGRAMS])

    def start(self, name: str, *args: object) -> subprocess.Popen[str]:
        """A program of inside/; its standard input and output are pipes."""
        argv = [sys.executable, "-m", f"benchmarks.inside.{name}", *map(str, args)]
        home = self.cluster.run("login1", USER, ["pwd"]).stdout.strip()
        process: subprocess.Popen[str] = self.cluster.popen(
            "login1",
            USER,
            argv,
            env={
                "PYTHONPATH": f"{home}/{PROGRAMS}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "BENCH_KERNEL": json.dumps(self.system.kernel),
                "BENCH_CROWD": json.dumps(self.system.crowd),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return process

    def lines(self, name: str, *args: object) -> Iterator[dict[str, Any]]:
        """What a program says, as it says it.

        Raises subprocess.CalledProcessError when it fails.
        """
        with self.start(name, *args) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, name)

    def counting(self) -> AbstractContextManager[Callable[[], int]]:
        """A count of the user's calls of the controller so far, by its own words."""
        return self.system.counting(self.cluster, USER)


def _program(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Only what runs there."""
    parts = Path(info.name).parts[1:]
    wanted = not parts or parts[0] in ("__init__.py", "inside")
    info.uid = info.gid = 0
    return info if wanted and "__pycache__" not in parts else None
