"""jupyter.api.jobs: jobs of one's own on this machine, by a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from login.specs import write_spec
from served.server import TOKEN, Answer, Home, Server, home, served

pytestmark = pytest.mark.timeout(180)

PATIENCE = 90.0
LOCAL = {"scheduler": "local"}
JOB = {
    *("job_id", "scheduler", "name", "state", "text", "job_state", "reason", "node"),
    *("queue", "submitted", "started", "ends", "expected_start", "ours", "log"),
    *("script", "notebook", "result", "report", "end"),
}


@pytest.fixture(scope="module")
def here() -> Iterator[Home]:
    with home() as made, pytest.MonkeyPatch.context() as patch:
        made.hide_batch_systems(patch)
        (made.root / "below").mkdir()
        write_spec("plain", {}, metadata={"kernel_provisioner": {}})
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
            ended(server, job["job_id"])
        server.api("DELETE", f"/jobs/{job['job_id']}")
    assert [] == server.api("GET", "/jobs").json["jobs"]


def script(here: Home, text: str, name: str = "below/run.sh") -> str:
    (here.root / name).write_text(text)
    return name


def notebook(here: Home, *codes: str, kernel: str = "quick") -> str:
    book = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    if kernel:
        book.metadata["kernelspec"] = {"name": kernel, "display_name": kernel}
    book.cells = [
        nbformat.v4.new_code_cell(code)  # type: ignore[no-untyped-call]
        for code in codes
    ]
    nbformat.write(book, here.root / "below" / "book.ipynb")  # type: ignore[no-untyped-call]
    return "below/book.ipynb"


def ended(server: Server, job_id: str) -> Any:
    """The job, once it has ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        job = server.api("GET", f"/jobs/{job_id}").json
        if job.get("end"):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.2)


def submitted(answer: Answer) -> Any:
    assert 201 == answer.status, answer.body
    return answer.json


def outputs(path: Path) -> list[str]:
    cells = json.loads(path.read_text())["cells"]
    return ["".join(o.get("text", [])) for c in cells for o in c.get("outputs", [])]


# --- scripts ------------------------------------------------------------------------


def test_a_script_is_a_job(server: Server, here: Home) -> None:
    """It runs in its directory, its log is told, and how it ended."""
    path = script(here, "#!/bin/sh\npwd; echo said; exit 3\n")
    made = server.api("POST", "/jobs", {"script": path, "options": LOCAL})
    job = submitted(made)
    over = ended(server, job["job_id"])
    log = server.api("GET", f"/jobs/{job['job_id']}/log?lines=1")
    whole = server.api("GET", f"/jobs/{job['job_id']}/log")

    assert JOB == {*job} == {*over}
    assert made.headers["Location"].endswith(f"/jobs/{job['job_id']}")
    assert ("run.sh", path, True, True) == tuple(
        job[name] for name in ("name", "script", "ours", "log")
    )
    assert ("FAILED", 3) == (over["end"]["word"], over["end"]["exit_code"])
    assert "failed" == over["end"]["cause"]
    assert "exit code 3" in over["text"]
    assert b"said\n" == log.body
    assert f"{here.root / 'below'}\nsaid\n".encode() == whole.body


def test_a_script_is_listed_and_cancelled(server: Server, here: Home) -> None:
    """With its name; that it was cancelled stays on record until it is forgotten."""
    path = script(here, "#!/bin/sh\nexec sleep 600\n")
    body = {"script": path, "name": "my-run", "options": LOCAL}
    job_id = submitted(server.api("POST", "/jobs", body))["job_id"]
    listed = server.api("GET", "/jobs").json
    gone = server.api("DELETE", f"/jobs/{job_id}")
    over = ended(server, job_id)
    forgotten = server.api("DELETE", f"/jobs/{job_id}")

    assert [("my-run", "running")] == [(j["name"], j["state"]) for j in listed["jobs"]]
    assert (None, True) == (listed["error"], listed["asked"] <= time.time())
    assert (204, 204) == (gone.status, forgotten.status)
    assert ("CANCELLED", "cancelled") == (over["end"]["word"], over["end"]["cause"])
    assert 404 == server.api("GET", f"/jobs/{job_id}").status


def test_what_a_job_sees(server: Server, here: Home) -> None:
    """What a kernel's job would: not the server's own variables."""
    path = script(here, "#!/bin/sh\nenv\n")
    body = {"script": path, "options": LOCAL}
    job_id = submitted(server.api("POST", "/jobs", body))["job_id"]
    ended(server, job_id)
    log = server.api("GET", f"/jobs/{job_id}/log").body.decode()

    assert f"HOME={here.path}" in log
    assert "JUPYTER" not in log
    assert TOKEN not in log


def test_kernels_are_no_such_jobs(server: Server) -> None:
    """They are not listed; who asks for one by its number is told where it is."""
    kernel = server.start()
    number = server.api("GET", f"/kernels/{kernel}").json["job_id"]
    listed = server.api("GET", "/jobs").json["jobs"]
    answer = server.api("DELETE", f"/jobs/{number}")
    still = server.api("GET", f"/kernels/{kernel}").json["state"]
    server.api("DELETE", f"/kernels/{kernel}")

    assert [] == listed
    assert 409 == answer.status
    assert "kernels/ID" in answer.message
    assert "ended" != still


