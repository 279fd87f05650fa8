"""All routes of the REST API, for the server extension, which adds them."""

from __future__ import annotations

from typing import Any

from . import cells, choice, document, inside, jobs, kernels, logs, ports
from .handler import ROOT, Handler
from .known import Kernels


def routes(found: Kernels) -> list[tuple[str, type[Handler], dict[str, Any]]]:
    """Return what the server's application adds; it puts its base_url before it."""
    files = (kernels, cells, logs, ports, inside, choice, jobs, document)
    handlers = [route for file in files for route in file.ROUTES]
    return [(ROOT + path, handler, {"kernels": found}) for path, handler in handlers]
