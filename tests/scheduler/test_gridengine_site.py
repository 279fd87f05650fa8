"""scheduler.gridengine.site: what a site has, and what of a request it has not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.errors import ConfigError, ControllerError
from remote_kernels.scheduler.gridengine.driver import GridEngine
from remote_kernels.scheduler.job import Completed, JobId, JobRequest
from remote_kernels.scheduler.jobs import Jobs
from scheduler.captured import captured

gridengine = GridEngine()
OF = "gridengine-8.1.9"
ENVIRONMENTS = captured("qconf-environments", OF)
COMPLEXES = captured("qconf-complexes", OF)
QUEUES = captured("qconf-queues", OF)


def request(**options: Any) -> JobRequest:
    return JobRequest("jupyter-0a1b2c3d", "/job.log", options)


def prepared(
    told: dict[str, Completed] | None = None, **options: Any
) -> dict[str, Any]:
    """The options as they are after the site was asked what it was asked."""
    waits = Completed((), 1, "", "")
    answers = {"bash": waits, "sh": ENVIRONMENTS, "qconf": COMPLEXES, **(told or {})}
    queries = gridengine.questions(request(**options))
    found = [query.parse(answers[query.argv[0]]) for query in queries]
    return dict(gridengine.prepared(request(**options), found).options)


def environments(*rows: tuple[str, str, str]) -> dict[str, Completed]:
    """The captured ones, but these: a name, a rule, whether it is tight."""
    blocks = [
        f"pe_name {name}\nallocation_rule {rule}\ncontrol_slaves {tight}\n"
        for name, rule, tight in rows
    ]
    return {"sh": replace(ENVIRONMENTS, stdout="\n".join(blocks))}


# What qsub is given by default


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("-sync y\n", True),
        ("# ours\n-cwd -sync   yes -m n\n", True),
        ("# -sync y\n", False),
        ("-sync n\n-cwd\n", False),
    ],
)
@pytest.mark.parametrize("place", ["root/mine/common", "home", "here"])
def test_a_site_at_which_qsub_waits(
    tmp_path: Path, text: str, waits: bool, place: str
) -> None:
    """It is said where that comes from, before anything is submitted."""
    for name in ("root/mine/common", "home", "here"):
        (tmp_path / name).mkdir(parents=True)
    file = tmp_path / place / ("sge_request" if "common" in place else ".sge_request")
    file.write_text(text)
    root = {"SGE_ROOT": f"{tmp_path}/root", "SGE_CELL": "mine"}
    env = {**os.environ, **root, "HOME": f"{tmp_path}/home"}
    (query,) = gridengine.questions(request())
    here = tmp_path / "here"
    done = subprocess.run(
        query.argv, env=env, cwd=here, capture_output=True, text=True, check=False
    )
    told = Completed((), done.returncode, done.stdout, done.stderr)
    if not waits:
        assert {} == prepared({"bash": told})
        return
    shown = ".sge_request" if place == "here" else file
    with pytest.raises(ConfigError, match=f"^{shown} gives qsub -sync y"):
        prepared({"bash": told})


# Parallel environments


@pytest.mark.parametrize(
    "options", [{}, {"slots": 1}, {"nodes": 1}, {"slots": 4, "pe": "x"}]
)
def test_nothing_is_asked_without_need(options: dict[str, Any]) -> None:
    """One slot needs none; one that is named is believed."""
    assert 1 == len(gridengine.questions(request(**options)))  # if qsub waits
    assert options == prepared(**options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"slots": 4}, "smp"),  # not the other, which lets nobody in
        ({"nodes": 2}, "single"),
        ({"nodes": 2, "slots": 2}, "pair"),
    ],
)
def test_an_environment_that_fits_is_chosen(
    options: dict[str, Any], expected: str
) -> None:
    """By its rule: so many slots on each node."""
    assert expected == prepared(**options)["pe"]


def test_one_that_lets_nobody_in_is_better_than_none() -> None:
    """Jobs run in it; of two that are alike the first by name is taken."""
    told = environments(("b", "$pe_slots", "FALSE"), ("a", "$pe_slots", "FALSE"))
    assert "a" == prepared(told, slots=2)["pe"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nodes": 2, "slots": 3}, "allocation_rule 3, so that each of 2 nodes has 3"),
        ({"nodes": 2, "slots": 3}, "mpi ($round_robin), pair (2), single (1), smp"),
        ({"nodes": 2, "slots": 3}, "`qconf -sp NAME`"),
    ],
)
def test_no_environment_fits(options: dict[str, Any], words: str) -> None:
    """What is missing, what there is, and what can be done."""
    with pytest.raises(ConfigError) as caught:
        prepared(**options)
    assert words in str(caught.value)


def test_a_site_without_environments() -> None:
    """It has nodes with one slot each, so to speak."""
    with pytest.raises(ConfigError, match=r"rule \$pe_slots .*There are: none\."):
        prepared({"sh": replace(ENVIRONMENTS, stdout="")}, slots=2)


def test_a_qmaster_that_does_not_answer() -> None:
    """It is tried again; nothing is said of the site."""
    with pytest.raises(ControllerError):
        prepared({"sh": captured("qconf-sss-down", OF)}, slots=2)


# GPUs


def counting(*names: str) -> dict[str, Completed]:
    """The captured resources, with these instead of `gpu`."""
    lines = COMPLEXES.stdout.splitlines()
    (row,) = (line for line in lines if line.startswith("gpu "))
    rows = [row.replace("gpu", name) for name in names]
    rest = [line for line in lines if line != row]
    return {"qconf": replace(COMPLEXES, stdout="\n".join([*rest, *rows]))}


@pytest.mark.parametrize(
    "name", ["gpu", "gpus", "ngpus", "gpu_card", "GPU", "cuda", "num_gpu"]
)
def test_what_a_gpu_is_called(name: str) -> None:
    """By a consumable of the site's that looks like it; others are kept."""
    found = prepared(counting(name), gpu=2, l="arch=x")
    assert {"l": f"arch=x,{name}=2"} == found


