"""`remote-kernels install`: what it writes, what it refuses, what it says."""

from __future__ import annotations

import json
import re
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import FakeSlurm
from cli.test_main import complete
from click.testing import Result

from remote_kernels.cli import kernelspec
from remote_kernels.config import (
    OPTIONS,
    batch_system,
    batch_systems,
    every_option,
    parse,
)
from remote_kernels.kernel import site
from remote_kernels.options import PORTABLE, Option

Run = Callable[..., Result]
AddKernel = Callable[..., Path]

IPYKERNEL = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture(autouse=True)
def no_site(no_batch_system: None) -> None:
    """No scheduler is asked, unless a test has one."""


def spec_of(jupyter: Path, name: str) -> dict[str, Any]:
    text = (jupyter / "kernels" / name / "kernel.json").read_text()
    spec: dict[str, Any] = json.loads(text)
    return spec


def dry(result: Result) -> dict[str, Any]:
    """The kernel.json that a dry run printed."""
    assert result.exit_code == 0, result.output
    spec: dict[str, Any] = json.loads(result.stdout)
    return spec


def config_of(spec: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = spec["metadata"]["kernel_provisioner"]["config"]
    return config


# --- templates ----------------------------------------------------------------------


def test_the_shipped_templates(jupyter: Path) -> None:
    """Three templates ship, each with a configuration that our parser takes."""
    names = {
        "python-compute": "Python (Compute Node)",
        "python-gpu": "Python (GPU Node)",
        "python-local": "Python (Local Agent)",
    }
    found = kernelspec.templates()
    assert names == {name: t.spec["display_name"] for name, t in found.items()}
    for template in found.values():
        assert template.is_ours
        parse(template.config)


def test_a_template_is_installed_for_this_user(run: Run, jupyter: Path) -> None:
    """Without options: the user's directory, this interpreter, all logos."""
    result = run("install", "python-compute")
    assert result.exit_code == 0, result.output
    target = jupyter / "kernels" / "python-compute"
    assert result.stdout.startswith(f"Installed python-compute in {target}\n")
    files = ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"]
    assert files == sorted(path.name for path in target.iterdir())
    assert [sys.executable, *IPYKERNEL] == spec_of(jupyter, "python-compute")["argv"]
    assert "Note:" not in result.stderr


def test_the_command_of_the_manual(run: Run, jupyter: Path) -> None:
    """Scheduler options go into the provisioner's config, under the new name."""
    words = "install python-compute --user --queue debug --time 2:00:00 --name mine"
    assert run(*words.split()).exit_code == 0
    spec = spec_of(jupyter, "mine")
    assert (
        spec["metadata"]["kernel_provisioner"]["provisioner_name"] == "remote-kernels"
    )
    expected = {"scheduler": "slurm", "partition": "debug", "time": "2:00:00"}
    assert expected == config_of(spec)
    assert spec["metadata"]["debugger"] is True
    assert spec["metadata"]["supported_encryption"] == ["curve"]


def test_a_template_of_the_user_comes_first(run: Run, jupyter: Path) -> None:
    """A user's own template hides the shipped one of the same name."""
    own = jupyter / "remote_kernels" / "kernelspecs" / "python-gpu"
    own.mkdir(parents=True)
    own.joinpath("kernel.json").write_text(
        json.dumps({"argv": ["/bin/k", "{connection_file}"], "display_name": "Mine"})
    )
    # JUPYTER_PATH goes before the user's directory, so the site's must not be there.
    spec = dry(run("install", "python-gpu", "--dry-run", env={"JUPYTER_PATH": ""}))
    assert spec["display_name"] == "Mine (Compute Node)"
    assert config_of(spec) == {"scheduler": "slurm"}


def test_no_template(run: Run, jupyter: Path) -> None:
    """Without a template, or with a wrong one, the message names those there are."""
    for words in (["install"], ["install", "python-compute", "--from", "python3"]):
        result = run(*words)
        assert result.exit_code == 2
        assert "python-compute, python-gpu, python-local" in result.stderr
    result = run("install", "python")
    assert result.exit_code == 1
    assert "no template called 'python'; known: python-compute" in result.stderr


# --- options ------------------------------------------------------------------------


def as_typed(option: Option) -> list[str]:
    """The example of `option` on a command line."""
    renamed = {
        "python": "--agent-python",
        "prefix": "--command-prefix",
    }
    name = option.name.removesuffix("s") if "_args" in option.name else option.name
    flag = renamed.get(name, "--" + name.replace("_", "-"))
    if option.example is True:
        return [flag]
    if option.name == "prefix":
        return [flag, " ".join(option.example)]
    values = option.example if isinstance(option.example, list) else [option.example]
    return [word for value in values for word in (flag, str(value))]


def owner(option: Option) -> str:
    """The batch system that has this option."""
    drivers = filter(None, map(batch_system, batch_systems()))
    return next(each.name for each in drivers if option in each.options)


@pytest.mark.parametrize("option", every_option(), ids=lambda option: option.name)
def test_every_option_has_its_flag(run: Run, option: Option) -> None:
    """Each key of kernel.json's config can be given, and arrives as it is meant."""
    template = "python-local" if option.example == "local" else "python-compute"
    words = ["install", template, "--dry-run", *as_typed(option)]
    words += ["--allocation", "team"] if option.name == "node" else []
    words += ["--scheduler", owner(option)] if option not in OPTIONS else []
    config = config_of(dry(run(*words)))
    assert option.example == config[option.name]


def test_what_the_batch_system_lacks_is_not_installed(run: Run, jupyter: Path) -> None:
    """It is said here, and not when the kernel is to start."""
    words = "install python-compute --scheduler gridengine --jobid 4711 --partition x"
    result = run(*words.split())
    assert result.exit_code == 1
    assert "Grid Engine cannot start a kernel in a job that is" in result.stderr
    assert "Grid Engine has 'q' for that" in result.stderr
    assert not jupyter.joinpath("kernels").exists()


def flags(said: str) -> set[str]:
    """The long options that a help text lists."""
    listed = (line for line in said.splitlines() if re.match(r" +-", line))
    return {flag for line in listed for flag in re.findall(r"--[\w-]+", line)}


@pytest.mark.parametrize("command", ["install", "doctor"])
@pytest.mark.parametrize("name", batch_systems())
def test_help_shows_the_batch_system_that_is_named(
    run: Run, command: str, name: str
) -> None:
    """Its options under both names, ours, and none of another; before --help or after."""
    result = run(command, "--scheduler", name, "--help")
    assert result.exit_code == 0, result.output
    assert result.stdout == run(command, "-h", f"--scheduler={name}").stdout
    driver = batch_system(name)
    assert driver is not None
    listed = [*driver.options, *OPTIONS]
    expected = {as_typed(option)[0].partition("=")[0] for option in listed}
    expected |= {f"--{o.portable}" for o in driver.options if o.portable}
    others = {as_typed(option)[0] for option in every_option()} - expected
    found = flags(result.stdout)
    assert expected <= found
    assert not others & found


@pytest.mark.parametrize("command", [[], ["install"], ["doctor"]])
def test_examples_in_the_help_suit_any_batch_system(
    run: Run, command: list[str]
) -> None:
    """They have no name of one batch system's own."""
    said = run(*command, "--help").stdout
    examples = [line for line in said.splitlines() if "  remote-kernels " in line]
    found = {flag for line in examples for flag in re.findall(r"--[\w-]+", line)}
    own = [option for option in every_option() if option not in OPTIONS]
    names = {as_typed(option)[0].partition("=")[0] for option in own}
    assert found
    assert not found & (names - {f"--{name}" for name in PORTABLE})


def test_help_without_a_batch_system(run: Run) -> None:
    """What all have, and in the last lines how to see one's own, with all names."""
    said = run("install", "--help").stdout
    found = flags(said)
    assert {f"--{name}" for name in PORTABLE} | {"--from", "--prologue"} <= found
    assert not {"--partition", "--mem", "--jobid", "--select", "--h-rt"} & found
    last = " ".join(said.split("\n\n")[-1].split())
    assert "remote-kernels install --scheduler NAME --help" in last
    assert set(batch_systems()) <= set(re.findall(r"\w+", last))


def test_help_where_a_batch_system_is(run: Run, slurm: FakeSlurm) -> None:
    """The options of the one that is here; nobody is asked anything."""
    found = flags(run("install", "--help").stdout)
    assert {"--queue", "--partition", "--jobid"} <= found
    assert "--select" not in found
    assert not slurm.told("scontrol")


def test_help_about_no_batch_system_of_ours(run: Run) -> None:
    """A name that is misspelt is not taken for another one."""
    result = run("install", "--help", "--scheduler", "slrum")
    assert result.exit_code == 2
    assert "'slrum' is not one of 'auto', 'slurm'" in result.stderr


def test_help_about_this_machine(run: Run) -> None:
    """Nothing can be asked of a job that is here itself."""
    found = flags(run("install", "--scheduler", "local", "--help").stdout)
    assert not {f"--{name}" for name in PORTABLE} & found


def test_short_options_are_those_of_slurm(run: Run) -> None:
    """-p, -A, -q, -t, -N, -n, -c, -G, -C and -w mean what they mean to sbatch."""
    words = "-p a -A b -q c -t 4 -N 5 -n 6 -c 7 -G 8 -C d -w e"
    config = config_of(
        dry(run("install", "python-compute", "--dry-run", *words.split()))
    )
    assert config == {
        "scheduler": "slurm",
        "partition": "a",
        "account": "b",
        "qos": "c",
        "time": 4,
        "nodes": 5,
        "ntasks": 6,
        "cpus-per-task": 7,
        "gpus": 8,
        "constraint": "d",
        "nodelist": "e",
    }


def test_exclusive_takes_no_word_from_the_line(run: Run) -> None:
    """As with sbatch, a value of --exclusive follows "=", so the template stays one."""
    config = config_of(
        dry(run("install", "--dry-run", "--exclusive", "python-compute"))
    )
    assert config["exclusive"] is True
    words = ["--exclusive=user", "--sbatch-arg", "--exclusive"]
    config = config_of(dry(run("install", "python-compute", "--dry-run", *words)))
    assert config["exclusive"] == "user"
    assert config["sbatch_args"] == ["--exclusive"]


def test_lists_repeat(run: Run) -> None:
    """--prologue, --sbatch-arg and --env can be given several times."""
    words = ["--prologue", "module load a", "--prologue", "module load b"]
    words += ["--sbatch-arg", "--mail-type=END", "--sbatch-arg", "--comment=x y"]
    words += ["--env", "A", "1", "--env", "B", "two words"]
    spec = dry(run("install", "python-compute", "--dry-run", *words))
    assert config_of(spec)["prologue"] == ["module load a", "module load b"]
    assert config_of(spec)["sbatch_args"] == ["--mail-type=END", "--comment=x y"]
    assert spec["env"] == {"A": "1", "B": "two words"}


def test_an_alternative_replaces_the_templates(run: Run) -> None:
    """--gres takes the place of the template's gpus, and the user is told."""
    result = run("install", "python-gpu", "--gres", "gpu:a100:2", "--dry-run")
    assert config_of(dry(result)) == {"scheduler": "slurm", "gres": "gpu:a100:2"}
    assert "Note: --gres replaces --gpus=1" in result.stderr


def test_what_all_batch_systems_have_is_one_option(run: Run) -> None:
    """Under either name; kernel.json has the batch system's own."""
    words = "--queue gpu --cores 4 --memory 8G --name mine"
    run("install", "python-compute", *words.split())
    again = ["install", "--from", "mine", "--name", "mine", "--dry-run"]
    config = config_of(dry(run(*again, "--memory", "16G", "-p", "a")))
    assert config == {
        "scheduler": "slurm",
        "partition": "a",
        "cpus-per-task": 4,
        "mem": "16G",
    }


def test_an_empty_value_takes_an_option_away(run: Run) -> None:
    """--gpus "" removes what the template asks for."""
    config = config_of(dry(run("install", "python-gpu", "--gpus", "", "--dry-run")))
    assert config == {"scheduler": "slurm"}


# --- the interpreter ----------------------------------------------------------------


def test_python_as_a_path(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--python PATH is made absolute; links stay, for they are what makes a venv."""
    python = tmp_path / "venv" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    for path in ("venv/python", "./venv/python", str(python)):
        words = ["install", "python-compute", "--dry-run", "--python", path]
        assert [str(python), *IPYKERNEL] == dry(run(*words))["argv"]


def test_python_as_a_name(run: Run) -> None:
    """A bare name is for the node to look up; Jupyter would replace a bare "python"."""
    words = ["install", "python-compute", "--dry-run", "--python", "python3"]
    assert ["/usr/bin/env", "python3", *IPYKERNEL] == dry(run(*words))["argv"]


def test_an_interpreter_without_ipykernel(run: Run, tmp_path: Path) -> None:
    """The missing package is named with the command that adds it; still installed."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    result = run("install", "python-compute", "--python", str(python))
    assert result.exit_code == 0
    assert f"{python} -m pip install ipykernel" in result.stderr


def test_an_interpreter_that_is_not_here(run: Run, tmp_path: Path) -> None:
    """An interpreter that only the nodes have is fine, with a word about it."""
    result = run("install", "python-compute", "--python", str(tmp_path / "python3"))
    assert result.exit_code == 0
    assert "is not there on this machine; it must be on the node" in result.stderr


def test_an_interpreter_that_does_not_run_here(run: Run, tmp_path: Path) -> None:
    """Why not is told."""
    (tmp_path / "python3").write_text("")
    result = run("install", "python-compute", "--python", str(tmp_path / "python3"))
    assert result.exit_code == 0
    assert "does not run here ([Errno 13]" in result.stderr


def test_an_installed_kernelspec_is_no_template(run: Run) -> None:
    """How it is changed is said, and that works."""
    run("install", "python-compute", "--name", "mine", "--mem", "16G")
    result = run("install", "mine", "--time", "30")
    change = "remote-kernels install --from mine --name mine"
    assert result.exit_code == 1
    assert change in result.stderr
    assert run(*change.split()[1:], "--time", "30").exit_code == 0


def test_many_of_one_display_name(run: Run) -> None:
    """One note says how many."""
    for name in ("one", "two", "three"):
        result = run("install", "python-compute", "--name", name)
        said = result.stderr
    assert said.count("under the same name") == 1
    assert "the picker shows 2 others (one, ...) under the same name" in said


# --- --from -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("Python 3 (ipykernel)", "Python 3 (Compute Node)"),
        ("Torch (CUDA 12)", "Torch (CUDA 12, Compute Node)"),
        ("R", "R (Compute Node)"),
        ("(odd)", "(odd) (Compute Node)"),
    ],
)
def test_a_display_name(
    run: Run, jupyter: Path, add_kernel: AddKernel, name: str, new: str
) -> None:
    """Parentheses do not pile up."""
    add_kernel("k", display_name=name)
    run("install", "--from", "k")

    assert new == spec_of(jupyter, "k-compute")["display_name"]


