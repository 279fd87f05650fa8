"""kernel.tail: the end of a file, and what is written to it later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_kernels.kernel.tail import Tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "kernel.log"


@pytest.fixture
def tail(log: Path) -> Iterator[Tail]:
    made = Tail(log)
    yield made
    made.close()


def append(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def rotate(log: Path) -> None:
    """As the agent does."""
    log.replace(log.with_name("kernel.log.1"))


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        (b"1\n2\n3\n", 2, b"2\n3\n"),
        (b"1\n2\n3\n", 9, b"1\n2\n3\n"),
        (b"1\n2\n3", 2, b"2\n3"),
        (b"1\n\n\n", 2, b"\n\n"),
        (b"1\n2\n", 0, b""),
        (b"1\n2", 0, b""),
        (b"", 5, b""),
        (b"\xff\r1\r2\n", 1, b"\xff\r1\r2\n"),
    ],
)
def test_last(log: Path, tail: Tail, text: bytes, lines: int, expected: bytes) -> None:
    """Whole lines, as they are."""
    append(log, text)
    assert expected == tail.last(lines)


@pytest.mark.parametrize("lines", [1, 3000, 29_999, 30_000, 40_000])
def test_a_long_file(log: Path, tail: Tail, lines: int) -> None:
    """Over many blocks, no line is cut or doubled."""
    every = [b"%d\n" % number for number in range(30_000)]
    append(log, b"".join(every))
    assert b"".join(every[-lines:]) == tail.last(lines)
    append(log, b"more\n")
    assert b"more\n" == tail.more()


def test_the_end_of_the_one_before(log: Path, tail: Tail) -> None:
    """When the new one has too few lines."""
    append(log, b"1\n2\n3\n")
    rotate(log)
    append(log, b"4\n")
    assert b"2\n3\n4\n" == tail.last(3)


def test_a_file_that_is_not_there_yet(log: Path, tail: Tail) -> None:
    """Nothing, until it is."""
    assert (b"", b"") == (tail.last(5), tail.more())
    append(log, b"1\n")
    assert b"1\n" == tail.more()
    append(log, b"2")
    assert (b"2", b"") == (tail.more(), tail.more())


def test_rotation(log: Path, tail: Tail) -> None:
    """Each byte once: the end of the old one, then the new one."""
    append(log, b"1\n")
    tail.last(5)
    append(log, b"2\n")
    rotate(log)
    assert b"2\n" == tail.more()
    append(log, b"3\n")
    assert b"3\n" == tail.more()


def test_rotation_between_two_looks(log: Path, tail: Tail) -> None:
    """The old one's last words come before the new one's first."""
    append(log, b"1\n")
    tail.last(5)
    append(log, b"2\n")
    rotate(log)
    append(log, b"3\n")
    assert b"2\n3\n" == tail.more()


def test_rotation_while_there_is_no_new_one(log: Path, tail: Tail) -> None:
    """What is still written to the old one is not lost."""
    append(log, b"1\n")
    tail.last(5)
    rotate(log)
    append(log.with_name("kernel.log.1"), b"2\n")
    assert b"2\n" == tail.more()
    append(log, b"3\n")
    assert b"3\n" == tail.more()


def test_two_rotations_between_two_looks(log: Path, tail: Tail) -> None:
    """The one in between is read, too."""
    append(log, b"1\n")
    tail.last(5)
    rotate(log)
    append(log, b"2\n")
    rotate(log)
    append(log, b"3\n")
    assert b"2\n3\n" == tail.more()


def test_a_file_that_was_emptied(log: Path, tail: Tail) -> None:
    """From its beginning."""
    append(log, b"1\n2\n3\n")
    tail.last(5)
    log.write_bytes(b"4\n")
    assert b"4\n" == tail.more()


def test_a_file_that_is_removed(log: Path, tail: Tail) -> None:
    """Its last words are read all the same."""
    append(log, b"1\n")
    tail.last(5)
    append(log, b"2\n")
    log.unlink()
    log.parent.rmdir()
    assert (b"2\n", b"") == (tail.more(), tail.more())
