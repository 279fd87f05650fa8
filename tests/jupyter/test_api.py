"""jupyter.api: a real server, real kernels in jobs of this machine, real requests."""

from __future__ import annotations

import http.cookies
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from login.specs import write_spec
from served.server import API, TOKEN, Answer, Home, Server, home, served

from remote_kernels.jupyter.api.routes import routes

pytestmark = pytest.mark.timeout(120)

MISSING = "00000000-0000-4000-8000-000000000000"
ROUTES = [
    ("GET", "/kernels"),
    ("POST", "/kernels"),
    ("GET", f"/kernels/{MISSING}"),
    ("DELETE", f"/kernels/{MISSING}"),
    ("GET", f"/kernels/{MISSING}/log"),
    ("POST", f"/kernels/{MISSING}/extend"),
    ("GET", f"/kernels/{MISSING}/cells"),
    ("POST", f"/kernels/{MISSING}/cells/shown"),
    ("GET", f"/kernels/{MISSING}/listening"),
    ("GET", f"/kernels/{MISSING}/stack"),
    ("POST", f"/kernels/{MISSING}/terminal"),
    ("GET", f"/kernels/{MISSING}/ports"),
    ("POST", f"/kernels/{MISSING}/ports"),
    ("GET", f"/kernels/{MISSING}/ports/1"),
    ("DELETE", f"/kernels/{MISSING}/ports/1"),
    ("GET", "/kernelspecs"),
    ("GET", "/options"),
    ("GET", "/queues"),
    ("POST", "/estimate"),
    ("GET", "/jobs"),
    ("POST", "/jobs"),
    ("GET", "/jobs/4711"),
    ("DELETE", "/jobs/4711"),
    ("GET", "/jobs/4711/log"),
    ("GET", "/spec"),
]
AUTHORIZER = """
from jupyter_server.auth import Authorizer

class Some(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return {}

c.ServerApp.authorizer_class = Some
"""


@pytest.fixture(scope="module")
def here() -> Iterator[Home]:
    with home() as made:
        (made.root / "below").mkdir()
        write_spec("plain", {}, metadata={"kernel_provisioner": {}})
        yield made
        assert [] == made.left()


@pytest.fixture(scope="module")
def server(here: Home) -> Iterator[Server]:
    with served(here) as made:
        yield made


def spec_of(here: Home, kernel: str) -> Any:
    """What its agent was told to start."""
    return json.loads((here.records / kernel / "spec.json").read_text())


# --- a kernel's life ------------------------------------------------------------------


def test_a_kernel_that_is_started(server: Server, here: Home) -> None:
    """It is told alike by the answer, by itself, in the list, and by Jupyter's API."""
    body = {"name": "quick", "path": "below", "options": {"silence": 61}}
    made = server.api("POST", "/kernels", body)
    kernel = str(made.json["kernel_id"])
    alone, listed = (
        server.api("GET", f"/kernels/{kernel}"),
        server.api("GET", "/kernels"),
    )
    jupyters = server.ask("GET", "/api/kernels").json
    spec = spec_of(here, kernel)
    server.api("DELETE", f"/kernels/{kernel}")

    assert [201, 200, 200] == [made.status, alone.status, listed.status]
    assert f"{API}/kernels/{kernel}" == made.headers["Location"]
    assert kernel == alone.json["kernel_id"]
    assert "quick" == alone.json["spec_name"]
    assert "local" == alone.json["scheduler"]
    assert [kernel] == [one["kernel_id"] for one in listed.json]
    assert [kernel] == [one["id"] for one in jupyters]
    assert 61 == spec["silence"]
    assert str(here.root / "below") == spec["kernels"][kernel]["cwd"]


def test_a_kernel_that_is_stopped(server: Server, here: Home) -> None:
    """It is gone here, for Jupyter, and on disk."""
    kernel = server.start()
    stopped = server.api("DELETE", f"/kernels/{kernel}")

    assert (204, b"") == (stopped.status, stopped.body)
    assert 404 == server.api("GET", f"/kernels/{kernel}").status
    assert 404 == server.api("DELETE", f"/kernels/{kernel}").status
    assert [] == server.api("GET", "/kernels").json
    assert [] == server.ask("GET", "/api/kernels").json
    assert [] == here.left()


def test_a_kernel_that_is_stopped_twice_at_once(server: Server, here: Home) -> None:
    """By two pages; the second finds it gone, or is too late to see it go."""
    kernel = server.start()
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(server.api, ["DELETE"] * 2, [f"/kernels/{kernel}"] * 2))

    assert {204} <= {answer.status for answer in both} <= {204, 404}
    assert [] == here.left()


def test_its_time_limit(server: Server) -> None:
    """A job of this machine has none; that is said, and nothing breaks."""
    kernel = server.start()
    answer = server.api("POST", f"/kernels/{kernel}/extend", {"minutes": 5})
    server.api("DELETE", f"/kernels/{kernel}")

    assert 409 == answer.status
    assert "has no time limit" in answer.message