def test_wrapping_a_kernel(run: Run, jupyter: Path, add_kernel: AddKernel) -> None:
    """All but the way of starting is kept, other files and their modes included."""
    metadata = {"debugger": False, "supported_encryption": ["curve"], "other": 1}
    old = {
        "argv": ["{resource_dir}/start", "--connection={connection_file}"],
        "display_name": "R 4.5",
        "language": "R",
        "env": {"R_LIBS": "/r"},
        "interrupt_mode": "message",
        "kernel_protocol_version": "5.3",
        "metadata": metadata,
    }
    source = add_kernel("ir", **old)
    (source / "start").write_text("#!/bin/sh\n")
    (source / "start").chmod(0o555)
    result = run("install", "--from", "ir", "--mem", "16G", "--env", "LANG", "C")
    assert result.exit_code == 0, result.output
    new = spec_of(jupyter, "ir-compute")
    stanza = {
        "provisioner_name": "remote-kernels",
        "config": {"scheduler": "slurm", "mem": "16G"},
    }
    assert new == {
        **old,
        "display_name": "R 4.5 (Compute Node)",
        "env": {"R_LIBS": "/r", "LANG": "C"},
        "metadata": {**metadata, "kernel_provisioner": stanza},
    }
    copied = jupyter / "kernels" / "ir-compute" / "start"
    assert stat.S_IMODE(copied.stat().st_mode) == 0o755
    assert old == spec_of(jupyter, "ir")


