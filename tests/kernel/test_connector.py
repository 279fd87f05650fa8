"""kernel.connector: coming back to an agent, past whoever else may have its kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from scheduler.asking import job

from remote_kernels.config import parse
from remote_kernels.errors import TunnelError
from remote_kernels.kernel.connection import Connection
from remote_kernels.kernel.connector import Connector, carriers, kind_of_node
from remote_kernels.kernel.job import Job
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.status import KernelStatus
from remote_kernels.records import TAKEN, CarrierCache, JobEnd, Record
from remote_kernels.scheduler.driver import Driver
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.scheduler.local.driver import Local
from remote_kernels.scheduler.slurm.driver import Slurm
from remote_kernels.tunnel.carriers.shared_ssh import SharedSshCarrier, SshPool
from remote_kernels.tunnel.carriers.ssh import SshCarrier
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire.codes import RefusalCode
from remote_kernels.wire.hello import Refused

CANCELLED = JobStatus(job("7"), Phase.ENDED, "CANCELLED")
AGENT = {
    "node": "n",
    "hostname": "n",
    "socket": "s",
    "python": "python3",
    "pyz": "a",
}


class Answers:
    """A connection, by what comes of each attempt to open it; the last again."""

    carrier = None

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    async def open(self, *args: object, take: bool) -> object:
        assert not take
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Looked(Job):
    """A job, by what is found at each look."""

    def __init__(self, directory: Path, *statuses: JobStatus | None) -> None:
        super().__init__(
            Runtime(), parse({"scheduler": "local"}), Record(directory, "k")
        )
        self.id = job("7")
        self._statuses = list(statuses)

    async def ended(self, timeout: float = 1e9) -> JobStatus | None:
        return self._statuses.pop(0) if self._statuses else None


class Reached(Tunnel):
    """One that is open."""

    def __init__(self) -> None:
        self.rejected = {}


async def again(
    directory: Path,
    answers: Sequence[object],
    *statuses: JobStatus | None,
    dead_after: float = 0.01,
) -> Tunnel | JobEnd:
    settings = parse({"state_dir": str(directory), "dead_after": dead_after})
    status = KernelStatus(
        "k", settings, "", "", outlives=True, on_news=lambda action, view, text: None
    )
    connection: Any = Answers(*answers)
    connector = Connector(
        status,
        Looked(directory, *statuses),
        AGENT,
        cast("Connection", connection),
    )
    return await asyncio.wait_for(connector.again(), 10.0)


@pytest.mark.asyncio
async def test_a_node_that_answers_again(tmp_path: Path) -> None:
    """However often it did not."""
    found = await again(tmp_path, [TunnelError("no"), Reached()])

    assert isinstance(found, Reached)


@pytest.mark.asyncio
async def test_a_job_that_ended_meanwhile(tmp_path: Path) -> None:
    """Nobody is looked for any more."""
    found = await again(tmp_path, [TunnelError("no")], None, CANCELLED)

    assert isinstance(found, JobEnd)
    assert CANCELLED.state == found.word
    assert TAKEN != found.word


@pytest.mark.asyncio
async def test_another_server_was_faster(tmp_path: Path) -> None:
    """The kernel is its; ours is over, but nobody may seal or remove the record."""
    found = await again(tmp_path, [Refused(RefusalCode.IN_USE, "just now")])

    assert isinstance(found, JobEnd)
    assert "Another server has kernel k" in found.text
    assert TAKEN == found.word


@pytest.mark.asyncio
async def test_another_server_that_answers_is_believed_at_once(tmp_path: Path) -> None:
    """Heard since we asked first, it lives; heard before, it may just have died."""
    heard = [Refused(RefusalCode.IN_USE, "", s) for s in (4.0, 0.3, 0.1)]

    found = await again(tmp_path, heard, dead_after=60)

    assert isinstance(found, JobEnd)
    assert TAKEN == found.word


@pytest.mark.asyncio
async def test_another_server_that_died_is_not_believed(tmp_path: Path) -> None:
    """It is silent since we asked first, and soon has the kernel no more."""
    silent = [Refused(RefusalCode.IN_USE, "", s) for s in (0.1, 0.5, 0.9)]

    found = await again(tmp_path, [*silent, Reached()], dead_after=60)

    assert isinstance(found, Reached)


@pytest.mark.asyncio
async def test_the_agent_does_not_give_it(tmp_path: Path) -> None:
    """No other server has it then: how it ended is to be told."""
    no = Refused(RefusalCode.NO_KERNEL, "kernel k has ended")
    found = await again(tmp_path, [no], None, CANCELLED)

    assert isinstance(found, JobEnd)
    assert TAKEN != found.word


async def opened(directory: Path, *answers: object, **config: Any) -> KernelStatus:
    """Reach an agent once, by a connection that does so over that carrier."""
    settings = parse({"state_dir": str(directory), **config})
    status = KernelStatus(
        "k", settings, "", "", outlives=True, on_news=lambda action, view, text: None
    )
    connection: Any = Answers(*answers)
    connection.carrier = "srun"
    connector = Connector(
        status, Looked(directory), AGENT, cast("Connection", connection)
    )
    try:
        await connector.open(take=False)
    finally:
        await status.record.written()
    return status


@pytest.mark.asyncio
async def test_a_carrier_that_works_is_tried_first_next_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And it is logged why the others do not."""
    tunnel = Reached()
    tunnel.rejected = {"ssh": "no route to host"}

    await opened(tmp_path, tunnel)

    assert "srun" == CarrierCache(tmp_path).carrier(kind_of_node(AGENT))
    assert "kernel=k carrier ssh: no route to host" in caplog.text


