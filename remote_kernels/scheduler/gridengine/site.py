"""What this Grid Engine has: its parallel environments, its word for GPUs, its queues.

Rules: pure; argv out, text in. Called by `driver.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from remote_kernels.errors import ConfigError
from remote_kernels.options import as_seconds, clock
from remote_kernels.scheduler.job import Completed, JobRequest, Query
from remote_kernels.scheduler.offered import instead

from . import answers
from .options import slots

# Where qsub finds what it is given by default; Debian's knows its SGE_ROOT by itself.
_DEFAULTS = (
    '"${SGE_ROOT:-/var/lib/gridengine}/${SGE_CELL:-default}/common/sge_request" '
    '"$HOME/.sge_request" .sge_request'
)
_WAITS = ["bash", "-c", f"grep -Els '^[^#]*-sync[[:blank:]]+[^n]' {_DEFAULTS}"]
# A blank line between each two.
_PES = ["sh", "-c", 'for pe in $(qconf -spl); do qconf -sp "$pe"; echo; done']
_COMPLEXES = ["qconf", "-sc"]
_QUEUES = [
    "sh",
    "-c",
    'qconf -sprjl; echo; for q in $(qconf -sql); do qconf -sq "$q"; echo; done',
]
SLOW = 5.0  # seconds until the scheduler looks at a job; people notice that
GPU = re.compile(r"n?gpus?|gpu_?cards?|cuda|num_?gpus?", re.IGNORECASE)


@dataclass(frozen=True)
class _Environment:
    name: str
    rule: str
    is_tight: bool

    def fits(self, nodes: int, slots: int) -> bool:
        """Whether it gives so many slots on each of so many nodes, and no others."""
        if nodes == 1:
            return self.rule == "$pe_slots"
        return self.rule == str(slots)


def questions(options: Mapping[str, Any]) -> list[Query[Completed]]:
    """Return what must be asked.

    What qsub is given by default, which environments there are, and what a GPU is called.
    """
    argvs = [_WAITS]
    argvs += [_PES] if _needs_environment(options) else []
    argvs += [_COMPLEXES] if options.get("gpu") else []
    return [Query(argv, lambda completed: completed) for argv in argvs]


def prepared(request: JobRequest, told: Sequence[Completed]) -> JobRequest:
    """Return the request in the site's own words. ConfigError if it has none."""
    given, left = dict(request.options), [*told]
    waits = left.pop(0).stdout.splitlines()
    if waits:
        msg = (
            f"{waits[0]} gives qsub -sync y, with which it waits for the job's end: no "
            "kernel can be started so, and nothing on qsub's command line undoes it. "
            "Take it out of that file, or ask the administrators to; who wants it can "
            "give it to a qsub of their own."
        )
        raise ConfigError(msg)
    if _needs_environment(given):
        given["pe"] = _environment(given, answers.answer(left.pop(0)))
    if given.get("gpu"):
        asked = _gpus(given, answers.answer(left.pop(0)))
        given["l"] = ",".join(filter(None, [given.get("l", ""), asked]))
    given.pop("gpu", None)
    return replace(request, options=given)


def is_prepared(options: Mapping[str, Any]) -> bool:
    """Return whether all of it is in the site's own words."""
    return not _needs_environment(options) and not options.get("gpu")


def _needs_environment(options: Mapping[str, Any]) -> bool:
    several = slots(options) > 1 or options.get("nodes", 1) > 1
    return several and "pe" not in options


def _environment(options: Mapping[str, Any], told: str) -> str:
    there = [*_environments(told)]
    wanted = options.get("nodes", 1), slots(options)
    found = [each for each in there if each.fits(*wanted)]
    if found:  # into which a command can be run, if there is one
        return min(found, key=lambda each: (not each.is_tight, each.name)).name
    what = "allocation_rule $pe_slots (all slots on one node)"
    if wanted[0] > 1:
        what = f"allocation_rule {wanted[1]}, so that each of {wanted[0]} nodes has {wanted[1]}"
    shown = ", ".join(f"{each.name} ({each.rule})" for each in there) or "none"
    msg = (
        f"This site has no parallel environment with {what}. There are: {shown}. Name "
        "one with 'pe', ask for other 'slots' and 'nodes', or ask the administrators "
        "(`qconf -sp NAME` shows one)."
    )
    raise ConfigError(msg)


def _environments(told: str) -> Iterator[_Environment]:
    for rows in _blocks(told):
        if "pe_name" in rows:
            yield _Environment(
                rows["pe_name"],
                rows.get("allocation_rule", ""),
                rows.get("control_slaves", "") == "TRUE",
            )


def _gpus(options: Mapping[str, Any], told: str) -> str:
    """Return the word of `-l` for the GPUs of a node, as this site counts them.

    YES counts them for each slot, JOB once for the job, on its first node
    (sge_complex(5)), HOST once for each node (Univa's and Altair's).
    """
    name, counted = _gpu(told)
    wanted, each = options["gpu"], slots(options)
    if counted == "YES" and wanted % each:
        msg = (
            f"This site counts GPUs for each slot ({name} is YES in `qconf -sc`), so a job "
            f"with {each} slots has {each} of them, or twice as many: {wanted} cannot be "
            "asked for. Ask for another number with 'gpus', or of slots with 'cores'."
        )
        raise ConfigError(msg)
    if counted == "JOB" and options.get("nodes", 1) > 1:
        msg = (
            f"This site counts GPUs once for a job ({name} is JOB in `qconf -sc`): only the "
            "first of several 'nodes' has any. Ask for one node, or for no 'gpus'."
        )
        raise ConfigError(msg)
    return f"{name}={wanted // each if counted == 'YES' else wanted}"


