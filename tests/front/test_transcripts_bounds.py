"""front.transcripts: how much is kept, and what is dropped first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_client.session import Session

from front.world import KEY, Msg, timeless
from remote_kernels.front import jupyter_message, transcript
from remote_kernels.front.inbox import KernelMessage
from remote_kernels.front.jupyter_message import Head
from remote_kernels.front.transcripts import HELD_TIME, Transcripts

SIZE = 1000  # characters that each message prints
ROOM = 30_000
CHUNK = 4_000


class Desk:
    """Transcripts, what they tell the agent, and who speaks to them."""

    def __init__(self, directory: Path | None = None, hold: int = ROOM) -> None:
        self.kept: set[str] = set()
        self.session = Session(key=KEY)
        self.transcripts = Transcripts(
            self.kept.add, self.kept.discard, hold, directory
        )
        self._number = 0

    def head(self, kind: str, content: Msg, parent: Msg | None = None) -> Head:
        msg = self.session.msg(kind, content, parent=parent)
        if parent is None:
            msg["header"]["cell"] = content["code"]
        head = jupyter_message.read(self.session.serialize(msg))
        assert head is not None
        return head

    def ask(self, code: str) -> Head:
        asked = self.head("execute_request", {"code": code})
        self.transcripts.requested(asked)
        return asked

    def say(self, asked: Head, kind: str, **content: Any) -> None:
        head = self.head(kind, content, {"header": asked.header})
        self._number += 1
        who = head.parent, head.parent_id, head.parent_session
        message = KernelMessage("iopub", self._number, *who, 0, False)
        self.transcripts.take(message, head, SIZE)

    def print(self, asked: Head, text: str) -> None:
        self.say(asked, "stream", name="stdout", text=text.ljust(SIZE))

    def status(self, asked: Head, state: str) -> None:
        self.say(asked, "status", execution_state=state)

    def texts(self) -> dict[str, tuple[list[str], int]]:
        """What is there of each cell, and how much is not."""
        return {
            cell["cell_id"]: (
                [said["content"]["text"].strip() for said in cell["messages"]],
                cell["dropped"],
            )
            for cell in (one.as_json() for one in self.transcripts.now())
        }


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "CHUNK", CHUNK)


@timeless
async def test_what_is_over_is_dropped_first() -> None:
    """The oldest of it; that it was there is still known."""
    desk = Desk()
    for code in "abc":
        asked = desk.ask(code)
        desk.status(asked, "busy")
        for number in range(10):
            desk.print(asked, f"{code}{number}")
        if code != "c":
            desk.status(asked, "idle")

    texts = desk.texts()

    assert ([], 10) == texts["a"]
    assert {"b": 10, "c": 10} == {code: len(texts[code][0]) for code in "bc"}
    assert [desk.transcripts.now()[n].request in desk.kept for n in range(3)] == [
        False,
        True,
        True,
    ]
    desk.transcripts.close()


@timeless
async def test_then_the_oldest_of_what_runs() -> None:
    """The newest is what people want to see."""
    desk = Desk()
    asked = desk.ask("a")
    desk.status(asked, "busy")
    for number in range(100):
        desk.print(asked, str(number))

    texts, dropped = desk.texts()["a"]

    assert [str(number) for number in range(dropped, 100)] == texts
    assert len(texts) > 10
    assert asked.id in desk.kept
    desk.transcripts.close()


@timeless
async def test_the_disk_is_gone(tmp_path: Path) -> None:
    """What does not fit into memory is counted as dropped."""
    desk = Desk(tmp_path / "removed")
    asked = desk.ask("a")
    desk.status(asked, "busy")
    for number in range(20):
        desk.print(asked, str(number))

    texts, dropped = desk.texts()["a"]

    assert [str(number) for number in range(dropped, 20)] == texts
    assert 0 < dropped < 20
    desk.transcripts.close()


step = st.tuples(
    st.sampled_from(["ask", "busy", "print", "clear", "idle", "end", "shown", "wait"]),
    st.integers(0, 7),
)


@given(st.lists(step, max_size=150))
@settings(deadline=None)
def test_bounds_and_order_hold(steps: list[tuple[str, int]]) -> None:
    """Whatever happens: what is there is the end of what was said, and all is counted."""

    @timeless
    async def see() -> None:
        desk = Desk()
        asked: list[Head] = []
        said: dict[str, list[str]] = {}
        for number, (what, which) in enumerate(steps):
            there = [one for one in asked if one.id in desk.transcripts]
            one = there[which % len(there)] if there else None
            if what == "ask" or one is None:
                asked.append(desk.ask(str(number)))
                said[str(number)] = []
            elif what in ("busy", "idle"):
                desk.status(one, what)
            elif what == "print":
                for each in range(which + 1):
                    desk.print(one, f"{number}.{each}")
                    said[one.content()["code"]].append(f"{number}.{each}")
            elif what == "clear":
                desk.say(one, "clear_output", wait=False)
                said[one.content()["code"]].clear()
            elif what == "end":
                desk.transcripts.process_ended()
            elif what == "shown":
                desk.transcripts.shown([one.id])
            else:
                await asyncio.sleep(HELD_TIME / 4)

        texts, now = desk.texts(), desk.transcripts.now()
        runs = sum(not each.state.is_over for each in now)
        assert desk.transcripts._spool.size <= ROOM + runs * CHUNK
        assert [*texts] == [code for code in said if code in texts]
        for code, (found, dropped) in texts.items():
            all_said = said[code]
            assert found == all_said[len(all_said) - len(found) :]
            assert len(all_said) <= len(found) + dropped
        assert all(each.state.is_over or each.request in desk.kept for each in now)
        assert desk.kept <= {each.request for each in now}
        desk.transcripts.shown([each.id for each in asked])
        desk.transcripts.process_ended()
        desk.transcripts.shown([each.id for each in asked])
        assert (0, set()) == (desk.transcripts._spool.size, desk.kept)
        desk.transcripts.close()

    see()
