"""Handlers of what cells printed that no page has shown and saved.

It may be much: it is made and packed cell by cell, off the event loop, and waits for a
slow client. Who may not run code in kernels may not read what they print either.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from http import HTTPStatus

from tornado.iostream import StreamClosedError

from remote_kernels.kernel.unshown import Unshown

from . import input
from .handler import KERNEL, Handler, Routes, guarded

QUICKLY = 1  # zlib's level: the line is slow, but the login node is not only ours
GZIP = zlib.MAX_WBITS | 16


class _Cells(Handler):
    """What both have in common."""

    async def check(self) -> None:
        """Let in only who may run code."""
        input.nothing(self.request.query_arguments)
        text = "Who may not run code in kernels may not see what they print either."
        await self.check_execute(text)


class CellsHandler(_Cells):
    """What is held of a kernel's cells."""

    @guarded
    async def get(self, kernel_id: str) -> None:
        """Send it; from now on it is held."""
        await self.check()
        found = await self.kernels.cells(kernel_id)
        self.set_header("Content-Type", "application/json")
        self.set_header("Vary", "Accept-Encoding")
        is_packed = "gzip" in self.request.headers.get("Accept-Encoding", "")
        if is_packed:
            self.set_header("Content-Encoding", "gzip")
        pieces = _packed(_pieces(found)) if is_packed else _pieces(found)
        try:
            while piece := await asyncio.to_thread(next, pieces, b""):
                self.write(piece)
                await self.flush()
        except StreamClosedError:
            return  # the page was closed
        self.finish()


class ShownHandler(_Cells):
    """What need not be held any more."""

    @guarded
    async def post(self, kernel_id: str) -> None:
        """Forget what a page has shown and saved."""
        await self.check()
        requests = input.requests(self.request.body)
        await self.kernels.shown(kernel_id, requests)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


def _pieces(found: Unshown) -> Iterator[bytes]:
    """Yield the answer's JSON, a cell at a time."""
    yield b'{"cells": ['
    for number, cell in enumerate(found.cells):
        yield (", " if number else "").encode() + json.dumps(cell.as_json()).encode()
    yield f'], "dropped": {found.dropped}}}'.encode()


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packing = zlib.compressobj(QUICKLY, wbits=GZIP)
    for piece in pieces:
        if packed := packing.compress(piece):
            yield packed
    yield packing.flush()


ROUTES: Routes = [
    (f"{KERNEL}/cells", CellsHandler),
    (f"{KERNEL}/cells/shown", ShownHandler),
]