@pytest.mark.parametrize(
    ("counted", "asked", "expected"),
    [
        ("YES", {"gpu": 4, "slots": 4}, "gpu=1"),
        ("YES", {"gpu": 8, "slots": 2, "nodes": 2}, "gpu=4"),
        ("YES", {"gpu": 1, "slots": 4}, "gpu is YES"),
        ("HOST", {"gpu": 1, "slots": 4}, "gpu=1"),
        ("HOST", {"gpu": 2, "slots": 2, "nodes": 2}, "gpu=2"),
        ("JOB", {"gpu": 1, "slots": 4}, "gpu=1"),
        ("JOB", {"gpu": 1, "slots": 2, "nodes": 2}, "gpu is JOB"),
    ],
)
def test_the_gpus_of_a_node(counted: str, asked: dict[str, Any], expected: str) -> None:
    """However the site counts them; what it cannot count is refused."""
    (row,) = (line for line in COMPLEXES.stdout.splitlines() if line.startswith("gpu "))
    *words, _, default, urgency = row.split()
    other = " ".join([*words, counted, default, urgency])
    told = {"qconf": replace(COMPLEXES, stdout=COMPLEXES.stdout.replace(row, other))}
    if "=" in expected:
        assert expected == prepared(told, **asked, pe="mine")["l"]
    else:
        with pytest.raises(ConfigError, match=expected):
            prepared(told, **asked, pe="mine")


def test_no_gpu_is_asked_for() -> None:
    """Grid Engine is not asked what it would be called."""
    assert {} == prepared({"qconf": Completed(("qconf",), 1, "", "")}, gpu=0)


@pytest.mark.parametrize(
    ("names", "words"),
    [((), "none (h_vmem, slots can be counted)"), (("gpu", "cuda"), "gpu, cuda")],
)
def test_a_gpu_that_cannot_be_named(names: tuple[str, ...], words: str) -> None:
    """Nobody guesses."""
    with pytest.raises(ConfigError, match="l='gpu=1'") as caught:
        prepared(counting(*names), gpu=1)
    assert words in str(caught.value)


