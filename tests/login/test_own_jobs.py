"""Jobs of one's own in a real batch system, by a real server's REST API."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from served.server import Home, Server, served

from login.specs import CONFIG, SCHEDULER

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

PATIENCE = 120.0
WAITS = "#!/bin/bash\n{line}\necho began; exec sleep 600\n"


@dataclass(frozen=True)
class Words:
    """How a batch system is spoken to by hand.

    Parameters
    ----------
    line
        A line of a script that names its job.
    elsewhere
        A command that submits the script that comes next.
    tells
        A command that tells of the job that comes next.
    mail
        What it then says of mail, when a job has ended or failed.
    cancelled, limited
        The words for the end of a job that was cancelled; or ended at its time limit.
    """

    line: str
    elsewhere: Sequence[str]
    tells: Sequence[str]
    mail: tuple[str, ...]
    cancelled: str
    limited: str


EVERY = {
    "slurm": Words(
        "#SBATCH --job-name=from-line",
        ("sbatch", "--parsable"),
        ("scontrol", "show", "job"),
        (f"MailUser={getpass.getuser()}", "MailType=END,FAIL"),
        "cancelled",
        "time limit",
    ),
    "gridengine": Words(
        "#$ -N from-line -j y",
        ("qsub", "-terse", "-cwd"),
        ("qstat", "-j"),
        ("mail_list:", f"{getpass.getuser()}"),
        "cancelled (qdel)",
        "time limit",
    ),
}
WORDS = EVERY.get(SCHEDULER, EVERY["slurm"])
if SCHEDULER not in EVERY:
    pytest.skip("Slurm and Grid Engine", allow_module_level=True)


@pytest.fixture(scope="module")
def here() -> Iterator[Home]:
    with (
        tempfile.TemporaryDirectory(prefix="served-", dir=Path.home()) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        made = Home(Path(name), patch)
        sockets = str(made.path / "sockets")
        made.spec("compute", **CONFIG, prologue=["export LOADED=modules"])
        assert sockets
        yield made
        assert [] == made.left()


@pytest.fixture(scope="module")
def server(here: Home) -> Iterator[Server]:
    with served(here) as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_is_left(server: Server) -> Iterator[None]:
    """No job, and no record of one."""
    yield
    for job in server.api("GET", "/jobs").json["jobs"]:
        if job["end"] is None:
            server.api("DELETE", f"/jobs/{job['job_id']}")
            until(server, job["job_id"], lambda one: one is None or one["end"])
        server.api("DELETE", f"/jobs/{job['job_id']}")
    assert [] == server.api("GET", "/jobs").json["jobs"]


def until(server: Server, job_id: str, is_so: Callable[[Any], Any]) -> Any:
    """The job, once that is so; None where there is none."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = server.api("GET", f"/jobs/{job_id}")
        job = answer.json if answer.status == 200 else None
        if is_so(job):
            return job
        assert time.monotonic() < deadline, answer.body
        time.sleep(1)


def ended(server: Server, job_id: str) -> Any:
    return until(server, job_id, lambda job: job["end"])


def submitted(server: Server, **body: object) -> Any:
    answer = server.api("POST", "/jobs", body)
    assert 201 == answer.status, answer.body
    return answer.json


def script(here: Home, text: str) -> str:
    (here.root / "run.sh").write_text(text)
    return "run.sh"


def notebook(here: Home, *codes: str) -> str:
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "compute", "display_name": "compute"}
    book.cells = [nbformat.v4.new_code_cell(code) for code in codes]
    nbformat.write(book, here.root / "book.ipynb")
    return "book.ipynb"