def test_wrapping_the_kernel_of_this_environment(run: Run, jupyter: Path) -> None:
    """ipykernel's own kernelspec, which Jupyter makes up, can be wrapped too."""
    result = run("install", "--from", "python3")
    assert result.exit_code == 0, result.output
    spec = spec_of(jupyter, "python3-compute")
    assert Path(spec["argv"][0]).is_absolute()
    assert "{connection_file}" in spec["argv"]
    assert (jupyter / "kernels" / "python3-compute" / "logo-64x64.png").exists()


def test_wrapping_a_kernel_with_capitals(
    run: Run, jupyter: Path, add_kernel: AddKernel
) -> None:
    """Jupyter calls a kernelspec in a directory IR "ir", and so do we."""
    add_kernel("IR")
    result = run("install", "--from", "ir")
    target = jupyter / "kernels" / "ir-compute"
    assert result.stdout.startswith(f"Installed ir-compute in {target}\n")
    assert target.is_dir()


def test_wrapping_a_kernel_that_names_the_local_provisioner(
    run: Run, add_kernel: AddKernel
) -> None:
    """Jupyter's own provisioner, spelt out, is a plain command like any other."""
    stanza = {"provisioner_name": "local-provisioner", "config": {"x": 1}}
    add_kernel("ir", metadata={"kernel_provisioner": stanza})
    spec = dry(run("install", "--from", "ir", "--dry-run"))
    assert config_of(spec) == {"scheduler": "slurm"}


