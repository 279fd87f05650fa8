"""Forwarded ports of this server's kernels, for the REST API and the proxy.

Rules: only the server that has a kernel forwards its ports; ports live on the kernels'
loop, requests on the server's. Called by the API's handlers and by proxied.py.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from jupyter_server.utils import url_escape, url_path_join

from remote_kernels.errors import NotFoundError
from remote_kernels.kernel import service
from remote_kernels.kernel.ports import Port, Ports
from remote_kernels.kernel.service import Known

from .api_kernels import kernel_of

PROXY = "/remote-kernels/proxy"
NOT_INSTALLED = (
    "jupyter-server-proxy is not installed in the notebook server's environment, so "
    "that forwarded ports have no URL. Either install it (pip install "
    "jupyter-server-proxy) and start the server anew, or use the port's Unix socket, "
    "as `remote-kernels forward` shows."
)


def can_proxy() -> bool:
    """Return whether forwarded ports have URLs at this server."""
    return importlib.util.find_spec("jupyter_server_proxy") is not None


def ports_of(manager: Any, known: Known) -> Ports:
    """Return a kernel's forwarded ports. Raises StateError if it can have none now."""
    kernel = kernel_of(manager, known.model.kernel_id) if known.ours else None
    return service.ports(known, kernel)


def find(ports: Ports, id: str) -> Port:
    """Return one of a kernel's forwarded ports. Raises NotFoundError."""
    port = ports.find(id)
    if port is None:
        msg = f"No port of this kernel is forwarded as {id!r}."
        raise NotFoundError(msg)
    return port


def as_json(port: Port, base_url: str, kernel_id: str) -> dict[str, Any]:
    """Return what is told of a port, with its URL's path at this server if it has one."""
    name, url = port.name, None
    if name and can_proxy():
        url = url_path_join(base_url, PROXY, *map(url_escape, (kernel_id, name)), "/")
    return {**port.as_json(), "url": url}
