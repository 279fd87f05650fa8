"""One event loop in one thread, for all kernels of this process.

A synchronous KernelManager (jupyter console, plain scripts) runs its loop only during
each call, so whatever must go on between calls lives here. When the process exits,
what is still starting is cancelled, and kernels that nobody has shut down are released
(jupyter_console 6.6 only sends shutdown_request, and plain scripts forget), in bounded
time. A forked child has none of this. Made by process.py.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import selectors
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from remote_kernels import forked, harmless

log = harmless.logger(__name__)

T = TypeVar("T")

TICK = 0.5  # seconds
EXIT_TIMEOUT = 30.0  # seconds for what is under way to undo itself at exit


class Background:
    """The thread in which all kernels of this process live, and its loop."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        self.loop.set_exception_handler(_tell)
        self._running: set[concurrent.futures.Future[Any]] = set()
        self._work: set[asyncio.Task[Any]] = set()  # begun for callers, not yet ended
        self._held: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="remote_kernels", daemon=True
        )

    def start(self) -> None:
        """Let the loop run until this process exits."""
        self._thread.start()
        # threading's own exit hooks run before atexit's and join no daemon threads.
        atexit.register(self._exit)

    def forked(self) -> None:
        """Let go of the loop in a forked child, which has no thread that runs it."""
        atexit.unregister(self._exit)
        registered = [key.fd for key in self._selector.get_map().values()]
        # First the selector's own: it is one with the parent's.
        forked.let_go([self._selector.fileno(), *registered], self)

    def hold(self, name: str, release: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Call `release` at exit, unless `let_go` was called before."""
        self._held[name] = release

    def let_go(self, name: str) -> None:
        """Call nothing at exit of what `hold` was told under this name."""
        self._held.pop(name, None)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and await it from another; cancellation passes on.

        A cancelled caller waits until `work` has undone what it did.
        """
        future, done = self._submit(work)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        waiting = asyncio.wrap_future(future)
        try:
            return await _result(waiting)
        except asyncio.CancelledError:
            waiting.cancel()
            await asyncio.wait((asyncio.wrap_future(done),), timeout=EXIT_TIMEOUT)
            raise

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Like `run`, but `work` goes on to its end whatever becomes of the caller."""
        future, _ = self._submit(work)
        return await _result(asyncio.wrap_future(future))

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Let `work` go on to its end, for which only this process's end waits."""
        future, _ = self._submit(work)
        future.add_done_callback(_tell_failure)

    def _submit(
        self, work: Coroutine[Any, Any, T]
    ) -> tuple[concurrent.futures.Future[T], concurrent.futures.Future[None]]:
        """Both are done when `work` is; the second also waits for what undoes it."""
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        async def tell_end() -> T:
            task = asyncio.current_task()
            assert task is not None
            self._work.add(task)
            try:
                return await work
            finally:
                self._work.discard(task)
                done.set_result(None)

        return asyncio.run_coroutine_threadsafe(tell_end(), self.loop), done

    def _exit(self) -> None:
        """Release what is held; a second Ctrl-C leaves no jobs behind.

        It takes EXIT_TIMEOUT seconds at most.
        """
        atexit.unregister(self._exit)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        for future in list(self._running):
            future.cancel()
        stopped = asyncio.run_coroutine_threadsafe(self._drain(), self.loop)
        try:
            stopped.result(EXIT_TIMEOUT)
        except concurrent.futures.TimeoutError:
            for task in asyncio.all_tasks(self.loop):
                log.error("at exit nobody waits any longer for %r", task)
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(EXIT_TIMEOUT)
        if not self._thread.is_alive():
            self.loop.close()

    async def _drain(self) -> None:
        releases = [release() for release in self._held.values()]
        for result in await asyncio.gather(*releases, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("a kernel was not released at exit: %s", result)
        if self._work:  # is undoing what it did, or finishing
            await asyncio.wait(set(self._work), timeout=EXIT_TIMEOUT)
        mine = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not mine]
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=EXIT_TIMEOUT)


async def _result(waiting: asyncio.Future[T]) -> T:
    """Of what the thread does, when it is done; `waiting` is not cancelled.

    The loop looks now and then, as it may not be woken. jupyter_core (5.9) keeps its
    loop for synchronous callers; forked children have it from their parent, with one
    pipe for all their wake-ups, and one process may take those of another.
    """
    while not waiting.done():
        await asyncio.wait((waiting,), timeout=TICK)
    return waiting.result()


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a line where asyncio (3.11) has a traceback each second.

    That is when descriptors have run out.
    """
    exc = context.get("exception")
    if isinstance(exc, OSError) and "accept" in context["message"]:
        log.warning("a connection must wait: %s", exc)
    else:
        loop.default_exception_handler(context)


def _tell_failure(future: concurrent.futures.Future[Any]) -> None:
    if not future.cancelled() and future.exception() is not None:
        log.error("%s", future.exception())
