"""What is free in a batch system's queues, and when a job would start: values alone.

Rules: what a batch system does not tell is None, never a guess. Made by the drivers (see
`Queues` and `Estimates` in `driver.py`); called by kernel/choice.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Amount:
    """How many there are, and how many of them a job could have now."""

    total: int | None
    free: int | None


@dataclass(frozen=True)
class FreeGpus:
    """The GPUs of one kind; `kind` is "" where they have no names."""

    kind: str
    total: int | None
    free: int | None


@dataclass(frozen=True)
class Queue:
    """A queue that this user may use, or what the batch system has in its place.

    Parameters
    ----------
    name : str
        What the option for the queue is given; "" where there is no such option.
    is_default : bool
        Whether it is known to be the one of a job that names none.
    state : str
        "up", where it starts jobs; else the batch system's word.
    time_limit : float or None
        How long its jobs may run, in seconds.
    nodes, cores : Amount or None
        Free nodes have no job at all.
    memory : int or None
        Of its largest node, in bytes.
    cores_per_node : int or None
        Of the largest node.
    gpus : tuple of FreeGpus
        By their kinds.
    note : str
        What else people are to know of it, in a clause; "" for nothing.
    """

    name: str
    is_default: bool = False
    state: str = "up"
    time_limit: float | None = None
    nodes: Amount | None = None
    cores: Amount | None = None
    memory: int | None = None
    cores_per_node: int | None = None
    gpus: tuple[FreeGpus, ...] = ()
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what the REST API tells."""
        return asdict(self)


@dataclass(frozen=True)
class Estimate:
    """When a job would start.

    Parameters
    ----------
    start : float or None
        Seconds since the epoch; None where nobody knows.
    text : str
        What was said of it, as a clause for people.
    problem : str
        Why the job would be refused, and what to change; "" if it would not.
    """

    start: float | None
    text: str = ""
    problem: str = ""


@dataclass(frozen=True)
class NodeGroup:
    """Some nodes that are alike, as one queue has them: parts of a `Queue`."""

    count: int
    free: int  # nodes
    cores: int  # of each
    cores_free: int  # of all
    memory: int  # bytes, of each
    gpus: tuple[FreeGpus, ...] = ()  # of all
    is_away: bool = False


def with_nodes(queue: Queue, nodes: Iterable[NodeGroup]) -> Queue:
    """Return a queue with what its nodes have, all together."""
    there = [*nodes]
    gpus: dict[str, FreeGpus] = {}
    for each in (gpu for node in there for gpu in node.gpus):
        before = gpus.get(each.kind, FreeGpus(each.kind, 0, 0))
        total, free = _sum(before.total, each.total), _sum(before.free, each.free)
        gpus[each.kind] = FreeGpus(each.kind, total, free)
    count = sum(node.count for node in there)
    away = sum(node.count for node in there if node.is_away)
    note = f"not to be had now: {away} of {count} nodes" if away else ""
    return replace(
        queue,
        nodes=Amount(count, sum(node.free for node in there)),
        cores=Amount(
            sum(node.count * node.cores for node in there),
            sum(node.cores_free for node in there),
        ),
        memory=max((node.memory for node in there), default=0) or None,
        cores_per_node=max((node.cores for node in there), default=0) or None,
        gpus=tuple(gpus.values()),
        note=", ".join(filter(None, (queue.note, note))),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
