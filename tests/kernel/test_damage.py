"""Damaged records: each is left out and named; all others are as ever, and clean works.

A record as a kernel leaves it is damaged in one place, beside one that is whole. Then
all look at it that look at many records: the command line, the server's extension, its
API, completion, and the start of another kernel.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from remote_kernels import records
from remote_kernels.cli import completion, kernelspec, ls, running
from remote_kernels.errors import ControllerError, RecordError
from remote_kernels.front.standin import StandIn
from remote_kernels.kernel import inventory, service, stock
from remote_kernels.kernel.allocation import (
    SharedAllocation,
    allocation_of,
    allocations,
)
from remote_kernels.kernel.attached import _sockets_here
from remote_kernels.kernel.job import name_of
from remote_kernels.kernel.previous_owner import previous_owner
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.records import (
    CarrierCache,
    Directory,
    JobEnd,
    KernelInfoCache,
    Record,
    trouble,
)
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.job import Completed, JobRequest
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.local.driver import Local

FEW, MANY = 60, 2000
OLD = time.time() - 3600.0  # of no start that is under way
WHOLE, HURT = "11111111-whole", "22222222-hurt"
CONNECTION = {"transport": "ipc", "key": "k", "signature_scheme": "hmac-sha256"}
PLACE = {
    "socket": "/tmp/rk-1/agent",
    "pyz": "/tmp/rk-1/agent.pyz",
    "python": "/usr/bin/python3",
    "pid": 17,
    "node": "c1",
    "hostname": "c1",
    "cluster": "",
    "addresses": ["10.0.0.1"],
    "host_keys": ["ssh-ed25519 AAAA"],
}


def files(kernel: str) -> dict[str, Any]:
    """As a running kernel has them, of a job that has gone."""
    return {
        "record.json": {
            "format": 1,
            "kernel_id": kernel,
            "name": "Python",
            "spec_name": "python3",
            "scheduler": "local",
            "job_id": "1-1",
            "job_where": "/nowhere/job.log",
            "node": "c1",
            "cluster": os.uname().nodename,
            "allocation": None,
            "host": os.uname().nodename,
            "pid": 17,
            "directory": "/run/user/1/rk-x",
            "carrier": "pipe",
            "times": {"submitted": time.time(), "ready": time.time()},
        },
        "spec.json": {
            "agent": kernel,
            "secret": "c0ffee" * 8,
            "attach": 300.0,
            "silence": 3600.0,
            "dead_after": 15.0,
            "usage": None,
            "node": None,
            "kernels": {
                kernel: {
                    "argv": ["python3", "-m", "ipykernel_launcher"],
                    "env": {"A": "b"},
                    "cwd": "/home/alice",
                    "connection": CONNECTION,
                    "spool": 2**29,
                    "gpus": None,
                }
            },
        },
        "agent.json": PLACE,
        "ended.json": {"reason": "it was idle"},
        "sessions.json": {"s1": {"path": "a.ipynb", "name": "a", "type": "notebook"}},
        "kernel_info.json": {"language_info": {"name": "python"}},
        "held.json": {"held": [["shell", "e30=", "e30="]]},
    }


SHARED = {
    "record.json": {"job_id": "1-1", "job_where": "/nowhere/job.log", "cluster": None},
    "spec.json": {
        "agent": "team",
        "secret": "c0ffee" * 8,
        "keep": 300.0,
        "shell": ["bash"],
        "kernels": {},
        "dead_after": 15.0,
    },
    "agent.json": PLACE,
}

WRONG: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**30, 1e300, "", "x", "\0", "\ud800", "\x1b[2J"),
    *([], {}, [None], [[]], {"": None}, {"a": {"b": None}}, "x" * 100_000),
    *(float("nan"), float("inf"), [0] * 1000, "../../x", {"format": 99}),
]


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each place in it."""
    yield path
    items: Any = ()
    if isinstance(body, dict):
        items = body.items()
    elif isinstance(body, list):
        items = enumerate(body)
    for key, value in items:
        yield from places(value, (*path, key))


def changed(body: Any, path: tuple[Any, ...], value: Any, *, gone: bool) -> Any:
    if not path:
        return value
    body = copy.deepcopy(body)
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    if gone:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return body


