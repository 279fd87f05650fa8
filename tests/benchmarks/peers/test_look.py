"""What is read from /proc, sdiag and qping, and how traces are said in a few words."""

from __future__ import annotations

from collections import Counter

from testbed.systems.measured import is_request, sdiag_count

from benchmarks.peers.look import address, brief, open_to

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
    assert 2 == sdiag_count(SDIAG, "student05")


def test_requests_of_one_who_never_asked() -> None:
    """Who is not listed has asked nothing."""
    assert 0 == sdiag_count(SDIAG, "student06")


# Son of Grid Engine 8.1.9.
QPING = """\
17:36:18.857737|ctl/qmaster/1|<-|c2/execd/1                    |   bin|     nak|    TAG_REPORT_REQUEST|     6|      0|    774|17:36:18.857732|        N.A.|        3|
17:36:19.095961|ctl/qmaster/1|<-|login1/qstat/0                |    cm|     nak|                     0|     0|      0|    175|17:36:19.095961|00:00.000000|        4|
17:36:19.096434|ctl/qmaster/1|<-|login1/qstat/32               |   bin|     nak|       TAG_GDI_REQUEST|     1|      0|   2254|17:36:19.096427|        N.A.|        4|
17:36:19.096963|ctl/qmaster/1|->|login1/qstat/32               |   bin|     nak|       TAG_GDI_REQUEST|     1|      1|  12572|17:36:19.096837|00:00.000125|        4|
"""


def test_requests_from_the_login_host() -> None:
    """Neither answers nor greetings, nor what nodes report."""
    assert [False, False, True, False] == [*map(is_request, QPING.splitlines())]


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
