"""Spark, standalone: a master on the kernel's node, a worker on all nodes.

Whoever connects must know a secret (spark.authenticate), and connections are encrypted;
the secret travels in the orders of the steps, and is kept in files of mode 0600.
Spark's pages have no password, and listen on each node's loopback address.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from remote_kernels.cluster import step
from remote_kernels.cluster.allocation import MIB, Allocation, Node, share
from remote_kernels.cluster.running import Cluster, reached, starting
from remote_kernels.cluster.step import Order
from remote_kernels.errors import AllocationError

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

# Of a node's memory. Python workers and what a JVM needs beside its heap come on top,
# and on the kernel's node the kernel, the master and the driver.
FRACTION = 0.4
LEAST = 512 * MIB  # an executor with less does not start
_DEPLOY = "org.apache.spark.deploy"
# JVMs put files into /tmp, whatever TMPDIR is; TMPDIR is {dir}.
_JAVA = "-XX:-UsePerfData -Djava.io.tmpdir={dir}"
_ENV = {
    "SPARK_LOCAL_IP": "127.0.0.1",  # where the pages listen
    "SPARK_LOCAL_DIRS": "{dir}",
    "SPARK_LAUNCHER_OPTS": _JAVA,
    "SPARK_DAEMON_JAVA_OPTS": _JAVA,
}
_CONF = "spark.conf"


def pyspark(
    *,
    cores: int | None = None,
    memory: int | None = None,
    nodes: Sequence[str] | None = None,
    config: Mapping[str, str] | None = None,
    timeout: float = 180.0,
) -> Cluster[SparkSession]:
    """Start Spark in this kernel's allocation; `with cluster.pyspark() as spark:`.

    Parameters
    ----------
    cores : int, optional
        CPUs for the executor on each node; by default all that the job has there.
    memory : int, optional
        Bytes for the executor on each node; by default two fifths of the job's memory
        on the smallest. Python workers need more besides.
    nodes : sequence of str, optional
        Names of the nodes to use; by default all of the allocation.
    config : mapping of str to str, optional
        More properties of Spark: {"spark.sql.shuffle.partitions": "8"}.
    timeout : float
        Seconds until the executors of all nodes must have come.

    Returns
    -------
    Cluster of SparkSession
        The session, and the end of everything that was started.

    Raises
    ------
    AllocationError
        The kernel is in no allocation or has a session already, or Spark or Java is not
        installed.
    StepError
        The master or the workers ended, or did not come in time.
    """
    try:
        from pyspark import SparkContext
        from pyspark.find_spark_home import _find_spark_home
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise step.missing(error, "PySpark", "pyspark") from error
    _check(SparkContext)
    home = Path(_find_spark_home())
    secret = secrets.token_hex(32)
    shared = {_CONF: properties(_common(secret))}
    with starting(nodes, timeout) as work:
        here, stack = work.here, work.stack
        executor = memory or heap(here.nodes)
        own = {**_common(secret), **_driver(here, executor), **(config or {})}
        order = _master(home, here, {**shared, "driver.conf": properties(own)})
        master = work.step("Spark's master", order)
        url = r"Starting Spark master at (spark://\S+)"
        work.until("Spark's master", lambda: bool(master.find(url)))
        found = master.find(url)
        assert found is not None
        order = _workers(home, here, found[1], shared, cores, executor)
        work.step("Spark's workers", order)
        driver = master.directory(work.end) / "driver.conf"
        context = _context(SparkContext, found[1], driver, stack)
        session = SparkSession(context)
        stack.callback(session.stop)
        count = len(here.nodes)
        what = f"Spark's executors on {count} nodes"
        work.until(what, lambda: _executors(context) >= count)
        address = context.uiWebUrl or ""
        port = address.rpartition(":")[2]
        page = reached("Spark's page", int(port), here.job) if port.isdigit() else ""
        return work.opened(session, f"Spark: {count} executors", page)


def properties(values: Mapping[str, str]) -> str:
    """Return a file of Java's properties."""
    escaped = {key: text.replace("\\", "\\\\") for key, text in values.items()}
    return "".join(f"{key}={text}\n" for key, text in escaped.items())


