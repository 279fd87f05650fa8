"""A page that fills in its cells by itself: from what is kept, then from what comes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from front.world import Msg, Server, date_of

OUTPUTS = ("stream", "clear_output")


class Page:
    """One that opens a notebook while cells may run. It has listened from now on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._heard = len(server.sent)
        self.cells: list[dict[str, Any]] = []
        self.dropped = 0

    async def open(self) -> list[dict[str, Any]]:
        """Ask for the cells."""
        held = await self._server.clients.cells()
        self.cells = [one.as_json() for one in held]
        self.dropped = self._server.clients.dropped
        return self.cells

    def shown(self, *requests: Msg) -> None:
        """Say that these have been shown and saved."""
        self._server.clients.shown([one["header"]["msg_id"] for one in requests])

    def texts(self, late: int = 0) -> dict[str, list[str]]:
        """What it shows, by cell.

        `late`: how many messages that were sent before it listened reach it all the
        same.
        """
        shown: dict[str, list[str]] = defaultdict(list)
        known = set()
        until: dict[str, str] = {}
        for cell in self.cells:
            shown[cell["cell_id"]] = []
            known |= {*cell["gone"], *(said["msg_id"] for said in cell["messages"])}
            until[cell["request"]] = cell["until"]
            for said in cell["messages"]:
                _show(shown[cell["cell_id"]], said["msg_type"], said["content"])
        for msg in self._server.seen()[self._heard - late :]:
            parent, header = msg["parent_header"], msg["header"]
            cell, last = parent.get("cell"), until.get(parent.get("msg_id"))
            own = header["username"] == "remote_kernels"
            if not own and last and date_of(header) < last:
                continue
            if cell is not None and header["msg_id"] not in known:
                _show(shown[cell], msg["msg_type"], msg["content"])
        return dict(shown)


def _show(texts: list[str], kind: str, content: Msg) -> None:
    if kind == "stream":
        texts.append(content["text"])
    elif kind == "clear_output":  # as if each waited for nothing
        texts.clear()
