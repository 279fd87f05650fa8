"""jupyter.api.choice: options, what is free, and estimates, by a real server.

With jobs of this machine, and with a played Slurm that says what was captured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from jsonschema import Draft202012Validator
from login.specs import write_spec
from served.server import Home, Server, home, served
from served.slurm import Slurm

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def here() -> Iterator[Home]:
    with home() as made:
        write_spec("plain", {}, metadata={"kernel_provisioner": {}})
        made.spec("big", scheduler="slurm", cores=4, mem="8G", time="2h")
        made.spec("damaged", scheduler="slurm", time="soon")
        yield made


@pytest.fixture(scope="module")
def slurm(here: Home) -> Iterator[Slurm]:
    """Which idles."""
    bin_ = here.path / "bin"
    bin_.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
        yield Slurm(bin_)


@pytest.fixture(scope="module")
def server(here: Home, slurm: Slurm) -> Iterator[Server]:
    with served(here) as made:
        yield made


@pytest.fixture
def fresh(here: Home, slurm: Slurm) -> Iterator[Server]:
    """One that has asked nobody yet."""
    with served(here) as made:
        yield made


def test_our_kernelspecs(server: Server) -> None:
    """Each with what it asks for; no others."""
    found = {one["name"]: one for one in server.api("GET", "/kernelspecs").json}

    assert {"quick", "big", "damaged"} == {*found}
    assert ("local", True) == (found["quick"]["scheduler"], found["quick"]["is_here"])
    assert ("slurm", True) == (found["big"]["scheduler"], found["big"]["is_here"])
    assert (4, "2h") == (
        found["big"]["config"]["cores"],
        found["big"]["config"]["time"],
    )
    assert not found["damaged"]["is_here"]


def test_the_options_of_a_kernelspec(server: Server) -> None:
    """A schema for a form, with the kernelspec's values."""
    made = server.api("GET", "/options?name=big").json
    properties = made["properties"]

    Draft202012Validator.check_schema(made)
    assert "Slurm" == made["title"]
    assert ["time", "memory", "cores", "gpus", "queue", "account"] == made["x-simple"]
    assert ("2h", "8G", 4) == tuple(
        properties[name]["default"] for name in ("time", "memory", "cores")
    )
    assert "Time limit" == properties["time"]["title"]
    assert "state_dir" not in properties
    assert Draft202012Validator(made).is_valid({"memory": "4G", "cores": 2})
    assert not Draft202012Validator(made).is_valid({"memory": "lots"})


def test_the_options_of_this_machine(server: Server) -> None:
    """It obeys none of a job's."""
    made = server.api("GET", "/options?name=quick").json

    assert [] == made["x-simple"]
    assert "local" == made["properties"]["scheduler"]["default"]
    assert "partition" not in made["properties"]


def test_what_is_free(fresh: Server, slurm: Slurm) -> None:
    """Slurm is asked once, by however many pages, and not again for a while."""
    slurm.answers("sinfo-free-busy")
    before = len(slurm.calls("sinfo"))
    with ThreadPoolExecutor(20) as pool:
        paths = ["/queues?scheduler=slurm"] * 20
        answers = list(pool.map(fresh.api, ["GET"] * 20, paths))

    assert {200} == {answer.status for answer in answers}
    assert 1 == len({answer.body for answer in answers})
    found = answers[0].json
    assert "slurm" == found["scheduler"]
    assert 60 > time.time() - found["asked"] >= 0
    (debug,) = (queue for queue in found["queues"] if queue["name"] == "debug")
    assert {
        "name": "debug",
        "is_default": True,
        "state": "up",
        "time_limit": 3600.0,
        "nodes": {"total": 2, "free": 0},
        "cores": {"total": 16, "free": 7},
        "memory": 4000 * 2**20,
        "cores_per_node": 8,
        "gpus": [{"kind": "", "total": 2, "free": 1}],
        "note": "",
    } == debug
    assert 1 == len(slurm.calls("sinfo")) - before


def test_a_scheduler_that_does_not_say(fresh: Server, slurm: Slurm) -> None:
    """Its words are told, and it is left alone for a while."""
    slurm.says("sinfo", 1, err="sinfo: error: Unable to contact slurm controller\n")
    before = len(slurm.calls("sinfo"))
    answers = [fresh.api("GET", "/queues?scheduler=slurm") for _ in range(2)]

    assert {503} == {answer.status for answer in answers}
    assert "Unable to contact slurm controller" in answers[1].message
    assert 1 == len(slurm.calls("sinfo")) - before


def test_what_has_no_queues(server: Server) -> None:
    """Has none: nothing is invented."""
    found = server.api("GET", "/queues?scheduler=local").json

    assert ("local", []) == (found["scheduler"], found["queues"])


