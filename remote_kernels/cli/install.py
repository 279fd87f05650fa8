"""`remote-kernels install`: put a kernelspec of ours where Jupyter looks.

Everything is checked before anything is written: the name, the place, and the
configuration, by the same `config.parse` that reads it when the kernel starts.
Called by `main`.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from remote_kernels import config
from remote_kernels.cli import kernelspec
from remote_kernels.cli.completion import names_of
from remote_kernels.cli.kernels import summary
from remote_kernels.cli.kernelspec import Kernelspec
from remote_kernels.cli.options import GroupedCommand, config_options
from remote_kernels.cli.render import render
from remote_kernels.cli.say import say
from remote_kernels.errors import KernelspecError
from remote_kernels.kernel import site


@click.command(cls=GroupedCommand)
@click.argument(
    "template", required=False, shell_complete=names_of(kernelspec.templates)
)
@click.option(
    "--from",
    "wrapped",
    metavar="NAME",
    shell_complete=names_of(kernelspec.installed),
    help="Start from this installed kernelspec instead of a template.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="Name of the new kernelspec.  [default: TEMPLATE or NAME-compute]",
)
@click.option("--display-name", metavar="TEXT", help="What the kernel picker shows.")
@click.option(
    "--env",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A variable for the kernel; others can read it. Repeatable.",
)
@click.option(
    "--python",
    metavar="PATH",
    help="The kernel's interpreter; a bare name is looked up on the node. "
    "[default: the one that runs this command]",
)
@click.option(
    "--user", is_flag=True, help="Install for you alone. This is the default."
)
@click.option(
    "--sys-prefix",
    is_flag=True,
    help="Install into the environment of this command (venv, conda).",
)
@click.option(
    "--prefix",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Install into PATH/share/jupyter/kernels; for all users of a "
    "machine, /usr/local.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace a kernelspec of that name even if it is not ours.",
)
@click.option("--dry-run", is_flag=True, help="Print the kernel.json; write nothing.")
@config_options
def install(
    template: str | None,
    wrapped: str | None,
    name: str | None,
    display_name: str | None,
    env: Sequence[tuple[str, str]],
    python: str | None,
    user: bool,
    sys_prefix: bool,
    prefix: Path | None,
    replace: bool,
    dry_run: bool,
    settings: dict[str, object],
) -> None:
    """Add a kernel that runs in a job to Jupyter's kernel picker.

    TEMPLATE is one of `remote-kernels list --templates`. With --from, any kernel that
    Jupyter already has, in any language, is made to run on compute nodes.

    \b
    remote-kernels install python-compute
    remote-kernels install python-compute --queue debug --time 2:00:00 --name short
    remote-kernels install python-gpu --gpus 2 --cores 8 --account physics
    remote-kernels install --from ir --memory 16G --display-name "R, 16 GB"
    remote-kernels install python-compute --python ~/venvs/torch/bin/python --name torch
    """
    prefix = _prefix(user, sys_prefix, prefix)
    source = _source(template, wrapped)
    name = _name(source, wrapped, name)
    spec, notes = render(source, settings, dict(env), display_name, python)
    new = Kernelspec(name, kernelspec.destination(name, prefix), spec)
    config.parse(new.config)
    replaced = _replaced(new, replace)
    if dry_run:
        say(f"Would write {new.directory}/kernel.json:", err=True)
        say(kernelspec.as_json(spec).rstrip("\n"))
    else:
        kernelspec.write(new, source, prefix)
        _report(new, replaced)
    for note in (*notes, *_advice(new)):
        say(f"Note: {note}", err=True)


def _prefix(user: bool, sys_prefix: bool, prefix: Path | None) -> Path | None:
    """Return the prefix to install into; None is for this user."""
    if user + sys_prefix + (prefix is not None) > 1:
        message = "choose one of --user, --sys-prefix and --prefix"
        raise click.UsageError(message)
    return Path(sys.prefix) if sys_prefix else prefix


def _source(template: str | None, wrapped: str | None) -> Kernelspec:
    """Return the kernelspec to begin with."""
    if wrapped is not None and template is None:
        return kernelspec.find(wrapped, kernelspec.installed(), "kernelspec")
    templates = kernelspec.templates()
    if template is None or wrapped is not None:
        names = ", ".join(templates) or "none found"
        message = f"give a template ({names}) or --from NAME"
        raise click.UsageError(message)
    if template not in templates:
        _refuse_installed(template)
    return kernelspec.find(template, templates, "template")


def _refuse_installed(name: str) -> None:
    """Raise KernelspecError if this is an installed kernelspec of ours."""
    if name in kernelspec.ours():
        message = (
            f"{name} is not a template but an installed kernelspec. To change it, give "
            f"the options to change: remote-kernels install --from {name} "
            f"--name {name} ..."
        )
        raise KernelspecError(message)


def _name(source: Kernelspec, wrapped: str | None, name: str | None) -> str:
    """Return what the new kernelspec is called."""
    if name is not None:
        return kernelspec.check_name(name)
    if wrapped is None:
        return kernelspec.check_name(source.name)
    if source.is_ours:
        message = (
            f"{wrapped} runs in a job already. Give --name NEW for a second one like "
            f"it, or --name {wrapped} to change it"
        )
        raise click.UsageError(message)
    return kernelspec.check_name(f"{source.name}-compute")


def _replaced(new: Kernelspec, replace: bool) -> bool:
    """Return whether there is one already. Raises KernelspecError if that must stay."""
    if not new.directory.exists():
        return False
    is_ours = False
    with contextlib.suppress(KernelspecError):
        is_ours = kernelspec.read(new.directory).is_ours
    if not (is_ours or replace):
        message = (
            f"{new.directory} holds a kernelspec that is not ours. Choose another "
            "--name, or give --replace"
        )
        raise KernelspecError(message)
    return True


def _report(new: Kernelspec, replaced: bool) -> None:
    done = "Replaced" if replaced else "Installed"
    say(f"{done} {new.name} in {new.directory}")
    say(f"  in the kernel picker: {new.spec['display_name']}")
    say(f"  the job:              {summary(new.config)}")


def _advice(new: Kernelspec) -> list[str]:
    """Return what may surprise the user later, a clause each."""
    notes = [_about_ipykernel(new.spec["argv"]), *asyncio.run(site.doubts(new.config))]
    if not kernelspec.is_searched(new.directory):
        notes.append(
            f"Jupyter, as it runs here, does not look into {new.directory.parent}; "
            "see `jupyter --paths`"
        )
    installed = kernelspec.installed()
    notes.append(_about_namesakes(new, installed.values()))
    found = installed.get(new.name)
    if found is not None and found.directory != new.directory:
        notes.append(
            f"there is also a {new.name} in {found.directory}; Jupyter shows only one"
        )
    return [note for note in notes if note]


def _about_namesakes(new: Kernelspec, others: Iterable[Kernelspec]) -> str:
    """Return what to say if the kernel picker shows others by this name."""
    shown = new.spec["display_name"]
    names = [
        other.name
        for other in others
        if other.name != new.name and other.spec["display_name"] == shown
    ]
    if not names:
        return ""
    who = names[0] if len(names) == 1 else f"{len(names)} others ({names[0]}, ...)"
    return f"the picker shows {who} under the same name; see --display-name"


def _about_ipykernel(argv: Sequence[str]) -> str:
    """Return what to say if the interpreter cannot start an IPython kernel."""
    python = argv[0]
    if "ipykernel_launcher" not in argv or not Path(python).is_absolute():
        return ""
    if Path(python).name == "env":
        return ""
    probe = "import importlib.util as u, sys; sys.exit(not u.find_spec('ipykernel'))"
    try:
        found = subprocess.run(
            [python, "-c", probe], timeout=20, check=False, capture_output=True
        )
    except FileNotFoundError:
        return f"{python} is not there on this machine; it must be on the node"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{python} does not run here ({error}); it must on the node"
    advice = f"{python} has no ipykernel. To add it: {python} -m pip install ipykernel"
    return advice if found.returncode else ""