# --- what is refused ------------------------------------------------------------------

BAD = [
    ({}, 400, "'script' and 'notebook'"),
    ({"script": "a", "notebook": "b"}, 400, "'script' and 'notebook'"),
    ({"script": 7}, 400, "'script' must be text"),
    ({"script": "../outside.sh"}, 400, "climb out"),
    ({"script": "below/none.sh"}, 404, "no file 'below/none.sh'"),
    ({"script": "below"}, 404, "no file"),
    ({"script": ".hidden.sh"}, 404, "no file"),
    ({"script": "plain.txt"}, 400, "does not begin with #!"),
    ({"script": "run.sh", "name": "-rf"}, 400, "'name' must be"),
    ({"script": "run.sh", "name": "a b"}, 400, "'name' must be"),
    ({"script": "run.sh", "name": "a\nb"}, 400, "'name' must be"),
    ({"script": "run.sh", "name": "jupyter-0123abcd"}, 400, "kernels' jobs"),
    ({"script": "run.sh", "options": []}, 400, "'options' must be"),
    ({"script": "run.sh", "options": {"silence": 60}}, 400, "about kernels"),
    ({"script": "run.sh", "options": {**LOCAL, "time": 5}}, 400, "no batch system"),
    ({"script": "run.sh", "options": {"nosuch": 5}}, 400, "unknown option"),
    ({"script": "run.sh", "options": {"state_dir": "/tmp"}}, 400, "state_dir"),
    ({"script": "run.sh", "kernelspec": "nosuch"}, 400, "no kernelspec called"),
    ({"script": "run.sh", "kernelspec": "plain"}, 400, "does not start its kernel"),
    ({"script": "run.sh", "mail": {"on": []}}, 400, "'on' of 'mail'"),
    ({"script": "run.sh", "mail": {"on": ["now"]}}, 400, "'on' of 'mail'"),
    ({"script": "run.sh", "mail": {"on": ["end"], "to": "-x"}}, 400, "address"),
    ({"script": "run.sh", "mail": {"on": ["end"], "cc": "x"}}, 400, "unknown field"),
    (
        {"script": "run.sh", "options": LOCAL, "mail": {"on": ["end"]}},
        400,
        "sends no mail",
    ),
    ({"notebook": "run.sh"}, 400, "is no notebook"),
    ({"notebook": "plain.txt"}, 400, "is no notebook"),
]


@pytest.mark.parametrize(("body", "status", "text"), BAD)
def test_bad_jobs(
    server: Server, here: Home, body: Any, status: int, text: str
) -> None:
    """Nothing is submitted, and it is said why."""
    script(here, "#!/bin/sh\n", "run.sh")
    script(here, "#!/bin/sh\n", ".hidden.sh")
    script(here, "echo\n", "plain.txt")
    answer = server.api("POST", "/jobs", body)

    assert (status, True) == (answer.status, text in answer.message), answer.body
    assert [] == server.api("GET", "/jobs").json["jobs"]


def test_a_number_is_no_path(server: Server) -> None:
    """It is compared with those that are known."""
    for number in ("4711", "..%2F..%2Fetc%2Fpasswd", "%00", "-1"):
        for method in ("GET", "DELETE"):
            answer = server.api(method, f"/jobs/{number}")
            assert (404, True) == (answer.status, "No job of yours" in answer.message)


AUTHORIZER = """
from jupyter_server.auth import Authorizer

class Some(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action != "execute"

c.ServerApp.authorizer_class = Some
"""


def test_a_user_who_may_not_run_code(here: Home) -> None:
    """May look at jobs, and submit none."""
    script(here, "#!/bin/sh\n", "run.sh")
    with served(here, AUTHORIZER) as limited:
        body = {"script": "run.sh", "options": LOCAL}
        answers = [
            limited.api("POST", "/jobs", body),
            limited.api("POST", "/jobs", {"notebook": "none.ipynb"}),
        ]
        listed = limited.api("GET", "/jobs")

    assert [403, 403] == [answer.status for answer in answers]
    assert all("may not run code" in answer.message for answer in answers)
    assert (200, []) == (listed.status, listed.json["jobs"])


def test_a_link_is_what_it_is_for_jupyter(server: Server, here: Home) -> None:
    """A script that is shown among the files can be submitted, wherever it is."""
    elsewhere = here.path / "elsewhere.sh"
    elsewhere.write_text("#!/bin/sh\npwd\n")
    link = here.root / "below" / "link.sh"
    link.symlink_to(elsewhere)
    shown = server.ask("GET", "/api/contents/below/link.sh").status
    body = {"script": "below/link.sh", "options": LOCAL}
    job = submitted(server.api("POST", "/jobs", body))
    ended(server, job["job_id"])
    log = server.api("GET", f"/jobs/{job['job_id']}/log").body.decode()
    link.unlink()

    assert 200 == shown
    assert "below/link.sh" == job["script"]
    assert f"{here.root / 'below'}\n" == log


