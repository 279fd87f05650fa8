"""What is free in Slurm's partitions, and when a job would start there.

Rules: pure; argv out, text in. One sinfo for all partitions, which joins nodes that are
alike: the answer is short on a cluster of thousands. Without -a it leaves out partitions
that are hidden or that this user's groups may not use. Called by `driver.py`. Forms of
sinfo and of `sbatch --test-only` as 22.05 to 26.05 print them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from remote_kernels.scheduler.free import (
    Estimate,
    FreeGpus,
    NodeGroup,
    Queue,
    with_nodes,
)
from remote_kernels.scheduler.job import Completed, Query

from . import answers, site, words

_FIELDS: tuple[str, ...] = (
    "Partition",
    "Available",
    "Time",
    "Root",
    "StateLong",
    "Nodes",
)
_FIELDS += ("CPUs", "CPUsState", "Memory", "Gres", "GresUsed")
# A node in any of these takes no job of just anybody; nor does one whose state has such a
# mark behind it (sinfo(1)): one that does not answer, or is about to go.
_AWAY = re.compile(
    r"(down|drain|fail|err|unk|maint|inval|res(v|erved)|reboot|block|power(ing|ed)?_down)"
    r"|.*[*$@^!]",
    re.IGNORECASE,
)
_STARTS = re.compile(
    r"to start at (\S+)(?:.{0,9} using (\d+) processors?)?(?: on nodes? (\S+))?"
    r"(?: in partition (\S+))?"
)


def queues() -> Query[list[Queue]]:
    """Ask for all partitions that this user may use."""
    form = ",".join(f"{name}:|" for name in _FIELDS)
    return Query(["sinfo", "-e", "-h", "-O", form], _queues)


def _queues(completed: Completed) -> list[Queue]:
    found: dict[str, tuple[Queue, list[NodeGroup]]] = {}
    for line in answers.answer(completed).splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) <= len(_FIELDS) - 1 or cells[3] == "yes":  # root's own
            continue
        name, state, limit = cells[0].removesuffix("*"), cells[1], cells[2]
        minutes = site.minutes(limit)
        seconds = None if minutes is None else minutes * 60
        queue = Queue(name, cells[0].endswith("*"), state, seconds, note=_note(state))
        found.setdefault(name, (queue, []))[1].extend(_nodes(cells[4:]))
    return [with_nodes(queue, nodes) for queue, nodes in found.values()]


def _note(state: str) -> str:
    notes = {
        "drain": "takes no new jobs",
        "inact": "takes no jobs, and starts none",
        "down": "takes jobs, but starts none",
    }
    return notes.get(state, "")


def _nodes(cells: Sequence[str]) -> Iterator[NodeGroup]:
    state, count, cpus, cpus_state, memory, gres, used = cells[:7]
    _, idle, *_ = [*cpus_state.split("/"), "", ""]
    if not all(re.fullmatch(r"\d{1,18}", each) for each in (count, cpus, memory)):
        return
    is_away = _AWAY.match(state) is not None
    is_idle = state.startswith("idle") and not is_away
    number = int(count)
    yield NodeGroup(
        number,
        number if is_idle else 0,
        int(cpus),
        int(idle) if idle.isdigit() and not is_away else 0,
        int(memory) << 20,
        tuple(_gpus(gres, used, 0 if is_away else number, number)),
        is_away,
    )


def _gpus(gres: str, used: str, here: int, count: int) -> Iterator[FreeGpus]:
    """Yield them by their kinds: gpu:a100:4(S:0-1), of which gpu:a100:1(IDX:2) is used."""
    taken = dict(site.gpus(used))
    for kind, number in site.gpus(gres):
        free = max(number - taken[kind], 0) * here if kind in taken else None
        yield FreeGpus(kind, number * count, free if here else 0)


# When a job would start


def estimate(argv: Sequence[str]) -> Query[Estimate | None]:
    """Ask when the job of an sbatch would start; it submits nothing, and leaves no log."""
    return Query([*argv, "--test-only"], _estimate, "#!/bin/sh\n")


def _estimate(completed: Completed) -> Estimate | None:
    """Read when that is, or why it would be refused; both may be on standard error."""
    if completed.returncode != 0:
        if answers.is_no_answer(completed.stderr):
            raise answers.no_answer(completed)
        said = f"{completed.stderr}\n{completed.stdout}".splitlines()
        lines = [re.sub(r"^sbatch: (error: )?", "", line).strip() for line in said]
        why = "; ".join(dict.fromkeys(filter(None, lines)))
        advice = words.submit(completed)
        return Estimate(None, "", f"Slurm would refuse it: {why}. {advice}".strip())
    found = _STARTS.search(completed.stderr) or _STARTS.search(completed.stdout)
    start = answers.epoch(found[1]) if found else None
    if found is None or start is None:
        return None
    parts = (
        f"{found[2]} CPU{'s' * (found[2] != '1')}" if found[2] else "",
        f"on {found[3]}" if found[3] else "",
        f"in partition {found[4]}" if found[4] else "",
    )
    return Estimate(start, " ".join(filter(None, parts)))