@pytest.mark.asyncio
async def test_the_carrier_that_the_user_has_chosen(tmp_path: Path) -> None:
    """Is nothing that others should go by."""
    config = {"scheduler": "slurm", "carrier": "srun"}
    await opened(tmp_path, Reached(), **config)

    assert CarrierCache(tmp_path).carrier(kind_of_node(AGENT)) is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("silent", "said"),
    [
        ((), "no way in\n--- kernel.log\noops"),
        (("pipe",), "no answer gets from there"),
    ],
)
async def test_an_agent_that_is_not_reached(
    tmp_path: Path, silent: tuple[str, ...], said: str
) -> None:
    """The logs may say why, but for a firewall, of which no program there knows."""
    record = Record(tmp_path, "k")
    record.create()
    record.kernel_log.write_text("oops")

    with pytest.raises(TunnelError) as caught:
        await opened(tmp_path, TunnelError("no way in", silent))

    assert said in str(caught.value)
    assert silent == caught.value.silent
    assert bool(silent) != ("oops" in str(caught.value))


PLACE = {**AGENT, "addresses": ["10.0.0.7"], "host_keys": ["ssh-ed25519 A"]}


def ways(driver: Driver, remembered: str | None = None, **config: Any) -> list[Any]:
    settings, log = parse({"scheduler": driver.name, **config}), Path("/job.log")
    more: dict[str, Any] = {"ssh": SshPool(), "shared": "allocation" in config}
    return [*carriers(PLACE, job("7"), driver, settings, remembered, log, **more)]


def test_the_carriers_of_a_batch_system() -> None:
    """The one that worked last comes first."""
    assert ["ssh", "srun"] == [way.name for way in ways(Slurm())]
    assert ["srun", "ssh"] == [way.name for way in ways(Slurm(), "srun")]
    assert ["srun"] == [way.name for way in ways(Slurm(), "ssh", carrier="srun")]
    assert ["pipe"] == [way.name for way in ways(Local())]


def test_where_ssh_goes() -> None:
    """The node by its names and addresses, or by the user's pattern; with its keys."""
    (plain, _), (named, _) = ways(Slurm()), ways(Slurm(), address="{node}.example.org")

    assert ("n", "10.0.0.7") == plain.to.hosts
    assert ("ssh-ed25519 A",) == plain.to.host_keys
    assert "srun" == plain.to.instead
    assert ("n.example.org",) == named.to.hosts


def test_kernels_of_one_job_share_a_connection() -> None:
    """Those of other jobs have their own."""
    (shared, _), (own, _) = ways(Slurm(), allocation="team"), ways(Slurm())

    assert isinstance(shared, SharedSshCarrier)
    assert isinstance(own, SshCarrier)


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        ({"node": "gpu07", "cluster": "big", "hostname": "h"}, "big gpu#"),
        ({"node": "cn0123", "hostname": "here"}, "here cn#"),
    ],
)
def test_nodes_of_one_kind(agent: dict[str, str], kind: str) -> None:
    """They have one firewall and one sshd; without a cluster the host is one."""
    assert kind == kind_of_node(agent)
