"""Completion in the shell: the script that turns it on, and the words it offers.

The words come back from this same program, so they are always those of today.
Called by `main`, and by the parameters that take a kernelspec or a kernel.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
)

from remote_kernels import harmless, registry
from remote_kernels.cli import kernelspec
from remote_kernels.cli.kernelspec import Kernelspec
from remote_kernels.errors import KernelspecError, RecordError

_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes remote-kernels in SHELL.

    \b
    in ~/.bashrc:                  eval "$(remote-kernels completion bash)"
    in ~/.zshrc, after compinit:   eval "$(remote-kernels completion zsh)"
    in ~/.config/fish/config.fish: remote-kernels completion fish | source
    """
    variable = "_REMOTE_KERNELS_COMPLETE"  # the name that click derives by itself
    script = _SHELLS[shell](ctx.find_root().command, {}, "remote-kernels", variable)
    click.echo(script.source())


def template_names(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The templates whose name begins with `incomplete`."""
    try:
        return _items(kernelspec.templates(), incomplete)
    except KernelspecError:
        return []


def kernel_names(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The installed kernelspecs whose name begins with `incomplete`."""
    return _items(kernelspec.installed(), incomplete)


def our_kernel_names(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Those of the installed kernelspecs that are ours."""
    ours = {n: k for n, k in kernelspec.installed().items() if k.is_ours}
    return _items(ours, incomplete)


def running_kernels(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The kernels that ran when last heard of; nobody waits for a scheduler here."""
    named = ctx.params.get(param.name or "") or ()
    return [
        _item(record)
        for record in _records(incomplete)
        if record.is_live and record.kernel_id not in named
    ]


def recorded_kernels(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Also those that ended, while their records are kept."""
    return [_item(record) for record in _records(incomplete)]


def _records(incomplete: str) -> list[registry.Record]:
    every = itertools.chain(*map(registry.records, kernelspec.state_dirs()))
    return [
        record
        for record in every
        if record.kernel_id.startswith(incomplete) and _can_be_typed(record.kernel_id)
    ]


def _can_be_typed(name: str) -> bool:
    """Of another the shell would make several words, or worse."""
    return harmless.line(name) == name


def _item(record: registry.Record) -> CompletionItem:
    """With what its notebooks are called."""
    facts: dict[str, Any] = {}
    sessions: dict[str, Any] = {}
    with contextlib.suppress(RecordError):
        facts = record.read("record.json") or {}
        sessions = record.read("sessions.json") or {}
    paths = [str(session.get("path", "")) for session in sessions.values()]
    about = ", ".join(paths) or str(facts.get("name", ""))
    return CompletionItem(record.kernel_id, help=harmless.line(about))


def _items(kernels: dict[str, Kernelspec], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=harmless.line(kernel.spec["display_name"]))
        for name, kernel in kernels.items()
        if name.startswith(incomplete) and _can_be_typed(name)
    ]
