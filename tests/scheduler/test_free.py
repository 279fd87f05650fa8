"""What is free, and when a job would start, as each batch system says it."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from remote_kernels.errors import ControllerError
from remote_kernels.scheduler.driver import Estimates, Queues
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.free import Amount, Estimate, FreeGpus, Queue
from remote_kernels.scheduler.job import Completed, JobRequest
from scheduler.captured import VERSIONS, captured

CAPTURES = Path(__file__).with_name("captures")
GRID_ENGINE = "gridengine-8.1.9"


def queues_in(scheduler: str, done: Completed) -> dict[str, Queue]:
    driver = DRIVERS[scheduler]
    assert isinstance(driver, Queues)
    return {queue.name: queue for queue in driver.queues().answer(done)}


def estimate_of(scheduler: str, *done: Completed) -> Estimate | None:
    """The first of its ways to ask that says anything."""
    driver = DRIVERS[scheduler]
    assert isinstance(driver, Estimates)
    queries = driver.estimates(JobRequest("jupyter-1", "/dev/null"))
    said = (query.answer(each) for query, each in zip(queries, done, strict=False))
    return next((each for each in said if each is not None), None)


def said(text: str, code: int = 0) -> Completed:
    return Completed(("sinfo",), code, text, "")


# --- Slurm ----------------------------------------------------------------------------


def test_slurm_that_idles() -> None:
    """All of it is free; a node counts in each of its partitions."""
    found = queues_in("slurm", captured("sinfo-free"))

    assert ["debug", "long", "gpu", "cheap", "urgent", "class"] == [*found]
    assert ["debug"] == [name for name, queue in found.items() if queue.is_default]
    assert found["debug"] == Queue(
        "debug",
        is_default=True,
        time_limit=3600.0,
        nodes=Amount(2, 2),
        cores=Amount(16, 16),
        memory=4000 * 2**20,
        cores_per_node=8,
        gpus=(FreeGpus("", 2, 2),),
    )
    assert (Amount(1, 1), 7 * 86400.0) == (
        found["cheap"].nodes,
        found["cheap"].time_limit,
    )


def test_slurm_that_is_busy() -> None:
    """A node with a job is not free, but some of its cores and GPUs are."""
    found = queues_in("slurm", captured("sinfo-free-busy"))["debug"]

    assert (Amount(2, 0), Amount(16, 7)) == (found.nodes, found.cores)
    assert (FreeGpus("", 2, 1),) == found.gpus


def test_slurm_that_is_partly_closed() -> None:
    """Hidden partitions, and those of other groups, are left out; what drains is not free."""
    found = queues_in("slurm", captured("sinfo-free-closed"))

    assert ["debug", "long", "gpu", "cheap"] == [*found]
    assert ("down", "up") == (found["long"].state, found["gpu"].state)
    assert "starts none, not to be had now: 1 of 2 nodes" in found["long"].note
    assert Amount(16, 7) == found["debug"].cores
    assert found["cheap"].time_limit is None  # infinite


@pytest.mark.parametrize("version", VERSIONS)
def test_each_slurm(version: str) -> None:
    """Tells the same."""
    idle = queues_in("slurm", captured("sinfo-free", version))
    busy = queues_in("slurm", captured("sinfo-free-busy", version))
    now = estimate_of("slurm", captured("sbatch-estimate", version))
    late = estimate_of("slurm", captured("sbatch-estimate-busy", version))
    never = estimate_of("slurm", captured("sbatch-estimate-never", version))

    first = next(iter(idle.values()))
    assert (True, Amount(2, 2)) == (first.is_default, first.nodes)
    assert Amount(16, 7) == next(iter(busy.values())).cores
    assert now
    assert now.start
    assert now.text.startswith("1 CPU on c1 in partition ")
    assert late
    assert late.start
    assert 1300 > late.start - now.start > 1000
    assert never
    assert never.start is None
    assert "refuse it: allocation failure: Requested node conf" in never.problem
    assert "No node has what is asked for" in never.problem


STATES = [
    ("idle", 4),
    ("idle~", 4),
    ("idle*", 0),
    ("idle$", 0),
    ("mixed", 4),
    ("mixed-", 4),
    ("planned", 4),
    ("draining", 0),
    ("drained*", 0),
    ("down~", 0),
    ("maint", 0),
    ("reserved", 0),
    ("powered_down", 0),
    ("inval", 0),
    ("some_day", 4),
]


@pytest.mark.parametrize(("state", "free"), STATES)
def test_states_of_slurm_s_nodes(state: str, free: int) -> None:
    """What is off to save power comes back; what is about to go, or is kept, is not free."""
    line = (
        f"a*|up|infinite|no|{state}|1|8|4/4/0/8|1000|gpu:a100:2(S:0)|gpu:a100:1(IDX:0)|"
    )
    found = queues_in("slurm", said(line + "\n"))["a"]

    assert Amount(8, free) == found.cores
    assert (FreeGpus("a100", 2, free // 4),) == found.gpus


def test_kinds_of_gpus() -> None:
    """Each is counted by itself, over all nodes that are alike; what is not told is unknown."""
    line = (
        "a|up|1-00:00:00|no|mixed|3|8|4/20/0/24|1000|"
        "gpu:a100:4(S:0-1),gpu:v100:2,shard:8|gpu:a100:1(IDX:0),gpu:v100:0(IDX:N/A)|\n"
        "b|up|1-00:00:00|no|mixed|1|8|4/4/0/8|1000|gpu:h200:1|(null)|\n"
    )
    found = queues_in("slurm", said(line))

    assert (FreeGpus("a100", 12, 9), FreeGpus("v100", 6, 6)) == found["a"].gpus
    assert (FreeGpus("h200", 1, None),) == found["b"].gpus


def test_what_is_none_of_slurm_s_rows() -> None:
    """Lines of a wrapper, root's partitions, and cells that are no numbers are passed over."""
    text = "Welcome!\nr|up|1:00|yes|idle|1|8|0/8/0/8|1|(null)|gpu:0|\nn|up|n/a|no|n/a|0|0||||||\n"
    found = queues_in("slurm", said(text))

    assert ["n"] == [*found]
    assert (Amount(0, 0), None) == (found["n"].nodes, found["n"].time_limit)


