"""What all handlers of the REST API have in common: who may come in, how errors go out.

Rules: a handler holds no logic: parse, one call, answer. Every method is authenticated,
and authorized as the server's own kernels API is (resource "kernels").
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_escape, url_path_join
from tornado import web

from remote_kernels.errors import RemoteKernelError
from remote_kernels.jupyter.proxied import may_execute

from .errors import Refusal, status_of
from .known import Kernels

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

ROOT = "/remote-kernels/api"
KERNEL = r"/kernels/(?P<kernel_id>[^/]+)"
Routes = list[tuple[str, type["Handler"]]]


def guarded(method: Method) -> Method:
    """Let in only users who may; an error of ours becomes an answer."""

    @wraps(method)
    async def told(*args: Any, **kwargs: Any) -> None:
        try:
            await method(*args, **kwargs)
        except RemoteKernelError as error:
            raise Refusal(status_of(error), str(error)) from error

    return web.authenticated(authorized(told))  # type: ignore[return-value]


class Handler(APIHandler):
    """What all handlers have in common."""

    auth_resource = "kernels"

    def initialize(self, kernels: Kernels) -> None:
        """Keep what `routes` gives each handler."""
        self.kernels = kernels

    async def check_execute(self, text: str) -> None:
        """Raise Refusal with this text for a user who may not run code in kernels."""
        if not await may_execute(self):
            raise Refusal(HTTPStatus.FORBIDDEN, text)

    def answer(self, body: object) -> None:
        """Send a body, as JSON."""
        self.finish(json.dumps(body))

    def url_of(self, *parts: str) -> str:
        """Return the path of a resource at this server."""
        return str(url_path_join(self.base_url, ROOT, *map(url_escape, parts)))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer as Jupyter does; a text of ours goes out as it is."""
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self._allowed()))
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, Refusal):
            self.answer({"message": error.text, "reason": None})
        else:
            super().write_error(status_code, **kwargs)

    def _allowed(self) -> list[str]:
        names = {name: name.lower() for name in self.SUPPORTED_METHODS}
        nothing = web.RequestHandler
        return [
            name
            for name, method in names.items()
            if getattr(type(self), method) is not getattr(nothing, method)
        ]
