"""agent.endpoint: a kernel of a shared job that ended is not begun again by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remote_kernels.wire.codes import Farewell
from remote_kernels.wire.hello import Refused

from .shared import Place, until

pytestmark = pytest.mark.asyncio


async def test_it_was_forgotten(tmp_path: Path) -> None:
    """Who comes back hears that, and does not get a new process for the old one."""
    place = Place(tmp_path)
    place.add("other")
    record = place.add("k", silence=0.2)
    async with place.agent() as running, place.attached("other"):
        await until("the end", lambda: not (place.members / "k").exists())
        assert "idle" in json.loads((record / "ended.json").read_text())["reason"]
        with pytest.raises(Refused, match="kernel k has ended"):
            async with place.attached("k"):
                pass
        assert not running.done()


async def test_its_process_ended(tmp_path: Path) -> None:
    """And nobody started another: the record says so."""
    place = Place(tmp_path)
    record = place.add("k", linger=0.1)
    spec = json.loads((record / "spec.json").read_text())
    spec["kernels"]["k"]["argv"] = ["true"]
    place.write(record, "spec.json", spec)
    async with place.agent() as running, place.attached("k") as tunnel:
        assert (await tunnel.ended).code is Farewell.GIVEN_UP
        assert "process had ended" in (record / "ended.json").read_text()
        await running


async def test_who_is_here_is_a_member(tmp_path: Path) -> None:
    """Also if it was none: else the job would end under it."""
    place = Place(tmp_path)
    place.add("k", member=False)
    place.add("other")
    async with place.agent(), place.attached("k"):
        assert (place.members / "k").exists()
