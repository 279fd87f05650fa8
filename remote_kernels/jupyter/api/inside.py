"""Handlers of what is inside a kernel's job: servers, its process's stack, a terminal.

Whoever may not run code in kernels may not look there either.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import Any

from remote_kernels.jupyter.proxied import may, may_execute

from . import input
from .errors import Refusal
from .handler import KERNEL, Handler, Routes, guarded

_NO_TERMINALS = (
    "This server has no terminals: they are switched off (ServerApp.terminals_enabled), "
    "or jupyter_server_terminals is not installed or not enabled. On a command line of "
    "the login node, `remote-kernels shell {}` does the same."
)


class _Inside(Handler):
    async def check(self, *actions: tuple[str, str]) -> None:
        """Raise Refusal if the user may not run code in kernels, nor do all this."""
        allowed = await may_execute(self)
        for action, resource in actions:
            allowed = allowed and await may(self, action, resource)
        if not allowed:
            text = (
                "Who may not run code in kernels may not look into their jobs either."
            )
            if actions:
                text = (
                    "A terminal in a kernel's job needs the authorization to run code "
                    "in kernels, and to use terminals."
                )
            raise Refusal(HTTPStatus.FORBIDDEN, text)


class ListeningHandler(_Inside):
    """The servers that listen in a kernel's job."""

    @guarded
    async def get(self, kernel_id: str) -> None:
        """List them."""
        input.nothing(self.request.query_arguments)
        await self.check()
        self.answer(await self.kernels.listening(kernel_id))


class StackHandler(_Inside):
    """Where a kernel's process is."""

    @guarded
    async def get(self, kernel_id: str) -> None:
        """Show its stack."""
        input.nothing(self.request.query_arguments)
        await self.check()
        text = await self.kernels.stack(kernel_id)
        self.finish(text, set_content_type="text/plain; charset=utf-8")


class TerminalHandler(_Inside):
    """Terminals of this server that lead into a kernel's job."""

    @guarded
    async def post(self, kernel_id: str) -> None:
        """Open one."""
        input.nothing(self.request.query_arguments)
        input.no_body(self.request.body)
        await self.check(("write", "terminals"), ("execute", "terminals"))
        model = await self.kernels.open_job(kernel_id)
        manager: Any = self.settings.get("terminal_manager")
        if manager is None:
            raise Refusal(HTTPStatus.CONFLICT, _NO_TERMINALS.format(kernel_id))
        # In /, where no file of the user's can take a module's place; the shell itself
        # begins where the kernel did.
        argv = [sys.executable, "-m", "remote_kernels.cli", "shell", model.kernel_id]
        terminal = manager.create(shell_command=argv, cwd="/")
        self.set_status(HTTPStatus.CREATED)
        self.set_header("Location", f"{self.base_url}api/terminals/{terminal['name']}")
        self.answer({"name": terminal["name"]})


ROUTES: Routes = [
    (f"{KERNEL}/listening", ListeningHandler),
    (f"{KERNEL}/stack", StackHandler),
    (f"{KERNEL}/terminal", TerminalHandler),
]