@pytest.mark.parametrize("word", ["python", "python3"])
def test_a_bare_python_becomes_absolute(
    run: Run, add_kernel: AddKernel, word: str
) -> None:
    """For these words Jupyter takes its own interpreter, so the job gets that one."""
    add_kernel("bash", argv=[word, "-m", "bash_kernel", "{connection_file}"])
    spec = dry(run("install", "--from", "bash", "--dry-run"))
    assert [sys.executable, "-m", "bash_kernel", "{connection_file}"] == spec["argv"]


def test_a_bare_command_becomes_absolute(
    run: Run, add_kernel: AddKernel, tmp_path: Path
) -> None:
    """Another command is looked up here; one that is not here is left to the node."""
    program = tmp_path / "bin" / "rterm"
    program.parent.mkdir()
    program.touch(mode=0o755)
    add_kernel("ir", argv=["rterm", "{connection_file}"])
    words = ["install", "--from", "ir", "--dry-run"]
    found = run(*words, env={"PATH": str(program.parent)})
    assert [str(program), "{connection_file}"] == dry(found)["argv"]
    missing = run(*words, env={"PATH": ""})
    assert dry(missing)["argv"] == ["rterm", "{connection_file}"]
    assert "there is no 'rterm' on PATH here" in missing.stderr


