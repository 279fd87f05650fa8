"""records: records in a directory, and what stays of one whose job has ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from remote_kernels import records
from remote_kernels.errors import RecordError
from remote_kernels.records import MEMORY, JobEnd, Record, every_record
from remote_kernels.records.held import HELD_BYTES

FILES = ("record", "spec", "agent", "ended", "sessions", "kernel_info")
BODIES = {
    "record": {"job_id": "17"},
    "spec": {"secret": "c0ffee"},
    "agent": {"error": "none"},
    "ended": {"reason": "it was idle"},
}
HELD = [("shell", [b"one", b"\x00\xff", b""]), ("control", []), ("shell", [b"{}"])]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """One of a kernel that ran, with all its files."""
    made = Record(tmp_path, "k1")
    made.create()
    for name in FILES:
        made.write(f"{name}.json", BODIES.get(name, {}))
    made.job_log.write_text("what the job wrote")
    return made


def names(record: Record) -> set[str]:
    return {path.name for path in record.path.iterdir()}


def age(record: Record, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(record.path, (then, then))


def test_records_of_a_directory(tmp_path: Path) -> None:
    """All of them, in the order of their names."""
    for name in ("b", "a", "c"):
        Record(tmp_path, name).create()

    assert ["a", "b", "c"] == [record.kernel_id for record in every_record(tmp_path)]


def test_records_where_none_was_ever_made(tmp_path: Path) -> None:
    """There are none, and no error."""
    assert [] == every_record(tmp_path / "nowhere")


def test_what_is_written_is_read(record: Record) -> None:
    """And nothing else lies there."""
    found = record.read("spec.json")

    assert found is not None
    assert "c0ffee" == found["secret"]
    assert [] == [*record.path.glob("*.tmp")]


def test_a_file_that_is_not_there(record: Record) -> None:
    """It is None; so is one of a record that is not there."""
    assert record.read("other.json") is None
    assert Record(record.base, "k2").read("record.json") is None


def test_a_file_that_cannot_be_read(record: Record) -> None:
    """The error says which."""
    (record.path / "agent.json").write_text("{")

    with pytest.raises(RecordError, match=r"agent\.json"):
        record.read("agent.json")


def test_what_clients_asked_is_read_as_it_was(record: Record) -> None:
    """All bytes, in order; the last word counts."""
    record.held.write([("shell", [b"before"])])
    record.held.write(HELD)

    assert HELD == record.held.read()
    assert 0o600 == (record.path / "held.json").stat().st_mode & 0o777


def test_nothing_was_asked(record: Record) -> None:
    """Also where it was never written."""
    assert [] == record.held.read()

    record.held.write(HELD)
    record.held.write([])

    assert [] == record.held.read()


def test_more_was_asked_than_is_kept(record: Record) -> None:
    """What was kept before stays; a shared file system is no place for more."""
    most = [("shell", [b"x" * (HELD_BYTES - 1), b"x"])]
    record.held.write(most)

    record.held.write([*most, ("shell", [b"x"])])

    assert most == record.held.read()


def test_what_is_asked_later_is_added(record: Record) -> None:
    """The file is not written anew for each; its bound is that of all."""
    record.held.write(HELD[:1])
    file = (record.path / "held.json").stat().st_ino
    record.held.write(HELD[:2], 1)
    record.held.write(HELD, 2)
    most = [*HELD, ("shell", [b"x" * HELD_BYTES])]
    record.held.write(most, 3)
    record.held.write([*most, ("shell", [b"x"])], 4)

    assert HELD == record.held.read()
    assert file == (record.path / "held.json").stat().st_ino

    record.held.write(HELD[2:], 0)
    assert HELD[2:] == record.held.read()


@pytest.mark.parametrize("lost", [1, 5, 20])
def test_what_was_added_is_half_there(record: Record, lost: int) -> None:
    """It is left out; who comes after that writes all anew."""
    record.held.write(HELD[:2])
    record.held.write(HELD, 2)
    path = record.path / "held.json"
    os.truncate(path, path.stat().st_size - lost)

    assert HELD[:2] == record.held.read()
    Record(record.base, "k1").held.write(HELD, 2)
    assert HELD == record.held.read()


def test_what_was_asked_when_the_record_is_made_anew(record: Record) -> None:
    """It is all written again."""
    record.held.write(HELD[:2])
    (record.path / "held.json").unlink()

    record.held.write(HELD, 2)

    assert HELD == record.held.read()


def test_a_sealed_record_holds_no_requests(record: Record) -> None:
    """What people typed goes with the job."""
    record.held.write(HELD)

    record.seal(JobEnd("CANCELLED", text="It was cancelled."))

    assert "held.json" not in names(record)
    assert [] == record.held.read()


def test_a_record_is_private(record: Record) -> None:
    """Nobody else may look into it."""
    paths = [record.path, record.path.parent]
    assert {0o700} == {path.stat().st_mode & 0o777 for path in paths}
    files = record.path.glob("*.json")
    assert {0o600} == {path.stat().st_mode & 0o777 for path in files}


def test_a_record_is_live_while_there_is_something_to_start(record: Record) -> None:
    """Its job may be there, or be about to be."""
    assert record.is_live
    assert not Record(record.base, "k2").is_live


def test_a_record_that_is_sealed(record: Record) -> None:
    """How it ended, for which notebook, and the logs stay; the secret and the rest go."""
    record.write("sessions.json", {"s": {"path": "a.ipynb"}})
    record.seal(JobEnd("CANCELLED", text="It was cancelled."))

    assert not record.is_live
    kept = {"record.json", "ended.json", "sessions.json", "job.log"}
    assert kept == names(record)
    found = record.read("record.json")
    assert found is not None
    assert ("17", "It was cancelled.") == (found["job_id"], found["end"]["text"])


def test_a_record_that_is_sealed_twice(record: Record) -> None:
    """The last word counts."""
    record.seal(JobEnd("CANCELLED", text="one"))
    record.seal(JobEnd("CANCELLED", text="two"))

    found = record.read("record.json")
    assert found is not None
    assert "two" == found["end"]["text"]


@pytest.mark.parametrize(
    ("seconds", "kept"), [(MEMORY * 0.9, True), (MEMORY * 1.1, False)]
)
def test_a_sealed_record_is_kept_for_a_day(
    record: Record, seconds: float, kept: bool
) -> None:
    """So that a person can look why the kernel ended."""
    record.seal(JobEnd("CANCELLED", text=""))
    age(record, seconds)

    record.purge_if_old()

    assert kept == record.path.exists()


def test_a_live_record_is_never_purged(record: Record) -> None:
    """A kernel may run for weeks."""
    age(record, MEMORY * 100)

    record.purge_if_old()

    assert {f"{name}.json" for name in FILES} < names(record)


def test_a_record_that_another_removed(record: Record) -> None:
    """To purge or remove it again is no error."""
    record.remove()

    record.purge_if_old()
    record.remove()

    assert [] == every_record(record.base)


def test_a_kernel_is_started_again_under_its_id(record: Record) -> None:
    """What is left of the ended one gives way."""
    record.seal(JobEnd("CANCELLED", text=""))

    record.create()

    assert set() == names(record)


def test_two_servers_start_the_same_kernel(record: Record) -> None:
    """A record that is live is not taken over."""
    with pytest.raises(RecordError, match="state_dir"):
        record.create()

    assert record.is_live


def test_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As configured, with ~, else where XDG says."""
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")

    assert Path("/home/alice/kernels") == records.state_dir("~/kernels")
    assert Path("/state/remote_kernels") == records.state_dir(None)


def test_what_every_ipykernel_prints_is_not_quoted(record: Record) -> None:
    """Under an error it would look like its cause; what else it wrote is there."""
    notice = (
        "NOTE: When using the `ipython kernel` entry point, Ctrl-C will not work.\n\n"
        "To exit, you will have to explicitly quit this process, by either sending\n"
        '"quit" from a client, or using Ctrl-\\ in UNIX-like environments.\n\n'
        "To read more about this, see https://github.com/ipython/ipython/issues/2049\n"
        "\n\nTo connect another client to this kernel, use:\n"
        "    --existing /run/rk-1/k.json\n"
    )
    record.kernel_log.write_text(f"{notice}first words\n{notice}last words\n")

    logs = record.logs()

    assert "--- kernel.log\nfirst words\n\nlast words" in logs
    assert "Ctrl-C" not in logs
    record.kernel_log.write_text(notice)
    assert "kernel.log" not in record.logs()
