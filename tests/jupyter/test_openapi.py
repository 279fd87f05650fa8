"""jupyter/api/openapi.yaml: it says what the code does, and the server does what it says.

Schemathesis makes the requests: what the document allows, and what it does not.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest
from jupyter_events import yaml
from served.server import API, TOKEN, Home, Server, home, served

from remote_kernels.config import every_option
from remote_kernels.jupyter.api import document as api_document
from remote_kernels.jupyter.api.handler import ROOT
from remote_kernels.jupyter.api.input import LINES, LOGS, MOST_LINES, MOST_MINUTES
from remote_kernels.jupyter.api.routes import routes as all_routes
from remote_kernels.kernel.model import STATES, UNKNOWN, KernelModel

EXAMPLES = 8  # of each request, besides those at the bounds of what is allowed
WORDS = {"list": "array", "numbers": "array"}  # JSON's, where ours differ


def document() -> Any:
    return yaml.loads(api_document.document())


def schemas() -> Any:
    return document()["components"]["schemas"]


def described() -> set[tuple[str, str]]:
    return {
        (ROOT + path, method)
        for path, item in document()["paths"].items()
        for method in item
        if method != "parameters"
    }


# --- the document and the code --------------------------------------------------------


def test_every_route_is_described() -> None:
    """And nothing else is."""
    routes = {
        (re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", path), method.lower())
        for path, handler, _ in all_routes(None)  # type: ignore[arg-type]
        for method in handler.SUPPORTED_METHODS
        if method.lower() in vars(handler)
    }
    assert described() == routes


def test_a_kernel_is_described() -> None:
    """With all that a view has."""
    kernel = schemas()["Kernel"]
    names = [*(field.name for field in fields(KernelModel)), "time_left"]
    names[names.index("job")] = "job_id"  # its number

    assert names == kernel["required"] == [*kernel["properties"]]
    assert [*STATES, UNKNOWN] == kernel["properties"]["state"]["enum"]


def test_every_option_is_described() -> None:
    """With its kinds of values; null takes any of them out."""
    expected = {
        name: {"null", *(WORDS.get(kind, kind) for kind in option.kind.kinds)}
        for option in every_option()
        if option.name != "state_dir"
        for name in {option.name, option.portable or option.name}
    }
    described = schemas()["Options"]["properties"]

    assert expected == {name: set(body["type"]) for name, body in described.items()}
    assert "items" in described["prefix"]
    assert 1 == described["spool"]["minimum"]


def test_the_bounds_are_described() -> None:
    """As the code has them."""
    paths = document()["paths"]
    name, lines, _ = (
        one["schema"] for one in paths["/kernels/{kernel_id}/log"]["get"]["parameters"]
    )
    extend = paths["/kernels/{kernel_id}/extend"]["post"]["requestBody"]
    body = extend["content"]["application/json"]["schema"]["properties"]

    assert [*LOGS] == name["enum"]
    assert (1, MOST_LINES, LINES) == (
        lines["minimum"],
        lines["maximum"],
        lines["default"],
    )
    assert MOST_MINUTES == body["minutes"]["maximum"]


# --- the document and a server --------------------------------------------------------


def narrowed(document: Any) -> Any:
    """To what this machine can start, without a batch system."""
    schemas = document["components"]["schemas"]
    schemas["Start"]["properties"]["name"]["enum"] = ["quick"]
    options = schemas["Options"]["properties"]
    usable = ("silence", "spool", "usage", "warn_before")
    # An answer that follows a log has no end.
    log = document["paths"]["/kernels/{kernel_id}/log"]["get"]["parameters"]
    log[:] = [one for one in log if one["name"] != "follow"]
    schemas["Options"]["properties"] = {name: options[name] for name in usable}
    return document


def schemathesis(here: Home, server: Server) -> tuple[Any, str]:
    """Its report, and what it said."""
    path, report = here.path / "openapi.json", here.path / "report.json"
    served = yaml.loads(server.api("GET", "/spec").body.decode())
    path.write_text(json.dumps(narrowed(served)))
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    options = [
        f"--url={server.url}{API}",
        f"--header=Authorization: token {TOKEN}",
        "--checks=all",
        # It wants 401 where the header is missing; Jupyter says 403, see test_api.
        "--exclude-checks=missing_required_header",
        "--phases=examples,coverage,fuzzing,stateful",
        f"--max-examples={EXAMPLES}",
        "--seed=1",
        "--generation-database=none",
        "--continue-on-failure",
        "--report=json",
        f"--report-json-path={report}",
    ]
    argv = [sys.executable, "-c", program, "run", str(path), *options]
    done = subprocess.run(
        argv, check=False, cwd=here.path, capture_output=True, text=True
    )
    assert report.exists(), done.stdout + done.stderr
    return json.loads(report.read_text()), done.stdout


@pytest.mark.timeout(300)
def test_what_a_fuzzer_finds() -> None:
    """Nothing: it starts, reads and stops real kernels, and sends much nonsense."""
    with home() as here, served(here) as server:
        report, said = schemathesis(here, server)
        for kernel in server.api("GET", "/kernels").json:
            server.api("DELETE", f"/kernels/{kernel['kernel_id']}")
        log = server.log.read_text()
        left = here.left()

    print(said)
    assert 0 == report["exit_code"], said
    assert report["complete"]
    assert len(described()) == report["operations"]["tested"]
    assert 200 < report["test_cases"]["generated"]
    assert "Kernel started" in log
    assert "Traceback" not in log
    assert [] == left
