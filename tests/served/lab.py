"""JupyterLab on this machine, of any Python environment, for a browser on it.

Its files lie in a temporary directory, and no configuration of this machine is read. It
ends with the context, and its kernels with it. Called by `on_cluster.test_ui_versions`
and by `benchmarks`.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SECONDS = 120.0
TOKEN = "of-this-lab"  # noqa: S105 - it is there for a minute
# Lab asks at its first start whether to fetch news.
NO_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
CONFIG = {
    "ServerApp": {
        "allow_root": True,
        "open_browser": False,
        "port": 0,
    },
    "IdentityProvider": {"token": TOKEN},
    "RemoteKernelsApp": {"on_stop": "shutdown"},
}


@dataclass
class LabHere:
    """Where it is, and where its files and its log are."""

    port: int
    root: Path
    log: Path

    def url(self, page: str) -> str:
        """The address of a page, such as "lab/tree/x.ipynb"."""
        return f"http://127.0.0.1:{self.port}/{page}?token={TOKEN}"


@contextmanager
def lab_here(prefix: Path, *options: str) -> Iterator[LabHere]:
    """Run the JupyterLab of an environment, with our kernelspec `python-local`."""
    # Not in pytest's directory: the path of a socket has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="lab-") as name:
        home = Path(name)
        env = _prepare(home)
        bin = f"{prefix}/bin"
        install = [f"{bin}/remote-kernels", "install", "python-local", "--user"]
        subprocess.run(install, env=env, check=True, capture_output=True)
        lab = [f"{bin}/jupyter-lab", f"--ServerApp.root_dir={home}/work"]
        log = home / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*lab, *options], env=env, cwd=home, stdout=file, stderr=file
            )
        try:
            yield LabHere(_port(home, process), home / "work", log)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _prepare(home: Path) -> dict[str, str]:
    """The environment of programs that have all of their files there."""
    for name in ("work", "config/labconfig", "data", "runtime"):
        (home / name).mkdir(parents=True, mode=0o700)
    (home / "config/labconfig/page_config.json").write_text(json.dumps(NO_NEWS))
    (home / "config/jupyter_server_config.json").write_text(json.dumps(CONFIG))
    return {
        **{name: value for name, value in os.environ.items() if name[:4] != "JUPY"},
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "XDG_RUNTIME_DIR": str(home / "runtime"),
        "XDG_STATE_HOME": str(home / "state"),
    }


def _port(home: Path, process: subprocess.Popen[bytes]) -> int:
    """Where it listens, once it answers."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, (home / "log").read_text()
        for file in home.glob("runtime/jpserver*json"):
            try:
                port = int(json.loads(file.read_text())["port"])
                if status(f"http://127.0.0.1:{port}/api/status?token={TOKEN}") == 200:
                    return port
            except ValueError:  # not written to its end
                pass
        time.sleep(0.1)
    raise AssertionError((home / "log").read_text())


def status(url: str) -> int:
    """The HTTP status that a browser gets there; 0 where nobody answers."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=30)
    try:
        connection.request("GET", f"{where.path}?{where.query}")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
