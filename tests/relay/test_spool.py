"""relay.spool: messages are kept in order, to a bound, and leave nothing behind."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_kernels.relay import spool
from remote_kernels.relay.spool import Spool
from remote_kernels.wire import messages
from remote_kernels.wire.messages import Message, MessageDecoder, encode

HEAD = len(encode([b""]))  # bytes that a message of one frame takes besides it


def body(number: int, size: int) -> bytes:
    """Of an encoded message of `size` bytes, unlike any other's."""
    return (b"%d " % number * size)[: size - HEAD]


def read(spool: Spool, number: int) -> Message | None:
    found = spool.read(number)
    if found is None:
        return None
    (message,) = MessageDecoder().feed(found[1])
    assert found[0] == message.number
    return message


def fill(spool: Spool, count: int, size: int = 100) -> None:
    for _ in range(count):
        spool.append([bytes(size - HEAD)])


def files(directory: Path) -> list[Path]:
    """The open files of this process in `directory`, nameless ones, too."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [link for link in links if directory in link.readlink().parents]


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Stands in for a full disk: writing beyond fails, after a part was written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Spool]:
    """Room for three messages of 100 bytes in memory, for five on the disk."""
    made = Spool(str(tmp_path), disk=599, memory=399)
    yield made
    made.close()


def test_an_empty_spool(kept: Spool) -> None:
    """The first number is 1."""
    assert (1, 0) == (kept.first, kept.size)
    assert kept.read(1) is None
    assert kept.read_one(1) is None


def test_a_message_that_is_too_large_for_a_channel(
    kept: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number stays, without a frame; what follows is kept as ever."""
    monkeypatch.setattr(messages, "MAX_MESSAGE", 60)

    numbers = [kept.append([bytes(100)]), kept.append([b"one"], 0, 100)]
    numbers += [kept.append([b"two"], 3, 97), kept.append([b"three"])]

    assert [1, 2, 2, 3] == numbers
    assert [Message(n, []) for n in (1, 2)] == [read(kept, n) for n in (1, 2)]
    assert Message(3, [b"three"]) == read(kept, 3)


def test_messages_are_numbered_from_one(kept: Spool) -> None:
    """append() tells the number under which read() finds it."""
    assert [1, 2] == [kept.append([b"one", b""]), kept.append([b"two"])]

    assert Message(1, [b"one", b""]) == read(kept, 1)
    assert Message(2, [b"two"]) == read(kept, 2)
    assert kept.read(3) is None


def test_reading_does_not_take_away(kept: Spool) -> None:
    """Another session may want it again."""
    kept.append([b"one"])

    assert kept.read(1) == kept.read(1)


def test_no_file_while_the_memory_suffices(kept: Spool, tmp_path: Path) -> None:
    """Most kernels never say that much."""
    fill(kept, 3)

    assert [] == files(tmp_path)


def test_beyond_the_memory_is_the_disk(kept: Spool, tmp_path: Path) -> None:
    """In order, in a file without a name."""
    for number in range(1, 9):
        kept.append([body(number, 100)])

    assert 1 == len(files(tmp_path))
    assert [] == [*tmp_path.iterdir()]
    for number in range(1, 9):
        assert Message(number, [body(number, 100)]) == read(kept, number)


def test_beyond_the_disk_the_oldest_is_dropped(kept: Spool) -> None:
    """And counted on the first one after it."""
    fill(kept, 10)

    assert (3, 800) == (kept.first, kept.size)
    assert [2, 1, 0] == [m.lost for n in (1, 2, 3) if (m := read(kept, n))]
    assert {3} == {m.number for n in (1, 2, 3) if (m := read(kept, n))}


def test_what_is_forgotten_is_not_lost(kept: Spool) -> None:
    """Only what was dropped is counted, not what nobody needs."""
    fill(kept, 6)
    kept.forget(4)
    kept.forget(2)
    fill(kept, 10)

    assert 9 == kept.first
    first = read(kept, 1)
    assert first is not None
    assert 4 == first.lost


def test_a_dropped_message_is_not_found(kept: Spool) -> None:
    """read_one() gives this very message or none."""
    kept.append([b"one"])
    kept.append([b"two", b""])
    kept.forget(1)

    assert kept.read_one(1) is None
    assert [b"two", b""] == kept.read_one(2)
    assert kept.read_one(3) is None


