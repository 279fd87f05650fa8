"""What this Slurm has, and what of a request no partition of it could give.

Rules: pure; argv out, text in. A doubt is a guess that never refuses anything: what is
not known is not doubted, as sites hide partitions and nodes (PrivateData), and plugins
and QOS move limits. Called by `driver.py`. Forms of sinfo as 20.11 to 26.05 print them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remote_kernels.scheduler.job import Completed, Query
from remote_kernels.scheduler.offered import instead

# All partitions, hidden ones too; a row for each kind of node (-e: no "4000+").
_ARGV = ["sinfo", "-a", "-e", "-h", "-o", "%P|%l|%m|%c|%D|%G|%f"]
_ASSOCIATIONS = ("sacctmgr", "--noheader", "--parsable2", "show", "assoc")
_SHOWN = 12  # features that are named
# What is not Slurm's own to join them; `*2` is a count of nodes.
_FEATURE = r"(?<![^&|()\[\],!\s])[^&|()\[\]*,!\s]+"
_CLOCK = r"(?:(\d{1,18})-)?(\d{1,18})(?::(\d{1,18}))?(?::(\d{1,18}))?"
_UNITS = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}
# These may send the job elsewhere, or lift limits.
_ELSEWHERE = ("-p", "--partition", "-M", "--cluster", "--reservation", "-t", "--time")


@dataclass(frozen=True)
class _Row:
    partition: str
    is_default: bool
    minutes: float | None
    memory: int
    cpus: int
    nodes: int
    gres: str
    features: frozenset[str]


def doubts(options: Mapping[str, Any]) -> Query[list[str]]:
    """Ask what cannot be had; the answer has a sentence each, without a full stop."""
    return Query(_ARGV, lambda completed: _doubts(completed, options))


def _doubts(completed: Completed, options: Mapping[str, Any]) -> list[str]:
    rows = list(_rows(completed.stdout)) if completed.returncode == 0 else []
    more = options.get("sbatch_args", ())
    if not rows or any(arg.startswith(_ELSEWHERE) for arg in more):
        return []
    named = [name for name in str(options.get("partition", "")).split(",") if name]
    there = {row.partition for row in rows}
    missing = [name for name in named if name not in there]
    if missing:
        return [_missing(name, sorted(there)) for name in missing]
    wanted = [row for row in rows if row.partition in named]
    wanted = wanted or [row for row in rows if row.is_default and not named]
    if not wanted:
        return []
    where = " and ".join(dict.fromkeys(row.partition for row in wanted))
    return [
        *_time(options, wanted, where),
        *_size(options, wanted, where),
        *_gres(options, wanted, where),
        *_features(options, wanted, where),
    ]


def _missing(name: str, there: Sequence[str]) -> str:
    return f"sinfo shows no partition '{name}' on this cluster{instead(name, there)}"


def _time(
    options: Mapping[str, Any], rows: Sequence[_Row], where: str
) -> Iterator[str]:
    text = str(options.get("time", ""))
    asked = math.inf if text in ("0", "UNLIMITED", "INFINITE") else minutes(text)
    limits = [row.minutes for row in rows]
    if asked is None or "reservation" in options or None in limits:
        return
    longest = max(limit for limit in limits if limit is not None)
    if asked > longest:
        unless = ", unless its QOS lifts that" if "qos" in options else ""
        yield (
            f"time {options['time']} is over the limit of partition {where}, which is "
            f"{_clock(longest)}{unless}. Ask for less 'time', or choose another "
            "'partition': `sinfo -O partition,time` shows the limits"
        )


def _size(
    options: Mapping[str, Any], rows: Sequence[_Row], where: str
) -> Iterator[str]:
    each = _megabytes(str(options.get("mem-per-cpu", "")))
    cpus = _least(options.get("cpus-per-task", 1))
    asked = _megabytes(str(options.get("mem", ""))) or (each or 0) * cpus
    memory, most = max(row.memory for row in rows), max(row.cpus for row in rows)
    remedy = (
        f"`sinfo -p {','.join(dict.fromkeys(row.partition for row in rows))} -N -O "
        "nodelist,cpus,memory` shows what they have"
    )
    if asked > memory:
        yield (
            f"no node of partition {where} has {asked:.0f} MB of memory; the largest "
            f"has {memory}. {remedy}"
        )
    if cpus > most:
        yield (
            f"no node of partition {where} has {cpus} CPUs; the largest has {most}. "
            f"{remedy}"
        )
    nodes = _least(options.get("nodes", 1))
    there = sum(row.nodes for row in rows)
    if nodes > there:
        yield f"partition {where} has {there} nodes, not {nodes}. {remedy}"


def _gres(
    options: Mapping[str, Any], rows: Sequence[_Row], where: str
) -> Iterator[str]:
    """Name generic resources that no node has, or not so many.

    Those of `gpus` are the whole job's, which Slurm may spread over nodes.
    """
    each, total = _items(options.get("gres")), _items(options.get("gpus"))
    spread = str(options.get("nodes", "")) != "1"
    asked = [(item.removeprefix("gres:").removeprefix("gres/"), False) for item in each]
    asked += [(f"gpu:{item}", spread) for item in total]
    for item, spread in asked:
        name, kind, count = _resource(item)
        there = [_most(row.gres, name, kind) for row in rows]
        most, whose = max(there), f"no node of partition {where} has"
        if spread:
            most = sum(n * row.nodes for n, row in zip(there, rows, strict=True))
            if most:
                whose = f"the nodes of partition {where} together do not have"
        if count > most:
            what = f"{name}:{kind}" if kind else name
            other = f"the most is {most}" if most else "none has any"
            yield (
                f"{whose} {count} of '{what}'; {other}. "
                f"`sinfo -a -N -O nodelist,partition,gres` shows what they have"
            )


def _items(value: object) -> list[str]:
    return [item for item in str(value or "").split(",") if item]


def _resource(text: str) -> tuple[str, str, int]:
    """Name, type and number of `name[:type][:number]`."""
    name, *rest = text.split("(")[0].replace("=", ":").split(":")
    number = re.fullmatch(r"(\d{1,18})([KMG]?)", rest[-1].upper()) if rest else None
    if number:
        rest.pop()
    factor = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
    count = int(number[1]) * factor[number[2]] if number else 1
    return name, ":".join(rest), count


def _most(gres: str, name: str, kind: str) -> int:
    """How many of it such a node has."""
    return sum(n for what, of, n in _each(gres) if what == name and kind in ("", of))


def gpus(gres: str) -> list[tuple[str, int]]:
    """Return the kinds of GPUs that such a node has, and how many of each."""
    return [(kind, number) for name, kind, number in _each(gres) if name == "gpu"]


def _each(gres: str) -> list[tuple[str, str, int]]:
    """Return what is in `gpu:a100:4(S:0-1),gpu:v100:2`."""
    return [_resource(item) for item in re.sub(r"\([^)]*\)", "", gres).split(",")]


def _features(
    options: Mapping[str, Any], rows: Sequence[_Row], where: str
) -> Iterator[str]:
    """Names of features that no node has; how they are joined is Slurm's to judge."""
    there = frozenset[str]().union(*(row.features for row in rows))
    for name in re.findall(_FEATURE, str(options.get("constraint", ""))):
        if name not in there:
            shown = ", ".join(sorted(there)[:_SHOWN]) or "none"
            yield (
                f"no node of partition {where} has the feature '{name}'. There are: "
                f"{shown}"
            )