def test_its_logs(server: Server, here: Home) -> None:
    """The last lines, as text."""
    kernel = server.start()
    log = here.records / kernel / "job.log"
    with log.open("a") as file:
        file.write("one\ntwo\nthree\n")
    answer = server.api("GET", f"/kernels/{kernel}/log?name=job&lines=2")
    other = server.api("GET", f"/kernels/{kernel}/log?name=kernel")
    server.api("DELETE", f"/kernels/{kernel}")

    assert b"two\nthree\n" == answer.body
    assert "text/plain; charset=utf-8" == answer.headers["Content-Type"]
    assert 200 == other.status


# --- what is refused ------------------------------------------------------------------

BAD_STARTS = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"\xff", "not JSON"),
    (b'{"name": "quick", "options": {"silence": NaN}}', "NaN is not JSON"),
    (b"1" * 40, "too large"),
    (b"[]", "must be a JSON object"),
    ({}, "'name' is missing"),
    ({"name": 7}, "'name' must be text"),
    ({"name": "quick\n"}, "'name' must be text"),
    ({"name": "none 100%"}, "no kernelspec called 'none 100%'."),
    ({"name": "../quick"}, "no kernelspec called"),
    ({"name": "plain"}, "does not start its kernel in a job"),
    ({"name": "quick", "kernel_id": "x"}, "unknown field 'kernel_id'"),
    ({"name": "quick", "path": None}, "'path' must be text"),
    ({"name": "quick", "path": "below/../../.."}, "climb"),
    ({"name": "quick", "path": "a\0b"}, "'path' must be text"),
    ({"name": "quick", "options": []}, "'options' must be an object"),
    ({"name": "quick", "options": {"partion": "x"}}, "did you mean 'partition'?"),
    ({"name": "quick", "options": {"silence": "x"}}, "option 'silence' is \"x\""),
    (
        {"name": "quick", "options": {"partition": "gpu"}},
        "option 'partition': its job would run on this machine",
    ),
    ({"name": "quick", "options": {"scheduler": "no"}}, "option 'scheduler'"),
    ({"name": "quick", "options": {"state_dir": "/tmp"}}, "'state_dir' can only"),
]


@pytest.mark.parametrize(
    ("body", "why"), BAD_STARTS, ids=[why for _, why in BAD_STARTS]
)
def test_a_start_that_makes_no_sense(
    server: Server, here: Home, body: object, why: str
) -> None:
    """It is refused by name, before anything is submitted."""
    answer = server.api("POST", "/kernels", body)

    assert 400 == answer.status, answer.body
    assert why in answer.message
    assert {"message", "reason"} == set(answer.json)
    assert [] == here.left()


BAD_QUERIES = [
    ("/kernels?ended=yes", "'ended' must be true or false"),
    ("/kernels?ended=true&ended=true", "'ended' is given twice"),
    ("/kernels?all=1", "unknown parameter 'all'; known: ended"),
    (f"/kernels/{MISSING}?x=", "unknown parameter 'x'; none is known"),
    (f"/kernels/{MISSING}/log?name=../record.json", "one of job, kernel"),
    (f"/kernels/{MISSING}/log?lines=0", "'lines' must be from 1 to 10000"),
    (f"/kernels/{MISSING}/log?lines=10001", "'lines' must be from 1 to 10000"),
    (f"/kernels/{MISSING}/log?lines=%C2%B2", "'lines'"),
    (f"/kernels/{MISSING}/log?follow=1", "'follow' must be true or false"),
    (f"/kernels/{MISSING}/stack?all=true", "unknown parameter 'all'"),
    ("/spec?format=json", "unknown parameter 'format'"),
]


@pytest.mark.parametrize(("path", "why"), BAD_QUERIES, ids=[q for q, _ in BAD_QUERIES])
def test_a_query_that_makes_no_sense(server: Server, path: str, why: str) -> None:
    """It is refused by name."""
    answer = server.api("GET", path)

    assert 400 == answer.status
    assert why in answer.message


@pytest.mark.parametrize("minutes", [None, 0, -1, 1.5, True, "5", [], 10**9])
def test_minutes_that_make_no_sense(server: Server, minutes: object) -> None:
    """They are refused before anybody is asked."""
    answer = server.api("POST", f"/kernels/{MISSING}/extend", {"minutes": minutes})

    assert 400 == answer.status
    assert "field 'minutes'" in answer.message


def test_what_jupyters_pages_add_to_each_request(server: Server) -> None:
    """JupyterLab (4) adds a number, so that the browser does not answer itself."""
    assert 200 == server.api("GET", "/kernels?no_track_activity=1&1700000000000").status


@pytest.mark.parametrize(
    "kernel", [MISSING, "..", "..%2f..%2fvictim", "%2e%2e/victim", "%00", "x" * 3000]
)
def test_kernels_that_are_not_there(server: Server, here: Home, kernel: str) -> None:
    """Nor can another directory be reached by what looks like an ID."""
    victim = here.path / "victim"
    victim.mkdir(exist_ok=True)
    (victim / "job.log").write_text("secret")
    requests = [
        ("GET", "", None),
        ("GET", "/log", None),
        ("POST", "/extend", {"minutes": 1}),
        ("DELETE", "", None),
    ]
    for method, path, body in requests:
        answer = server.api(method, f"/kernels/{kernel}{path}", body)

        assert 404 == answer.status
        assert b"secret" not in answer.body
    assert (victim / "job.log").exists()