class Hurt:
    """Ways to damage a record; each is done by its number."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.told = ""

    def do(self, record: Record | SharedAllocation) -> None:
        pick = self._random.choice
        bodies: dict[str, Any] = SHARED
        if isinstance(record, Record):
            bodies = files(record.kernel_id)
        name = pick([*bodies, "record.json", "record.json", "spec.json", "spec.json"])
        path = record.path / name
        way = self._random.randrange(10)
        self.told = f"{type(record).__name__} {name} way {way}"
        if way < 6:
            place = pick(list(places(bodies[name])))
            value, gone = pick(WRONG), way == 0
            self.told += f" at {place}: {'gone' if gone else repr(value)[:60]}"
            body = changed(bodies[name], place, value, gone=gone)
            path.write_text(json.dumps(body))
        elif way == 6:
            text = json.dumps(bodies[name]).encode()
            start = self._random.randrange(len(text))
            path.write_bytes(text[:start] + pick([b"", b"\xff\xfe", b"\0", b"{"]))
        elif way == 7:
            level = pick([40, 60, 900, 100_000])
            key = pick(list(bodies[name]))
            outer = json.dumps({**bodies[name], key: "HERE"})
            path.write_text(outer.replace('"HERE"', deep(level)))
        elif way == 8:
            path.unlink()
            ways: list[Callable[[], object]] = [
                path.mkdir,
                lambda: path.symlink_to("/nowhere"),
                lambda: os.mkfifo(path, 0o600),
            ]
            pick(ways)()
        else:
            ways = [
                lambda: path.chmod(0),
                lambda: path.chmod(0o666),
                lambda: os.truncate(path, 10**9),
                lambda: record.path.chmod(0),
                lambda: self._file(record.path),
            ]
            pick(ways)()

    @staticmethod
    def _file(path: Path) -> None:
        shutil.rmtree(path)
        path.write_text("x")


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory; not as root, to whom every mode gives all."""
    before = os.geteuid()
    with tempfile.TemporaryDirectory(prefix="damage-") as name:
        monkeypatch.setattr(kernelspec, "state_dirs", lambda: [Path(name)])
        monkeypatch.setattr(trouble, "_TOLD", set())
        if before == 0:
            os.chown(name, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(before)


async def answer(argv: Sequence[str], **options: Any) -> Completed:
    """A scheduler that knows no job, and costs nothing."""
    job = argv.index("status") + 1 if "status" in argv else len(argv)
    text = "".join(f"{one}|UNKNOWN||||here\n" for one in argv[job:])
    if argv[0] == "uname":
        text = os.uname().nodename
    return Completed(tuple(argv), 0, text, "")


async def no_answer(argv: Sequence[str], **options: Any) -> Completed:
    """One that is down."""
    raise ControllerError("It is down.", argv, 1)


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    drivers = {"local": Local()}
    for module in (inventory, stock):
        monkeypatch.setattr(module, "DRIVERS", drivers)
    monkeypatch.setattr(
        inventory, "jobs_here", lambda runtime, name: Jobs(Local(), run=answer)
    )


def whole(base: Path, kernel: str) -> Record:
    record = Record(base, kernel)
    record.create()
    fill(record, files(kernel))
    return record


def fill(record: Directory, bodies: dict[str, Any]) -> None:
    for name, body in bodies.items():
        record.write(name, body)


def restored(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.chmod(0o700)


async def look(base: Path, record: Record) -> None:
    """All that looks at many records; it says of the whole one what it always says."""
    found = {one.kernel_id: one for one in await inventory.recorded(Runtime(), [base])}
    assert WHOLE in found
    for view in await ls._views(list(found.values()), everything=True):
        json.dumps(view.as_json()).encode()
        "\t".join(ls._row(view)).encode()

    known = await service.others(Runtime(), [base], (), 5.0)
    assert WHOLE in {one.model.kernel_id for one in known}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            inventory, "jobs_here", lambda runtime, name: Jobs(Local(), run=no_answer)
        )
        known = await service.others(Runtime(), [base], (), 5.0)
    for one in known:
        json.dumps(one.model.as_json()).encode()

    service.unreadable([base])
    stock.unsubmitted([base], 0)
    await stock.strays(Runtime(), [base], everything=False)
    completion._words(completion._records(), "")
    for old in records.every_record(base):
        old.purge_if_old()
    for place in allocations(base):
        place.purge_if_old()

    taken = await stock.take(Runtime(), [base], False)
    items = {item.kernel: item for item in taken}
    json.dumps([running._public(item) for item in items.values()]).encode()
    assert "remove record" == items[WHOLE].action

    # What an extension, a story and an end do with one that it has chosen.
    for chosen in found.values():
        chosen.record.sessions()
        chosen.record.held.read()
        chosen.record.last_word()
        with contextlib.suppress(RecordError):
            previous_owner(chosen.record, patient=True)
        with contextlib.suppress(RecordError):
            _sockets_here(chosen)
        with contextlib.suppress(RecordError):
            allocation_of(chosen.record)
        StandIn(b"k").restore(chosen.record.held.read())


def elsewhere(record: Record) -> bool:
    """It is another cluster's now, which nobody can tell from a real one."""
    with contextlib.suppress(RecordError):
        facts = record.read("record.json") or {"cluster": None}
        return facts["cluster"] not in (None, os.uname().nodename)
    return False


@pytest.mark.asyncio
@pytest.mark.timeout(3000)
@pytest.mark.usefixtures("scheduler")
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.soak)])
async def test_damaged_records(
    base: Path, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    """None stops anybody; what cannot be shown is named, and clean removes it."""
    caplog.set_level(logging.ERROR, "remote_kernels")
    good = whole(base, WHOLE)
    seed = int(os.environ.get("RK_SEED", "12"))
    named = 0
    for number in range(count):
        trouble._TOLD.clear()
        place = SharedAllocation(base, "team")
        place.make("members")
        fill(place, SHARED)
        record = whole(base, HURT)
        hurt = Hurt(seed * 1_000_000 + number)
        hurt.do(place if number % 5 == 0 else record)
        os.utime(record.path, (OLD, OLD))
        try:
            await look(base, record)
            shown = {
                one.kernel_id for one in await inventory.recorded(Runtime(), [base])
            }
            items = await stock.take(Runtime(), [base], False)
            mine = [item for item in items if item.kernel == HURT]
            away = elsewhere(record)
            if HURT not in shown and not away:  # then it is named, and can be cleaned
                named += 1
                assert ["remove record"] == [item.action for item in mine]
                told = "".join(trouble._TOLD) + "".join(i.what for i in mine)
                assert str(record.path) in told or "never submitted" in told
            restored(record.path)
            for item in mine:
                assert item.record is not None
                item.record.remove()
            assert away or not os.path.lexists(record.path), "it can be cleaned"
            with contextlib.suppress(RecordError):
                whole(base, HURT).seal(JobEnd("CANCELLED", text="It was cancelled."))
        except BaseException:
            sys.stderr.write(f"mutation {number} (seed {seed}): {hurt.told}\n")
            raise
        finally:
            for path in (record.path, place.path):
                restored(path)
            record.remove()
            place.remove()
    assert good.read("record.json") is not None
    assert named
    sys.stdout.write(f"{count} damaged records, {named} of them not shown\n")


def test_a_record_of_a_newer_version(base: Path) -> None:
    """The error says so; it is not guessed what it means."""
    record = whole(base, WHOLE)
    record.write("record.json", {**files(WHOLE)["record.json"], "format": 2})

    with pytest.raises(RecordError, match="newer version"):
        record.read("record.json")


def test_what_is_missing_is_nobody_elses(base: Path) -> None:
    """What one kernel notes of itself is not found in another's record."""
    record = whole(base, WHOLE)
    record.write("record.json", {})
    for _ in range(2):
        facts = record.read("record.json")
        assert facts is not None
        assert {} == facts["times"]
        facts["times"]["ready"] = 1.0


@pytest.mark.parametrize("text", ["null", "[]", "{", '{"c": 1}', '{"c": {}}', "\xff"])
def test_damaged_memories(base: Path, text: str) -> None:
    """What was remembered to save time is forgotten."""
    (base / "carriers.json").write_bytes(text.encode("latin-1"))
    (base / "carriers.json").chmod(0o600)
    known = KernelInfoCache(base, ["python"])
    known.remember({"a": 1})
    known._path.write_bytes(text.encode("latin-1"))

    assert CarrierCache(base).carrier("c") is None
    CarrierCache(base).remember("c", "ssh")
    assert "ssh" == CarrierCache(base).carrier("c")
    assert known.recall() is None or isinstance(known.recall(), dict)


@pytest.mark.asyncio
async def test_a_damaged_record_whose_job_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To remove it would end a kernel, so that is done on demand only."""
    base = tmp_path / "state"
    monkeypatch.setattr(kernelspec, "state_dirs", lambda: [base])
    monkeypatch.setattr(stock, "DRIVERS", {"local": Local()})
    record = whole(base, HURT)
    (record.path / "record.json").write_text("null")
    runtime = Runtime()
    queue = runtime.jobs(DRIVERS["local"])
    name = name_of(HURT)
    request = JobRequest(name, str(base / "job.log"))
    job = await queue.submit("exec sleep 60\n", request)
    try:
        taken = [await stock.take(runtime, [base], every) for every in (False, True)]
        item, forced = (i for items in taken for i in items if i.kernel == HURT)
    finally:
        await queue.cancel(job)
        await queue.wait_ended(job, 30.0)

    assert ("", "RUNNING", job) == (item.action, item.state, item.job)
    assert "end kernel" == forced.action
    assert "record.json" in item.what
