"""Forwarded ports under the notebook server's own address, by jupyter-server-proxy.

`{base_url}remote-kernels/proxy/KERNEL_ID/PORT/...`, websockets too. Rules: whoever may
run code in kernels may use their ports, nobody else; only ports that are forwarded are
there; pages of another origin may ask for nothing; the server's own token and cookies
stay here. Where jupyter-server-proxy is not installed, the answer says so. The
extension adds `routes` to the server.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async
from tornado import web

from remote_kernels.kernel.ports import Port

from .api.errors import Refusal
from .api.known import kernel_of
from .withheld import Secrets, of_same_origin

try:
    from jupyter_server_proxy.handlers import ProxyHandler
except ImportError:
    ProxyHandler = None

IS_INSTALLED = ProxyHandler is not None
PROXY = "/remote-kernels/proxy"
_NOT_INSTALLED = (
    "jupyter-server-proxy is not installed in the notebook server's environment, so "
    "that forwarded ports have no URL. Either install it (pip install "
    "jupyter-server-proxy) and start the server anew, or use the port's Unix socket, "
    "as `remote-kernels forward` shows."
)
_TIMED_OUT = 599  # tornado's own, when a server does not answer


async def may_execute(handler: JupyterHandler) -> bool:
    """Return whether the user who asks may run code in kernels."""
    return await may(handler, "execute", "kernels")


async def may(handler: JupyterHandler, action: str, resource: str) -> bool:
    """Return whether the user who asks may do that."""
    user, authorizer = handler.current_user, handler.authorizer
    allowed = authorizer.is_authorized(handler, user, action, resource)
    return bool(await ensure_async(allowed))


class Telling(JupyterHandler):
    """Says in plain text why not; Jupyter's page of status 404 would not."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a text of ours as it is, else as Jupyter does."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, Refusal):
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{error.text}\n")
        else:
            super().write_error(status_code, **kwargs)


class NotInstalled(Telling):
    """Says what is missing."""

    @web.authenticated
    def get(self, *path: str) -> None:
        """Refuse, with what can be done."""
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, _NOT_INSTALLED)


if IS_INSTALLED:

    class Proxied(Telling, ProxyHandler):  # type: ignore[misc]  # it has no types
        """One forwarded port. Path: the kernel's ID, the port, and what is asked of it."""

        auth_resource = "kernels"

        def initialize(self, manager: Any) -> None:
            """Keep the server's kernel manager."""
            self.manager = manager

        def check_xsrf_cookie(self) -> None:
            """Ask for the server's XSRF token, of which a dashboard's pages know nothing.

            So that is only where the browser does not say that the request comes from
            this origin. jupyter-server-proxy (4.6) never asks.
            """
            if not of_same_origin(self.request):
                JupyterHandler.check_xsrf_cookie(self)

        async def prepare(self, *args: Any, **kwargs: Any) -> None:
            """Check a request of whichever kind, and find its port. Raises Refusal."""
            await super().prepare(*args, **kwargs)
            if self._finished:  # sent to the login page
                return
            if not of_same_origin(self.request) and not self.check_origin():
                raise Refusal(
                    HTTPStatus.FORBIDDEN, "Asked by a page of another origin."
                )
            if not await may_execute(self):
                text = "You are not authorized to use the ports of kernels."
                raise Refusal(HTTPStatus.FORBIDDEN, text)
            kernel_id, name, _ = self.path_args
            self._port = self._find(kernel_id, name)
            self.unix_socket = str(self._port.local_socket)
            self._number = int(name.rpartition(":")[2])  # for its log
            self.proxy_base = f"{PROXY.lstrip('/')}/{kernel_id}/{name}"
            self._secrets = Secrets.of(self)
            self.request.query = self._secrets.without_query(self.request.query)

        def _find(self, kernel_id: str, name: str) -> Port:
            kernel = kernel_of(self.manager, kernel_id)
            connection = kernel.status.connection if kernel is not None else None
            ports = connection.ports.all() if connection is not None else []
            for port in ports:
                if port.name == name:
                    return port
            text = (
                f"Port {name} of kernel {kernel_id} is not forwarded by this server. "
                f"`remote-kernels forward {kernel_id[:8]} {name}` does that."
            )
            raise Refusal(HTTPStatus.NOT_FOUND, text)

        def proxy_request_headers(self) -> Any:
            """Return the request's headers without what opens this server."""
            return self._secrets.without(super().proxy_request_headers())

        # What jupyter-server-proxy (4.6) wants of a subclass

        async def http_get(self, kernel_id: str, name: str, path: str) -> None:
            """Pass a GET on."""
            if not path:  # so that the page's own links lead here
                query = f"?{self.request.query}" if self.request.query else ""
                self.redirect(f"{self.request.path}/{query}")
                return
            await self._pass_on(path)

        async def post(self, kernel_id: str, name: str, path: str) -> None:
            """Pass a request of any other kind on."""
            await self._pass_on(path)

        put = delete = head = patch = options = post

        async def open(self, kernel_id: str, name: str, path: str) -> None:
            """Open a websocket there."""
            await self.proxy_open("localhost", self._number, path)

        async def _pass_on(self, path: str) -> None:
            try:
                await self.proxy("localhost", self._number, path)
            except (web.HTTPError, OSError) as error:
                failed = isinstance(error, OSError) or error.status_code in (
                    500,
                    _TIMED_OUT,
                )
                if not failed or self._headers_written:
                    raise
                said = str(error) if isinstance(error, OSError) else error.log_message
                why = self._port.trouble or said or "it did not answer"
                text = f"{self._port.target} of the kernel's node: {why}"
                raise Refusal(HTTPStatus.BAD_GATEWAY, text) from error


def routes(manager: Any) -> list[tuple[str, type[JupyterHandler], dict[str, Any]]]:
    """Return what the server's application adds; it puts its base_url before it."""
    path = rf"{PROXY}/([^/]+)/([^/]+)(/.*|)"
    if not IS_INSTALLED:
        return [(path, NotInstalled, {})]
    return [(path, Proxied, {"manager": manager})]
