"""A server extension for tests: what is kept for pages, over HTTP.

At the paths that the REST API has for it, so that tests can do without this one when
that is there.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from remote_kernels.jupyter.process import process
from remote_kernels.kernel import service, unshown
from served.server import API


class _Handler(APIHandler):
    async def _of(self, kernel_id: str) -> Any:
        kernel = self.kernel_manager.get_kernel(kernel_id).provisioner.remote_kernel
        (known,) = await process().background.run(service.own([kernel]))
        return known, kernel


class _Cells(_Handler):
    @web.authenticated
    async def get(self, kernel_id: str) -> None:
        asking = unshown.cells(*await self._of(kernel_id))
        found = await process().background.run(asking)
        self.finish(json.dumps(await asyncio.to_thread(found.as_json)))


class _Shown(_Handler):
    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        requests = json.loads(self.request.body)["requests"]
        telling = unshown.shown(*await self._of(kernel_id), requests)
        await process().background.run(telling)
        self.set_status(204)


def _load_jupyter_server_extension(app: Any) -> None:
    base = url_path_join(app.web_app.settings["base_url"], API)
    kernel = r"/kernels/([^/]+)/cells"
    routes = [(base + kernel, _Cells), (f"{base}{kernel}/shown", _Shown)]
    app.web_app.add_handlers(".*$", routes)
