"""Handlers of what a kernel's start can be chosen from: kernelspecs, options, queues."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from remote_kernels.config import over, scheduler_of, schema_for
from remote_kernels.jupyter.proxied import may_execute
from remote_kernels.kernel import site

from . import input
from .handler import Handler, Routes, guarded
from .known import Kernels, allow, config_of, own_config


class KernelspecsHandler(Handler):
    """Our kernelspecs."""

    @guarded
    async def get(self) -> None:
        """List them, each with its config."""
        input.nothing(self.request.query_arguments)
        specs = self.kernel_spec_manager.get_all_specs()
        found = await asyncio.to_thread(lambda: [*map(_model, specs, specs.values())])
        self.answer([one for one in found if one is not None])


class OptionsHandler(Handler):
    """What can be asked of a kernelspec's batch system."""

    @guarded
    async def get(self) -> None:
        """Show the schema of the options."""
        name = input.kernelspec(self.request.query_arguments)
        specs = self.kernel_spec_manager.get_all_specs()
        made = await asyncio.to_thread(schema_for, config_of(specs, name))
        made["properties"].pop("state_dir")  # which can only be set in the kernelspec
        self.answer(made)


class QueuesHandler(Handler):
    """What is free."""

    @guarded
    async def get(self) -> None:
        """Tell of all queues, as they were at most half a minute ago."""
        scheduler = input.scheduler(self.request.query_arguments)
        ask = partial(_free, self.kernels, scheduler)
        body = await ask()
        self.kernels.looked_at("queues", body["scheduler"], body, ask)
        self.answer(body)


class EstimateHandler(Handler):
    """When a kernel would start."""

    @guarded
    async def post(self) -> None:
        """Tell when, or why it never could; nothing is submitted."""
        input.nothing(self.request.query_arguments)
        asked = input.start(self.request.body)
        specs = self.kernel_spec_manager.get_all_specs()
        config = over(config_of(specs, asked.name), asked.options)
        await allow(asked.options, partial(may_execute, self))
        found = await self.kernels.outlook(config)
        self.answer(found.as_json())


async def _free(kernels: Kernels, scheduler: str) -> dict[str, Any]:
    return (await kernels.free(scheduler)).as_json()


def _model(name: str, found: Any) -> dict[str, Any] | None:
    """Return what is told of a kernelspec; None of one that is not ours, or makes no sense."""
    spec = found["spec"]
    try:
        config = own_config(spec)
    except (AttributeError, TypeError, ValueError):
        return None
    if config is None:
        return None
    return {
        "name": name,
        "display_name": spec.get("display_name", name),
        "scheduler": scheduler_of(config),
        "config": config,
        "is_here": site.can_be_submitted(config),
    }


ROUTES: Routes = [
    ("/kernelspecs", KernelspecsHandler),
    ("/options", OptionsHandler),
    ("/queues", QueuesHandler),
    ("/estimate", EstimateHandler),
]