def test_forgetting_makes_room(kept: Spool) -> None:
    """Nothing is dropped as long as it is taken."""
    for _ in range(10):
        fill(kept, 5)
        kept.forget_all()
    fill(kept, 1)

    assert Message(51, [bytes(100 - HEAD)]) == read(kept, 1)


def test_forgetting_what_has_not_come_yet(kept: Spool) -> None:
    """It is kept all the same, and counted if it is dropped."""
    fill(kept, 1)
    kept.forget(100)
    fill(kept, 10)

    assert Message(4, [bytes(100 - HEAD)], 2) == read(kept, 1)


def test_a_message_in_pieces(kept: Spool) -> None:
    """They have one number, and can be read before the last one is there."""
    assert [1, 1] == [kept.append([b"topic", b"a"], 0, 2), kept.append([b"b"], 1, 1)]
    early = [kept.read(1, piece) for piece in range(3)]
    assert [1, 2] == [kept.append([b"c"], 2), kept.append([b"next"])]

    assert [(1, encode([b"topic", b"a"], 1, 0, 0, 2)), None] == [early[0], early[2]]
    assert (1, encode([b"b"], 1, 0, 1, 1)) == early[1] == kept.read(1, 1)
    assert (1, encode([b"c"], 1, 0, 2, 0)) == kept.read(1, 2)
    assert kept.read(1, 3) is None
    assert (2, encode([b"next"], 2)) == kept.read(2)


def test_a_message_in_pieces_is_dropped_as_a_whole(kept: Spool) -> None:
    """And counts as one, also for who has read some of them."""
    kept.append([body(1, 100)], 0, 1000)
    for _ in range(4):
        kept.append([body(1, 100)], 100, 1000)
    fill(kept, 7)

    assert 2 == kept.first
    assert (2, encode([bytes(100 - HEAD)], 2, 1)) == kept.read(1, 3)


def test_a_message_larger_than_the_bound_is_kept_alone(kept: Spool) -> None:
    """It may be the cell's end, or all that a person waits for."""
    fill(kept, 3)
    kept.append([body(4, 5000)])

    assert Message(4, [body(4, 5000)], 3) == read(kept, 1)
    fill(kept, 1)
    assert Message(4, [body(4, 5000)], 3) == read(kept, 1)
    assert 6 == kept.append([body(6, 600)])
    assert (6, 600) == (kept.first, kept.size)


def test_a_file_goes_with_its_last_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its space is the node's again, while later files stay."""
    monkeypatch.setattr(spool, "SEGMENT", 250)
    kept = Spool(str(tmp_path), disk=10_000, memory=0)
    fill(kept, 9)

    counts = []
    for number in range(10):
        kept.forget(number)
        counts.append(len(files(tmp_path)))

    assert [3, 3, 3, 2, 2, 2, 1, 1, 1, 0] == counts


def test_a_message_in_the_middle_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its room is there for others, and its file goes with the last one in it."""
    monkeypatch.setattr(spool, "SEGMENT", 200)
    kept = Spool(str(tmp_path), disk=900, memory=100)
    fill(kept, 9)

    for number in (3, 4, 4, 77, 9, 2):
        kept.remove(number)

    assert (500, 2) == (kept.size, len(files(tmp_path)))
    assert [1, 5, 6, 7, 8] == [n for n in range(1, 10) if kept.read_one(n) is not None]
    fill(kept, 4)
    assert (900, 1) == (kept.size, kept.first)
    kept.close()


def test_close_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files there are."""
    monkeypatch.setattr(spool, "SEGMENT", 250)
    kept = Spool(str(tmp_path), disk=10_000, memory=0)
    fill(kept, 9)

    kept.close()

    assert [] == files(tmp_path)


def test_a_file_that_took_nothing_goes_too(tmp_path: Path) -> None:
    """The disk was full from the start."""
    kept = Spool(str(tmp_path), disk=1000, memory=0)
    with file_limit(450):
        fill(kept, 1, 600)

    kept.close()

    assert [] == files(tmp_path)


