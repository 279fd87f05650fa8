"""What is said of a kernel that its node lacks something for."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from remote_kernels.cli.main import cli
from remote_kernels.kernel import lacking

MODULE = "R: error while loading shared libraries: libgfortran.so.5: cannot open"


@pytest.mark.parametrize(("spec_name", "name"), [("r-gpu", "r-gpu"), ("", "NAME")])
def test_a_command_to_copy(spec_name: str, name: str) -> None:
    """It changes the kernelspec that the kernel has, and keeps its other options."""
    install = f"    remote-kernels install --from {name} --name {name} "
    said = lacking.advice(1, MODULE, spec_name)
    assert f"{install}--prologue 'module load ...'\n" in said
    assert said.endswith(f"{install}--env-keep LD_LIBRARY_PATH")
    said = lacking.hidden("/tmp/rk-x", spec_name)
    assert said.endswith(f"{install}--node-dir DIRECTORY")


@pytest.mark.parametrize("option", ["--from", "--name", "--prologue", "--env-keep"])
def test_its_options_are_there(option: str) -> None:
    """Those of `install`."""
    said = CliRunner().invoke(cli, ["install", "--help"]).stdout
    assert option in said
    assert option in lacking.not_loaded("x")


# As Python 3.11 and 3.13 say it.
@pytest.mark.parametrize(
    ("output", "pip"),
    [
        (
            "Loading cuda/12\n/opt/my env/bin/python: No module named ipykernel_launcher",
            "'/opt/my env/bin/python' -m pip install ipykernel",
        ),
        (
            "/usr/bin/python3: No module named ipykernel",
            "/usr/bin/python3 -m pip install ipykernel",
        ),
        (
            "/usr/bin/python3: Error while finding module specification for 'i.j' "
            + "(ModuleNotFoundError: No module named 'ipykernel')",
            "/usr/bin/python3 -m pip install ipykernel",
        ),
        (
            "ModuleNotFoundError: No module named 'ipykernel'\n",
            "that interpreter -m pip install ipykernel",
        ),
    ],
)
def test_python_without_ipykernel(output: str, pip: str) -> None:
    """No module is to be loaded, but a package to be installed."""
    said = lacking.advice(1, output, "mine")
    assert f"    {pip}\n" in said
    assert "module load" not in said
    assert said.endswith("install --from mine --name mine --python PATH")


@pytest.mark.parametrize("name", ["ipykernel_helper", "'ipykernel.mine'", "torch"])
def test_another_module(name: str) -> None:
    """What is said of modules and variables fits."""
    assert "module load" in lacking.advice(1, f"python: No module named {name}", "")


def test_a_command_that_ends_well_and_early() -> None:
    """Something around the kernel did not run it, or did not wait for it."""
    said = lacking.advice(0, "(nothing)", "mine")
    assert "must run the kernel's command and wait for it" in said
    assert "docs/environment.md" in said
    assert "" == lacking.advice(3, "my own reason", "mine")
