"""relay.private: what is ours is ours alone, and what is not is refused."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote_kernels.agent import record as at_the_agent
from remote_kernels.errors import RecordError
from remote_kernels.kernel import socket_directory
from remote_kernels.kernel.allocation import SharedAllocation, allocations
from remote_kernels.records import (
    CarrierCache,
    KernelInfoCache,
    Record,
    every_record,
    write_for_user,
)
from remote_kernels.relay import private

SECRET = {"secret": "c0ffee"}
OTHER = 54321  # nobody's
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    made = Record(tmp_path / "state", "k1")
    made.create()
    made.write("spec.json", SECRET)
    return made


def places(record: Record) -> dict[str, Path]:
    return {
        "state": record.base,
        "kernels": record.path.parent,
        "record": record.path,
    }


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def refusal(record: Record) -> str:
    """What both ends say when they are to read or write there: the login end's words."""
    with pytest.raises(RecordError) as read:
        record.read("spec.json")
    with pytest.raises(RecordError):
        record.write("spec.json", SECRET)
    with pytest.raises(OSError, match=str(record.base)) as agent:
        at_the_agent.read(str(record.path), "spec.json")
    with pytest.raises(OSError, match=str(record.base)):
        at_the_agent.write(str(record.path), "agent.json", {})
    assert str(agent.value) in str(read.value)
    return str(read.value)


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077, 0o277])
def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    """All of it, also what is above and is not there yet."""
    base = tmp_path / "a" / "state"
    with umask(mask):
        record = Record(base, "k1")
        record.create()
        record.write("spec.json", SECRET)
        CarrierCache(base).remember("cluster", "ssh")
        KernelInfoCache(base, ["python"]).remember({"language": "python"})
        SharedAllocation(base, "team").make("members")
        socket_directory.make(tmp_path / "run" / "deep")
        at_the_agent.write(str(record.path), "agent.json", {})

    made = [base.parent, *base.parent.rglob("*"), *(tmp_path / "run").rglob("*")]
    assert len(made) > 10
    assert {0o700} == {mode_of for p in made if p.is_dir() for mode_of in [mode(p)]}
    assert {0o600} == {mode_of for p in made if p.is_file() for mode_of in [mode(p)]}


@pytest.mark.parametrize("loose", [0o777, 0o702, 0o770, 0o1777])
@pytest.mark.parametrize("which", ["state", "kernels", "record"])
def test_a_directory_that_others_can_write_to(
    record: Record, which: str, loose: int
) -> None:
    """It is refused at both ends, with the command that mends it, and that does."""
    path = places(record)[which]
    path.chmod(loose)
    # Here the group may be the user's own.
    if loose == 0o770:
        private_group = private._is_own_group(path.stat().st_gid)
        if private_group:
            assert SECRET["secret"] == (record.read("spec.json") or {})["secret"]
            return

    text = refusal(record)

    assert "can be written by others" in text
    command = text.splitlines()[-1].strip()
    subprocess.run(shlex.split(command), check=True)
    assert record.read("spec.json") is not None


@needs_root
@pytest.mark.parametrize("which", ["state", "kernels", "record"])
def test_a_directory_of_somebody_else(record: Record, which: str) -> None:
    """Whatever its mode: he may have put anything there."""
    os.chown(places(record)[which], OTHER, OTHER)

    assert f"owner {OTHER}" in refusal(record)
    if which != "record":
        with pytest.raises(RecordError, match="state_dir"):
            Record(record.base, "k2").create()


@pytest.mark.parametrize("which", ["kernels", "record"])
def test_a_link_in_place_of_a_directory(record: Record, which: str) -> None:
    """It is not followed, also if all behind it is ours."""
    path = places(record)[which]
    path.rename(record.base / "elsewhere")
    path.symlink_to(record.base / "elsewhere")

    assert "is a link" in refusal(record)


def test_a_state_directory_behind_a_link_of_the_user(tmp_path: Path) -> None:
    """Many move things from a small home to a larger disk in that way."""
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    record = Record(tmp_path / "state", "k1")

    record.create()
    record.write("spec.json", SECRET)

    assert record.read("spec.json") is not None
    assert "c0ffee" == at_the_agent.read(str(record.path), "spec.json")["secret"]


