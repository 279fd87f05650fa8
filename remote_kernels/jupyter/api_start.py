"""Start a kernel of an installed kernelspec with other options than the kernelspec's.

Rules: everything is checked before anything is submitted. An option that decides what
runs on the node, rather than where and for how long, needs what running code in a
kernel needs. Called by the API's handlers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from jupyter_server.utils import ensure_async

from remote_kernels.config import every_option, over, parse
from remote_kernels.kernel import site

from .api_errors import Refusal
from .api_input import Start

_PLAIN = {
    name.replace("-", "_")
    for option in every_option()
    if option.is_plain
    for name in (option.name, option.portable)
}


async def start(
    server: Any, asked: Start, may_execute: Callable[[], Awaitable[bool]]
) -> str:
    """Start a kernel; return its ID.

    Parameters
    ----------
    server
        The notebook server's application.
    asked : Start
        What to start.
    may_execute : callable
        Whether the user may run code in kernels.

    Raises
    ------
    Refusal
        There is no such kernelspec, or the user may not set these options.
    RemoteKernelError
        It could not be started.
    """
    config = _config(server.kernel_spec_manager.get_all_specs(), asked.name)
    options = asked.options
    parse(options)  # one of them under two names is an error
    site.check(over(config, options))
    if "state_dir" in options:
        raise Refusal(400, "option 'state_dir' can only be set in the kernelspec")
    if not _is_plain(options) and not await may_execute():
        text = "These options decide what runs, which you are not authorized to do."
        raise Refusal(403, text)
    manager = server.kernel_manager
    kernel_id = await ensure_async(
        manager.start_kernel(
            kernel_name=asked.name, path=asked.path, remote_kernels=options
        )
    )
    await _ready(manager.get_kernel(kernel_id))
    return str(kernel_id)


def _config(specs: Mapping[str, Any], name: str) -> dict[str, object]:
    """Return the kernelspec's config. What a site forbids is not among `specs`."""
    if name not in specs:
        raise Refusal(400, f"There is no kernelspec called {name!r}.")
    config = own_config(specs[name]["spec"])
    if config is None:
        text = f"The kernelspec {name!r} does not start its kernel in a job."
        raise Refusal(400, text)
    return config


def own_config(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the config of a kernelspec of ours; None if it is no such one.

    Raises what a file written by hand leads to.
    """
    stanza = spec.get("metadata", {}).get("kernel_provisioner", {})
    is_ours = stanza.get("provisioner_name") == "remote-kernels"
    return dict(stanza.get("config", {})) if is_ours else None


def _is_plain(options: Mapping[str, object]) -> bool:
    return {name.replace("-", "_") for name in options} <= _PLAIN


async def _ready(manager: Any) -> None:
    """With `use_pending_kernels` a kernel is there before it has been submitted."""
    ready = manager.ready
    if not isinstance(ready, asyncio.Future):
        ready = asyncio.wrap_future(ready)
    await ready
