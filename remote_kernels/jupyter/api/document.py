"""The document that describes the REST API, and its handler."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from remote_kernels.config import every_option

from . import input
from .handler import ROOT, Handler, Routes, guarded

DOCUMENT = Path(__file__).with_name("openapi.yaml")
_OPTIONS = "properties: {}  # made of the tables of options when it is served"


def document() -> str:
    """Return the API's description, with what may be asked of every batch system."""
    properties = {
        name: option.kind.schema
        for option in every_option()
        if option.name != "state_dir"
        for name in filter(None, (option.name, option.portable))
    }
    text = DOCUMENT.read_text(encoding="utf-8")
    return text.replace(_OPTIONS, f"properties: {json.dumps(properties)}")


class SpecHandler(Handler):
    """The document that describes all this."""

    @guarded
    async def get(self) -> None:
        """Show the document."""
        input.nothing(self.request.query_arguments)
        text = await asyncio.to_thread(document)
        here = f"url: {json.dumps(self.url_of())}"
        text = text.replace(f"url: {ROOT}", here, 1)
        self.finish(text, set_content_type="application/yaml")


ROUTES: Routes = [("/spec", SpecHandler)]
