"""`remote-kernels doctor --no-job`: what it says of this side, on sites of each kind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from remote_kernels.cli import doctor
from remote_kernels.errors import ControllerError
from remote_kernels.scheduler.job import Completed, Query
from remote_kernels.scheduler.slurm.driver import Slurm

from .conftest import AddKernel, FakeSlurm, Run

Examine = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def examine(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """`examine("--carrier", "ssh")`: its exit code, and what it found by stage."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(place))

    def examine(*args: str) -> tuple[int, dict[str, Any]]:
        runtime = str(place / "s")
        result: Result = run(
            "doctor", "--no-job", "--json", "--runtime-dir", runtime, *args
        )
        report = json.loads(result.stdout)
        found = {finding["stage"]: finding for finding in report["findings"]}
        return result.exit_code, {**found, "summary": report["summary"]}

    return examine


def ours(add_kernel: AddKernel, name: str, **config: object) -> None:
    provisioner = {"provisioner_name": "remote-kernels", "config": config}
    add_kernel(name, metadata={"kernel_provisioner": provisioner})


# --- versions -----------------------------------------------------------------------


def test_an_installation_whose_pages_lack_the_extension(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    """It was built where there was no Node: pip does not show that, so it is told here."""
    monkeypatch.setattr(doctor, "jupyter_path", lambda name: [str(place / name)])
    without = examine("--scheduler", "local")[1]["versions"]
    (place / "labextensions" / "@remote-kernels" / "ui").mkdir(parents=True)
    with_it = examine("--scheduler", "local")[1]["versions"]

    assert "ok" == without["state"]
    assert "without the extension for JupyterLab and Notebook" in without["text"]
    assert "with the extension for JupyterLab and Notebook" in with_it["text"]


# --- scheduler ----------------------------------------------------------------------


def test_a_site_that_hides_partitions_and_nodes(
    examine: Examine, slurm: FakeSlurm
) -> None:
    """PrivateData=partitions: sinfo is refused, and kernels work."""
    slurm.add("sinfo", "echo 'slurm_load_partitions: Access denied' >&2; exit 1")

    code, found = examine()

    assert (0, "ok") == (code, found["scheduler"]["state"])
    assert "the controller answers" in found["scheduler"]["text"]


def test_a_wrapper_that_knows_no_version(examine: Examine, slurm: FakeSlurm) -> None:
    """It may still submit."""
    slurm.add("sbatch", "echo 'usage: sbatch SCRIPT' >&2; exit 1")

    code, found = examine()

    assert (0, "ok") == (code, found["scheduler"]["state"])


def test_a_controller_that_does_not_answer(examine: Examine, slurm: FakeSlurm) -> None:
    """Then there is no kernel, with its own words."""
    slurm.add("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")

    code, found = examine()

    assert (1, "failed") == (code, found["scheduler"]["state"])
    assert "Unable to contact slurm controller" in found["scheduler"]["text"]


def test_a_login_node_without_sbatch_on_path(
    examine: Examine, add_kernel: AddKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels that are installed need it: named, and what to load."""
    monkeypatch.setenv("PATH", "/nowhere")
    ours(add_kernel, "python-compute", scheduler="slurm")
    ours(add_kernel, "limited", time=60)
    ours(add_kernel, "here", scheduler="local")

    code, found = examine()

    scheduler = found["scheduler"]
    assert (1, "failed") == (code, scheduler["state"])
    assert "there is no " in scheduler["text"]
    assert " on PATH" in scheduler["text"]
    assert "module" in scheduler["advice"]
    assert "as things are: limited, python-compute." in scheduler["advice"]


def test_a_machine_without_a_batch_system(
    examine: Examine, add_kernel: AddKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernels work, and the report does not hide where."""
    monkeypatch.setenv("PATH", "/nowhere")
    ours(add_kernel, "here", scheduler="local")

    code, found = examine()

    assert (0, "warning") == (code, found["scheduler"]["state"])
    assert "this machine itself" in found["scheduler"]["text"]
    assert "see the warning: scheduler" in found["summary"]


def test_the_local_scheduler_where_it_is_asked_for(examine: Examine) -> None:
    """Nothing to warn of."""
    code, found = examine("--scheduler", "local")

    assert (0, "ok") == (code, found["scheduler"]["state"])


@pytest.mark.parametrize(
    ("script", "advice"),
    [("echo every minute", "every minute"), ("echo", ""), ("exit 1", "")],
)
def test_jobs_that_start_late_at_this_site(
    examine: Examine,
    slurm: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    advice: str,
) -> None:
    """What its administrators could change; kernels work."""

    def slow(done: Completed) -> str | None:
        done.check(ControllerError, "")
        return done.stdout.strip() or None

    question = Query(["slow"], slow)
    monkeypatch.setattr(Slurm, "slow_starts", lambda self: question)
    slurm.add("slow", script)

    code, found = examine()

    state = "warning" if advice else "ok"
    assert (0, state, advice) == (
        code,
        found["scheduler"]["state"],
        found["scheduler"]["advice"],
    )
    assert "the controller answers" in found["scheduler"]["text"]


# --- ssh keys -----------------------------------------------------------------------


def key(path: Path, passphrase: str = "") -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    kind = ["-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(["ssh-keygen", "-q", *kind], check=True)


def test_no_key_at_all(examine: Examine, slurm: FakeSlurm) -> None:
    """What the carrier needs, and that another does without."""
    _, found = examine()

    assert "warning" == found["ssh keys"]["state"]
    assert "ssh-keygen" in found["ssh keys"]["advice"]


@pytest.mark.parametrize("name", ["id_ed25519", "cluster-key"])
def test_a_key_of_any_name(examine: Examine, slurm: FakeSlurm, name: str) -> None:
    """No fault, whatever it is called; not even without its public half."""
    key(Path.home() / ".ssh" / name)
    (Path.home() / ".ssh" / f"{name}.pub").unlink()

    _, found = examine()

    assert ("ok", name) == (found["ssh keys"]["state"], found["ssh keys"]["text"])


def test_a_key_elsewhere_for_hosts_that_are_not_known_here(
    examine: Examine, slurm: FakeSlurm
) -> None:
    """Named in a file that ~/.ssh/config includes."""
    key(Path.home() / "keys" / "mine")
    (Path.home() / ".ssh" / "conf.d").mkdir(parents=True)
    (Path.home() / ".ssh" / "config").write_text("Include conf.d/*\n")
    text = "Host c* n[0-9]\n  IdentityFile ~/keys/mine\n"
    (Path.home() / ".ssh" / "conf.d" / "site").write_text(text)

    _, found = examine()

    assert "ok" == found["ssh keys"]["state"]
    assert found["ssh keys"]["text"].endswith("keys/mine")


def test_a_key_with_a_passphrase(
    examine: Examine, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of no use without an agent, and that is said; with one it is no fault."""
    key(Path.home() / ".ssh" / "id_ed25519", "secret")

    _, found = examine()
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    _, with_agent = examine()

    assert "warning" == found["ssh keys"]["state"]
    assert "with a passphrase" in found["ssh keys"]["text"]
    assert "ok" == with_agent["ssh keys"]["state"]
    assert "an ssh-agent" in with_agent["ssh keys"]["text"]


def test_host_based_authentication(
    examine: Examine, slurm: FakeSlurm, place: Path
) -> None:
    """Needs no key, as ssh's own configuration tells."""
    (place / "bin" / "ssh").write_text("#!/bin/sh\necho hostbasedauthentication yes\n")
    (place / "bin" / "ssh").chmod(0o755)

    _, found = examine()

    assert "ok" == found["ssh keys"]["state"]
    assert "host-based authentication" == found["ssh keys"]["text"]