def test_slurm_refuses_a_partition() -> None:
    """In its own words, with what to change."""
    found = estimate_of("slurm", captured("sbatch-estimate-partition"))

    assert found
    assert "invalid partition specified: nosuch" in found.problem
    assert "Change 'partition': `sinfo -s`" in found.problem


def test_a_kernel_in_a_job_that_is_there() -> None:
    """Needs no estimate."""
    slurm = DRIVERS["slurm"]
    assert isinstance(slurm, Estimates)

    assert [] == slurm.estimates(JobRequest("a", "/b", {"jobid": "17"}))


# --- Grid Engine ----------------------------------------------------------------------


def test_grid_engine_that_idles() -> None:
    """It tells how many GPUs are left, not how many there are."""
    found = queues_in("gridengine", captured("qstat-free", GRID_ENGINE))

    assert ["debug.q", "long.q", "cheap.q", "urgent.q"] == [*found]
    memory = found["debug.q"].memory
    assert memory
    assert found["debug.q"] == Queue(
        "debug.q",
        time_limit=3600.0,
        nodes=Amount(2, 2),
        cores=Amount(16, 16),
        memory=memory,
        cores_per_node=8,
        gpus=(FreeGpus("", None, 2),),
    )


def test_grid_engine_that_is_busy() -> None:
    """What one queue's jobs have of a host, no other queue has."""
    found = queues_in("gridengine", captured("qstat-free-busy", GRID_ENGINE))

    assert {Amount(16, 5)} == {found[name].cores for name in ("debug.q", "long.q")}
    assert {Amount(2, 0)} == {found[name].nodes for name in ("debug.q", "long.q")}
    assert Amount(8, 5) == found["cheap.q"].cores


