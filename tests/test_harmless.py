"""harmless: what is shown of text can only be read."""

from __future__ import annotations

import itertools
import logging
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remote_kernels
from remote_kernels import harmless

EVERY = st.text(st.characters(codec=None, exclude_categories=()))
HARMFUL = {"Cc", "Cs", "Zl", "Zp"}  # and of Cf what turns the direction of text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a b/ä [bold].ipynb", "a b/ä [bold].ipynb"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202egnp\u2066\u200f", "\\u202egnp\\u2066\\u200f"),
        ("\udce4\ufeff", "\\udce4\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        (17, "17"),
    ],
)
def test_a_line(given: object, shown: str) -> None:
    """What could do something is spelt out."""
    assert shown == harmless.line(given)


@given(EVERY)
def test_no_line_does_anything(text: str) -> None:
    """Whatever it is made of; what is harmless already stays as it is."""
    shown = harmless.line(text)

    assert not HARMFUL & set(map(unicodedata.category, shown))
    assert not {"RLO", "LRO", "RLI", "PDF"} & set(map(unicodedata.bidirectional, shown))
    assert shown == harmless.line(shown)
    shown.encode()


@given(EVERY)
def test_several_lines(text: str) -> None:
    """They stay lines, and tabs stay; colours are gone."""
    shown = harmless.text(text)

    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert text.replace("\r\n", "\n").count("\n") == shown.count("\n")
    assert "red\n\tplain" == harmless.text("\x1b[1;31mred\x1b[0m\r\n\tplain")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"\x1b[31mred\x1b[0m\n\ttab \xc3\xa4", b"\x1b[31mred\x1b[0m\n\ttab \xc3\xa4"),
        (b"10 %\r20 %\r\n", b"10 %\n20 %\n"),
        (b"\x1b]0;title\x07\x1b[2J\x1bc", b"]0;title[2Jc"),
        (b"\xc2\x9b2J\x00\x7f", b"2J"),
    ],
)
def test_output(written: bytes, shown: bytes) -> None:
    """Of a program, for a terminal: colours stay."""
    assert shown == harmless.output(written)


def test_no_output_does_anything() -> None:
    """Nor does what is left when something between two bytes is taken out."""
    alphabet = [b"\xc2", b"\x00", b"\x9b", b"\x1b", b"[", b"m"]
    for count in range(1, 6):
        for written in map(b"".join, itertools.product(alphabet, repeat=count)):
            shown = harmless.output(written)

            plain = re.sub(rb"\x1b\[m", b"", shown)
            assert not re.search(rb"\x00|\x1b", plain), written
            assert b"\xc2\x9b" not in shown, written
            assert shown == harmless.output(shown), written


def test_a_log_record(caplog: pytest.LogCaptureFixture) -> None:
    """A name with a newline makes no record that looks like another one."""
    log = harmless.logger("remote_kernels.test_harmless")

    with caplog.at_level(logging.INFO, log.name):
        log.info("kernel of %s", "a\n[I 2026 ServerApp] forged\x1b[2J")

    assert ["kernel of a\n    [I 2026 ServerApp] forged\\x1b[2J"] == caplog.messages


def test_all_that_logs_at_the_login_end() -> None:
    """Does it in this way."""
    root = Path(remote_kernels.__file__).parent
    files = [f for f in root.rglob("*.py") if "getLogger(__name__)" in f.read_text()]
    parts = {f.relative_to(root).parts[0] for f in files}

    assert parts <= {"agent", "relay", "wire"}
