"""What a kernel opens, shows to others, leaves and costs, as seen from outside.

Called by `run`, while `drive` waits.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable

from on_cluster.traces import HOSTS, PLACES, Desk, Traces, left_over, listeners
from testbed.api import Cluster
from testbed.layout import USERS
from testbed.systems.measured import sdiag_count

STRANGER = "student10"  # who looks at what is not his
SECONDS = 20.0  # for all traces to go

Ports = Counter[tuple[str, str]]


def ports(cluster: Cluster, user: str) -> Ports:
    """How many TCP listeners the user has, by host and address."""
    found: Ports = Counter()
    for host in HOSTS:
        for row, owner in listeners(cluster, host):
            if owner == USERS[user]:
                found[host, address(row)] += 1
    return found


def address(row: str) -> str:
    """The address in a line of /proc/net/tcp or tcp6: words of the host's order."""
    digits = row.partition(":")[0]
    words = [
        bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)
    ]
    return str(ipaddress.ip_address(b"".join(words)))


def open_to(found: Ports) -> str:
    """Listeners in words; who can connect: users of the host, or all on the network."""
    parts = []
    for (host, where), number in sorted(found.items()):
        local = ipaddress.ip_address(where).is_loopback
        parts.append(f"{host}: {number} on {where}{'' if local else ' (network)'}")
    return "; ".join(parts) or "none"


def readable(cluster: Cluster, user: str, key: str) -> list[str]:
    """Where another user finds the kernel's key, or a socket that he may write to."""
    places = [*PLACES, f"/home/{user}"]
    found = []
    for host in HOSTS:
        grep = ["grep", "-rlsIE", "--", key and f'{key}|"key": *"[^"]', *places]
        mine = ["find", *places, "-user", user, "-type", "s", "-writable"]
        for word, command in (("key in", grep), ("socket", mine)):
            said = cluster.run(host, STRANGER, command, check=False).stdout
            lines = [
                line for line in said.splitlines() if _is_of(cluster, host, user, line)
            ]
            found += [f"{host}: {word} {line}" for line in lines]
        for process in cluster.processes(host, user):
            if key and key in " ".join(process.cmdline):
                found.append(f"{host}: key in a command line, {process.cmdline[0]}")
    return found


def _is_of(cluster: Cluster, host: str, user: str, path: str) -> bool:
    try:
        return cluster.path(host, path).lstat().st_uid == USERS[user]
    except OSError:
        return False


def calls(cluster: Cluster, user: str) -> int:
    """How many requests of the user the controller has answered, by sdiag."""
    return sdiag_count(cluster.run("ctl", "root", ["sdiag"]).stdout, user)


def left(cluster: Cluster, user: str, before: Traces) -> list[str]:
    """What there is more than before, after SECONDS at most; no directories of it.

    What any kernel and any Jupyter make for themselves is left out.
    """
    home = f"home: file /home/{user}"
    common = (f"{home}/.ipython", f"{home}/.jupyter")
    empty = (f"{home}/.local/share/jupyter/runtime",)
    found = [*left_over(cluster, user, before, SECONDS), *memory(cluster, user)]
    return [
        line
        for line in found
        if not line.startswith(common)
        and line not in empty
        and not any(other.startswith(f"{line}/") for other in found)
    ]


def memory(cluster: Cluster, user: str) -> list[str]:
    """What we remember of kernels on purpose; `traces` does not count it."""
    home = cluster.layout.home / user
    files = [path for path in home.rglob(f"{Desk.MEMORY}/*") if path.is_file()]
    return [f"home: file /home/{user}/{path.relative_to(home)}" for path in files]


def brief(lines: Iterable[str]) -> str:
    """How many things of each kind."""
    kinds = Counter(kind(line) for line in lines)
    words = [f"{number} {_plural(word, number)}" for word, number in kinds.items()]
    return ", ".join(words) or "nothing"


def kind(line: str) -> str:
    """What sort of trace a line tells of."""
    if line.startswith("job "):
        return "job"
    for word in ("process", "TCP listener", "socket", "file"):
        if f": {word} " in line:
            return word
    return "thing"


def _plural(word: str, number: int) -> str:
    if number == 1:
        return word
    return "processes" if word == "process" else f"{word}s"
