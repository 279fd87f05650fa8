"""Handlers of kernels: list, start, tell of one, end it, its time limit."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

from remote_kernels.jupyter.proxied import may_execute

from . import input
from .handler import KERNEL, Handler, Routes, guarded
from .known import start


class KernelsHandler(Handler):
    """All kernels."""

    @guarded
    async def get(self) -> None:
        """List the kernels."""
        ended = input.with_ended(self.request.query_arguments)
        found = await self.kernels.all(ended=ended)
        self.answer([known.model.as_json() for known in found])

    @guarded
    async def post(self) -> None:
        """Start a kernel."""
        input.nothing(self.request.query_arguments)
        asked = input.start(self.request.body)
        kernel_id = await start(self.serverapp, asked, partial(may_execute, self))
        known = await self.kernels.find(kernel_id)
        self.set_status(HTTPStatus.CREATED)
        self.set_header("Location", self.url_of("kernels", kernel_id))
        self.answer(known.model.as_json())


class KernelHandler(Handler):
    """One kernel."""

    @guarded
    async def get(self, kernel_id: str) -> None:
        """Tell of the kernel."""
        input.nothing(self.request.query_arguments)
        known = await self.kernels.find(kernel_id)
        self.answer(known.model.as_json())

    @guarded
    async def delete(self, kernel_id: str) -> None:
        """End it."""
        input.nothing(self.request.query_arguments)
        await self.kernels.stop(await self.kernels.find(kernel_id))
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


class ExtendHandler(Handler):
    """A job's time limit."""

    @guarded
    async def post(self, kernel_id: str) -> None:
        """Move the limit."""
        input.nothing(self.request.query_arguments)
        minutes = input.minutes(self.request.body)
        known = await self.kernels.find(kernel_id)
        view = await self.kernels.extend(known, minutes)
        self.answer(view.as_json())


ROUTES: Routes = [
    ("/kernels", KernelsHandler),
    (KERNEL, KernelHandler),
    (f"{KERNEL}/extend", ExtendHandler),
]
