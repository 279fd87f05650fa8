"""Handler of a kernel's logs: their end, and what is written from now on."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

from tornado.iostream import StreamClosedError

from remote_kernels.kernel.following import follow
from remote_kernels.kernel.service import Known

from . import input
from .handler import KERNEL, Handler, Routes, guarded
from .known import log_end

TEXT = "text/plain; charset=utf-8"


class LogHandler(Handler):
    """One of a kernel's logs."""

    _task: asyncio.Task[None] | None = None

    @guarded
    async def get(self, kernel_id: str) -> None:
        """Show the end of a log; with `follow`, also what is written until its end."""
        asked = input.log_part(self.request.query_arguments)
        known = await self.kernels.find(kernel_id)
        record = known.record
        path = record.job_log if asked.name == "job" else record.kernel_log
        if not asked.follow:
            text = await asyncio.to_thread(log_end, path, asked.lines)
            self.finish(text, set_content_type=TEXT)
            return
        self._task = self.kernels.followers.begin(
            lambda: self._follow(known, path, asked.lines)
        )
        await asyncio.wait((self._task,))  # it may be cancelled
        if not self.request.connection.stream.closed():  # type: ignore[union-attr]
            self.finish(set_content_type=TEXT)

    async def _follow(self, known: Known, path: Path, lines: int) -> None:
        self.set_header("Content-Type", TEXT)
        self.set_header("X-Accel-Buffering", "no")  # or nginx keeps it for a while
        is_over = self.kernels.end_of(known)
        try:
            async with aclosing(follow(path, lines, is_over)) as texts:
                async for text in texts:
                    self.write(text)
                    await self.flush()
        except StreamClosedError:
            pass
        except Exception:
            self.log.exception("%s is followed no longer", path)

    def on_connection_close(self) -> None:
        """Stop: whoever followed the log has gone."""
        if self._task is not None:
            self._task.cancel()
        super().on_connection_close()


ROUTES: Routes = [(f"{KERNEL}/log", LogHandler)]
