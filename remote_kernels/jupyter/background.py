"""One event loop in one thread, for all kernels of this process.

A synchronous KernelManager (jupyter console, plain scripts) runs its loop only during
each call, so whatever must go on between calls lives here. What is still starting when
the process exits is cancelled, and has a bounded time to undo itself. Called by the
provisioner and the CLI.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import functools
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EXIT_TIMEOUT = 30.0  # seconds for what is under way to undo itself at exit


class Background:
    """The thread and its loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._running: set[concurrent.futures.Future[Any]] = set()
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="remote_kernels", daemon=True
        )

    def start(self) -> None:
        self._thread.start()
        # threading's own exit hooks run before atexit's and join no daemon threads.
        atexit.register(self._exit)

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run `work` on the loop."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and await it from another; cancellation passes on.

        A cancelled caller waits until `work` has undone what it did.
        """
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        async def tell_end() -> T:
            try:
                return await work
            finally:
                done.set_result(None)

        future = asyncio.wrap_future(self.submit(tell_end()))
        try:
            return await future
        except asyncio.CancelledError:
            await asyncio.wait((asyncio.wrap_future(done),), timeout=EXIT_TIMEOUT)
            raise

    def _exit(self) -> None:
        for future in list(self._running):
            future.cancel()
        stopped = asyncio.run_coroutine_threadsafe(self._drain(), self.loop)
        try:
            stopped.result(EXIT_TIMEOUT)
        except concurrent.futures.TimeoutError:
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(EXIT_TIMEOUT)

    async def _drain(self) -> None:
        mine = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not mine]
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=EXIT_TIMEOUT)


@functools.cache
def background() -> Background:
    """This process's loop, started when first asked for."""
    made = Background()
    made.start()
    return made