def test_a_method_that_is_not_there(server: Server) -> None:
    """The answer says which are."""
    answer = server.api("PATCH", "/kernels")

    assert (405, "GET, POST, OPTIONS") == (answer.status, answer.headers["Allow"])


# --- who may --------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("token", ["", "wrong"])
def test_somebody_unknown(server: Server, method: str, path: str, token: str) -> None:
    """Learns nothing, not even whether there is such a kernel."""
    body = {"name": "quick"} if method == "POST" else None
    not_forged = {"Cookie": "_xsrf=ab", "X-XSRFToken": "ab"}
    answer = server.api(method, path, body, token=token, **not_forged)

    assert 403 == answer.status
    assert {"message", "reason"} == set(answer.json)
    assert "Forbidden" == answer.message


@pytest.fixture(scope="module")
def cookies(server: Server) -> dict[str, str]:
    """What the browser of somebody who has logged in sends, from whatever page."""
    login = server.ask("GET", f"/api/me?token={TOKEN}", token="")
    told = http.cookies.SimpleCookie(", ".join(login.headers.get_all("Set-Cookie", [])))
    return {name: morsel.value for name, morsel in told.items()} | {"_xsrf": "ab"}


def sent(cookies: dict[str, str], **more: str) -> dict[str, str]:
    """The headers of a request with these cookies."""
    pairs = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return {"token": "", "Cookie": pairs, **more}


def test_a_page_of_the_server_itself(server: Server, cookies: dict[str, str]) -> None:
    """It has the cookie, and reads the token against forged requests from it."""
    its_own = sent(cookies, **{"X-XSRFToken": cookies["_xsrf"]})

    seen = server.api("GET", "/kernels", **sent(cookies))
    stopped = server.api("DELETE", f"/kernels/{MISSING}", **its_own)

    assert 200 == seen.status
    assert 404 == stopped.status
    assert MISSING in stopped.message  # it has come in, and there is no such kernel


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_another_page_in_the_users_browser(
    server: Server, cookies: dict[str, str], method: str, path: str
) -> None:
    """It has the cookie: it changes nothing without the token, and reads nothing."""
    body = {"name": "quick"} if method == "POST" else None
    elsewhere = {"Origin": "https://elsewhere.example"}
    token = {"X-XSRFToken": cookies["_xsrf"]}
    other = server.api(method, path, body, **sent(cookies, **elsewhere, **token))
    forged = server.api(method, path, body, **sent(cookies))

    assert (404, "Not Found") == (other.status, other.message)
    assert "Access-Control-Allow-Origin" not in other.headers
    assert method == "GET" or 403 == forged.status
    assert method == "GET" or "_xsrf" in forged.message


def test_a_user_whom_the_site_keeps_from_kernels(here: Home) -> None:
    """This API is no way round what holds for the server's own."""
    with served(here, AUTHORIZER.format("resource != 'kernels'")) as denied:
        jupyters = denied.ask("GET", "/api/kernels")
        answers = [denied.api(*route) for route in ROUTES]

    assert 403 == jupyters.status
    assert {403} == {answer.status for answer in answers}
    assert all("not authorized" in answer.message for answer in answers)


def test_a_user_who_may_not_run_code(here: Home) -> None:
    """May start kernels, but not choose what runs; here below a base_url."""
    config = AUTHORIZER.format("action != 'execute'")

    def start(**options: object) -> Answer:
        return limited.api("POST", "/kernels", {"name": "quick", "options": options})

    with served(here, config, base_url="/user/me/") as limited:
        refused = start(prologue="touch /tmp/x")
        granted = start(silence=60)
        document = limited.api("GET", "/spec").body.decode()

    assert 403 == refused.status
    assert "decide what runs" in refused.message
    assert 201 == granted.status
    assert granted.headers["Location"].startswith(f"/user/me{API}/kernels/")
    assert f'- url: "/user/me{API}"\n' in document


def test_no_request_is_left_out_here() -> None:
    """All there are, are tried by those who may not."""
    made = routes(None)  # type: ignore[arg-type]
    patterns = [(path.removeprefix(API), handler) for path, handler, _ in made]
    found = {
        (method, path)
        for path, handler in patterns
        for method in handler.SUPPORTED_METHODS
        if method.lower() in vars(handler)
    }

    asked = {
        (method, path)
        for method, url in ROUTES
        for path, _ in patterns
        if re.fullmatch(path, url)
    }
    assert found == asked


def test_a_page_is_shown_an_error_s_text_as_it_is(here: Home, server: Server) -> None:
    """By Jupyter's own API, too, which doubles each percent sign."""
    here.spec("percent", scheduler="local", usage="50%")
    kernel = {"name": "percent"}
    body = {"path": "a.ipynb", "name": "a", "type": "notebook", "kernel": kernel}

    answer = server.ask("POST", "/api/sessions", body)

    assert 500 == answer.status
    assert "option 'usage' is \"50%\" (text)" in answer.message
