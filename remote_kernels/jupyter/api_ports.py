"""Forwarded ports of this server's kernels, for the REST API and the proxy.

Rules: only the server that has a kernel forwards its ports; ports live on the kernels'
loop, requests on the server's. Called by the API's handlers and by proxied.py.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from jupyter_server.utils import url_escape, url_path_join

from remote_kernels.kernel.ports import Port, Ports
from remote_kernels.wire.target import Tcp

from .api_errors import Refusal
from .api_input import Forward
from .api_kernels import Known
from .background import background
from .provisioner import RemoteKernelProvisioner

if TYPE_CHECKING:
    from remote_kernels.kernel import RemoteKernel

PROXY = "/remote-kernels/proxy"
NOT_INSTALLED = (
    "jupyter-server-proxy is not installed in the notebook server's environment, so "
    "that forwarded ports have no URL. Either install it (pip install "
    "jupyter-server-proxy) and start the server anew, or use the port's Unix socket, "
    "as `remote-kernels forward` shows."
)


def can_proxy() -> bool:
    """Whether forwarded ports have URLs at this server."""
    return importlib.util.find_spec("jupyter_server_proxy") is not None


def kernel_of(manager: Any, kernel_id: str) -> RemoteKernel | None:
    """A kernel of this server in a job."""
    if kernel_id not in manager:
        return None
    provisioner = manager.get_kernel(kernel_id).provisioner
    remote = isinstance(provisioner, RemoteKernelProvisioner)
    return provisioner.remote_kernel if remote else None


def ports_of(manager: Any, known: Known) -> Ports:
    """Raises Refusal when it can have none now."""
    view = known.view
    if known.ended:
        raise Refusal(409, f"Its job has ended: {view.text}")
    kernel = kernel_of(manager, view.kernel_id) if known.ours else None
    if kernel is None:
        who = f"process {view.pid} on {view.host}"
        text = (
            f"The kernel is not with this server, but last was with {who}. Ask there."
        )
        raise Refusal(409, text)
    if kernel.connection is None:
        text = (
            f"Kernel {view.kernel_id} has no node yet: its job {view.job_id} is {view.state} "
            f"({view.text}). Try again when it runs."
        )
        raise Refusal(409, text)
    return kernel.connection.ports


async def open_port(ports: Ports, asked: Forward) -> Port:
    """Raises PortError."""
    return await background().run(ports.open(asked.target, asked.local_port))


async def try_port(ports: Ports, id: str) -> Port:
    """One of them, and whether somebody listens there now. Raises Refusal."""
    port = ports.find(id)
    if port is None:
        raise Refusal(404, f"No port of this kernel is forwarded as {id!r}.")
    await background().run(port.try_out())
    return port


async def close_port(ports: Ports, id: str) -> None:
    """Raises Refusal."""
    if ports.find(id) is None:
        raise Refusal(404, f"No port of this kernel is forwarded as {id!r}.")
    await background().run(ports.close(id))


def name_of(port: Port) -> str:
    """In a URL; "" for one that has none."""
    target = port.target
    if not isinstance(target, Tcp):
        return ""
    return f"{target.host}:{target.port}" if target.host else str(target.port)


def as_json(port: Port, base_url: str, kernel_id: str) -> dict[str, Any]:
    """With the path of its URL at this server, if it has one."""
    name, url = name_of(port), None
    if name and can_proxy():
        url = url_path_join(base_url, PROXY, *map(url_escape, (kernel_id, name)), "/")
    return {**port.as_json(), "url": url}
