"""jupyter.api.cells: what a page asks of a real server, and tells it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from served.page import Page, filled
from served.server import Answer, Home, Server, home, served

pytestmark = pytest.mark.timeout(180)

RESTRICTED = """
from jupyter_server.auth import Authorizer

class Some(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action != "execute"

c.ServerApp.authorizer_class = Some
"""
MANY = "for number in range(3000): print(number)\n'the result'"


@pytest.fixture(scope="module")
def here() -> Iterator[Home]:
    with home() as made:
        yield made


@pytest.fixture(scope="module")
def server(here: Home) -> Iterator[Server]:
    with served(here) as made:
        yield made


def held(server: Server, kernel: str, **headers: str) -> Answer:
    path = f"/remote-kernels/api/kernels/{kernel}/cells"
    return server.ask("GET", path, None, **headers)


async def run(server: Server, kernel: str, *cells: str) -> list[str]:
    """A page asks, and runs them to their end; the requests."""
    page = await Page(server, kernel).open()
    await page.cells()
    requests = [await page.run(cell, MANY) for cell in cells]
    await page.idle(requests[-1])
    await page.close()
    return requests


def test_what_is_held(server: Server) -> None:
    """It is told alike to who takes it packed, and gone when it was shown and saved."""
    kernel = server.start()
    one, two = asyncio.run(run(server, kernel, "one", "two"))
    plain = held(server, kernel)
    packed = held(server, kernel, **{"Accept-Encoding": "deflate, gzip"})
    path = f"/kernels/{kernel}/cells/shown"
    shown = server.api("POST", path, {"requests": [one, "unknown"]})
    left = held(server, kernel).json
    server.api("DELETE", f"/kernels/{kernel}")

    assert [200, 200] == [plain.status, packed.status]
    assert "gzip" == packed.headers["Content-Encoding"]
    assert len(packed.body) < len(plain.body) / 4
    assert plain.json == json.loads(gzip.decompress(packed.body))
    texts = [*map(str, range(3000)), "'the result'"]
    assert {"one": texts, "two": texts} == filled(plain.json, [])
    assert (204, b"") == (shown.status, shown.body)
    assert [two] == [cell["request"] for cell in left["cells"]]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        ({}, "'requests' must be a list"),
        ({"requests": "one"}, "'requests' must be a list"),
        ({"requests": [1]}, "'requests' must be a list"),
        ({"requests": ["one"] * 10_001}, "at most 10000"),
        ({"requests": [], "cells": []}, "unknown field 'cells'"),
    ],
)
def test_what_a_page_may_not_tell(server: Server, body: Any, said: str) -> None:
    """It is refused by its name."""
    answer = server.api("POST", "/kernels/any/cells/shown", body)
    assert 400 == answer.status
    assert said in answer.message


def test_who_may_not_run_code(here: Home) -> None:
    """Sees nothing of what cells print, and has nothing forgotten."""
    with served(here, RESTRICTED) as restricted:
        asked = held(restricted, "any")
        told = restricted.api("POST", "/kernels/any/cells/shown", {"requests": []})

    assert [403, 403] == [asked.status, told.status]
    assert "may not run code" in asked.message