def test_when_a_kernel_would_start(server: Server, here: Home, slurm: Slurm) -> None:
    """As the scheduler says it; nothing is submitted, and the same is not asked again."""
    slurm.answers("sinfo-site")
    slurm.answers("sbatch-estimate-busy")
    body = {"name": "big", "path": "", "options": {"time": 5, "memory": "2G"}}
    before = len(slurm.calls("sbatch"))
    looked = len(slurm.calls("sinfo"))
    with ThreadPoolExecutor(9) as pool:
        asked = ["POST"] * 9, ["/estimate"] * 9, [body] * 9
        answers = list(pool.map(server.api, *asked))

    assert {200} == {answer.status for answer in answers}
    assert 1 == len({answer.body for answer in answers})
    assert 1 == len(slurm.calls("sinfo")) - looked
    found = answers[0].json
    assert (True, "8 CPUs on c1 in partition debug", []) == (
        found["start"] > 0,
        found["text"],
        found["problems"],
    )
    (call,) = slurm.calls("sbatch")[before:]
    assert call.endswith("--test-only")
    assert "--time=5" in call
    assert "--mem=2G" in call
    assert [] == here.left()


def test_what_is_not_allowed(server: Server, slurm: Slurm) -> None:
    """Why not, before anything is submitted: as sinfo shows it, and as sbatch says it."""
    slurm.answers("sinfo-site")
    slurm.answers("sbatch-estimate-never")
    body = {"name": "big", "options": {"memory": "99G", "time": 61}}
    found = server.api("POST", "/estimate", body).json

    assert found["start"] is None
    assert 3 == len(found["problems"])
    assert "time 61 is over the limit of partition debug" in found["problems"][0]
    assert "no node of partition debug has 101376 MB" in found["problems"][1]
    assert "Slurm would refuse it: allocation failure" in found["problems"][2]


def test_options_that_make_no_sense(server: Server, slurm: Slurm) -> None:
    """All of them are told, each by itself; nobody is asked."""
    before = len(slurm.calls("sbatch"))
    body = {"name": "big", "options": {"partion": "a", "time": "soon", "gpus": -1}}
    found = server.api("POST", "/estimate", body).json

    assert [None, 3] == [found["start"], len(found["problems"])]
    assert 1 == sum("did you mean 'partition'?" in one for one in found["problems"])
    assert before == len(slurm.calls("sbatch"))


def test_a_scheduler_that_says_nothing_of_a_start(server: Server, slurm: Slurm) -> None:
    """That is no error, and no problem."""
    slurm.says("sinfo", 1)
    slurm.says("sbatch", 1, err="sbatch: error: Unable to contact slurm controller\n")
    found = server.api("POST", "/estimate", {"name": "big"}).json

    assert {"start": None, "text": "Slurm did not answer", "problems": []} == found


def test_a_kernel_of_this_machine(server: Server) -> None:
    """Would start at once."""
    found = server.api("POST", "/estimate", {"name": "quick"}).json

    assert 60 > abs(found["start"] - time.time())
    assert [] == found["problems"]


BAD: list[tuple[str, str, object, str]] = [
    ("GET", "/options", None, "'name' is missing"),
    ("GET", "/options?name=none", None, "no kernelspec called 'none'"),
    ("GET", "/options?name=plain", None, "does not start its kernel in a job"),
    ("GET", "/queues", None, "'scheduler' is missing"),
    ("GET", "/queues?scheduler=none", None, "no batch system called 'none'"),
    ("GET", "/kernelspecs?x=1", None, "unknown parameter 'x'"),
    ("POST", "/estimate", {"name": "none"}, "no kernelspec called 'none'"),
    ("POST", "/estimate", {"options": {}}, "'name' is missing"),
    (
        "POST",
        "/estimate",
        {"name": "big", "options": {"state_dir": "/x"}},
        "can only be set in the kernelspec",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "why"), BAD)
def test_what_makes_no_sense(
    server: Server, method: str, path: str, body: object, why: str
) -> None:
    """It is refused by its name."""
    answer = server.api(method, path, body)

    assert 400 == answer.status
    assert why in answer.message


def test_who_may_not_run_code(here: Home, slurm: Slurm) -> None:
    """Learns nothing of what it would lead to, either."""
    config = """
from jupyter_server.auth import Authorizer

class Some(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action != 'execute'

c.ServerApp.authorizer_class = Some
"""
    with served(here, config) as limited:
        body = {"name": "big", "options": {"prologue": "true"}}
        refused = limited.api("POST", "/estimate", body)

    assert 403 == refused.status
    assert "decide what runs" in refused.message
