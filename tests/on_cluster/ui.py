"""What the tests of the front-end extension's parts share: Lab, its panel, faked answers.

Used by `test_ui_see`, `test_ui_told` and `test_ui_newcomer`.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from on_cluster import lab as labs
from on_cluster.book import cancel
from playwright.sync_api import Locator, Page, Route
from testbed.api import Cluster

GIB = 2**30


class Served:
    """JupyterLab on the login host, which may end and be started again."""

    def __init__(self, cluster: Cluster, home: str) -> None:
        self.lab = labs.Lab(cluster, home)
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 8888

    def start(self, *options: str, **env: str) -> None:
        """Start it, at the same address and with the same token each time."""
        self._process = self.lab.cluster.popen(
            labs.HOST,
            labs.USER,
            [
                *("sh", "-c", 'exec "$@" >>"$0" 2>&1', f"{self.lab.home}/lab.log"),
                *(str(labs.BIN / "jupyter-lab"), "--no-browser"),
                f"--ip={self.lab.cluster.address(labs.HOST)}",
                f"--port={self._port}",
                "--expose-app-in-browser",
                f"--ServerApp.root_dir={self.lab.home}/work",
                *options,
            ],
            env={**self.lab.env, "JUPYTER_TOKEN": "of-a-test", **env},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.lab.wait_until_it_answers(self._process)

    def stop(self) -> None:
        """End it with SIGKILL: its kernels go on."""
        assert self._process is not None
        runtime = self.lab.cluster.path(labs.HOST, f"{self.lab.home}/runtime")
        (file,) = runtime.glob("jpserver*json")
        self.lab.run("kill", "-KILL", str(json.loads(file.read_text())["pid"]))
        self._process.wait(60)
        file.unlink()
        self._process = None

    def end(self) -> None:
        if self._process is not None:
            self.lab.end(self._process)

    def ask_for(self, **config: object) -> None:
        """Have the launcher's kernel ask for that."""
        spec = f"{self.lab.home}/data/kernels/python-compute/kernel.json"
        kernel = json.loads(self.lab.run("cat", spec))
        kernel["metadata"]["kernel_provisioner"]["config"] |= config
        self.lab.run("tee", spec, input=json.dumps(kernel))


@contextmanager
def served(cluster: Cluster) -> Iterator[Served]:
    """JupyterLab of alice's; pytest shows its log where a test fails."""
    make = ["mktemp", "-d", "/home/alice/lab-XXXXXX"]
    home = cluster.run(labs.HOST, labs.USER, make).stdout.strip()
    made = Served(cluster, home)
    try:
        made.lab.prepare()
        made.start()
        yield made
    finally:
        made.end()
        print(made.lab.log())
        cancel(made.lab)
        cluster.run(labs.HOST, labs.USER, ["rm", "-r", home])


def panel(page: Page) -> Locator:
    """Open the panel Compute, in a page that is all there: until then it moves the focus."""
    page.wait_for_function("window.jupyterapp")
    page.evaluate("() => jupyterapp.restored.then(() => true)")
    found = page.locator("#remote-kernels-compute")
    page.locator("[data-id=remote-kernels-compute]").wait_for()
    if not found.is_visible():  # else a click would close it
        page.locator("[data-id=remote-kernels-compute]").click()
    found.wait_for()
    return found


def act(page: Page, label: str) -> None:
    """Press a button of the kernel that is opened."""
    page.locator(".rk-Details").get_by_role("button", name=label).click()


def notice(page: Page, text: str) -> Locator:
    """A notice of Lab's that says that."""
    return page.locator(".Toastify__toast", has_text=text)


def faults(page: Page, where: str) -> list[str]:
    """What axe-core has to say of a part of the page."""
    said = Axe().run(page, context=where).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in said]


def kernel(number: int, **fields: Any) -> dict[str, Any]:
    """A kernel as the server would tell it."""
    now = time.time()
    usage: dict[str, Any] = {"time": now, "cpu_percent": 35.2, "cpus": 4}
    usage |= {"memory": 1.5 * GIB, "memory_limit": 4 * GIB, "gpus": []}
    made: dict[str, Any] = {
        "kernel_id": f"{number:08d}-0000-4000-8000-000000000000",
        "name": "Python (Compute Node)",
        "spec_name": "python-compute",
        "notebooks": [f"work/analysis-{number}.ipynb"],
        "scheduler": "slurm",
        "cluster": None,
        "job_id": str(4000 + number),
        "state": "running",
        "text": "runs on c1",
        "job_state": "RUNNING",
        "reason": "",
        "place": None,
        "node": f"c{number % 40}",
        "carrier": "ssh",
        "host": "login1",
        "pid": 1,
        "submitted": now - 4000,
        "ready": now - 3600,
        "expected_start": None,
        "ends": now + 5400,
        "usage": usage,
        "end": None,
        "time_left": 5400,
    }
    return {**made, **fields}


def api(path: str) -> re.Pattern[str]:
    """Matches addresses of a route of the API, with and without a query."""
    return re.compile(rf"/remote-kernels/api/{path}(\?.*)?$")


def answer(page: Page, path: str, body: Callable[[], Any]) -> list[str]:
    """Answer a route of the API in the server's place; returns which requests came.

    `path` is a regular expression; Lab adds a time stamp to what it asks for.
    """
    asked: list[str] = []

    def fulfill(route: Route) -> None:
        asked.append(route.request.method)
        route.fulfill(json=body())

    page.route(api(path), fulfill)
    return asked


EMIT = "event => jupyterapp.serviceManager.events._stream.emit(event)"


def tell(page: Page, schema: str, **event: Any) -> None:
    """Have an event come, as by the server's stream."""
    schema_id = f"https://events.remote-kernels.org/{schema}"
    page.evaluate(EMIT, {**event, "schema_id": schema_id})