def test_without_a_disk_the_memory_is_the_bound(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is said, and the newest messages are kept."""
    kept = Spool(str(tmp_path / "gone"), disk=500, memory=300)
    fill(kept, 5)

    assert (3, 300) == (kept.first, kept.size)
    assert 1 == capfd.readouterr().err.count("cannot spool")


def test_a_full_disk_is_a_lower_bound(tmp_path: Path) -> None:
    """What is there stays readable, and its place is used again."""
    kept = Spool(str(tmp_path), disk=1000, memory=300)
    with file_limit(450):
        for number in range(1, 11):
            kept.append([body(number, 100)])

        assert (4, 700) == (kept.first, kept.size)
        assert Message(4, [body(4, 100)], 3) == read(kept, 1)
        for number in range(5, 11):
            assert Message(number, [body(number, 100)]) == read(kept, number)
    kept.close()


def test_a_disk_that_is_full_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again after a while."""
    kept = Spool(str(tmp_path), disk=1000, memory=300)
    with file_limit(450):
        fill(kept, 10)
    fill(kept, 10)
    assert 700 == kept.size

    later = time.monotonic() + spool.AGAIN
    monkeypatch.setattr(time, "monotonic", lambda: later)
    fill(kept, 10)

    assert 1300 == kept.size
    kept.close()


@pytest.mark.parametrize("before", [3, 6])
def test_a_directory_that_is_away_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """What comes after that is kept on the disk, to its bound, as ever."""
    monkeypatch.setattr(spool, "SEGMENT", 250)
    directory = tmp_path / "spool"
    directory.mkdir()
    kept = Spool(str(directory), disk=1000, memory=300)
    fill(kept, before)
    directory.rmdir()
    fill(kept, 1)
    directory.mkdir()
    fill(kept, 20)

    assert 1300 == kept.size
    kept.close()


def test_no_other_file_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is open takes more than it should; nothing is lost."""
    monkeypatch.setattr(spool, "SEGMENT", 250)
    kept = Spool(str(tmp_path), disk=1000, memory=300)
    fill(kept, 6)
    kept.move(str(tmp_path / "gone"))
    fill(kept, 4)

    assert (1, 1000) == (kept.first, kept.size)
    kept.close()


def test_a_file_that_was_cut_short(kept: Spool, tmp_path: Path) -> None:
    """An error, not half a message."""
    fill(kept, 4)
    (file,) = files(tmp_path)
    os.truncate(file, 50)

    with pytest.raises(OSError, match="cut short"):
        kept.read(4)


step = st.one_of(
    st.tuples(st.just("append"), st.integers(HEAD, 160)),
    st.tuples(st.just("append"), st.integers(HEAD, 900)),
    st.tuples(st.just("forget"), st.integers(0, 12)),
)


@given(st.lists(step, max_size=60))
def test_a_spool_is_a_queue_with_a_bound(steps: list[tuple[str, int]]) -> None:
    """Whatever comes and goes: in order, unchanged, and each lost one counted."""
    queue: deque[tuple[int, bytes]] = deque()
    last = gone = lost = 0
    with tempfile.TemporaryDirectory() as directory:
        kept = Spool(directory, disk=500, memory=300)
        for what, size in steps:
            if what == "append":
                last += 1
                queue.append((last, body(last, size)))
                assert last == kept.append([body(last, size)])
                dropped = bytes(800)
                while queue[0][0] < kept.first:
                    lost, dropped = queue.popleft()
                assert kept.size + HEAD + len(dropped) > 500
            else:
                gone = max(gone, min(kept.first + size - 3, last))
                kept.forget(gone)
                while queue and queue[0][0] <= gone:
                    queue.popleft()

            assert kept.size == sum(HEAD + len(data) for _, data in queue)
            largest = max((HEAD + len(data) for _, data in queue), default=0)
            assert kept.size <= 500 + max(300, largest)
            assert [body for _, body in queue] == [
                (kept.read_one(number) or [b""])[0] for number, _ in queue
            ]
            if queue:
                number, data = queue[0]
                assert Message(number, [data], max(0, lost - gone)) == read(kept, 1)
            assert kept.read(last + 1) is None
        kept.close()
