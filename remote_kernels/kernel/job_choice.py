"""Ask in the first cell in which of several jobs a kernel is to run.

Called by startup.py.
"""

from __future__ import annotations

import asyncio

from remote_kernels.bounded import within
from remote_kernels.errors import ChoiceError
from remote_kernels.front.standin import StandIn

from .queue_display import SAY_STATE, Introduction

PROMPT = "In which of them is this kernel to run? Its number:"


async def choose_job(
    standin: StandIn, choice: ChoiceError, introduction: Introduction
) -> str:
    """Ask until somebody has named one of the jobs; return its number.

    Parameters
    ----------
    standin:
        Who speaks to clients meanwhile.
    choice:
        What there is to choose from.
    introduction:
        By which the stand-in learns what kernel it stands for; else no page lets
        anybody run a cell.
    """
    answers: asyncio.Queue[str] = asyncio.Queue()
    meeting = asyncio.create_task(introduction())
    standin.ask(str(choice), PROMPT, answers.put_nowait)
    try:
        while True:
            try:
                answer = (await within(answers.get(), SAY_STATE)).strip()
            except asyncio.TimeoutError:
                standin.say_state()
                continue
            if answer in choice.choices:
                standin.stop_asking()
                return answer
            said = f"{choice}\nThere is no job {answer!r} among them."
            standin.ask(said, PROMPT, answers.put_nowait)
    finally:
        meeting.cancel()
        await asyncio.wait((meeting,))
