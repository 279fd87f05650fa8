"""What is read from /proc and sdiag, and how traces are said in a few words."""

from __future__ import annotations

from collections import Counter

from benchmarks.peers.look import address, brief, count, open_to

# Slurm 22.05.8; the RPCs by type, which come before, and the dumps after are cut.
SDIAG = """\
*******************************************************
sdiag output at Sat Nov 21 14:52:04 2026 (1795272724)
*******************************************************
Remote Procedure Call statistics by user
\troot            (       0) count:32     ave_time:562    total_time:17992
\tstudent05       (   20105) count:2      ave_time:259    total_time:519
\tstudent051      (   20199) count:7      ave_time:259    total_time:519

Pending RPC statistics
\tNo pending RPCs
"""


def test_requests_of_a_user() -> None:
    """The count is that of the user, not of one whose name begins alike."""
    assert 2 == count(SDIAG, "student05")


def test_requests_of_one_who_never_asked() -> None:
    """Who is not listed has asked nothing."""
    assert 0 == count(SDIAG, "student06")


def test_addresses_of_proc() -> None:
    """IPv4 and IPv6 are written in words of a little-endian host."""
    assert "127.0.0.1" == address("0100007F:22B8")
    assert "10.197.53.21" == address("1535C50A:1F90")
    assert "::1" == address("00000000000000000000000001000000:0277")
    assert "::" == address("00000000000000000000000000000000:0016")


def test_listeners_in_words() -> None:
    """What is reached from other machines says so."""
    ports = Counter({("c1", "0.0.0.0"): 5, ("login1", "127.0.0.1"): 1})  # noqa: S104

    assert "c1: 5 on 0.0.0.0 (network); login1: 1 on 127.0.0.1" == open_to(ports)


def test_no_listeners() -> None:
    """An empty cell would look unknown."""
    assert "none" == open_to(Counter())


def test_traces_in_words() -> None:
    """Things of one kind are counted."""
    lines = [
        "c1: process 4144 sshd: student07@notty",
        "login1: process 266 ssh: /home/student07/.ssh/mux [mux]",
        "home: socket /home/student07/.ssh/mux",
        "job 272 keeper",
    ]

    assert "2 processes, 1 socket, 1 job" == brief(lines)
    assert "nothing" == brief([])
