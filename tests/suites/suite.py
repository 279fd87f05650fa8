"""One suite: where its tests are, and a run of them.

Called by __main__.py and by tests/login/test_suites.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REGISTERED = HERE / "registered"
WORST = ("passed", "skipped", "failed")


@dataclass(frozen=True)
class Suite:
    """The tests of one distribution, in its sdist.

    Parameters
    ----------
    name:
        The distribution's name, with underscores, as its sdist's is.
    paths:
        What to run: the files whose tests have kernels.
    args:
        For its pytest.
    seconds:
        The limit for all of it.
    """

    name: str
    paths: tuple[str, ...]
    args: tuple[str, ...] = ()
    seconds: int = 1800


# Plugins of one suite that get in the way of another are switched off.
_NO_TORNADO = ("-p", "no:tornado")
_NO_ASYNCIO = ("-p", "no:asyncio")
_LOOP = ("-o", "asyncio_default_fixture_loop_scope=function")
_PLAIN = ("-p", "no:anyio", "-p", "no:schemathesis", "-p", "no:hypothesispytest")

SUITES = (
    Suite(
        "jupyter_client",
        (
            "tests/test_client.py",
            "tests/test_kernelmanager.py",
            "tests/test_manager.py",
            "tests/test_multikernelmanager.py",
            "tests/test_provisioning.py",
            "tests/test_public_api.py",
            "tests/test_restarter.py",
            "tests/test_transport_security.py",
        ),
        (*_NO_TORNADO, *_NO_ASYNCIO),
    ),
    Suite("nbclient", ("tests",), (*_NO_TORNADO, *_LOOP)),
    Suite(
        "jupyter_server",
        (
            "tests/services/kernels",
            "tests/services/sessions",
        ),
        (*_NO_TORNADO, *_NO_ASYNCIO),
    ),
    Suite(
        "papermill",
        tuple(
            f"papermill/tests/test_{name}.py"
            for name in ("autosave", "cli", "clientwrap", "engines", "execute")
        ),
        (*_NO_TORNADO, *_NO_ASYNCIO),
    ),
    Suite(
        "nbconvert",
        ("tests/preprocessors/test_execute.py", "tests/test_nbconvertapp.py"),
        (*_NO_TORNADO, *_LOOP, "-k", "execute or errors"),
    ),
    Suite("ipykernel", ("tests",), (*_NO_TORNADO, *_LOOP)),
    Suite("jupyter_kernel_test", ("test_ipykernel.py",), (*_NO_TORNADO, *_LOOP)),
    Suite("jupyter_console", ("jupyter_console/tests",), (*_NO_TORNADO, *_LOOP)),
    Suite("voila", ("tests/app", "tests/server"), _NO_ASYNCIO),
    Suite(
        "ipyparallel",
        ("ipyparallel/tests/test_magics.py", "ipyparallel/tests/test_cluster.py"),
        (*_NO_TORNADO, *_LOOP),
    ),
)
BY_NAME = {suite.name: suite for suite in SUITES}

Outcomes = dict[str, str]  # by test: passed, failed, skipped


def unpack(sdists: Path, suite: Suite, into: Path) -> Path:
    """The suite's source, anew."""
    (sdist,) = sdists.glob(f"{suite.name}-*.tar.gz")
    subprocess.run(["tar", "-xzf", str(sdist), "-C", str(into)], check=True)
    return into / sdist.name.removesuffix(".tar.gz")


def run(
    suite: Suite, source: Path, *, ours: bool, log: Path, tests: Sequence[str] = ()
) -> Outcomes:
    """Run it, or these tests of it, with our provisioner or the local one."""
    # Not in TMPDIR: the path of a socket has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="suite-", dir="/tmp") as home:
        outcomes = Path(home, "outcomes")
        argv = [sys.executable, "-m", "pytest", "-q", *_PLAIN, *suite.args]
        argv += ["-p", "suite_outcomes", "--color=no", "-o", "timeout_method=signal"]
        argv += tests or suite.paths
        with (
            log.open("a") as file,
            subprocess.Popen(
                argv,
                cwd=source,
                env=_environment(Path(home), outcomes, ours=ours),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                process.wait(suite.seconds)
            except subprocess.TimeoutExpired:
                file.write(f"\nended after {suite.seconds} s\n")
            finally:  # also what tests have left running
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return _read(outcomes)


def _environment(home: Path, outcomes: Path, *, ours: bool) -> dict[str, str]:
    name = "remote-local" if ours else "local-provisioner"
    return {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(REGISTERED),
        "JUPYTER_DEFAULT_PROVISIONER_NAME": name,
        "SUITE_OUTCOMES": str(outcomes),
        "ASYNC_TEST_TIMEOUT": "60",  # tornado's; 5 s is for idle machines
    }


def _read(path: Path) -> Outcomes:
    outcomes: Outcomes = {}
    lines: Iterable[str] = path.read_text().splitlines() if path.exists() else ()
    for line in lines:
        told = json.loads(line)
        known = outcomes.get(told["test"], "passed")
        outcomes[told["test"]] = max(known, told["outcome"], key=WORST.index)
    return outcomes
