"""The network: one bridge on the machine, one cable to each host.

Packets of a cut cable vanish without an answer. For that the cable stays plugged in
and the bridge's port drops everything, and every host knows its neighbours' hardware
addresses by heart: a failed ARP question would be an answer ("No route to host",
after 3 s). Called by `api` and `hosts`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from testbed.layout import BRIDGE, HOSTS, MACHINE, NET, ClusterError, Host
from testbed.machine import SBIN

DISABLED, FORWARDING = "0", "3"


def call(*argv: str) -> str:
    """Run a command of iproute2; what it says."""
    program = shutil.which(argv[0], path=SBIN) or argv[0]
    command = [program, *argv[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def exists(link: str) -> bool:
    """Whether the machine has a network interface of that name."""
    return Path("/sys/class/net", link).exists()


def owner() -> Path | None:
    """The directory of the cluster that is on this machine, if there is one."""
    alias = Path("/sys/class/net", BRIDGE, "ifalias")
    try:
        return Path(alias.read_text().strip())
    except OSError:
        return None


def make_bridge(directory: Path) -> None:
    """The switch; the machine is connected to it as well."""
    if used := call("ip", "route", "show", "root", f"{NET}.0/24").strip():
        raise ClusterError(
            f"the machine uses {NET}.0/24 already: {used}. "
            "Set RK_CLUSTER_NET to the first three bytes of another network"
        )
    call("ip", "link", "add", BRIDGE, "address", MACHINE.mac, "type", "bridge")
    call("ip", "link", "set", BRIDGE, "alias", str(directory))
    call("ip", "addr", "add", f"{MACHINE.address}/24", "dev", BRIDGE)
    call("ip", "link", "set", BRIDGE, "up")
    for host in HOSTS.values():
        add = ["lladdr", host.mac, "dev", BRIDGE, "nud", "permanent"]
        call("ip", "neigh", "replace", host.address, *add)


def remove_bridge() -> None:
    """Take the switch away."""
    remove(BRIDGE)


def plug_in(host: Host, pid: int) -> None:
    """Connect the host whose PID 1 is `pid`."""
    remove(host.cable)
    peer = ["name", "eth0", "address", host.mac, "netns", str(pid)]
    call("ip", "link", "add", host.cable, "type", "veth", "peer", *peer)
    call("ip", "link", "set", host.cable, "master", BRIDGE, "up")


def inside_commands(host: Host) -> str:
    """What `ip -batch` is to do on the host itself."""
    lines = [
        "link set lo up",
        f"addr add {host.address}/24 dev eth0",
        "link set eth0 up",
    ]
    for other in (MACHINE, *HOSTS.values()):
        if other != host:
            to = f"{other.address} lladdr {other.mac}"
            lines.append(f"neigh replace {to} dev eth0 nud permanent")
    return "\n".join([*lines, ""])


def remove(link: str) -> None:
    """Remove an interface if it is there."""
    try:
        if exists(link):
            call("ip", "link", "del", link)
    except ClusterError:
        # The kernel removes the cable of a killed host by itself, some time later.
        if exists(link):
            raise


def cut(host: Host) -> None:
    """From now on nothing reaches the host and nothing comes from it."""
    call("bridge", "link", "set", "dev", host.cable, "state", DISABLED)


def mend(host: Host) -> None:
    """Undo `cut`."""
    call("bridge", "link", "set", "dev", host.cable, "state", FORWARDING)


def is_cut(host: Host) -> bool:
    """Whether the host's cable is cut."""
    if not exists(host.cable):
        return True
    shown = json.loads(call("bridge", "-j", "link", "show", "dev", host.cable))
    return bool(shown) and shown[0]["state"] == "disabled"


def slow_command(link: str, rate: str) -> list[str]:
    """The command that limits what is sent into `link`, or lifts the limit."""
    shape = ["noqueue"]  # what a new cable has
    if rate:
        shape = ["tbf", "rate", rate, "burst", "64kb", "latency", "400ms"]
    return ["tc", "qdisc", "replace", "dev", link, "root", *shape]


def block_command(verb: str, ports: str) -> list[str]:
    """The command for a host that drops what it would send from these TCP ports.

    A rule of the routing table: not every kernel has netfilter, or filters of tc.
    """
    rule = ["ipproto", "tcp", "sport", ports, "blackhole"]
    return ["ip", "rule", verb, "pref", "10", *rule]
