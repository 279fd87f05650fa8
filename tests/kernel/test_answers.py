"""kernel.answers: one question, however many want to know."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from remote_kernels.errors import ControllerError
from remote_kernels.kernel.answers import Answers

pytestmark = pytest.mark.asyncio


class Oracle:
    """It counts the questions, and answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.may = asyncio.Event()

    async def ask(self) -> int:
        self.asked += 1
        mine = self.asked
        await self.may.wait()
        return mine


async def test_many_who_ask_at_once() -> None:
    """Have one answer, and know when it was asked for."""
    oracle, answers = Oracle(), Answers[int](fresh=60)
    waiting = [asyncio.ensure_future(answers.get("a", oracle.ask)) for _ in range(9)]
    await asyncio.sleep(0)
    oracle.may.set()
    found = await asyncio.gather(*waiting)
    later = await answers.get("a", oracle.ask)

    assert {(later[0], 1)} == {*found}
    assert 60 > time.time() - later[0] >= 0


async def test_another_question() -> None:
    """Has its own answer."""
    oracle, answers = Oracle(), Answers[int](fresh=60)
    oracle.may.set()

    assert [1, 2] == [(await answers.get(key, oracle.ask))[1] for key in "ab"]


async def test_an_answer_that_is_old() -> None:
    """Is asked for again, and forgotten if nobody does."""
    oracle, answers = Oracle(), Answers[int](fresh=0)
    oracle.may.set()
    found = [(await answers.get(key, oracle.ask))[1] for key in "aab"]

    assert [1, 2, 3] == found
    assert 1 == len(answers._asked)


async def test_who_leaves() -> None:
    """Takes the answer from nobody, nor a place in which it is asked for again."""
    oracle, answers = Oracle(), Answers[int](fresh=60)
    leaves, stays = (
        asyncio.ensure_future(answers.get("a", oracle.ask)) for _ in range(2)
    )
    await asyncio.sleep(0)
    leaves.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leaves
    oracle.may.set()

    assert 1 == (await stays)[1]


async def test_a_failure() -> None:
    """Is an answer, too: who is down is not asked by every page."""
    asked: list[int] = []

    async def fails() -> int:
        asked.append(1)
        msg = "nobody is there"
        raise ControllerError(msg, ["sinfo"], 1)

    answers = Answers[int](fresh=60)
    ask: Callable[[], Coroutine[Any, Any, int]] = fails
    for _ in range(2):
        with pytest.raises(ControllerError, match="nobody is there"):
            await answers.get("a", ask)

    assert [1] == asked
