"""Bad input: what the user reads in Lab's dialog, and that nothing is left behind.

The text is str() of what KernelManager.start_kernel raises; jupyter_server shows just
that.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager

from login.specs import write_spec
from remote_kernels.errors import (
    AgentError,
    ConfigError,
    JobError,
    RecordError,
    RemoteKernelError,
    SubmitError,
    TunnelError,
)

Config = dict[str, Any]
cluster = pytest.mark.cluster
pytestmark = pytest.mark.only("slurm", "Slurm's words; others': tests/contracts")


def squeue() -> set[str]:
    done = subprocess.run(
        ["squeue", "-h", "-u", getpass.getuser(), "-o", "%i"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory, jupyter: Path) -> Iterator[Path]:
    """A state directory of the test's own, in the shared home; empty at the end."""
    path = jupyter / "refusals"
    yield path
    assert [] == [*path.glob("kernels/*")], "a record is left"


Refused = Callable[..., Any]


@pytest.fixture
def refused(state: Path, tmp_path: Path) -> Iterator[Refused]:
    """Start a kernel that cannot be, and return the error; nothing may be left."""
    sockets = tmp_path / "s"

    async def start(config: Config, argv: list[str] | None = None) -> RemoteKernelError:
        common = {"state_dir": str(state), "runtime_dir": str(sockets)}
        write_spec("refused", {"scheduler": "slurm", **common, **config}, argv)
        manager = AsyncKernelManager(kernel_name="refused")
        with pytest.raises(RemoteKernelError) as caught:
            await manager.start_kernel()
        manager.context.destroy(linger=0)
        return caught.value

    before = squeue() if os.access("/usr/bin/squeue", os.X_OK) else set()
    yield start
    if os.access("/usr/bin/squeue", os.X_OK):
        assert set() == squeue() - before, "a job is left"
    assert [] == [*sockets.glob("*")], "sockets are left"


@pytest.mark.asyncio
async def test_an_unknown_key_gets_a_suggestion(refused: Refused) -> None:
    """A typo is not silently ignored."""
    error = await refused({"partion": "debug"})

    assert isinstance(error, ConfigError)
    assert "unknown option 'partion'" in str(error)
    assert "did you mean 'partition'?" in str(error)


@pytest.mark.asyncio
async def test_a_wrong_type_says_what_is_expected(refused: Refused) -> None:
    """What was given, what is expected, an example."""
    error = await refused({"nodes": [1]})

    assert isinstance(error, ConfigError)
    assert "option 'nodes' is [1] (a list); expected" in str(error)


@pytest.mark.asyncio
async def test_a_carrier_of_another_scheduler(refused: Refused) -> None:
    """Said before anything is submitted."""
    error = await refused({"carrier": "pipe"})

    assert isinstance(error, ConfigError)
    assert "carrier 'pipe'" in str(error)


@pytest.mark.asyncio
async def test_no_sbatch_on_path(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing, and where to start the server instead."""
    monkeypatch.setenv("PATH", "/nowhere")

    error = await refused({})

    assert isinstance(error, ConfigError)
    assert "no sbatch on PATH" in str(error)
    assert "login node" in str(error)


@pytest.mark.asyncio
async def test_a_socket_directory_that_is_too_long(refused: Refused) -> None:
    """sun_path: how many bytes there may be."""
    error = await refused({"runtime_dir": "/home/" + "x" * 100})

    assert isinstance(error, ConfigError)
    assert "at most 107 bytes" in str(error)


@pytest.mark.asyncio
async def test_a_state_directory_that_cannot_be_written(refused: Refused) -> None:
    """Which directory, why, and which option to set."""
    error = await refused({"state_dir": "/proc/nothing"}, [sys.executable])

    assert isinstance(error, RecordError)
    assert "/proc/nothing" in str(error)
    assert "state_dir" in str(error)


@cluster
@pytest.mark.asyncio
async def test_an_unknown_partition(refused: Refused) -> None:
    """sbatch's words verbatim, its command and exit code, and where to look."""
    error = await refused({"partition": "nosuch"})

    assert isinstance(error, SubmitError)
    assert 1 == error.returncode
    assert "sbatch --parsable" in str(error)
    assert "Invalid partition name specified" in str(error)
    assert "sinfo -s" in str(error)


@cluster
@pytest.mark.asyncio
async def test_more_time_than_the_partition_allows(refused: Refused) -> None:
    """Accepted by Slurm, pending for ever: recognised by its reason, and cancelled."""
    error = await refused({"time": "2-00:00:00"})

    assert isinstance(error, JobError)
    assert "can never start as asked (PartitionTimeLimit)" in str(error)
    assert "'time'" in str(error)


@cluster
@pytest.mark.asyncio
async def test_an_impossible_request(refused: Refused) -> None:
    """More CPUs than any node has: told apart from a long wait; 24.11 takes none."""
    error = await refused({"cpus-per-task": 99})

    if isinstance(error, SubmitError):
        assert "No node has what is asked for" in str(error)
    else:
        assert isinstance(error, JobError)
        assert "can never start as asked (PartitionConfig)" in str(error)
    assert "cpus-per-task" in str(error)


@cluster
@pytest.mark.asyncio
async def test_a_controller_that_does_not_answer(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """sbatch's words, and that it may pass."""
    conf = Path("/etc/slurm/slurm.conf").read_text()
    lines = [line for line in conf.splitlines() if "SlurmctldHost" not in line]
    nobody = ["SlurmctldHost=nobody(127.0.0.1)", "SlurmctldPort=1", "MessageTimeout=2"]
    (tmp_path / "slurm.conf").write_text("\n".join([*lines, *nobody]))
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))

    error = await refused({})

    monkeypatch.delenv("SLURM_CONF")
    assert isinstance(error, SubmitError)
    assert "Unable to contact slurm controller" in str(error)
    assert "Try again" in str(error)


