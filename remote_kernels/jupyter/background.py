"""One event loop in one thread, for all kernels of this process.

A synchronous KernelManager (jupyter console, plain scripts) runs its loop only during
each call, so whatever must go on between calls lives here. When the process exits,
what is still starting is cancelled, and kernels that nobody has shut down are released
(jupyter_console 6.6 only sends shutdown_request, and plain scripts forget), in bounded
time. Called by the provisioner.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import functools
import logging
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

EXIT_TIMEOUT = 30.0  # seconds for what is under way to undo itself at exit


class Background:
    """The thread and its loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._running: set[concurrent.futures.Future[Any]] = set()
        self._held: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="remote_kernels", daemon=True
        )

    def start(self) -> None:
        self._thread.start()
        # threading's own exit hooks run before atexit's and join no daemon threads.
        atexit.register(self._exit)

    def hold(self, name: str, release: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Call `release` at exit, unless `let_go` was called before."""
        self._held[name] = release

    def let_go(self, name: str) -> None:
        self._held.pop(name, None)

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
        """A second Ctrl-C must not leave jobs behind; the wait is bounded."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
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
        releases = [release() for release in self._held.values()]
        for result in await asyncio.gather(*releases, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("a kernel was not released at exit: %s", result)
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
