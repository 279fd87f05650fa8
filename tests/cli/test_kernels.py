"""`remote-kernels list` and `remote-kernels remove`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from rich.console import Console

from remote_kernels import records
from remote_kernels.cli import kernels, kernelspec, rows

Run = Callable[..., Result]
AddKernel = Callable[..., Path]


def names(jupyter: Path) -> list[str]:
    return sorted(path.name for path in (jupyter / "kernels").iterdir())


# --- list ---------------------------------------------------------------------------


def test_list_as_lines(run: Run, jupyter: Path, add_kernel: AddKernel) -> None:
    """Not on a terminal: one line each, tab-separated, ours only."""
    add_kernel("ir")
    words = "--partition debug --time 30 --exclusive --sbatch-arg --comment=x"
    run("install", "python-compute", "--display-name", "Fast", *words.split())
    line = (
        "python-compute\tFast\t"
        "slurm --partition=debug --time=30 --exclusive --comment=x\t"
        f"{jupyter}/kernels/python-compute\n"
    )
    result = run("list")
    assert (line, "") == (result.stdout, result.stderr)


def test_list_as_json(run: Run, jupyter: Path) -> None:
    """All that is known, for programs."""
    run("install", "python-gpu", "--python", "python3")
    assert json.loads(run("list", "--json").stdout) == [
        {
            "name": "python-gpu",
            "display_name": "Python (GPU Node)",
            "language": "python",
            "argv": [
                "/usr/bin/env",
                "python3",
                "-m",
                "ipykernel_launcher",
                "-f",
                "{connection_file}",
            ],
            "directory": f"{jupyter}/kernels/python-gpu",
            "config": {"scheduler": "slurm", "gpus": 1},
            "problem": None,
        }
    ]


def test_list_as_table(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal: a table; what looks like markup is shown as it is."""
    run("install", "python-gpu", "--display-name", "[red]hot")
    console = Console(width=200)
    monkeypatch.setattr(rows, "Console", lambda: console)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    fields = kernels._row(kernelspec.installed()["python-gpu"])
    rows.show(kernels._HEADER, [fields], "", length=None)
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "Name",
        "Display",
        "name",
        "Options",
        "Where",
    ]
    assert row.split()[:4] == ["python-gpu", "[red]hot", "slurm", "--gpus=1"]


def test_list_shows_what_is_invalid(run: Run, add_kernel: AddKernel) -> None:
    """A kernelspec edited by hand that would not start says why."""
    stanza = {"provisioner_name": "remote-kernels", "config": {"partion": "x"}}
    add_kernel("typo", metadata={"kernel_provisioner": stanza})
    options = run("list").stdout.split("\t")[2]
    assert options.startswith("INVALID: unknown option 'partion'")
    assert "partition" in json.loads(run("list", "--json").stdout)[0]["problem"]


def test_list_of_nothing(run: Run, add_kernel: AddKernel) -> None:
    """Nothing of ours: empty output, and a hint beside it."""
    add_kernel("ir")
    result = run("list")
    assert result.stdout == ""
    assert "remote-kernels install python-compute" in result.stderr
    assert run("list", "--json").stdout == "[]\n"


def test_list_passes_over_what_is_broken(run: Run, jupyter: Path) -> None:
    """One unreadable kernel.json, perhaps not even ours, does not hide the others."""
    run("install", "python-local")
    broken = jupyter / "kernels" / "broken"
    broken.mkdir()
    (broken / "kernel.json").write_text("{")
    result = run("list")
    assert "python-local\tPython (Local Agent)\tlocal\t" in result.stdout
    assert result.exit_code == 0


def test_list_templates(run: Run) -> None:
    """What can be installed."""
    lines = run("list", "--templates").stdout.splitlines()
    expected = ["python-compute", "python-gpu", "python-local"]
    assert expected == [line.split("\t")[0] for line in lines]


# --- remove -------------------------------------------------------------------------


def test_remove(run: Run, jupyter: Path) -> None:
    """Several at once, each with its place."""
    for template in ("python-compute", "python-gpu", "python-local"):
        run("install", template)
    result = run("remove", "-y", "python-compute", "python-local")
    assert f"Removed python-local from {jupyter}/kernels/python-local" in result.stdout
    assert names(jupyter) == ["python-gpu"]


def test_remove_names_what_is_left(run: Run, tmp_path: Path) -> None:
    """Of a state directory that nothing else names, too."""
    own = tmp_path / "own"
    run("install", "python-compute", "--state-dir", str(own))
    for base in (own, records.state_dir(None)):
        records.Record(base, "k1").create()
    result = run("remove", "-y", "python-compute")
    assert f"Left in {own}: 1 record of kernels" in result.stderr
    assert f"rm -r {own}" in result.stderr

    run("install", "python-compute")
    result = run("remove", "-y", "python-compute")
    assert "clean --all` ends and removes that, too" in result.stderr

    run("install", "python-compute")
    run("install", "python-gpu")
    result = run("remove", "-y", "python-compute")
    assert "`remote-kernels clean` shows it, and removes what" in result.stderr


def test_remove_asks(run: Run, jupyter: Path) -> None:
    """Without -y each is asked for; no answer is a no."""
    run("install", "python-compute")
    run("install", "python-gpu")
    result = run("remove", "python-compute", "python-gpu", input="n\ny\n")
    assert result.exit_code == 0
    assert names(jupyter) == ["python-compute"]
    result = run("remove", "python-compute", input="")
    assert result.exit_code == 1
    assert names(jupyter) == ["python-compute"]


def test_remove_spares_the_others(
    run: Run, jupyter: Path, add_kernel: AddKernel
) -> None:
    """One that is not ours, or not there: nothing at all is removed."""
    add_kernel("ir")
    run("install", "python-compute")
    result = run("remove", "-y", "python-compute", "ir")
    assert result.exit_code == 1
    assert "ir is not a kernelspec of remote-kernels, so it stays" in result.stderr
    result = run("remove", "-y", "python-compute", "none")
    assert "no kernelspec called 'none'; known: ir, python-compute" in result.stderr
    assert names(jupyter) == ["ir", "python-compute"]


def test_the_summary_has_all_that_is_not_usual() -> None:
    """As one would type it."""
    config = {
        "scheduler": "slurm",
        "mem": "4G",
        "exclusive": True,
        "sbatch_args": ["-x"],
    }
    ours = {"allocation": "team", "prologue": ["module load x"], "usage": None}
    renamed = {"prefix": ["nice", "a b"], "python": "/p"}

    words = shlex.split(kernels.summary({**ours, **renamed, **config}))
    assert words[0] == "slurm"
    assert {"--mem=4G", "--exclusive", "-x"} == {*words[1:4]}
    assert [
        "--agent-python=/p",
        "--allocation=team",
        "--command-prefix=nice 'a b'",
        "--prologue=module load x",
    ] == sorted(words[4:])