@cluster
@pytest.mark.asyncio
async def test_a_state_directory_that_the_node_does_not_share(
    refused: Refused, tmp_path: Path
) -> None:
    """This host's /tmp is not the node's."""
    error = await refused({"state_dir": str(tmp_path / "state")})

    assert isinstance(error, JobError)
    assert "state directory is not shared" in str(error)
    assert "'state_dir'" in str(error)


@cluster
@pytest.mark.parametrize("too_old", [False, True])
@pytest.mark.asyncio
async def test_a_node_without_a_new_python(
    refused: Refused, jupyter: Path, too_old: bool
) -> None:
    """What was tried, what each said, which option to set."""
    python = jupyter / "python3.6"
    if too_old:
        python.write_text("#!/bin/sh\necho 3.6\nexit 1\n")
        python.chmod(0o755)
    else:
        python.unlink(missing_ok=True)

    error = await refused({"python": str(python)})

    assert isinstance(error, JobError)
    assert "No Python 3.9 or later" in str(error)
    assert f"{python}: {'3.6' if too_old else 'not found'}" in str(error)


@cluster
@pytest.mark.asyncio
async def test_a_prologue_that_fails(refused: Refused) -> None:
    """Which line, and what it said."""
    error = await refused({"prologue": ["echo before", "false"]})

    assert isinstance(error, JobError)
    assert "prologue failed with exit code 1 at: false" in str(error)


@cluster
@pytest.mark.asyncio
async def test_a_kernel_command_that_is_missing(refused: Refused) -> None:
    """On which node, what was tried."""
    error = await refused({}, ["/no/such/kernel", "{connection_file}"])

    assert isinstance(error, AgentError)
    assert "/no/such/kernel" in str(error)
    assert "No such file or directory" in str(error)


@cluster
@pytest.mark.asyncio
async def test_a_kernel_that_exits_at_once(refused: Refused) -> None:
    """Its exit code and what it wrote."""
    code = "import sys; sys.exit('No module named ipykernel')"

    error = await refused({}, [sys.executable, "-c", code, "{connection_file}"])

    assert isinstance(error, AgentError)
    assert "exit code 1" in str(error)
    assert "No module named ipykernel" in str(error)


@cluster
@pytest.mark.asyncio
async def test_a_host_key_that_changed(refused: Refused) -> None:
    """Another host's sshd answers: its key is not the one that the job reported."""
    error = await refused({"carrier": "ssh", "address": "login1"})

    assert isinstance(error, TunnelError)
    assert "host key is not the one" in str(error)


@cluster
@pytest.mark.asyncio
async def test_an_address_that_nobody_knows(refused: Refused) -> None:
    """The option that makes it is named, and who would have to know it."""
    error = await refused({"carrier": "ssh", "address": "{node}-nowhere"})

    assert isinstance(error, TunnelError)
    assert "-nowhere: " in str(error)
    assert "'address' (--address), which is '{node}-nowhere'" in str(error)
    assert "getent hosts" in str(error)


@cluster
@pytest.mark.asyncio
async def test_ssh_refused(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No key that the node accepts: what to do about it; nothing prompts."""
    monkeypatch.setenv("HOME", str(tmp_path))  # no ~/.ssh there

    error = await refused({"carrier": "ssh"})

    assert isinstance(error, TunnelError)
    assert "Permission denied" in str(error)
    assert "ssh-keygen" in str(error)


@cluster
@pytest.mark.asyncio
async def test_auto_goes_on_when_ssh_does_not_work(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel runs over srun, and the log says why ssh was rejected."""
    config = {"scheduler": "slurm", "address": "login1", "state_dir": str(state)}
    write_spec("fallback", config)
    manager = AsyncKernelManager(kernel_name="fallback")

    await manager.start_kernel()
    provisioner: Any = manager.provisioner
    carrier = provisioner.remote_kernel.status.carrier
    await manager.shutdown_kernel()
    manager.context.destroy(linger=0)

    assert "srun" == carrier
    assert "carrier ssh: login1: the node's SSH host key" in caplog.text
