"""Kernelspecs on disk: find them, read them, put them where Jupyter looks.

A kernelspec is a directory: kernel.json, logos, and whatever else its author put there.
What kernel.json says stays a plain dictionary, because it holds what other programs
have to say to each other, too. Called by the commands of this folder.
"""

from __future__ import annotations

import json
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_core.paths import jupyter_data_dir, jupyter_path

import remote_kernels
from remote_kernels import harmless
from remote_kernels.config import Settings
from remote_kernels.errors import KernelspecError
from remote_kernels.kernel import service
from remote_kernels.kernel.inventory import Recorded

PROVISIONER = "remote-kernels"

log = harmless.logger(__name__)

# Jupyter's own rule also lets ".." pass (jupyter_client 8.10), and installing
# replaces the whole directory of that name.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

Spec = dict[str, Any]


@dataclass(frozen=True)
class Kernelspec:
    """One kernelspec: its name, its directory, and what its kernel.json says."""

    name: str
    directory: Path
    spec: Spec

    @property
    def _stanza(self) -> dict[str, Any]:
        stanza = self.spec["metadata"].get("kernel_provisioner")
        return stanza if isinstance(stanza, dict) else {}

    @property
    def provisioner(self) -> str | None:
        """The provisioner that starts this kernel; None is Jupyter's own."""
        name = self._stanza.get("provisioner_name")
        return None if name == "local-provisioner" else name

    @property
    def is_ours(self) -> bool:
        """Whether our provisioner starts this kernel."""
        return self.provisioner == PROVISIONER

    @property
    def config(self) -> dict[str, object]:
        """The configuration of its provisioner."""
        config = self._stanza.get("config")
        return dict(config) if isinstance(config, dict) else {}


def templates() -> dict[str, Kernelspec]:
    """Return the installable templates by name; a user's go before the site's."""
    found: dict[str, Kernelspec] = {}
    for directory in _template_directories():
        for path in sorted(directory.glob("*/kernel.json")):
            if path.parent.name not in found:
                found[path.parent.name] = read(path.parent)
    return found


def _template_directories() -> list[Path]:
    """Return where templates are: Jupyter's data directories, then a checkout."""
    shared = [Path(path) for path in jupyter_path("remote_kernels", "kernelspecs")]
    root = Path(remote_kernels.__file__).parent.parent
    checkout = [root / "kernelspecs"] if (root / "pyproject.toml").is_file() else []
    return [path for path in shared + checkout if path.is_dir()]


def read(directory: Path) -> Kernelspec:
    """Return the kernelspec in `directory`. Raises KernelspecError."""
    try:
        spec = KernelSpec.from_resource_dir(str(directory))
    except Exception as error:
        message = f"cannot read the kernelspec in {directory}: {error}"
        raise KernelspecError(message) from error
    return Kernelspec(directory.name, directory, spec.to_dict())


def installed() -> dict[str, Kernelspec]:
    """Return every kernelspec that Jupyter finds, by name.

    They are read one by one: the manager's `get_all_specs` leaves out those whose
    provisioner is not installed beside it (jupyter_client 8.10).
    """
    manager = KernelSpecManager()
    found: dict[str, Kernelspec] = {}
    for name, directory in sorted(manager.find_kernel_specs().items()):
        try:
            found[name] = _installed(manager, name, Path(directory))
        except KernelspecError as error:
            log.warning("%s", error)
    return found


def ours() -> dict[str, Kernelspec]:
    """Return the installed kernelspecs that are ours, by name."""
    return {name: kernel for name, kernel in installed().items() if kernel.is_ours}


def _installed(manager: KernelSpecManager, name: str, path: Path) -> Kernelspec:
    if (path / "kernel.json").exists():
        return replace(read(path), name=name)
    # ipykernel's own, in the environment that we run in: Jupyter makes it up.
    return Kernelspec(name, path, manager.get_kernel_spec(name).to_dict())


def state_dirs() -> list[Path]:
    """Return the directories that may hold records of this user's kernels."""
    configured = [kernel.config.get("state_dir") for kernel in ours().values()]
    dirs = [str(d) if d else None for d in (None, *configured)]
    return list(dict.fromkeys(map(service.state_dir, dirs)))


def settings(kernel: Recorded) -> Settings:
    """Return how to reach a kernel; by its kernelspec, if that still exists."""
    spec = ours().get(str(kernel.facts.get("spec_name")))
    return kernel.settings(spec.config if spec is not None else {})


def find(name: str, among: dict[str, Kernelspec], what: str) -> Kernelspec:
    """Return the kernelspec called `name`. Raises KernelspecError, with all names."""
    if name not in among:
        names = ", ".join(sorted(among)) or "none"
        message = f"there is no {what} called {name!r}; known: {names}"
        raise KernelspecError(message)
    return among[name]


def check_name(name: str) -> str:
    """Return `name`. Raises KernelspecError if no kernelspec can be called that."""
    if not _NAME.fullmatch(name):
        message = (
            f"{name!r} cannot be the name of a kernelspec: use lower-case letters, "
            "digits, '.', '_' and '-', and begin with a letter or digit"
        )
        raise KernelspecError(message)
    return name


def destination(name: str, prefix: Path | None) -> Path:
    """Return where a kernelspec called `name` goes; no prefix is for this user."""
    root = prefix.absolute() / "share/jupyter" if prefix else Path(jupyter_data_dir())
    return root / "kernels" / name


def is_searched(directory: Path) -> bool:
    """Return whether Jupyter, as it runs here, looks beside `directory`."""
    return str(directory.parent) in jupyter_path("kernels")


def as_json(spec: Spec) -> str:
    """Return the text of a kernel.json."""
    return json.dumps(spec, indent=2, ensure_ascii=False) + "\n"


def write(new: Kernelspec, source: Kernelspec, prefix: Path | None) -> None:
    """Install a kernelspec, replacing one that is there.

    Parameters
    ----------
    new : Kernelspec
        What it is called, and what its kernel.json says.
    source : Kernelspec
        Where all its other files come from.
    prefix : Path or None
        Where to install it; None is for this user.

    Raises
    ------
    KernelspecError
        The place cannot be written to.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="remote-kernels-") as scratch:
            staged = _staged(new.spec, source, Path(scratch) / new.name)
            KernelSpecManager().install_kernel_spec(
                str(staged),
                new.name,
                user=prefix is None,
                prefix=str(prefix) if prefix else None,
            )
    except OSError as error:
        message = (
            f"cannot write the kernelspec to {new.directory}: {error}. Choose a place that "
            "you may write to with --user, --sys-prefix or --prefix PATH"
        )
        raise KernelspecError(message) from error


def _staged(spec: Spec, source: Kernelspec, directory: Path) -> Path:
    """Return a copy that can be changed: some sites keep theirs read-only."""
    shutil.copytree(source.directory, directory)
    for path in [directory, *directory.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    (directory / "kernel.json").write_text(as_json(spec), encoding="utf-8")
    return directory


def check_ours(kernel: Kernelspec) -> None:
    """Raise KernelspecError if the kernelspec is not ours to change."""
    if not kernel.is_ours:
        message = (
            f"{kernel.name} is not a kernelspec of remote-kernels, so it stays; "
            f"to remove it all the same: jupyter kernelspec remove {kernel.name}"
        )
        raise KernelspecError(message)


def remove(kernel: Kernelspec) -> None:
    """Delete the kernelspec's directory. Raises KernelspecError."""
    try:
        KernelSpecManager().remove_kernel_spec(kernel.name)
    except OSError as error:
        message = f"cannot remove {kernel.directory}: {error}"
        raise KernelspecError(message) from error
