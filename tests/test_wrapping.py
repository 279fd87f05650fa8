"""wrapping: lines of some width, with whole words and whole commands."""

from __future__ import annotations

from remote_kernels.wrapping import cut, wrapped

COMMAND = "`sacctmgr -P show assoc user=alice format=account,partition,qos`"


def test_words_are_not_broken() -> None:
    """Neither at the width nor at a hyphen."""
    text = "Ask for less with 'cpus-per-task', or choose another 'partition'."

    lines = wrapped(text, 27).split("\n")

    assert text == " ".join(lines)
    assert all(len(line) <= 27 for line in lines)
    assert "'cpus-per-task'," in text.split()
    assert text.split() == [word for line in lines for word in line.split()]


def test_a_command_to_copy_is_on_one_line() -> None:
    """Also where that is longer than the width."""
    lines = wrapped(f"Set 'account' to another: {COMMAND} lists yours.", 40).split("\n")

    assert [f"{COMMAND}"] == [line for line in lines if "`" in line]


def test_what_is_quoted_stays_as_it_is() -> None:
    """A scheduler's own lines, and a log to its end."""
    quoted = f"  command: sbatch {'--x ' * 40}\n  stderr: a\n          b"
    log = f"--- job.log\n{'word ' * 40}\n  x"

    assert f"Not taken.\n{quoted}\n{log}" == wrapped(f"Not taken.\n{quoted}\n{log}", 30)


def test_one_line_is_cut_between_words() -> None:
    """And shows that there is more."""
    assert "Job 7 waits: …" == cut("Job 7 waits: something", 18)
    assert "Job 7 waits" == cut("Job 7 waits", 18)
    assert "x" * 5 == cut("x" * 30, 5)