def test_wrapping_one_of_ours(run: Run, jupyter: Path) -> None:
    """It has a job already: a second needs a name, the same name changes it."""
    run("install", "python-gpu", "--partition", "gpu", "--python", "python3")
    result = run("install", "--from", "python-gpu")
    assert result.exit_code == 2
    assert "--name python-gpu to change it" in result.stderr
    words = ["install", "--from", "python-gpu", "--time", "5", "--name"]
    result = run(*words, "quick")
    assert "Note: the picker shows python-gpu under the same name" in result.stderr
    result = run(*words, "python-gpu")
    assert result.stdout.startswith("Replaced python-gpu in ")
    expected = {"scheduler": "slurm", "gpus": 1, "partition": "gpu", "time": 5}
    for name in ("quick", "python-gpu"):
        spec = spec_of(jupyter, name)
        assert expected == config_of(spec)
        assert spec["display_name"] == "Python (GPU Node)"
        assert ["/usr/bin/env", "python3", *IPYKERNEL] == spec["argv"]


@pytest.mark.parametrize(
    ("spec", "words", "message"),
    [
        (
            {"metadata": {"kernel_provisioner": {"provisioner_name": "other"}}},
            [],
            "odd is started by 'other', not by a plain command",
        ),
        ({"argv": ["/bin/kernel"]}, [], "the argv of odd has no {connection_file}"),
        ({}, ["--python", "python3"], "odd does not start Python but '/bin/kernel'"),
    ],
)
def test_what_cannot_be_wrapped(
    run: Run,
    jupyter: Path,
    add_kernel: AddKernel,
    spec: dict[str, Any],
    words: list[str],
    message: str,
) -> None:
    """A kernelspec that is no command for a node is refused with the reason."""
    add_kernel("odd", **spec)
    result = run("install", "--from", "odd", *words)
    assert result.exit_code == 1
    assert message in result.stderr
    assert [path.name for path in (jupyter / "kernels").iterdir()] == ["odd"]