def test_slots_and_gpus_are_asked_for_at_once() -> None:
    """Each answer goes where it belongs."""
    found = prepared(slots=2, gpu=2)
    assert ("smp", "gpu=1") == (found["pe"], found["l"])
    assert "gpu" not in found


# What cannot be had


def doubts(done: Completed = QUEUES, **options: Any) -> list[str]:
    query = gridengine.doubts(request(**options))
    return query.parse(done) if query else []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"q": "nope"}, "There are: cheap.q, debug.q, long.q, urgent.q"),
        ({"q": "debgu.q"}, "did you mean 'debug.q'?"),
        ({"q": "nope@c1"}, "there is no queue 'nope' here"),
        ({"q": "debug.q,nope"}, "there is no queue 'nope' here"),
        (
            {"q": "debug.q,urgent.q", "h_rt": "61m"},
            "of queue debug.q and urgent.q, which",
        ),
        (
            {"P": "opne"},
            "no project 'opne' here; did you mean 'open'? There are: bobs, open",
        ),
        ({"h_rt": "169:00:00"}, "over the limit of all queues, which is 168:00:00"),
        (
            {"q": "debug.q", "h_rt": "61m"},
            "over the limit of queue debug.q, which is 1:00:00",
        ),
    ],
)
def test_what_this_site_cannot_give(options: dict[str, Any], words: str) -> None:
    """A sentence each, without a full stop."""
    (found,) = doubts(**options)
    assert words in found
    assert not found.endswith(".")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slots": 99},
        {"q": "long.q", "P": "open", "h_rt": "168:00:00"},
        {"q": "debug.q", "h_rt": "1:00:00"},
        {"q": "*.q"},
        {"q": "*.q", "h_rt": "999:00:00"},
        {"q": "debug.q,long.q@c1", "h_rt": "2:00:00"},
        {"h_rt": "168:00:00"},
    ],
)
def test_what_nobody_doubts(options: dict[str, Any]) -> None:
    """What can be had, and patterns."""
    assert [] == doubts(**options)


@pytest.mark.parametrize(
    ("row", "asked", "doubted"),
    [
        ("h_rt 3600", "61m", True),
        ("h_rt 3600,[c2=7200]", "61m", False),
        ("h_rt 1:00:00,[c2=2:00:00],[@big=3:00:00]", "181m", True),
        ("h_rt INFINITY", "999:00:00", False),
        ("h_rt 1:00:00,[c2=INFINITY]", "999:00:00", False),
        ("h_rt 1:00:00,\\\n        [c2=2:00:00]", "90m", False),
        ("h_rt 24::", "25h", True),
        ("h_rt 24:0:0,[c2=48::]", "47h", False),
        ("h_rt 0:720:0", "13h", True),
        ("h_rt 0:0:86400", "23h", False),
    ],
)
def test_limits_of_queues(row: str, asked: str, doubted: bool) -> None:
    """A queue's hosts may have other ones; the longest counts."""
    done = replace(QUEUES, stdout=f"open\n\nqname a.q\nhostlist @x\n{row}\n")
    assert doubted == bool(doubts(done, h_rt=asked))


def test_a_site_that_tells_nothing() -> None:
    """Then there is nothing to doubt."""
    for done in (captured("qconf-sss-down", OF), replace(QUEUES, stdout="")):
        assert [] == doubts(done, q="nope", h_rt="999:00:00")
    none = replace(
        QUEUES, stdout="no project list defined\n\nqname a.q\nh_rt INFINITY\n"
    )
    assert [] == doubts(none, P="x")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("q", ["cheap.q", "debug.q", "long.q", "urgent.q"]),
        ("P", ["bobs", "open"]),
        ("pe", ["loose", "mpi", "pair", "single", "smp"]),
    ],
)
def test_what_can_be_chosen(option: str, expected: list[str]) -> None:
    """For completion."""
    query = gridengine.offers(option, "alice")
    assert query
    assert expected == query.parse(captured(f"qconf-offers-{option}", OF))
    assert gridengine.offers("h_rt", "alice") is None


