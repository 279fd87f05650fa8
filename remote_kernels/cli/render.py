"""Make a kernel.json of ours from a kernelspec and what a command line asks for.

Pure but for one look at PATH: writes nothing, prints nothing. What the user should know
is returned as notes. Called by `install`.

The templates name no time limit. A limit of ours would end notebooks by surprise on
one cluster and be refused on the next; without one, the partition's default applies,
which is the site's own choice, and `--time` sets another.
"""

from __future__ import annotations

import copy
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from remote_kernels.cli.kernelspec import PROVISIONER, Kernelspec, Spec
from remote_kernels.config import every_option, own_names
from remote_kernels.errors import KernelspecError
from remote_kernels.kernel import site

NODE = "Compute Node"
_PARENTHESES = re.compile(r"(.+?) \(([^()]+)\)")
_PYTHON = re.compile(r"python[0-9.]*")


def render(
    source: Kernelspec,
    config: Mapping[str, object],
    env: Mapping[str, str],
    display_name: str | None,
    python: str | None,
) -> tuple[Spec, list[str]]:
    """Make the kernel.json that runs the kernel of `source` in a job.

    Parameters
    ----------
    source : Kernelspec
        The kernelspec to begin with.
    config : mapping of str to object
        Options for our provisioner; they go before those of `source`.
    env : mapping of str to str
        Variables for the kernel.
    display_name : str or None
        What the kernel picker shows; by default made from that of `source`.
    python : str or None
        The kernel's interpreter; by default that of `source`.

    Returns
    -------
    tuple of dict and list of str
        The kernel.json, and what the user should know about it.

    Raises
    ------
    KernelspecError
        The kernel of `source` cannot be started in that way.
    """
    _check_source(source)
    spec, notes = copy.deepcopy(source.spec), list[str]()
    spec["argv"] = _argv(source, python, notes)
    spec["display_name"] = display_name or _display_name(source)
    spec["env"] |= env
    spec["metadata"]["kernel_provisioner"] = {
        "provisioner_name": PROVISIONER,
        "config": _config(source, config, notes),
    }
    return spec, notes


def _check_source(source: Kernelspec) -> None:
    """Raise KernelspecError if this kernel cannot be a command on a node."""
    if source.provisioner not in (None, PROVISIONER):
        message = (
            f"{source.name} is started by {source.provisioner!r}, not by a plain "
            "command; give the kernelspec that it was made from"
        )
        raise KernelspecError(message)
    if not any("{connection_file}" in word for word in source.spec["argv"]):
        message = (
            f"the argv of {source.name} has no {{connection_file}}, so the kernel "
            f"cannot be told where to listen: {source.spec['argv']}"
        )
        raise KernelspecError(message)


def _display_name(source: Kernelspec) -> str:
    """Return the name with one pair of parentheses, whatever it had.

    "(ipykernel)", which ipykernel adds by itself, tells a user nothing and goes.
    """
    name: str = source.spec["display_name"] or source.name
    if source.is_ours:
        return name
    found = _PARENTHESES.fullmatch(name)
    if found is None:
        return f"{name} ({NODE})"
    said = "" if found[2] == "ipykernel" else f"{found[2]}, "
    return f"{found[1]} ({said}{NODE})"


def _argv(source: Kernelspec, python: str | None, notes: list[str]) -> list[str]:
    """Return the kernel's command, in a form that works on a node."""
    command, *rest = source.spec["argv"]
    if Path(command).name == "env" and rest:  # as `_interpreter` writes it
        command, *rest = rest
    if python is not None:
        if not _PYTHON.fullmatch(Path(command).name):
            message = f"--python: {source.name} does not start Python but {command!r}"
            raise KernelspecError(message)
        return [*_interpreter(python), *rest]
    if command != source.spec["argv"][0]:
        return list(source.spec["argv"])
    return [_absolute(command, notes), *rest]


def _interpreter(python: str) -> Sequence[str]:
    """Return what `--python` means: a file here, or a name to be looked up on the node.

    A bare "python" in a kernelspec is replaced by the server's own interpreter
    (jupyter_client 8.10, `format_kernel_cmd`), which `env` prevents.
    """
    if "/" in python:
        return [str(Path(python).expanduser().absolute())]
    return ["/usr/bin/env", python]


def _absolute(command: str, notes: list[str]) -> str:
    """Return the command as a path: nodes do not know the environment here."""
    if "/" in command or "{" in command:
        return command
    if command in ("python", f"python{sys.version_info[0]}"):
        return sys.executable  # what Jupyter itself takes for these words
    found = shutil.which(command)
    if found is None:
        notes.append(
            f"there is no {command!r} on PATH here; the node must find one, for "
            "instance after --prologue 'module load ...'"
        )
    return found or command


def _config(
    source: Kernelspec, wanted: Mapping[str, object], notes: list[str]
) -> dict[str, object]:
    """Return the provisioner's configuration; an empty value removes an option."""
    config = {"scheduler": site.usual(), **(source.config if source.is_ours else {})}
    scheduler = wanted.get("scheduler", config["scheduler"])
    config, wanted = own_names(config, scheduler), own_names(wanted, scheduler)
    instead_of = {option.name: option.instead_of for option in every_option()}
    for name in wanted:
        other = instead_of.get(name)
        if other and other in config and other not in wanted:
            notes.append(f"--{name} replaces --{other}={config.pop(other)}")
    config.update(wanted)
    return {name: value for name, value in config.items() if value not in ("", [])}
