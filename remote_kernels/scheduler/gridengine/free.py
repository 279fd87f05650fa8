"""What is free in Grid Engine's queues, and whether a job would start there at once.

Rules: pure; argv out, text in. One qstat for all queues, of which the many lines that
nobody needs are left out before they are read. Called by `driver.py`. Seen on 8.1.9.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from xml.etree import ElementTree

from remote_kernels.scheduler.free import (
    Estimate,
    FreeGpus,
    NodeGroup,
    Queue,
    with_nodes,
)
from remote_kernels.scheduler.job import Completed, Query

from . import answers, site, words

# Of a host's fifty resources; and no jobs.
_KEPT = r'name="(slots|h_rt|mem_total|[^"]*(gpu|cuda)[^"]*)"'
_LESS = rf"/<resource name=/{{/{_KEPT}/I!d}}; /<job_list/,/<\/job_list/d"
_QSTAT = f"set -o pipefail; qstat -F -xml -U \"$1\" | sed -E '{_LESS}'"
_STATES = (
    ("u", "unreachable"),
    ("E", "in error"),
    ("dD", "disabled"),
    ("sSC", "suspended"),
    ("aA", "overloaded"),
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def queues(user: str) -> Query[list[Queue]]:
    """Ask for all queues to which this user has access, with their hosts."""
    return Query(["bash", "-c", _QSTAT, "bash", user], _queues)


def _queues(completed: Completed) -> list[Queue]:
    if completed.returncode != 0:
        raise answers.no_answer(replace(completed, argv=("qstat", "-F", "-xml")))
    top = ElementTree.fromstring(completed.stdout)  # noqa: S314 - as in answers
    found: dict[str, list[_Instance]] = {}
    for each in top.iter("Queue-List"):
        name = (each.findtext("name") or "").partition("@")[0]
        if re.search("[BP]", each.findtext("qtype") or "B"):
            found.setdefault(name, []).append(_Instance(each))
    return [_queue(name, hosts) for name, hosts in found.items()]


class _Instance:
    """A queue on one host."""

    def __init__(self, element: ElementTree.Element) -> None:
        self.state = element.findtext("state") or ""
        self.slots = int(element.findtext("slots_total") or 0)
        used = ("slots_used", "slots_resv")
        self.used = sum(int(element.findtext(name) or 0) for name in used)
        self.resources = {
            each.get("name", ""): (each.text or "").strip()
            for each in element.iter("resource")
        }

    @property
    def limit(self) -> float | None:
        return answers.seconds(self.resources.get("h_rt", ""))

    @property
    def group(self) -> NodeGroup:
        """What is left on its host: other queues may have taken it."""
        left = _number(self.resources.get("slots", str(self.slots)))
        free = 0 if self.state else max(0, min(self.slots - self.used, int(left)))
        return NodeGroup(
            1,
            int(free > 0 and free == self.slots),
            self.slots,
            free,
            int(_number(self.resources.get("mem_total", ""))),
            tuple(self._gpus()),
            bool(self.state),
        )

    def _gpus(self) -> Iterator[FreeGpus]:
        """Yield what is left of them; how many there are is not told."""
        left = [
            _number(text)
            for name, text in self.resources.items()
            if site.GPU.fullmatch(name)
        ]
        if len(left) == 1:
            yield FreeGpus("", None, 0 if self.state else int(left[0]))


def _queue(name: str, hosts: Sequence[_Instance]) -> Queue:
    limits = [each.limit for each in hosts]
    longest = None if None in limits else max(each or 0 for each in limits)
    states = sorted({each.state for each in hosts})
    state = "up" if "" in states else _word(states[0])
    queue = Queue(name, state=state, time_limit=longest)
    return with_nodes(queue, [each.group for each in hosts])


def _word(state: str) -> str:
    """Return what the letters of a queue's state mean (qstat(1)); what comes first counts."""
    words = (each for letters, each in _STATES if {*letters} & {*state})
    return next(words, state)


def _number(text: str) -> float:
    """Return the number of a size, as "23.540G"; 0 of anything else."""
    found = re.fullmatch(r"(\d{1,18}(?:\.\d*)?)([KMGT]?)", text.strip().upper())
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


# Whether a job would start


def estimates(argv: Sequence[str]) -> list[Query[Estimate | None]]:
    """Ask whether there is room now (-w p), and then whether there ever can be (-w v).

    Neither submits anything.
    """
    script = "#!/bin/sh\n"
    return [
        Query([*argv, "-w", "p"], _now, script),
        Query([*argv, "-w", "v"], _ever, script),
    ]


def _now(completed: Completed) -> Estimate | None:
    if answers.is_no_answer(completed):
        raise answers.no_answer(completed)
    if completed.returncode != 0:
        return None
    return Estimate(time.time(), "there is room for it now")


def _ever(completed: Completed) -> Estimate | None:
    if answers.is_no_answer(completed):
        raise answers.no_answer(completed)
    if completed.returncode == 0:
        return Estimate(None, "there is no room for it now: it would wait")
    if answers.doubtful(completed.stderr + completed.stdout):
        return None
    return Estimate(None, "", words.refused(completed))