def outputs(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "".join(
        "".join(o.get("text", [])) for c in cells for o in c.get("outputs", [])
    )


def said(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=cwd)
    return done.stdout


def test_a_script(server: Server, here: Home) -> None:
    """Its own lines count; it runs on a node, in its directory; its log is beside it."""
    path = script(here, f"#!/bin/bash\n{WORDS.line}\nuname -n; pwd; exit 5\n")
    job = submitted(server, script=path)
    over = ended(server, job["job_id"])
    log = server.api("GET", f"/jobs/{job['job_id']}/log").body.decode()
    print(json.dumps(job), json.dumps(over))
    for file in here.root.glob("*" + job["job_id"] + "*"):
        assert log == file.read_text()
        file.unlink()

    node, directory = log.splitlines()[-2:]
    assert os.uname().nodename != node
    assert str(here.root) == directory
    assert (True, "run.sh", 5) == (
        over["ours"],
        over["script"],
        over["end"]["exit_code"],
    )
    assert "exit code 5" in over["text"]
    assert node == over["node"]


def test_its_name_and_options_and_mail(server: Server, here: Home) -> None:
    """What is asked for goes over the script's lines; the batch system knows of the mail."""
    mail = {"on": ["end", "fail"], "to": getpass.getuser()}
    waits = script(here, WAITS.format(line=WORDS.line))
    one = submitted(server, script=waits)
    two = submitted(
        server, script=waits, name="over", options={"time": "5m"}, mail=mail
    )
    runs = [
        until(server, each["job_id"], lambda job: job["state"] == "running")
        for each in (one, two)
    ]
    told = said(*WORDS.tells, two["job_id"])
    listed = server.api("GET", "/jobs").json
    print(json.dumps(listed))
    for job in (one, two):
        gone = server.api("DELETE", f"/jobs/{job['job_id']}")
        assert 204 == gone.status
    overs = [ended(server, each["job_id"]) for each in (one, two)]
    for file in here.root.glob("*[0-9]*"):
        file.unlink()

    assert ["from-line", "over"] == [job["name"] for job in runs]
    assert {"from-line", "over"} == {job["name"] for job in listed["jobs"]}
    assert all(word in told for word in WORDS.mail), told
    assert runs[1]["ends"] - runs[1]["started"] == 300
    assert all(job["queue"] and job["node"] and job["submitted"] for job in runs)
    assert all(WORDS.cancelled in over["text"] for over in overs)


def test_a_job_that_was_submitted_elsewhere(server: Server, here: Home) -> None:
    """It is listed, its log is shown, and it can be cancelled."""
    path = here.root / script(here, WAITS.format(line=WORDS.line))
    number = said(*WORDS.elsewhere, str(path), cwd=here.root).strip()
    job = until(server, number, lambda job: job and job["state"] == "running")
    deadline = time.monotonic() + PATIENCE
    while (
        "began" not in (log := server.api("GET", f"/jobs/{number}/log")).body.decode()
    ):
        assert time.monotonic() < deadline, log.body
        time.sleep(0.5)
    gone = server.api("DELETE", f"/jobs/{number}")
    until(server, number, lambda job: job is None)
    for file in here.root.glob("*[0-9]*"):
        file.unlink()

    print(json.dumps(job))
    assert (False, True, "from-line") == (job["ours"], job["log"], job["name"])
    assert 204 == gone.status


def test_what_the_batch_system_refuses(server: Server, here: Home) -> None:
    """It is told in its words, and nothing is on record."""
    path = script(here, "#!/bin/bash\n")
    body = {"script": path, "options": {"queue": "nosuch"}}
    answer = server.api("POST", "/jobs", body)
    print(answer.message)

    assert 409 == answer.status
    assert "nosuch" in answer.message
    assert [] == [*here.records.parent.glob("jobs/*")]


def test_a_notebook(server: Server, here: Home) -> None:
    """It runs on a node as its kernelspec says, in its directory; there is a report."""
    mark = "SLURM_JOB_ID" if SCHEDULER == "slurm" else "JOB_ID"
    code = (
        "import os\n"
        f"print(os.uname().nodename, os.getcwd(), os.environ['LOADED'], os.environ['{mark}'])"
    )
    path = notebook(here, code, "print(6 * 7)")
    job = submitted(server, notebook=path)
    over = ended(server, job["job_id"])
    print(
        json.dumps(over), server.api("GET", f"/jobs/{job['job_id']}/log").body.decode()
    )
    result, report = here.root / job["result"], here.root / job["report"]

    node, directory, loaded, number, answer = outputs(result).split()
    assert ("All of its 2 cells were run.", 0) == (
        over["text"],
        over["end"]["exit_code"],
    )
    assert os.uname().nodename != node
    assert (str(here.root), "modules", "42") == (directory, loaded, answer)
    assert job["job_id"] == number
    assert "42" in report.read_text()


def test_the_time_limit_of_a_notebook(server: Server, here: Home) -> None:
    """What it had printed until then is in the result, and in the report."""
    path = notebook(
        here,
        "print('one')",
        "import time\nfor n in range(600):\n print('at', n, flush=True); time.sleep(1)",
    )
    job = submitted(server, notebook=path, options={"time": "1m"})
    over = ended(server, job["job_id"])
    print(
        json.dumps(over), server.api("GET", f"/jobs/{job['job_id']}/log").body.decode()
    )
    result, report = here.root / job["result"], here.root / job["report"]

    assert WORDS.limited in over["text"].lower()
    assert "told to end" in over["text"]
    assert "after 1 of 2 cells" in over["text"]
    assert "at 5" in outputs(result)
    assert "at 5" in report.read_text()