def _rows(text: str) -> Iterator[_Row]:
    """Lines of that form alone; with -M others are between them."""
    for line in text.splitlines():
        name, limit, *rest = f"{line.strip()}||||||".split("|")[:7]
        memory, cpus, nodes, gres, features = rest
        if name and all(re.fullmatch(r"\d{1,18}", n) for n in (memory, cpus, nodes)):
            yield _Row(
                name.removesuffix("*"),
                name.endswith("*"),
                minutes(limit),
                int(memory),
                int(cpus),
                int(nodes),
                gres,
                frozenset(features.split(",")) - {"(null)", ""},
            )


def _least(value: object) -> int:
    """Return the least of 1-2, 1-5:2, 4,8 or 2k; 0 where that is not known."""
    found = [
        re.fullmatch(r"(\d{1,9})([km]?)(?:-\d+[km]?)?(?::\d+)?", part.strip().lower())
        for part in str(value).split(",")
    ]
    factor = {"": 1, "k": 1024, "m": 1024**2}
    return min(int(one[1]) * factor[one[2]] if one else 0 for one in found)


def minutes(text: str) -> float | None:
    """Of sbatch's and sinfo's forms of a time; None where it is no number."""
    found = re.fullmatch(_CLOCK, text.strip())
    if not found:
        return None
    days, first, second, third = (int(part or 0) for part in found.groups())
    if found[1]:  # D-HH[:MM[:SS]]
        return days * 1440 + first * 60 + second + third / 60
    if found[4]:  # HH:MM:SS
        return first * 60 + second + third / 60
    return first + second / 60  # MM[:SS]


def _megabytes(text: str) -> float | None:
    found = re.fullmatch(r"(\d{1,18})([KMGT]?)B?", text.strip())
    return int(found[1]) * _UNITS[found[2] or "M"] if found else None


def _clock(minutes: float) -> str:
    days, rest = divmod(round(minutes), 1440)
    hour, minute = divmod(rest, 60)
    return f"{days}-{hour:02}:{minute:02}:00" if days else f"{hour}:{minute:02}:00"


# For completion in the shell


def offers(option: str, user: str) -> Query[list[str]] | None:
    """Ask what this option can be, for this user (a login name)."""
    mine = [*_ASSOCIATIONS, "where", f"user={user}"]
    argvs = {
        "partition": ["sinfo", "--noheader", "--format=%R"],
        "account": [*mine, "format=account"],
        "qos": [*mine, "format=qos"],
    }
    return Query(argvs[option], _names) if option in argvs else None


def _names(completed: Completed) -> list[str]:
    """Return the names, each once: one in a line, or several with commas."""
    names = re.split(r"[\n,]", completed.stdout)
    return sorted({name.strip() for name in names} - {""})
