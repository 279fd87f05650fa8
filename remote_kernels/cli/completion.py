"""Completion in the shell: the script that turns it on, and the words that it offers.

The words come from this same program each time, so they are never out of date. Called
by `main`, and by the parameters that take a kernelspec or a kernel.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

import click
from click.shell_completion import CompletionItem, get_completion_class

from remote_kernels import harmless
from remote_kernels.cli import kernelspec
from remote_kernels.cli.kernelspec import Kernelspec
from remote_kernels.errors import KernelspecError
from remote_kernels.kernel import service, site
from remote_kernels.kernel.service import Noted

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes remote-kernels in SHELL.

    \b
    in ~/.bashrc:                  eval "$(remote-kernels completion bash)"
    in ~/.zshrc, after compinit:   eval "$(remote-kernels completion zsh)"
    in ~/.config/fish/config.fish: remote-kernels completion fish | source
    """
    variable = "_REMOTE_KERNELS_COMPLETE"  # the name that click derives by itself
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "remote-kernels", variable)
    click.echo(script.source())


def names_of(kernelspecs: Callable[[], dict[str, Kernelspec]]) -> Completer:
    """Return what completes the name of one of these kernelspecs."""

    def complete(
        _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            found = kernelspecs()
        except KernelspecError:
            return []
        return [
            CompletionItem(name, help=harmless.line(kernel.spec["display_name"]))
            for name, kernel in found.items()
            if name.startswith(incomplete) and _can_be_typed(name)
        ]

    return complete


def running_kernels(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the kernels that were running when last heard of.

    The batch system is not asked: nobody should wait for it at a prompt.
    """
    named = ctx.params.get(param.name or "") or ()
    live = [record for record in _records() if record.is_live]
    return [item for item in _words(live, incomplete) if item.value not in named]


def recorded_kernels(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return all kernels on record, those that have ended included."""
    return _words(_records(), incomplete)


def offers(
    _ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return what the batch system has for this option.

    In a list with commas, the last word is completed.
    """
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(before + comma + name)
        for name in asyncio.run(site.offers(str(param.name).removeprefix("config_")))
        if name.startswith(last)
    ]


def _records() -> list[Noted]:
    noted = service.noted(kernelspec.state_dirs())
    return [each for each in noted if _can_be_typed(each.kernel_id)]


def _words(records: list[Noted], incomplete: str) -> list[CompletionItem]:
    """Return the IDs of these kernels, then words that tell their notebooks apart."""
    items = [_item(r) for r in records if r.kernel_id.startswith(incomplete)]
    paths = [path for record in records for path in record.notebooks]
    names = Counter(PurePosixPath(path).name for path in paths)
    for path, count in Counter(paths).items():
        name = PurePosixPath(path).name
        words = [name] if names[name] == 1 else []
        if count == 1 and (not words or "/" in incomplete):
            words = [path]
        items += [
            CompletionItem(word, help=harmless.line(path))
            for word in words
            if word.startswith(incomplete) and _is_one_word(word)
        ]
    return items


def _is_one_word(name: str) -> bool:
    """Return whether every shell takes the name as it is, without quotes."""
    plain = not set(name) & set(" \t\"'\\$`&|;<>()[]{}*?!#~:=^%")
    return plain and _can_be_typed(name) and not name.startswith("-")


def _can_be_typed(name: str) -> bool:
    """Return whether a shell would take the name for one harmless word."""
    return harmless.line(name) == name


def _item(record: Noted) -> CompletionItem:
    """Return a kernel's ID, with the names of its notebooks as the help text."""
    about = ", ".join(record.notebooks) or record.name
    return CompletionItem(record.kernel_id, help=harmless.line(about))
