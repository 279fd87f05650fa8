"""tunnel.carriers.ssh_keys: what to do when sshd lets nobody in, with real keys."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_kernels.tunnel.carriers.ssh_keys import advice, agent_of

pytestmark = pytest.mark.asyncio


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an empty ~/.ssh."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """An ssh-agent's socket."""
    path = str(tmp_path / "agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", path]) as process:
        while not os.path.exists(path):  # noqa: PTH110
            assert process.poll() is None
        yield path
        process.terminate()


def key(home: Path, name: str = "id_ed25519", passphrase: str = "") -> Path:
    path = home / ".ssh" / name
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(argv, check=True)
    return path


def hand_over(path: Path, agent: str) -> None:
    """The agent holds it, whose file has a passphrase from now on."""
    environment = {**os.environ, "SSH_AUTH_SOCK": agent}
    subprocess.run(["ssh-add", "-q", str(path)], env=environment, check=True)
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(path)]
    subprocess.run(change, check=True, stdout=subprocess.DEVNULL)


async def test_no_key(home: Path) -> None:
    """One is made, and let in."""
    text = await advice("c1", [], "")

    assert "There is no SSH key here" in text
    assert "ssh-keygen -t ed25519\n" in text


async def test_a_passphrase(home: Path) -> None:
    """Nobody is told to make a key that he has."""
    key(home, "id_ed25519", "secret")

    text = await advice("c1", [], "")

    assert "~/.ssh/id_ed25519: has a passphrase" in text
    assert "eval $(ssh-agent); ssh-add ~/.ssh/id_ed25519" in text
    assert "ssh-keygen" not in text


async def test_a_passphrase_known_to_an_agent(home: Path, agent: str) -> None:
    """It was offered, and refused."""
    path = key(home)
    hand_over(path, agent)

    text = await advice("c1", [], agent)

    assert "c1 refused the ssh-agent's " in text
    assert "ssh-add -L >> ~/.ssh/authorized_keys" in text
    assert "passphrase" not in text


async def test_a_key_of_another_name(home: Path) -> None:
    """That ~/.ssh/config names."""
    key(home, "cluster")

    text = await advice("c1", ["~/.ssh/cluster"], "")

    assert "c1 refused ~/.ssh/cluster, which ~/.ssh/authorized_keys does not" in text
    assert "cat ~/.ssh/cluster.pub >> ~/.ssh/authorized_keys" in text
    assert "ssh-copy-id -i ~/.ssh/cluster.pub c1" in text


async def test_a_key_that_should_do(home: Path) -> None:
    """The site itself says no: no more keys are of any help."""
    path = key(home)
    public = path.with_suffix(".pub").read_text()
    (home / ".ssh" / "authorized_keys").write_text(f"# mine\n{public}")

    text = await advice("c1", [], "")

    assert "c1 refused ~/.ssh/id_ed25519, though ~/.ssh/authorized_keys has it" in text
    assert "staff" in text
    assert "ssh-keygen" not in text
    assert "ssh-copy-id" not in text


async def test_which_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of ~/.ssh/config, else the environment's."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/there")

    assert "/there" == agent_of(None)
    assert "/here" == agent_of("/here")


async def test_what_to_use_instead(home: Path) -> None:
    """Other carriers are named by who knows them."""
    file = key(home)
    authorized = file.with_name("authorized_keys")
    authorized.write_text(file.with_name(f"{file.name}.pub").read_text())

    assert "Use carrier pigeon, or ask" in await advice("c1", [], "", "pigeon")
    assert "Ask the site's staff" in await advice("c1", [], "")
