"""The REST API `remote-kernels/api`: what runs, as data. Described in openapi.yaml.

Rules: a handler holds no logic: parse, one call, answer. Every method is authenticated,
and authorized as the server's own kernels API is (resource "kernels"). The extension
adds `routes` to the server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_escape, url_path_join
from tornado import web

from remote_kernels.config import every_option
from remote_kernels.errors import NotFoundError, RemoteKernelError
from remote_kernels.kernel.ports import Port, Ports

from . import api_input
from .api_errors import Refusal, status_of
from .api_kernels import Kernels, log_end, start
from .proxied import IS_INSTALLED, PROXY, may_execute

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

ROOT = "/remote-kernels/api"
DOCUMENT = Path(__file__).with_name("openapi.yaml")
_OPTIONS = "properties: {}  # made of the tables of options when it is served"
_ID = r"/kernels/(?P<kernel_id>[^/]+)"


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

    def answer(self, body: object) -> None:
        """Send a body, as JSON."""
        self.finish(json.dumps(body))

    def url_of(self, *parts: str) -> str:
        """Return the path of a resource at this server."""
        return str(url_path_join(self.base_url, ROOT, *map(url_escape, parts)))

    def port_as_json(self, kernel_id: str, port: Port) -> dict[str, Any]:
        """Return what is told of a port, with its URL's path here if it has one."""
        url = None
        if port.name and IS_INSTALLED:
            parts = map(url_escape, (kernel_id, port.name))
            url = url_path_join(self.base_url, PROXY, *parts, "/")
        return {**port.as_json(), "url": url}

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


class KernelsHandler(Handler):
    """All kernels."""

    @guarded
    async def get(self) -> None:
        """List the kernels."""
        ended = api_input.with_ended(self.request.query_arguments)
        found = await self.kernels.all(ended=ended)
        self.answer([known.model.as_json() for known in found])

    @guarded
    async def post(self) -> None:
        """Start a kernel."""
        api_input.nothing(self.request.query_arguments)
        asked = api_input.start(self.request.body)
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
        api_input.nothing(self.request.query_arguments)
        known = await self.kernels.find(kernel_id)
        self.answer(known.model.as_json())

    @guarded
    async def delete(self, kernel_id: str) -> None:
        """End it."""
        api_input.nothing(self.request.query_arguments)
        await self.kernels.stop(await self.kernels.find(kernel_id))
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


class LogHandler(Handler):
    """The end of one of a kernel's logs."""

    @guarded
    async def get(self, kernel_id: str) -> None:
        """Show the end of a log."""
        asked = api_input.log_part(self.request.query_arguments)
        record = (await self.kernels.find(kernel_id)).record
        path = record.job_log if asked.name == "job" else record.kernel_log
        text = await asyncio.to_thread(log_end, path, asked.lines)
        self.finish(text, set_content_type="text/plain; charset=utf-8")


class ExtendHandler(Handler):
    """A job's time limit."""

    @guarded
    async def post(self, kernel_id: str) -> None:
        """Move the limit."""
        api_input.nothing(self.request.query_arguments)
        minutes = api_input.minutes(self.request.body)
        known = await self.kernels.find(kernel_id)
        view = await self.kernels.extend(known, minutes)
        self.answer(view.as_json())


class PortsHandler(Handler):
    """A kernel's forwarded ports."""

    @guarded
    async def get(self, kernel_id: str) -> None:
        """List them."""
        api_input.nothing(self.request.query_arguments)
        ports = await self.kernels.ports(kernel_id)
        self.answer([self.port_as_json(kernel_id, port) for port in ports.all()])

    @guarded
    async def post(self, kernel_id: str) -> None:
        """Forward one more."""
        api_input.nothing(self.request.query_arguments)
        asked = api_input.forward(self.request.body)
        ports = await self.kernels.ports(kernel_id)
        if not await may_execute(self):
            text = "Who may not run code in kernels may not use their ports either."
            raise Refusal(HTTPStatus.FORBIDDEN, text)
        opening = ports.open(asked.target, asked.local_port)
        port = await self.kernels.run(opening)
        self.set_status(HTTPStatus.CREATED)
        self.set_header("Location", self.url_of("kernels", kernel_id, "ports", port.id))
        self.answer(self.port_as_json(kernel_id, port))


class PortHandler(Handler):
    """One forwarded port of a kernel."""

    @guarded
    async def get(self, kernel_id: str, port_id: str) -> None:
        """Tell of the port, and whether somebody listens there now."""
        api_input.nothing(self.request.query_arguments)
        port = _port(await self.kernels.ports(kernel_id), port_id)
        await self.kernels.run(port.try_out())
        self.answer(self.port_as_json(kernel_id, port))

    @guarded
    async def delete(self, kernel_id: str, port_id: str) -> None:
        """Forward it no more."""
        api_input.nothing(self.request.query_arguments)
        ports = await self.kernels.ports(kernel_id)
        await self.kernels.run(ports.close(_port(ports, port_id).id))
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


def _port(ports: Ports, id: str) -> Port:
    """Return one of a kernel's forwarded ports. Raises NotFoundError."""
    port = ports.find(id)
    if port is None:
        msg = f"No port of this kernel is forwarded as {id!r}."
        raise NotFoundError(msg)
    return port


class SpecHandler(Handler):
    """The document that describes all this."""

    @guarded
    async def get(self) -> None:
        """Show the document."""
        api_input.nothing(self.request.query_arguments)
        text = await asyncio.to_thread(document)
        here = f"url: {json.dumps(self.url_of())}"
        text = text.replace(f"url: {ROOT}", here, 1)
        self.finish(text, set_content_type="application/yaml")


def routes(kernels: Kernels) -> list[tuple[str, type[Handler], dict[str, Any]]]:
    """Return what the server's application adds; it puts its base_url before it."""
    handlers: list[tuple[str, type[Handler]]] = [
        ("/kernels", KernelsHandler),
        (_ID, KernelHandler),
        (f"{_ID}/log", LogHandler),
        (f"{_ID}/extend", ExtendHandler),
        (f"{_ID}/ports", PortsHandler),
        (rf"{_ID}/ports/(?P<port_id>[^/]+)", PortHandler),
        ("/spec", SpecHandler),
    ]
    return [(ROOT + path, handler, {"kernels": kernels}) for path, handler in handlers]