# When its scheduler looks for jobs


def scheduler(interval: str, flush: str) -> Completed:
    """The captured configuration, with these."""
    done = captured("qconf-ssconf", OF)
    text = done.stdout.replace("0:0:2\n", f"{interval}\n", 1)
    text = text.replace(
        "flush_submit_sec                  1", f"flush_submit_sec    {flush}"
    )
    return replace(done, stdout=text)


@pytest.mark.parametrize(
    ("interval", "flush", "late"),
    [
        ("0:0:15", "0", 15),  # as it is by default
        ("00:02:00", "0", 120),
        ("0:2:0", "30", 30),
        ("0:0:15", "1", None),
        ("0:0:5", "0", None),
        ("15", "0", 15),
        ("soon", "0", None),
        ("0:0:15", "soon", None),
    ],
)
def test_a_scheduler_that_looks_seldom(
    interval: str, flush: str, late: int | None
) -> None:
    """Where people would notice: for how long, and what would help."""
    query = gridengine.slow_starts()
    assert ["qconf", "-ssconf"] == query.argv
    text = query.parse(scheduler(interval, flush))
    assert (late is None) == (text is None)
    if text:
        assert f"start up to {late} s late" in text
        assert f"schedule_interval {interval}, flush_submit_sec {flush}" in text
        assert "set flush_submit_sec to 1 (`qconf -msconf`)" in text


def test_a_scheduler_that_is_not_told_of() -> None:
    """Half an answer says nothing; none at all is no answer."""
    query = gridengine.slow_starts()
    assert query.parse(replace(scheduler("0:0:15", "0"), stdout="")) is None
    with pytest.raises(ControllerError):
        query.parse(captured("qconf-sss-down", OF))


QUEUE = "qname  debug.q\nhostname  {}\nh_rt  {}\n"


def test_limits_of_queues_on_nodes() -> None:
    """One after the other without a blank line; one that is away is said besides."""
    text = QUEUE.format("c1", "1:00:00") + QUEUE.format("c2", "INFINITY")
    away = 'No cluster queue or queue instance matches the phrase "x.q@c1"\n'
    query = gridengine.limits(["debug.q@c1", "debug.q@c2", "x.q@c1"])

    assert ["qconf", "-sq", "debug.q@c1,debug.q@c2,x.q@c1"] == query.argv
    assert {"debug.q@c1": 3600.0} == query.parse(Completed((), 1, text + away, ""))


@pytest.mark.asyncio
async def test_limits_are_asked_for_until_there_is_an_answer() -> None:
    """Once for each job, be there a limit or not."""
    row = (
        "<job_list><JB_job_number>{}</JB_job_number><state>r</state>"
        "<JAT_start_time>2026-11-29T12:00:00</JAT_start_time>"
        "<queue_name>debug.q@c{}</queue_name></job_list>"
    )
    listed = f"<a>{row.format(7, 1)}{row.format(8, 2)}</a>"
    limits = QUEUE.format("c1", "1:00:00") + QUEUE.format("c2", "INFINITY")
    silent = Completed((), 1, "", "error: commlib error: got select error")
    answers = [silent, Completed((), 0, limits, "")]
    asked = []

    async def run(argv: Sequence[str], **_: object) -> Completed:
        if argv[0] != "qconf":
            return Completed(tuple(argv), 0, listed, "")
        asked.append(argv[2])
        return replace(answers.pop(0), argv=tuple(argv))

    jobs = Jobs(gridengine, run=run, environ={})
    ids = [JobId("7"), JobId("8")]
    ends = []
    for _ in range(3):
        found = await jobs.statuses(ids)
        ends.append([found[each].end_time for each in ids])

    start = found[ids[0]].start_time
    assert start is not None
    assert [[None, None], [start + 3600, None], [start + 3600, None]] == ends
    assert ["debug.q@c1,debug.q@c2"] * 2 == asked