@needs_root
def test_a_state_directory_behind_somebody_s_link(tmp_path: Path) -> None:
    """As one may put into a directory that all can write to."""
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    os.chown(tmp_path / "state", OTHER, OTHER, follow_symlinks=False)

    with pytest.raises(RecordError, match="link that somebody else made"):
        Record(tmp_path / "state", "k1").create()


def test_a_state_directory_below_one_that_others_can_write_to(tmp_path: Path) -> None:
    """It could be exchanged; with the sticky bit it could not."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)

    with pytest.raises(RecordError, match="chmod go-w"):
        Record(shared / "alice" / "state", "k1").create()
    with pytest.raises(RecordError, match="chmod go-w"):
        socket_directory.make(shared / "run")

    shared.chmod(0o1777)
    Record(shared / "alice" / "state", "k1").create()
    socket_directory.make(shared / "run")


def test_a_home_that_others_can_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no more to be lost by us, so kernels start; what is ours is private."""
    home = tmp_path / "home"
    (home / ".local").mkdir(parents=True)
    for path in (tmp_path, home, home / ".local"):
        path.chmod(0o777)
    monkeypatch.setenv("HOME", str(home))
    record = Record(home / ".local/state/remote_kernels", "k1")

    record.create()

    assert {0o700} == {mode(path) for path in places(record).values()}


def test_a_file_that_is_a_link(record: Record, tmp_path: Path) -> None:
    """It is not read; to write replaces it, and what it named stays as it was."""
    other = tmp_path / "other"
    other.write_text('{"secret": "00"}')
    path = record.path / "spec.json"
    path.unlink()
    path.symlink_to(other)
    for name in ("spec.json.tmp", "agent.json.tmp"):  # as they were once called
        (record.path / name).symlink_to(other)

    with pytest.raises(RecordError):
        record.read("spec.json")
    record.write("spec.json", SECRET)
    at_the_agent.write(str(record.path), "agent.json", {})

    assert not path.is_symlink()
    assert '{"secret": "00"}' == other.read_text()


@needs_root
def test_a_file_of_somebody_else(record: Record) -> None:
    """What it says is not done."""
    os.chown(record.path / "spec.json", OTHER, OTHER)

    with pytest.raises(RecordError, match=f"owner {OTHER}"):
        record.read("spec.json")
    with pytest.raises(OSError, match=f"owner {OTHER}"):
        at_the_agent.read(str(record.path), "spec.json")


def test_a_pipe_in_place_of_a_file(record: Record) -> None:
    """Nobody waits for what never comes."""
    (record.path / "spec.json").unlink()
    os.mkfifo(record.path / "spec.json", 0o600)

    with pytest.raises(RecordError, match="Not a file"):
        record.read("spec.json")


def test_records_where_others_can_write(record: Record) -> None:
    """They are not looked at: what is there may be anybody's."""
    SharedAllocation(record.base, "team").make("members")
    assert 1 == len(every_record(record.base)) == len(allocations(record.base))

    record.base.chmod(0o777)

    assert [] == every_record(record.base)
    assert [] == allocations(record.base)


def test_an_agent_whose_node_directory_others_can_write_to(
    record: Record, tmp_path: Path
) -> None:
    """It starts nothing."""
    node_dir = tmp_path / "node"
    node_dir.mkdir()
    node_dir.chmod(0o777)

    done = subprocess.run(
        [
            *(sys.executable, "-m", "remote_kernels.agent", "run"),
            *("--record", str(record.path), "--node-dir", str(node_dir)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 98 == done.returncode
    assert "can be written by others" in done.stderr


def test_a_file_where_the_user_wants_it(tmp_path: Path) -> None:
    """In any directory, as /tmp; what somebody put there is replaced, not followed."""
    tmp_path.chmod(0o1777)
    (tmp_path / "other").write_text("as it was")
    (tmp_path / "k.json").symlink_to(tmp_path / "other")

    write_for_user(tmp_path / "k.json", "{}")

    assert ("{}", 0o600) == (
        (tmp_path / "k.json").read_text(),
        mode(tmp_path / "k.json"),
    )
    assert not (tmp_path / "k.json").is_symlink()
    assert "as it was" == (tmp_path / "other").read_text()