def _check(context: type[SparkContext]) -> None:
    if context._active_spark_context is not None:
        message = "This kernel has a Spark session already: stop it first."
        raise AllocationError(message)
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        message = (
            "Spark needs Java, and no `java` is on the kernel's PATH. Load it in the "
            "kernelspec's 'prologue', as in 'module load java', or set JAVA_HOME."
        )
        raise AllocationError(message)


def _common(secret: str) -> dict[str, str]:
    return {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secret,
        "spark.network.crypto.enabled": "true",
        "spark.master.rest.enabled": "false",  # it knows no secret
    }


def _driver(here: Allocation, executor: int) -> dict[str, str]:
    return {
        "spark.driver.host": here.address(),
        "spark.driver.bindAddress": here.address(),
        "spark.driver.extraJavaOptions": _JAVA,
        "spark.executor.extraJavaOptions": "-XX:-UsePerfData",
        "spark.executor.memory": f"{executor // MIB}m",
        "spark.pyspark.python": sys.executable,
        "spark.sql.warehouse.dir": "{dir}/warehouse",
        "spark.ui.killEnabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }


def heap(nodes: Sequence[Node]) -> int:
    """Return the bytes for each executor, which are all alike."""
    known = [share(node, 1, FRACTION) or LEAST for node in nodes]
    return max(LEAST, min(known))


def _master(home: Path, here: Allocation, files: Mapping[str, str]) -> Order:
    argv = [
        *_program(home, "master.Master"),
        *("--host", here.address(), "--port", "0", "--webui-port", "0"),
        *("--properties-file", f"{{dir}}/{_CONF}"),
    ]
    return Order(argv, env=_ENV, files=files)


def _workers(
    home: Path,
    here: Allocation,
    master: str,
    files: Mapping[str, str],
    cores: int | None,
    memory: int,
) -> Order:
    argv = [
        *_program(home, "worker.Worker"),
        *("--host", "{address}", "--port", "0", "--webui-port", "0"),
        *("--cores", "{cores}", "--memory", f"{memory // MIB}m"),
        *("--work-dir", "{dir}/work", "--properties-file", f"{{dir}}/{_CONF}", master),
    ]
    values = {node.name: {"cores": str(cores or node.cpus)} for node in here.nodes}
    env = {**_ENV, "PYTHONPATH": _python_path()}
    return Order(argv, env=env, files=files, values=values, nodes=here.names)


def _program(home: Path, name: str) -> list[str]:
    return [str(home / "bin" / "spark-class"), f"{_DEPLOY}.{name}"]


def _python_path() -> str:
    """Return a path on which executors find modules beside the notebook."""
    return os.pathsep.join([step.directory(), os.environ.get("PYTHONPATH", "")])


def _context(
    kind: type[SparkContext], master: str, conf: Path, stack: contextlib.ExitStack
) -> SparkContext:
    """Return the driver, in a JVM of its own: one that is there keeps its properties.

    What is given to SparkConf here would be on the JVM's command line.
    """
    from pyspark.java_gateway import launch_gateway

    _end_gateway(kind)
    submit = f"--master {master} --name notebook --properties-file {conf} pyspark-shell"
    env = {name: text.replace("{dir}", str(conf.parent)) for name, text in _ENV.items()}
    with _environ({**env, "PYSPARK_SUBMIT_ARGS": submit}):
        gateway = launch_gateway()
        kind._gateway, kind._jvm = gateway, gateway.jvm
        stack.callback(_end_gateway, kind)
        stack.push(_in_words)
        return kind()


def _in_words(
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """Say Java's errors while the JVM lives: py4j asks it for their text."""
    from py4j.protocol import Py4JJavaError

    if isinstance(error, Py4JJavaError):
        raise AllocationError(str(error)) from None


def _end_gateway(kind: type[SparkContext]) -> None:
    gateway = kind._gateway
    if gateway is None:
        return
    kind._gateway = kind._jvm = None
    gateway.shutdown()
    process = getattr(gateway, "proc", None)
    if process is not None:  # the JVM ends with its standard input
        process.stdin.close()
        try:
            process.wait(step.ENDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _executors(context: SparkContext) -> int:
    """Return how many executors have come; the driver is listed, too."""
    status = context._jsc.sc().getExecutorMemoryStatus()
    return int(status.size()) - 1


@contextlib.contextmanager
def _environ(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a JVM to inherit, inside the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
