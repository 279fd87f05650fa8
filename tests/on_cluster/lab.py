"""JupyterLab on the login host, as alice, for a browser on this machine."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.api import Cluster

BIN = Path(sys.executable).parent
HOST = "login1"
USER = "alice"
TEMPLATES = ("python-compute", "python-gpu", "python-local")
# Lab asks at its first start whether to fetch news; the cluster has no Internet.
NO_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


def _prepare(cluster: Cluster, home: str) -> dict[str, str]:
    """A Jupyter of its own in `home`: settings and our kernelspecs."""
    env = {
        "JUPYTER_CONFIG_DIR": f"{home}/config",
        "JUPYTER_DATA_DIR": f"{home}/data",
        "JUPYTER_RUNTIME_DIR": f"{home}/runtime",
        "IPYTHONDIR": f"{home}/ipython",
    }
    page_config = f"{home}/config/labconfig/page_config.json"
    script = f"mkdir -p {home}/work {home}/config/labconfig && cat > {page_config}"
    cluster.run(HOST, USER, ["sh", "-c", script], input=json.dumps(NO_NEWS))
    for template in TEMPLATES:
        argv = [str(BIN / "remote-kernels"), "install", template, "--replace"]
        cluster.run(HOST, USER, argv, env=env)
    return env


@contextmanager
def lab(cluster: Cluster, home: str, port: int = 8888) -> Iterator[str]:
    """Run JupyterLab with its files in `home`; gives its URL, token included."""
    token = secrets.token_hex(16)
    env = {**_prepare(cluster, home), "JUPYTER_TOKEN": token}
    address = cluster.address(HOST)
    argv = [str(BIN / "jupyter-lab"), "--no-browser", f"--ip={address}"]
    argv += [f"--port={port}", f"--ServerApp.root_dir={home}/work"]
    process = cluster.popen(
        HOST,
        USER,
        [*argv, "--ServerApp.port_retries=0"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    reader = None
    try:
        reader = _wait_for(process)
        yield f"http://{address}:{port}/lab?token={token}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if reader is not None:
            reader.join(10)
        assert process.stdout is not None
        process.stdout.close()


def _wait_for(process: subprocess.Popen[str]) -> threading.Thread:
    """Until the server says where it is; then somebody must go on reading."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if "is running at" in line:
            break
    else:
        raise AssertionError("JupyterLab ended:\n" + "".join(said[-30:]))
    output = process.stdout
    reader = threading.Thread(target=output.read, daemon=True)
    reader.start()
    return reader
