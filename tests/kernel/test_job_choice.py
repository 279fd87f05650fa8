"""kernel.job_choice: a person names the job in which a kernel is to run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from remote_kernels.errors import ChoiceError
from remote_kernels.front.standin import StandIn
from remote_kernels.kernel import job_choice
from remote_kernels.kernel.job_choice import choose_job

CHOICE = ChoiceError("There are two: 11 and 12.", "jobid", ["11", "12"])
SECONDS = 5.0


class Asked:
    """A stand-in that notes what it is told, and asks nobody."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.states = 0
        self.stopped = False
        self.answer: Callable[[str], None] = lambda text: None

    def ask(self, question: str, prompt: str, on_answer: Callable[[str], None]) -> None:
        self.questions.append(question)
        self.answer = on_answer

    def say_state(self) -> None:
        self.states += 1

    def stop_asking(self) -> None:
        self.stopped = True


class Endless:
    """An introduction that does not come to its end."""

    def __init__(self) -> None:
        self.cancelled = False

    async def __call__(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True


class Choice:
    """What is under way."""

    def __init__(self) -> None:
        self.asked, self.introduction = Asked(), Endless()
        self.made: Awaitable[str] = asyncio.ensure_future(
            choose_job(cast("StandIn", self.asked), CHOICE, self.introduction)
        )

    async def until(self, is_so: Callable[[], bool]) -> None:
        async def look() -> None:
            while not is_so():
                await asyncio.sleep(0)

        await asyncio.wait_for(look(), SECONDS)


@pytest.mark.asyncio
async def test_an_answer() -> None:
    """With the spaces that people type; then nobody is asked or introduced any more."""
    choice = Choice()
    await choice.until(lambda: bool(choice.asked.questions))

    choice.asked.answer(" 12 ")

    assert "12" == await asyncio.wait_for(choice.made, SECONDS)
    assert ["There are two: 11 and 12."] == choice.asked.questions
    assert choice.asked.stopped
    assert choice.introduction.cancelled


@pytest.mark.asyncio
async def test_an_answer_that_is_none() -> None:
    """It is asked again, with what was wrong."""
    choice = Choice()
    await choice.until(lambda: bool(choice.asked.questions))

    choice.asked.answer("13")
    await choice.until(lambda: len(choice.asked.questions) == 2)
    assert not choice.asked.stopped
    choice.asked.answer("11")

    assert "11" == await asyncio.wait_for(choice.made, SECONDS)
    assert choice.asked.questions[1].endswith("There is no job '13' among them.")


@pytest.mark.asyncio
async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers hear that it lives, again and again."""
    monkeypatch.setattr(job_choice, "SAY_STATE", 0.0)
    choice = Choice()

    await choice.until(lambda: choice.asked.states > 2)
    choice.asked.answer("11")

    assert "11" == await asyncio.wait_for(choice.made, SECONDS)


@pytest.mark.asyncio
async def test_the_kernel_is_shut_down_instead() -> None:
    """Nothing goes on."""
    choice = Choice()
    await choice.until(lambda: bool(choice.asked.questions))

    cast("asyncio.Future[str]", choice.made).cancel()
    with pytest.raises(asyncio.CancelledError):
        await choice.made

    assert choice.introduction.cancelled
