"""kernel.site: the batch system that is here, and what can be said without asking it."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote_kernels.config import Settings
from remote_kernels.errors import ConfigError
from remote_kernels.kernel import site
from remote_kernels.kernel.runtime import Runtime


def test_what_cannot_be_asked_for() -> None:
    """Nobody need be asked to know it."""
    assert {"time": 5} == site.check({"scheduler": "slurm", "time": 5}).options
    with pytest.raises(ConfigError, match="time"):
        site.check({"scheduler": "local", "time": 5})


@pytest.mark.parametrize(
    ("config", "can"),
    [
        ({"scheduler": "local"}, True),
        ({"scheduler": "slurm"}, False),
        ({"a": 1}, False),
    ],
)
def test_what_can_be_submitted_here(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, object], can: bool
) -> None:
    """Where the batch system's program is, if it has words for all of it."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert can == site.can_be_submitted(config)


@pytest.mark.parametrize(
    ("scheduler", "carrier", "words"),
    [
        ("slurm", "ssh", ""),
        ("slurm", "srun", "not encrypted"),
        ("local", "pipe", ""),
        ("gridengine", "qrsh", "not encrypted on the network; a kernel's job ends"),
        ("gridengine", "ssh", ""),
    ],
)
def test_what_is_to_be_known_of_a_carrier(
    scheduler: str, carrier: str, words: str
) -> None:
    """Ssh encrypts; what passes within one machine nobody sees."""
    said = "; ".join(site.cautions(Settings(scheduler=scheduler), carrier))
    assert said.startswith(words)
    assert bool(words) == bool(said)


def test_carriers() -> None:
    """The one that is asked for, or all that the batch system has."""
    assert ("ssh",) == site.carriers(Settings(scheduler="slurm", carrier="ssh"))
    assert 1 < len(site.carriers(Settings(scheduler="slurm")))


@pytest.mark.asyncio
async def test_a_batch_system_that_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is told, and nobody is asked."""
    monkeypatch.setenv("PATH", str(tmp_path))

    found = await site.here(Runtime(), Settings(scheduler="slurm"), reach=True)

    assert ("slurm", None, "") == (found.name, found.path, found.about)
