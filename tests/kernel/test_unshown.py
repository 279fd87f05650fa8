"""kernel.unshown: what pages must still show, wherever it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from jupyter_client.session import Session

from remote_kernels.errors import StateError
from remote_kernels.front import jupyter_message
from remote_kernels.front.standin import StandIn
from remote_kernels.front.transcripts import Transcripts
from remote_kernels.kernel import unshown
from remote_kernels.kernel.remote_kernel import RemoteKernel
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.service import Known

pytestmark = pytest.mark.asyncio


def known(*, ended: bool) -> Known:
    model = SimpleNamespace(
        kernel_id="k", pid=7, host="login2", notebooks=("one.ipynb", "two.ipynb")
    )
    return cast(Known, SimpleNamespace(model=model, ended=ended))


def transcripts(directory: Path, *cells: str) -> tuple[Transcripts, list[str]]:
    """Those of cells that were waiting, and their requests."""
    made = Transcripts(lambda request: None, lambda request: None, directory=directory)
    requests = []
    for cell in cells:
        session = Session(key=b"k")
        asked = session.msg("execute_request", {"code": cell})
        asked["header"]["cell"] = cell
        head = jupyter_message.read(session.serialize(asked))
        assert head is not None
        made.requested(head)
        requests.append(head.id)
    return made, requests


async def test_a_kernel_of_another_server() -> None:
    """The error says whose it is."""
    with pytest.raises(StateError, match="process 7 on login2"):
        await unshown.cells(Runtime(), known(ended=False), None)


async def test_a_kernel_that_ended_elsewhere() -> None:
    """Nothing is there."""
    found = await unshown.cells(Runtime(), known(ended=True), None)

    assert {"cells": [], "dropped": 0} == found.as_json()
    await unshown.shown(Runtime(), known(ended=True), None, ["r"])


async def test_a_kernel_whose_job_ended_here(tmp_path: Path) -> None:
    """What is left of it is there until it is shown."""
    runtime = Runtime()
    left, (first, _) = transcripts(tmp_path, "a", "b")
    left.outlive_kernel()
    runtime.leave("k", left)

    await unshown.shown(runtime, known(ended=True), None, [first])
    found = await unshown.cells(runtime, known(ended=True), None)

    assert [("b", "aborted")] == [
        (cell["cell_id"], cell["state"]) for cell in found.as_json()["cells"]
    ]
    left.close()


async def test_a_new_kernel_of_the_notebook(tmp_path: Path) -> None:
    """Its pages get what the one before left, of the cells that were not run again."""
    runtime = Runtime()
    left, (first, _, last) = transcripts(tmp_path, "a", "b", "c")
    left.outlive_kernel()
    runtime.leave("before", left, ["two.ipynb"])
    strange, _ = transcripts(tmp_path, "z")
    runtime.leave("strange", strange, ["three.ipynb"])
    new, _ = transcripts(tmp_path, "b")
    told: list[str] = []

    async def cells() -> Any:
        return new.now()

    def shown(requests: list[str]) -> None:
        told.extend(requests)

    connection = SimpleNamespace(cells=cells, shown=shown, dropped=0)
    status: Any = SimpleNamespace(connection=connection, local=None)
    kernel = cast(RemoteKernel, SimpleNamespace(status=status))

    found = await unshown.cells(runtime, known(ended=False), kernel)
    await unshown.shown(runtime, known(ended=False), kernel, [first])
    later = await unshown.cells(runtime, known(ended=False), kernel)

    assert ["a", "c", "b"] == [cell.cell for cell in found.cells]
    assert [last] == [cell.request for cell in later.cells if cell.cell == "c"]
    assert ["c", "b"] == [cell.cell for cell in later.cells]
    assert [first] == told
    for one in (left, strange, new):
        one.close()


async def test_what_is_left_of_others(tmp_path: Path) -> None:
    """What was shown takes no room, and the last one of a kernel counts."""
    runtime = Runtime()
    empty, _ = transcripts(tmp_path)
    old, _ = transcripts(tmp_path, "a")
    new, _ = transcripts(tmp_path, "b")

    runtime.leave("j", empty)
    runtime.leave("k", old)
    runtime.leave("k", new)

    assert {"k": (new, frozenset())} == runtime.left
    new.close()


async def test_a_kernel_that_is_waited_for() -> None:
    """Its stand-in has the cells, and there is nothing to be shown yet."""
    standin = StandIn(b"k")
    local = SimpleNamespace(standin=standin)
    status: Any = SimpleNamespace(connection=None, local=local, here=local)
    kernel = cast(RemoteKernel, SimpleNamespace(status=status))
    session = Session(key=b"k")
    asked = session.msg("execute_request", {"code": "x"}, metadata={"cellId": "a"})
    standin.request("shell", session.serialize(asked, ident=b"i"))

    found = await unshown.cells(Runtime(), known(ended=False), kernel)
    await unshown.shown(Runtime(), known(ended=False), kernel, ["r"])

    assert ["waiting"] == [cell.state for cell in found.cells]