# --- where, and over what ----------------------------------------------------------


def test_dry_run_writes_nothing(run: Run, jupyter: Path) -> None:
    """kernel.json on standard output, all else on standard error."""
    result = run("install", "python-compute", "--dry-run")
    path = jupyter / "kernels" / "python-compute" / "kernel.json"
    assert f"Would write {path}:\n" == result.stderr
    assert dry(result)["display_name"] == "Python (Compute Node)"
    assert not jupyter.exists()


def test_places(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--prefix and --sys-prefix; a place where Jupyter does not look is told."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    monkeypatch.setattr(
        "jupyter_core.paths.ENV_JUPYTER_PATH", [str(tmp_path / "env/share/jupyter")]
    )
    result = run("install", "python-compute", "--sys-prefix")
    assert (tmp_path / "env/share/jupyter/kernels/python-compute").is_dir()
    assert "Note:" not in result.stderr
    result = run("install", "python-gpu", "--prefix", str(tmp_path / "opt"))
    assert (tmp_path / "opt/share/jupyter/kernels/python-gpu").is_dir()
    assert "does not look into" in result.stderr
    result = run("install", "python-gpu", "--user", "--sys-prefix")
    assert result.exit_code == 2
    assert "choose one of --user, --sys-prefix and --prefix" in result.stderr


def test_a_place_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """The message says where, why, and what else could be chosen."""
    blocked = tmp_path / "file"
    blocked.touch()
    result = run("install", "python-compute", "--prefix", str(blocked))
    assert result.exit_code == 1
    assert f"cannot write the kernelspec to {blocked}/share/jupyter" in result.stderr
    assert "Not a directory" in result.stderr
    assert "--user" in result.stderr


def test_ours_is_replaced_theirs_is_not(
    run: Run, jupyter: Path, add_kernel: AddKernel
) -> None:
    """Someone else's kernelspec of that name gives way only with --replace."""
    theirs = add_kernel("mine")
    before = (theirs / "kernel.json").read_bytes()
    words = ["install", "python-compute", "--name", "mine"]
    result = run(*words)
    assert result.exit_code == 1
    assert "holds a kernelspec that is not ours" in result.stderr
    assert before == (theirs / "kernel.json").read_bytes()
    assert run(*words, "--replace").stdout.startswith("Replaced mine in ")
    assert run(*words, "--time", "5").stdout.startswith("Replaced mine in ")
    assert config_of(spec_of(jupyter, "mine"))["time"] == 5


def test_a_second_kernel_of_that_name_elsewhere(run: Run, tmp_path: Path) -> None:
    """Jupyter shows one of two that share a name, so the user hears of the other."""
    run("install", "python-compute", "--user")
    result = run("install", "python-compute", "--prefix", str(tmp_path / "opt"))
    assert "there is also a python-compute in" in result.stderr


@pytest.mark.parametrize("name", ["..", ".", "a/b", "Big", "", "-x", "a b", "ä"])
def test_names_that_cannot_be(run: Run, jupyter: Path, name: str) -> None:
    """Nothing that could leave Jupyter's directory, or that Jupyter would not find."""
    (jupyter / "kernels").mkdir(parents=True)
    result = run("install", "python-compute", f"--name={name}", "--replace")
    assert result.exit_code == 1
    assert "cannot be the name of a kernelspec" in result.stderr
    assert list((jupyter / "kernels").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--time", "soon"], "option 'time' is \"soon\""),
        (["--nodes", "0"], "option 'nodes' is 0"),
        (["--mem", "1G", "--mem-per-cpu", "1G"], "exclude each other"),
        (["--queue", "a", "--partition", "b"], "option 'partition' is given twice"),
        (["--jobid", "auto", "--mem", "4G"], "and cannot have mem"),
        (["--sbatch-arg", "--output=x"], "cannot be given to sbatch here"),
        (["--carrier", "pigeon"], "'pigeon' is not one of 'auto', 'ssh'"),
        (["--exclusive=none"], "option 'exclusive' is \"none\""),
        (["--command-prefix", "a 'b"], "--command-prefix: No closing quotation"),
        (["--partion", "x"], "Did you mean"),
    ],
)
def test_bad_values_leave_nothing(
    run: Run, jupyter: Path, words: list[str], message: str
) -> None:
    """Everything is checked before anything is written."""
    result = run("install", "python-compute", *words)
    assert result.exit_code in (1, 2)
    assert message in re.sub(r"\s+", " ", result.stderr)
    assert not jupyter.exists()


