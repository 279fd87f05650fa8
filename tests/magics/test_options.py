"""Options as getopt would read them."""

from __future__ import annotations

import pytest

from remote_kernels.magics.slurm.options import Scanned, scan

TABLE = {"all": "a", "user": "u=", "jobs": "j?", "start": "", "state": "="}


@pytest.mark.parametrize(
    ("typed", "options", "others"),
    [
        ("-a -u me", [("all", None), ("user", "me")], []),
        ("-aume", [("all", None), ("user", "me")], []),
        ("--user me --user=you", [("user", "me"), ("user", "you")], []),
        ("-j 12", [("jobs", None)], ["12"]),
        ("-j12", [("jobs", "12")], []),
        ("--jobs=12 --start", [("jobs", "12"), ("start", None)], []),
        ("1 -a -- -u", [("all", None)], ["1", "-u"]),
        ("-", [], ["-"]),
    ],
)
def test_what_we_know(
    typed: str, options: list[tuple[str, str | None]], others: list[str]
) -> None:
    """Letters, words, and values in all the places where they may stand."""
    assert Scanned(tuple(options), tuple(others)) == scan(typed.split(), TABLE)


@pytest.mark.parametrize("typed", ["-x", "-ax", "--nope", "--start=1", "-u", "--state"])
def test_what_we_do_not_know(typed: str) -> None:
    """An unknown option, a value too many or one too few: better not to guess."""
    assert scan(typed.split(), TABLE) is None


def test_the_words_again() -> None:
    """They mean the same when they are written out."""
    scanned = scan(["-aume", "-j", "12"], TABLE)

    assert scanned is not None
    assert ["--all", "--user=me", "--jobs", "12"] == scanned.words()
    assert ("me", None) == (scanned.value("user"), scanned.value("jobs"))
    assert ["--all", "--jobs", "12"] == scanned.without("user").words()
