"""Many kernels of one notebook server: python -m benchmarks.inside.server WHAT COUNT...

WHAT is a kernel (local, ssh) or "pending". Prints what each COUNT of kernels costs, and
what they cost while nobody does anything, for MINUTES.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from benchmarks.inside.kernels import Asked, Bench, bench, options, say, wait_for
from benchmarks.inside.round_trips import quantiles

PORT = 8931
TOKEN = "of-a-benchmark"  # noqa: S105
TRIPS = 100
SETTLE = 5.0  # seconds
TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """jupyter-server on loopback."""

    def __init__(self, here: Bench) -> None:
        self._here = here
        argv = [str(Path(sys.executable).parent / "jupyter-server"), "--no-browser"]
        argv += [f"--port={PORT}", "--ServerApp.port_retries=0"]
        argv += [f"--IdentityProvider.token={TOKEN}"]
        argv += ["--RemoteKernelsApp.on_stop=shutdown"]
        log = (here.directory / "server.log").open("wb")
        self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        log.close()
        wait_for(lambda: self.ask("GET", "/api/status"))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}{path}",
            method=method,
            headers={"Authorization": f"token {TOKEN}"},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)

    def start(self, spec: str) -> str:
        """Returns the kernel's ID."""
        return str(self.ask("POST", "/api/kernels", {"name": spec})["id"])

    @contextmanager
    def asked(self, kernel_id: str) -> Iterator[Asked]:
        """A client of a kernel of this server's."""
        file = self._here.directory / "runtime" / f"kernel-{kernel_id}.json"
        client = BlockingKernelClient()
        client.load_connection_file(str(file))
        asked = Asked(client, ready=False)
        try:
            yield asked
        finally:
            asked.close()

    @property
    def memory(self) -> int:
        """Bytes, PSS. Source of the file: proc(5)."""
        rollup = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text()
        (line,) = (line for line in rollup.splitlines() if line.startswith("Pss:"))
        return int(line.split()[1]) * 1024

    @property
    def held(self) -> dict[str, int]:
        """Descriptors, threads and child processes."""
        process = Path(f"/proc/{self._process.pid}")
        children = (process / "task" / process.name / "children").read_text()
        return {
            "descriptors": len([*(process / "fd").iterdir()]),
            "threads": len([*(process / "task").iterdir()]),
            "children": len(children.split()),
        }

    @property
    def cpu(self) -> float:
        """Seconds so far. Source of the fields: proc(5)."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / TICK

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(120)
        finally:
            self._process.kill()


def add(server: Server, spec: str) -> tuple[str, float]:
    """A kernel more; its ID, and the seconds until a first cell is done."""
    begun = time.perf_counter()
    kernel_id = server.start(spec)
    with server.asked(kernel_id) as asked:
        asked.listen()
        asked.execute()
    return kernel_id, time.perf_counter() - begun


def grow(server: Server, spec: str, counts: list[int]) -> None:
    kernels: list[str] = []
    for count in counts:
        starts = []
        while len(kernels) < count:
            kernel_id, seconds = add(server, spec)
            kernels.append(kernel_id)
            starts.append(seconds)
        time.sleep(SETTLE)
        with server.asked(kernels[-1]) as asked:
            trips = quantiles([asked.info() for _ in range(TRIPS)])
        facts = {"count": count, "starts": starts, "info": trips}
        say(facts | {"memory": server.memory, **server.held})


def rest(server: Server, minutes: int) -> None:
    """Minute after minute; whoever reads this counts the scheduler's calls."""
    say({"minute": 0})
    for minute in range(1, minutes + 1):
        before = server.cpu
        time.sleep(60)
        say({"minute": minute, "cpu": (server.cpu - before) / 60})


def main(what: str, minutes: int, counts: list[int]) -> None:
    with bench() as here:
        small = {**options("CROWD"), "carrier": "ssh"}
        here.remote("ssh", **small)
        here.remote("pending", **small)
        server = Server(here)
        try:
            if what == "pending":
                for _ in range(counts[-1]):
                    server.start("pending")
            else:
                grow(server, what, counts)
            if minutes:
                rest(server, minutes)
        finally:
            server.end()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), [int(count) for count in sys.argv[3:]])