def test_a_read_only_template(run: Run, jupyter: Path, tmp_path: Path) -> None:
    """What is copied from a read-only file system can be replaced and removed."""
    template = tmp_path / "site/remote_kernels/kernelspecs/python-compute"
    for path in (*template.iterdir(), template):
        path.chmod(path.stat().st_mode & ~0o222)
    assert run("install", "python-compute").exit_code == 0
    target = jupyter / "kernels" / "python-compute"
    for path in (target, *target.iterdir()):
        assert path.stat().st_mode & stat.S_IWUSR


# --- what the site cannot give ------------------------------------------------------

SITE = (
    "printf '%s\\n' 'debug*|1:00:00|4000|8|2|(null)|(null)' "
    "'long|7-00:00:00|4000|8|2|gpu:2|gpu'"
)


@pytest.mark.parametrize(
    ("option", "note"),
    [
        (("--partition", "nosuch"), "no partition 'nosuch'"),
        (("--time", "2:00:00"), "over the limit of partition debug, which is 1:00:00"),
        (("--mem", "100G"), "no node of partition debug has 102400 MB of memory"),
        (("--gpus", "1"), "no node of partition debug has 1 of 'gpu'; none has any"),
        (("--constraint", "ib"), "no node of partition debug has the feature 'ib'"),
    ],
)
def test_what_cannot_be_is_noted(
    run: Run, jupyter: Path, slurm: FakeSlurm, option: tuple[str, str], note: str
) -> None:
    """A note, from one look at the scheduler; the kernelspec is there all the same."""
    slurm.add("sinfo", SITE)

    result = run("install", "python-compute", *option)

    assert (0, 1) == (result.exit_code, len(slurm.told("sinfo")))
    assert "Note: " in result.stderr
    assert note in result.stderr
    assert spec_of(jupyter, "python-compute")


@pytest.mark.parametrize(
    "sinfo", ["exit 1", "sleep 60", "echo 'a banner'", "echo denied >&2"]
)
def test_a_scheduler_that_tells_nothing(
    run: Run, slurm: FakeSlurm, sinfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said of it, and nobody waits for it."""
    monkeypatch.setattr(site, "TIMEOUT", 0.5)
    slurm.add("sinfo", sinfo)

    result = run("install", "python-compute", "--partition", "nosuch")

    assert 0 == result.exit_code
    assert "nosuch" not in result.stderr


def test_a_job_that_is_there_has_what_it_has(run: Run, slurm: FakeSlurm) -> None:
    """Its partition is not asked for."""
    slurm.add("sinfo", SITE)

    run("install", "python-compute", "--jobid", "auto", "--time", "", "--mem", "")

    assert [] == slurm.told("sinfo")


# --- completion ---------------------------------------------------------------------


@pytest.fixture
def offering(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FakeSlurm:
    """A Slurm with partitions, accounts and QOS, of which nobody has asked yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    slurm.add("sinfo", "printf 'long\\ndebug\\ngpu\\ndebug\\n'")
    slurm.add(
        "sacctmgr",
        'case "$*" in *qos) echo normal,urgent;; *) printf "chem\\nphys\\n";; esac',
    )
    return slurm


def test_what_the_scheduler_has(offering: FakeSlurm) -> None:
    """Partitions, accounts and QOS are completed, and asked for once."""
    assert ["debug", "gpu", "long"] == complete("install", "x", "--partition", "")
    assert ["debug,gpu"] == complete("install", "x", "-p", "debug,g")
    assert ["chem"] == complete("install", "x", "--account", "c")
    assert ["normal", "urgent"] == complete("doctor", "--qos", "")
    assert ["debug"] == complete("install", "x", "--partition", "d")

    assert 1 == len(offering.told("sinfo"))
    assert 2 == len(offering.told("sacctmgr"))


def test_a_scheduler_that_does_not_answer(offering: FakeSlurm) -> None:
    """Nobody waits for it at a prompt."""
    offering.add("sinfo", "sleep 60")
    begun = time.monotonic()

    assert [""] == complete("install", "x", "--partition", "")

    assert 30 > time.monotonic() - begun