def _gpu(told: str) -> tuple[str, str]:
    """Return the name of the consumable that counts GPUs, and how it counts."""
    rows = [line.split() for line in told.splitlines() if not line.startswith("#")]
    counted = {
        row[0]: row[5]
        for row in rows
        if len(row) >= 6 and row[5] in ("YES", "HOST", "JOB")
    }
    found = [name for name in counted if GPU.fullmatch(name)]
    if len(found) == 1:
        return found[0], counted[found[0]]
    shown = ", ".join(found) or f"none ({', '.join(counted)} can be counted)"
    msg = (
        f"What this site calls a GPU is not known; names that look like it: {shown}. Name "
        "it yourself, for example l='gpu=1' (`qconf -sc` lists all resources)."
    )
    raise ConfigError(msg)


def _blocks(told: str) -> Iterator[dict[str, str]]:
    """Rows of a name and a value; a backslash continues one."""
    text = re.sub(r"\\\n\s*", "", told)
    for block in re.split(r"\n\s*\n", text):
        rows = (line.split(None, 1) for line in block.splitlines())
        yield {row[0]: row[1].strip() for row in rows if len(row) == 2}


# What of a request cannot be had


def doubts(options: Mapping[str, Any]) -> Query[list[str]] | None:
    """Ask what cannot be had; the answer has a sentence each, without a full stop."""
    if not {"q", "P", "h_rt"} & options.keys():
        return None
    return Query(_QUEUES, lambda completed: [*_doubts(completed, options)])


def _doubts(completed: Completed, options: Mapping[str, Any]) -> Iterator[str]:
    if completed.returncode != 0:
        return
    projects, _, rest = completed.stdout.partition("\n\n")
    queues = {rows["qname"]: rows for rows in _blocks(rest) if "qname" in rows}
    asked = [one.partition("@")[0] for one in str(options.get("q", "")).split(",")]
    named = [name for name in asked if re.fullmatch(r"[\w.-]+", name)]
    unknown = [name for name in named if queues and name not in queues]
    if unknown:
        yield _missing("queue", unknown[0], sorted(queues))
        return
    project = options.get("P")
    known = projects.split()
    if project and project not in known and "defined" not in projects:
        yield _missing("project", str(project), sorted(known))
    if "h_rt" not in options or ("q" in options and named != asked):
        return  # a pattern may stand for any
    limits = [_limit(queues[name]) for name in (named or queues) if name in queues]
    if limits and as_seconds(options["h_rt"]) > max(limits):
        where = f"queue {' and '.join(named)}" if named else "all queues"
        yield (
            f"time {options['h_rt']} is over the limit of {where}, which is "
            f"{clock(int(max(limits)))}. Ask for less 'time'"
        )


def _missing(what: str, name: str, there: Sequence[str]) -> str:
    return f"there is no {what} '{name}' here{instead(name, there, len(there))}"


def _limit(rows: Mapping[str, str]) -> float:
    """Return the longest h_rt of a queue, in seconds; its hosts may differ."""
    parts = re.findall(r"(?:^|=)([^,\]]+)", rows.get("h_rt", ""))
    found = [each for part in parts if (each := answers.seconds(part)) is not None]
    return max(found) if found and len(found) == len(parts) else float("inf")


def limits(queues: Sequence[str]) -> Query[dict[str, float]]:
    """Ask for the time limits of queues on nodes, in seconds; some have none.

    One that is away makes qconf fail, after it has shown the others.
    """

    def parse(completed: Completed) -> dict[str, float]:
        if answers.is_no_answer(completed):
            raise answers.no_answer(completed)
        shown = re.sub(r"^(?=qname )", "\n", completed.stdout, flags=re.MULTILINE)
        found = {
            f"{rows['qname']}@{rows['hostname']}": _limit(rows)
            for rows in _blocks(shown)
            if {"qname", "hostname"} <= rows.keys()
        }
        return {queue: limit for queue, limit in found.items() if limit < float("inf")}

    return Query(["qconf", "-sq", ",".join(queues)], parse)


# When its scheduler looks for jobs


def slow_starts(completed: Completed) -> str | None:
    """Say why jobs start late even where there is room; None if they do not.

    It looks every schedule_interval, and flush_submit_sec after a job has come; by
    default that is off, and a job waits for up to 15 s (sched_conf(5)).
    """
    rows = next(_blocks(answers.answer(completed)))
    interval = rows.get("schedule_interval", "")
    flush = rows.get("flush_submit_sec", "0")
    seconds = answers.seconds(interval)
    if seconds is None or not flush.isdigit():
        return None
    late = min([seconds, *([float(flush)] if flush != "0" else [])])
    if late <= SLOW:
        return None
    return (
        f"Jobs start up to {late:.0f} s late at this site, however much is free: its "
        f"scheduler looks for new ones only every {late:.0f} s (schedule_interval "
        f"{interval}, flush_submit_sec {flush}). The administrators can set "
        "flush_submit_sec to 1 (`qconf -msconf`): then kernels start in about a second."
    )


def offers(option: str) -> Query[list[str]] | None:
    """Ask what this option can be."""
    argvs = {"q": "-sql", "P": "-sprjl", "pe": "-spl"}
    if option not in argvs:
        return None
    return Query(["qconf", argvs[option]], lambda done: sorted(done.stdout.split()))
