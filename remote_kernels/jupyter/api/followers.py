"""Who follows a log at this server: a bounded number, which ends with it.

Made by known.py; called by logs.py, and by the server extension.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from .errors import Refusal

MOST = 20  # at a time


class Followers:
    """Who follows a log at this server."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.answers: set[asyncio.Task[Any]] = set()  # that are not yet at their ends

    def begin(
        self, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Let one more follow a log, in answer to the request of this task.

        Raises Refusal if there are many already.
        """
        if len(self._tasks) >= MOST:
            text = (
                f"{MOST} logs are followed at this server already. Close one of them, "
                "or ask for a log as it is now, without 'follow'."
            )
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, text)
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if answer := asyncio.current_task():
            self.answers.add(answer)
            answer.add_done_callback(self.answers.discard)
        return task

    def stop(self) -> None:
        """End all answers: the server stops."""
        for task in self._tasks:
            task.cancel()