SILENT = "#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n"


def test_a_batch_system_that_does_not_answer(here: Home) -> None:
    """Its words are told, and what is on record all the same; no record is lost."""
    script(here, "#!/bin/sh\nexit 4\n", "run.sh")
    programs = [here.path / "bin" / name for name in ("sbatch", "squeue", "scontrol")]
    with served(here) as first:
        body = {"script": "run.sh", "options": LOCAL}
        job_id = submitted(first.api("POST", "/jobs", body))["job_id"]
        ended(first, job_id)
    for program in programs:
        program.unlink(missing_ok=True)
        program.write_text(SILENT)
        program.chmod(0o755)
    try:
        with served(here) as made:
            listed = made.api("GET", "/jobs").json
            unknown = made.api("GET", "/jobs/4711")
            refused = made.api("POST", "/jobs", {"script": "run.sh"})
            left = [one["job_id"] for one in made.api("GET", "/jobs").json["jobs"]]
    finally:
        for program in programs:
            program.unlink()

    assert "Slurm did not answer squeue" in listed["error"]
    assert [(job_id, 4)] == [
        (one["job_id"], one["end"]["exit_code"]) for one in listed["jobs"]
    ]
    assert (503, True) == (unknown.status, "did not answer" in unknown.message)
    assert (503, True) == (refused.status, "Unable to contact" in refused.message)
    assert "a job may be there" in refused.message
    assert [job_id] == left


# --- notebooks ------------------------------------------------------------------------


def test_a_notebook_is_a_job(server: Server, here: Home) -> None:
    """Result and report are beside it, as was said; it is not changed itself."""
    path = notebook(here, "import os; print(os.getcwd())", "print(6 * 7)")
    before = (here.root / path).read_bytes()
    body = {"notebook": path, "options": LOCAL}
    job = submitted(server.api("POST", "/jobs", body))
    over = ended(server, job["job_id"])
    result, report = here.root / job["result"], here.root / job["report"]

    assert job["result"].startswith("below/book-")
    assert ("COMPLETED", 0) == (over["end"]["word"], over["end"]["exit_code"])
    assert "All of its 2 cells were run." == over["text"]
    assert [f"{here.root / 'below'}\n", "42\n"] == outputs(result)
    assert "42" in report.read_text()
    assert before == (here.root / path).read_bytes()
    assert {path, job["result"], job["report"]} >= {
        str(file.relative_to(here.root)) for file in (here.root / "below").glob("book*")
    }
    result.unlink()
    report.unlink()


def test_an_error_in_a_cell(server: Server, here: Home) -> None:
    """The result has it, there is a report all the same, and the job's end says it."""
    path = notebook(here, "print('one')", "1 / 0", "print('never')")
    job = submitted(server.api("POST", "/jobs", {"notebook": path, "options": LOCAL}))
    over = ended(server, job["job_id"])
    result, report = here.root / job["result"], here.root / job["report"]

    assert "Cell 2 has an error: ZeroDivisionError: division by zero." == over["text"]
    assert 3 == over["end"]["exit_code"]
    assert "ZeroDivisionError" in result.read_text()
    assert "never" not in "".join(outputs(result))
    assert "ZeroDivisionError" in report.read_text()
    result.unlink()
    report.unlink()


def test_a_notebook_that_is_cancelled(server: Server, here: Home) -> None:
    """What it has done until then is saved, and reported."""
    flag = here.root / "flag"
    waits = f"print('half', flush=True); open({str(flag)!r}, 'w'); import time; time.sleep(600)"
    path = notebook(here, "print('one')", waits, kernel="plain")
    body = {"notebook": path, "options": LOCAL, "kernelspec": "quick"}
    job = submitted(server.api("POST", "/jobs", body))
    deadline = time.monotonic() + PATIENCE
    while not flag.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running = server.api("GET", f"/jobs/{job['job_id']}").json
    server.api("DELETE", f"/jobs/{job['job_id']}")
    over = ended(server, job["job_id"])
    result, report = here.root / job["result"], here.root / job["report"]

    assert running["text"].endswith("cell 2 of 2")
    assert (
        "was cancelled. The job was told to end (SIGTERM) after 1 of 2" in over["text"]
    )
    assert ["one\n", "half\n"] == outputs(result)
    assert "half" in report.read_text()
    result.unlink()
    report.unlink()


def test_a_kernelspec_that_is_not_ours(server: Server, here: Home) -> None:
    """It runs beside the program as it is."""
    path = notebook(here, "print('as it is')", kernel="plain")
    job = submitted(server.api("POST", "/jobs", {"notebook": path, "options": LOCAL}))
    over = ended(server, job["job_id"])
    result = here.root / job["result"]

    assert "All of its 1 cell were run." == over["text"]
    assert ["as it is\n"] == outputs(result)
    result.unlink()
    (here.root / job["report"]).unlink()
