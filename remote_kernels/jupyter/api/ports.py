"""Handlers of a kernel's forwarded ports."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from jupyter_server.utils import url_escape, url_path_join

from remote_kernels.errors import NotFoundError
from remote_kernels.jupyter.proxied import IS_INSTALLED, PROXY
from remote_kernels.kernel.ports import Port, Ports

from . import input
from .handler import KERNEL, Handler, Routes, guarded


class _Ports(Handler):
    def port_as_json(self, kernel_id: str, port: Port) -> dict[str, Any]:
        """Return what is told of a port, with its URL's path here if it has one."""
        url = None
        if port.name and IS_INSTALLED:
            parts = map(url_escape, (kernel_id, port.name))
            url = url_path_join(self.base_url, PROXY, *parts, "/")
        return {**port.as_json(), "url": url}


class PortsHandler(_Ports):
    """A kernel's forwarded ports."""

    @guarded
    async def get(self, kernel_id: str) -> None:
        """List them."""
        input.nothing(self.request.query_arguments)
        ports = await self.kernels.ports(kernel_id)
        self.answer([self.port_as_json(kernel_id, port) for port in ports.all()])

    @guarded
    async def post(self, kernel_id: str) -> None:
        """Forward one more."""
        input.nothing(self.request.query_arguments)
        asked = input.forward(self.request.body)
        ports = await self.kernels.ports(kernel_id)
        text = "Who may not run code in kernels may not use their ports either."
        await self.check_execute(text)
        opening = ports.open(asked.target, asked.local_port)
        port = await self.kernels.run(opening)
        self.set_status(HTTPStatus.CREATED)
        self.set_header("Location", self.url_of("kernels", kernel_id, "ports", port.id))
        self.answer(self.port_as_json(kernel_id, port))


class PortHandler(_Ports):
    """One forwarded port of a kernel."""

    @guarded
    async def get(self, kernel_id: str, port_id: str) -> None:
        """Tell of the port, and whether somebody listens there now."""
        input.nothing(self.request.query_arguments)
        port = _port(await self.kernels.ports(kernel_id), port_id)
        await self.kernels.run(port.try_out())
        self.answer(self.port_as_json(kernel_id, port))

    @guarded
    async def delete(self, kernel_id: str, port_id: str) -> None:
        """Forward it no more."""
        input.nothing(self.request.query_arguments)
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


ROUTES: Routes = [
    (f"{KERNEL}/ports", PortsHandler),
    (rf"{KERNEL}/ports/(?P<port_id>[^/]+)", PortHandler),
]
