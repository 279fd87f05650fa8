"""IPython Parallel: a controller on the kernel's node, engines on all nodes.

Connections are encrypted by CURVE, with keys that travel in the orders of the steps.
Only what engines connect to listens on the node's own address.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from remote_kernels import harmless
from remote_kernels.cluster import step
from remote_kernels.cluster.allocation import Allocation
from remote_kernels.cluster.launcher import Launcher
from remote_kernels.cluster.running import Cluster, Starting, starting
from remote_kernels.cluster.step import Order

if TYPE_CHECKING:
    from ipyparallel import Client

log = harmless.logger(__name__)

_SECURITY = Path("profile", "security")
_CLIENT, _ENGINE = "ipcontroller-client.json", "ipcontroller-engine.json"
_DIRECTORIES = {"IPYTHONDIR": "{dir}/ipython"}
# What MPI libraries speak, by a word of their version; the first that Slurm has.
_SPEAK = {
    "Open MPI": ("pmix", "pmi2"),
    "CRAY": ("cray_shasta", "pmi2"),
    "": ("pmi2", "pmix"),
}
# In a process of its own: the kernel is no rank, and MPI can be started but once.
_ASK = """\
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print(MPI.Get_library_version())
"""
PATIENCE = 30.0  # seconds for one answer


def ipyparallel(
    *,
    engines: int | None = None,
    mpi: str | None = None,
    nodes: Sequence[str] | None = None,
    timeout: float = 120.0,
) -> Cluster[Client]:
    """Start IPython Parallel in this kernel's allocation.

    `with cluster.ipyparallel() as client: client[:].apply_sync(f)`.

    Parameters
    ----------
    engines : int, optional
        Engines on each node; by default one for each CPU of the node that has fewest.
    mpi : str, optional
        The word by which the job's launcher starts the engines as ranks of one MPI
        program, "none" if they are to be none. By default, if mpi4py is installed, the
        word that suits its library.
    nodes : sequence of str, optional
        Names of the nodes to use; by default all of the allocation.
    timeout : float
        Seconds until all engines must have come.

    Returns
    -------
    Cluster of Client
        The client, and the end of everything that was started.

    Raises
    ------
    AllocationError
        The kernel is in no allocation, or IPython Parallel is not installed.
    StepError
        The controller or the engines ended, or did not come in time.
    """
    try:
        from ipyparallel import Client
    except ImportError as error:
        raise step.missing(error, "IPython Parallel", "ipyparallel") from error
    with starting(nodes, timeout) as work:
        here = work.here
        each = engines or min(node.cpus for node in here.nodes)
        kind = _kind(here.launcher) if mpi is None else mpi
        security = _security(work, work.step("ipcontroller", _controller(here)))
        order = _engines((security / _ENGINE).read_text(), here.names, each, kind)
        work.step("IPython Parallel's engines", order)
        client = Client(str(security / _CLIENT))
        work.stack.callback(client.close)
        wanted = each * len(here.nodes)
        work.until(f"{wanted} engines", lambda: len(client.ids) >= wanted)
        what = f"IPython Parallel: {wanted} engines"
        if kind != "none":
            what += f" of one MPI program ({kind})"
        return work.opened(client, what)


def _controller(here: Allocation) -> Order:
    argv = [
        *("{python}", "-m", "ipyparallel.controller", "--profile-dir={dir}/profile"),
        *("--IPController.enable_curve=True", "--IPController.client_ip=127.0.0.1"),
        *("--IPController.monitor_ip=127.0.0.1", f"--location={here.address()}"),
        f"--IPController.engine_ip={here.address()}",
    ]
    return Order(argv, env=_DIRECTORIES)


def _engines(connection: str, nodes: list[str], each: int, mpi: str) -> Order:
    argv = [
        *("{python}", "-m", "ipyparallel.engine", "--profile-dir={dir}"),
        *("--file={dir}/engine.json", *([] if mpi == "none" else ["--mpi"])),
    ]
    files = {"engine.json": connection}
    return Order(argv, _DIRECTORIES, files, nodes=nodes, tasks=each, mpi=mpi)


def _security(work: Starting, controller: step.Step) -> Path:
    """Wait for both connection files, and return their directory."""
    found = controller.directory(work.end) / _SECURITY
    files = (found / _CLIENT, found / _ENGINE)
    work.until("ipcontroller", lambda: all(map(_is_written, files)))
    return found


def _is_written(file: Path) -> bool:
    return file.is_file() and file.read_text().endswith("}")


def _kind(launcher: Launcher) -> str:
    """Return the word by which the launcher knows the kernel's MPI."""
    if not launcher.list_mpi or importlib.util.find_spec("mpi4py") is None:
        return "none"
    version = _answer([sys.executable, "-c", _ASK], launcher)
    return best(version, _answer(launcher.list_mpi, launcher)) if version else "none"


def _answer(argv: Sequence[str], launcher: Launcher) -> str:
    """Return what the command says; "" if it fails."""
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=launcher.environment(os.environ),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("MPI: %s: %s", " ".join(argv), error)
        return ""
    if done.returncode != 0:
        log.warning("MPI: %s: %s", " ".join(argv), done.stderr.strip())
        return ""
    return done.stdout + done.stderr  # lists come on either


def best(version: str, listed: str) -> str:
    """Return the word for this MPI library among those that the launcher lists."""
    words = set(re.findall(r"\w+", listed))
    speaks = next(kinds for name, kinds in _SPEAK.items() if name in version)
    return next((kind for kind in speaks if kind in words), "none")
