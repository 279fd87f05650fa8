"""What this PBS has, and what of a request its queues and nodes cannot give.

Rules: pure; argv out, text in. A doubt is a guess that never refuses anything: hooks and
routing queues may change the request, and which nodes serve a queue is the site's
secret. What is not understood is not doubted. Called by `driver.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from remote_kernels.scheduler.free import Queue
from remote_kernels.scheduler.job import Completed, Query
from remote_kernels.scheduler.offered import instead

from . import answers
from .options import size, walltime

_QUEUES = ("qstat", "-Qf", "-F", "json")
_BOTH = ("sh", "-c", "qstat -Qf -F json; pbsnodes -aSj -F json")
_EACH = ("ncpus", "mem", "ngpus")  # on each node
_UNITS = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40, "pb": 2**50}


def doubts(options: Mapping[str, Any]) -> Query[list[str]] | None:
    """Ask what cannot be had: a sentence each, without a full stop."""
    queue = str(options.get("queue", ""))
    named = bool(queue) and "@" not in queue  # else the default, or another server's
    if any(name in options for name in _EACH):
        queue = queue if named else ""
        return Query(_BOTH, lambda completed: [*_doubts(completed, queue, options)])
    if not named:
        return None
    return Query(_QUEUES, lambda completed: [*_doubts(completed, queue, options)])


def offers(option: str) -> Query[list[str]] | None:
    """Ask what this option can be; None if nobody knows."""
    return Query(_QUEUES, _open) if option == "queue" else None


def queues() -> Query[list[Queue]]:
    """Ask for the queues that users may name; which nodes are theirs is not told."""
    return Query(_QUEUES, _listed)


def _listed(completed: Completed) -> list[Queue]:
    there = answers.answer(completed, "Queue")
    return [
        queue_of(name, facts, facts.get("resources_max", {}).get("walltime"))
        for name, facts in there.items()
        if facts.get("from_route_only") != "True"
    ]


def queue_of(name: str, facts: Mapping[str, Any], walltime: object) -> Queue:
    """Return what is told of a queue, as qstat -Qf shows it."""
    state = "up" if facts.get("started") != "False" else "stopped"
    state = state if facts.get("enabled") != "False" else "disabled"
    waiting = re.search(r"Queued:(\d+)", str(facts.get("state_count", "")))
    number = int(waiting[1]) if waiting else 0
    note = f"{number} job{'s wait' if number != 1 else ' waits'}" if number else ""
    limit = answers.seconds(walltime)
    return Queue(name, state=state, time_limit=limit, note=note)


def version(completed: Completed) -> str:
    """Return the version that `qstat --version` tells: pbs_version = 22.05.11."""
    for line in reversed(completed.stdout.splitlines()):
        name, _, number = line.partition("=")
        if name.strip() == "pbs_version":
            return f"PBS {number.strip()}"
    return ""


def _open(completed: Completed) -> list[str]:
    """Return the queues that take jobs of users."""
    queues = answers.answer(completed, "Queue").items()
    return sorted(
        name
        for name, facts in queues
        if "False" not in (facts.get("enabled"), facts.get("started"))
        and facts.get("from_route_only") != "True"
    )


def _doubts(
    completed: Completed, queue: str, options: Mapping[str, Any]
) -> Iterator[str]:
    told = answers.documents(completed.stdout)
    if queue and told.get("Queue"):
        yield from _of_queue(told["Queue"], queue, options)
    yield from _of_nodes(told.get("nodes", {}).values(), options)


def _of_queue(
    queues: Mapping[str, Any], name: str, options: Mapping[str, Any]
) -> Iterator[str]:
    if name not in queues:
        yield _missing(name, sorted(queues))
        return
    facts = queues[name]
    if facts.get("enabled") == "False":
        yield f"queue '{name}' takes no jobs now; `qstat -Q` lists the queues"
    limits = facts.get("resources_max", {})
    for option, resource, asked in _asked(options):
        most = _amount(resource, limits.get(resource))
        wanted = _amount(resource, asked)
        if most is not None and wanted is not None and wanted > most:
            yield (
                f"{option} {asked} is over the limit of queue '{name}', which is "
                f"{limits[resource]}; `qstat -Qf {name}` shows its limits"
            )


def _of_nodes(
    nodes: Iterable[Mapping[str, Any]], options: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what no node has: "ncpus f/t" are those that are free, and all, of one."""
    for name in _EACH:
        there = [str(node.get(f"{name} f/t", "")).rpartition("/")[2] for node in nodes]
        amounts = [
            found for text in there if (found := _amount(name, text)) is not None
        ]
        asked = size(options[name]) if name == "mem" and name in options else None
        wanted = _amount(name, asked or options.get(name))
        if amounts and wanted is not None and wanted > max(amounts):
            most = there[amounts.index(max(amounts))]
            yield (
                f"no node has {name} {asked or options[name]}; the most is {most}. "
                "`pbsnodes -aSj` shows what they have"
            )


def _missing(name: str, there: list[str]) -> str:
    return f"qstat shows no queue '{name}' here{instead(name, there)}"


def _asked(options: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    """Yield options, the queue's names for these, and how much is asked in the whole job."""
    nodes = options.get("nodes", 1)
    if "walltime" in options:
        yield "walltime", "walltime", walltime(options["walltime"])
    if "nodes" in options:
        yield "nodes", "nodect", nodes
    for name in ("ncpus", "ngpus"):
        if name in options:
            yield name, name, options[name] * nodes
    if "mem" in options and nodes == 1:
        yield "mem", "mem", size(options["mem"])


def _amount(resource: str, value: object) -> float | None:
    """Return a limit as a number, to be compared with another of its kind."""
    text = str(value).lower()
    if resource == "walltime":
        return answers.seconds(text)
    digits = text.rstrip("bkmgtp")
    unit = text[len(digits) :] or "b"
    return int(digits) * _UNITS[unit] if digits.isdigit() and unit in _UNITS else None