def test_grid_engine_that_is_partly_closed() -> None:
    """A queue is up where it is so on any host."""
    found = queues_in("gridengine", captured("qstat-free-closed", GRID_ENGINE))

    assert ("up", "disabled") == (found["debug.q"].state, found["cheap.q"].state)
    assert "not to be had now: 1 of 2 nodes" == found["debug.q"].note
    assert Amount(8, 0) == found["cheap.q"].cores


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("room", "there is room for it now", ""),
        ("wait", "there is no room for it now", ""),
        ("never", "", "because it offers only hc:gpu=2.000000; .*Ask for less"),
        ("never-time", "", "no suitable queues; .* Ask for less"),
        ("never-queue", "", 'unknown queue "nosuch.q". Change .queue. .`qconf -sql`'),
    ],
)
def test_what_grid_engine_says_of_a_job(name: str, text: str, problem: str) -> None:
    """Whether there is room now, and whether there ever can be."""
    ways = [captured(f"qsub-{name}-{way}", GRID_ENGINE) for way in "pv"]
    found = estimate_of("gridengine", *ways)

    assert found
    assert found.text.startswith(text)
    assert bool(found.start) == (name == "room")
    assert bool(problem) == bool(found.problem)
    if problem:
        assert re.search(problem, found.problem), found.problem


def test_what_grid_engine_takes_for_missing() -> None:
    """A load may be another one tomorrow: nothing is known of that."""
    ways = [captured(f"qsub-doubtful-{way}", GRID_ENGINE) for way in "pv"]

    assert estimate_of("gridengine", *ways) is None


# --- the others -----------------------------------------------------------------------


def test_pbs() -> None:
    """Its queues that users may name, without their nodes."""
    text = (CAPTURES / "pbs" / "qstat-queues-2022.1.json").read_text()
    found = queues_in("pbs", said(text))

    assert ["run_next", "debug", "prod"] == [*found]
    assert Queue("debug", time_limit=3600.0, note="17 jobs wait") == found["debug"]
    assert "disabled" == found["run_next"].state


def test_torque() -> None:
    """The same."""
    text = (CAPTURES / "torque" / "qstat-queues.invented.txt").read_text()
    found = queues_in("torque", said(text))

    assert Queue("batch", time_limit=86400.0, note="1 job waits") == found["batch"]
    assert "disabled" == found["closed"].state


def test_lsf() -> None:
    """Their names and states."""
    text = (CAPTURES / "lsf" / "bqueues-invented.txt").read_text()
    found = queues_in("lsf", said(text))

    assert {"priority": "up", "normal": "up", "night": "Closed:Inact"} == {
        name: queue.state for name, queue in found.items()
    }


def test_htcondor() -> None:
    """The pool, whose machines are cut up for jobs, or are of a fixed size."""
    whole = '"TotalSlotCpus": 8, "TotalSlotMemory": 8000, "TotalSlotGPUs": 2'
    text = (
        f'[{{"SlotType": "Partitionable", "State": "Unclaimed", "Cpus": 5, "GPUs": 1, {whole}}},'
        f'{{"SlotType": "Static", "State": "Claimed", "Cpus": 8, "GPUs": 2, {whole}}},'
        f'{{"SlotType": "Static", "State": "Owner", "Cpus": 8, {whole}}}]'
    )
    (found,) = queues_in("htcondor", said(text)).values()

    assert (Amount(3, 0), Amount(24, 5)) == (found.nodes, found.cores)
    assert (FreeGpus("", 6, 1),) == found.gpus
    assert "all machines, not to be had now: 1 of 3 nodes" == found.note


def test_this_machine() -> None:
    """Starts a job at once."""
    found = estimate_of("local", said(""))

    assert found
    assert found.start
    assert abs(found.start - time.time()) < 60


@pytest.mark.parametrize(
    "name", [name for name, driver in DRIVERS.items() if isinstance(driver, Queues)]
)
def test_nobody_tells(name: str) -> None:
    """That is no empty list of queues."""
    with pytest.raises(ControllerError):
        queues_in(name, replace(said("", 1), stderr="Connection refused"))
