"""JupyterLab on the login host, as alice, for a browser on this machine.

Rules: all of its files (settings, kernelspecs, records, sockets, log) lie in one
directory, so that two of them do not meet; exactly the process that was started is
ended. Called by `test_lab` and by `serve_lab`.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from served.lab import NO_NEWS, status
from testbed.api import Cluster
from testbed.hosts import wait_for

BIN = Path(sys.executable).parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOST = "login1"
USER = "alice"
TEMPLATES = ("python-compute", "python-gpu", "python-local")
# A server that was killed leaves its address behind in runtime/.
PREPARE = """set -e
rm -rf "$0/runtime"
mkdir -p -m 700 "$0" "$0/runtime"
mkdir -p "$0/work" "$0/config/labconfig"
cat >"$0/config/labconfig/page_config.json"
"""


class Lab:
    """A JupyterLab and where its parts are."""

    def __init__(self, cluster: Cluster, home: str) -> None:
        self.cluster = cluster
        self.home = home
        self.url = ""

    @property
    def env(self) -> dict[str, str]:
        """What makes any Jupyter program use this directory."""
        return {
            "JUPYTER_CONFIG_DIR": f"{self.home}/config",
            "JUPYTER_DATA_DIR": f"{self.home}/data",
            "JUPYTER_RUNTIME_DIR": f"{self.home}/runtime",
            "IPYTHONDIR": f"{self.home}/ipython",
            "XDG_RUNTIME_DIR": f"{self.home}/runtime",
            "XDG_STATE_HOME": f"{self.home}/state",
        }

    def run(self, *argv: str, input: str | None = None) -> str:
        """Run a command as Lab's user, with Lab's environment; its output."""
        done = self.cluster.run(HOST, USER, argv, input=input, env=self.env)
        return str(done.stdout)

    def prepare(self) -> None:
        """Settings and kernelspecs."""
        self.run("sh", "-c", PREPARE, self.home, input=json.dumps(NO_NEWS))
        for template in TEMPLATES:
            program = str(BIN / "remote-kernels")
            self.run(program, "install", template, "--user", "--replace")

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start it; the next free port is taken where this one is not free."""
        address = f"--ip={self.cluster.address(HOST)}"
        root = f"--ServerApp.root_dir={self.home}/work"
        program = [str(BIN / "jupyter-lab"), "--no-browser", address, root]
        into_log = ["sh", "-c", 'exec "$@" >"$0" 2>&1', f"{self.home}/lab.log"]
        return self.cluster.popen(
            HOST,
            USER,
            [*into_log, *program, f"--port={port}"],
            env={**self.env, "JUPYTER_TOKEN": secrets.token_hex(16)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; we end it in order
        )

    def wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        """Until a browser would be answered; then `url` is known."""

        def answers() -> bool:
            if process.poll() is not None:
                msg = f"JupyterLab ended, exit code {process.returncode}:\n{self.log()}"
                raise AssertionError(msg)
            return self._answers()

        wait_for("JupyterLab to answer", answers, 120)

    def _answers(self) -> bool:
        runtime = self.cluster.path(HOST, f"{self.home}/runtime")
        try:
            (info,) = [json.loads(f.read_text()) for f in runtime.glob("jpserver*json")]
        except ValueError:  # not there, or not written to its end
            return False
        self.url = f"{info['url']}lab?token={info['token']}"
        return status(self.url) == 200

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Have it shut down its kernels and end; the log is shown if it does not."""
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired as error:
            where = stacks(process.pid)
            process.kill()
            process.wait()
            msg = (
                f"JupyterLab did not end within 60 s of SIGTERM:\n{where}\n{self.log()}"
            )
            raise AssertionError(msg) from error

    def log(self) -> str:
        """What it wrote."""
        path = self.cluster.path(HOST, f"{self.home}/lab.log")
        return path.read_text() if path.exists() else "(no log)"


def stacks(pid: int) -> str:
    """Where a process and those below it are in their Python code, for people."""
    dump = [str(BIN / "py-spy"), "dump", "--pid", str(pid)]
    said = subprocess.run(
        dump, capture_output=True, text=True, timeout=60, check=False
    ).stdout
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return "\n".join([said, *(stacks(int(child)) for child in children)])


@contextmanager
def lab(cluster: Cluster, home: str, port: int = 8888) -> Iterator[Lab]:
    """Run JupyterLab with its files in `home`."""
    made = Lab(cluster, home)
    made.prepare()
    process = made.start(port)
    try:
        made.wait_until_it_answers(process)
        yield made
    finally:
        made.end(process)
