"""What the helpers decide before anything is started."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from py4j.protocol import Py4JJavaError

from remote_kernels import cluster
from remote_kernels.cluster import dask_workers, ipyparallel_engines, spark
from remote_kernels.cluster.allocation import MIB, Allocation, Node
from remote_kernels.cluster.running import Cluster, Starting, reached
from remote_kernels.cluster.slurm import Srun
from remote_kernels.errors import AllocationError

HELPERS: dict[str, tuple[Callable[[], Cluster[object]], str]] = {
    "dask": (cluster.dask, "distributed"),
    "ipyparallel": (cluster.ipyparallel, "ipyparallel"),
    "parsl": (cluster.parsl, "parsl"),
    "pyspark": (cluster.pyspark, "pyspark"),
}
SRUN_MPI_LIST = """\
MPI plugin types are...
\tpmix
\tnone
\tcray_shasta
\tpmi2
specific pmix plugin versions available: pmix_v4
"""  # srun --mpi=list, Slurm 22.05.8
HERE = Allocation("56", "c1", (Node("c1", 4, None), Node("c2", 4, None)), Srun())
MPICH = "MPICH Version:      5.0.2"


@pytest.mark.parametrize("name", HELPERS)
def test_a_missing_library(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The error says what to install, and where."""
    helper, module = HELPERS[name]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(AllocationError, match=f"pip install .*{name}") as caught:
        helper()
    assert sys.prefix in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # of what the libraries import
@pytest.mark.parametrize("name", HELPERS)
def test_outside_of_an_allocation(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The error says so, and nothing is started."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("JAVA_HOME", "/somewhere")
    with pytest.raises(AllocationError, match="in no allocation"):
        HELPERS[name][0]()


def test_importing_brings_no_library() -> None:
    """Each comes with its own helper."""
    names = {"dask", "distributed", "ipyparallel", "parsl", "pyspark"}
    code = f"import sys, remote_kernels.cluster; print({names} & set(sys.modules))"
    argv = [sys.executable, "-c", code]
    assert "set()\n" == subprocess.check_output(argv, text=True)


def test_close(capsys: pytest.CaptureFixture[str]) -> None:
    """In the opposite order of the start, and once."""
    ended: list[str] = []
    with contextlib.ExitStack() as stack:
        stack.callback(ended.append, "scheduler")
        stack.callback(ended.append, "workers")
        running = Starting(HERE, 0.0, stack).opened(7, "Dask: 2 workers")
    assert "Dask: 2 workers on c1, c2.\n" == capsys.readouterr().out
    assert "<Dask: 2 workers on c1, c2>" == repr(running)
    with running as client:
        assert 7 == client
        assert [] == ended
    running.close()
    assert ["workers", "scheduler"] == ended
    assert "<closed>" == repr(running)


def test_an_error_of_java() -> None:
    """It is told in Java's words, which its JVM gives only as long as it lives."""
    jvm = ["java.lang.OutOfMemoryError: Java heap space"]
    client = SimpleNamespace(send_command=lambda _: f"ys{jvm[0]}")
    error = Py4JJavaError(
        "In o42.collect", SimpleNamespace(_target_id="o43", _gateway_client=client)
    )
    with contextlib.ExitStack() as stack:
        stack.callback(jvm.clear)
        stack.push(spark._in_words)
        running = Starting(HERE, 0.0, stack).opened(7, "Spark: 2 executors")

    with pytest.raises(AllocationError, match="o42") as caught, running:
        raise error
    assert [] == jvm
    assert "o42.collect: java.lang.OutOfMemoryError" in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_start_that_fails() -> None:
    """What was started before ends, also when the cell is interrupted."""
    ended: list[str] = []
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        stack.callback(ended.append, "scheduler")
        raise KeyboardInterrupt
    assert ["scheduler"] == ended


def test_a_page_is_told_with_the_way_to_it() -> None:
    """Its address, and the command for the login node."""
    text = reached("Dashboard", 8787, "56", "/status")
    assert "port 8787 of the kernel's node, /status" in text
    assert "`remote-kernels forward 56 8787`" in text


def test_memory_of_dasks_workers() -> None:
    """They share most of what the job has on a node; one may name it."""
    node = Node("c1", 4, 1000)
    assert {"workers": "2", "threads": "2", "memory": "400"} == dask_workers.limits(
        node, 2, None, None
    )
    assert "auto" == dask_workers.limits(Node("c1", 4, None), 2, 3, None)["memory"]
    assert "4GiB" == dask_workers.limits(node, 2, 3, "4GiB")["memory"]


def test_memory_of_sparks_executors() -> None:
    """They are all alike, so the smallest node says it; none starts with too little."""
    nodes = [Node("c1", 4, 10_000 * MIB), Node("c2", 4, 5_000 * MIB)]
    assert 2000 * MIB == spark.heap(nodes)
    assert spark.LEAST == spark.heap([Node("c1", 4, None)])
    assert spark.LEAST == spark.heap([Node("c1", 4, 600 * MIB)])


def test_properties_of_java() -> None:
    """A backslash would begin an escape."""
    assert "a.b=c\\\\d\n" == spark.properties({"a.b": "c\\d"})


def test_the_best_mpi() -> None:
    """What the library speaks, of what this Slurm has; none of it is no error."""
    best = ipyparallel_engines.best
    assert "pmi2" == best(MPICH, SRUN_MPI_LIST)
    assert "pmix" == best("Open MPI v5.0.3", SRUN_MPI_LIST)
    assert "cray_shasta" == best("MPI VERSION : CRAY MPICH 8.1", SRUN_MPI_LIST)
    assert "none" == best(MPICH, "MPI plugin types are...\n\tnone\n")
