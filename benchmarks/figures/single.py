"""Figures of one kernel: start, round trips, output, memory, imports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from benchmarks.host import Host
from benchmarks.inside.output import SIZE, SMALL
from benchmarks.results import Figure, Reach

LOCAL = "local"
TUNNELLED = "ssh -N -L"
SESSION = "ssh -L, session"


def starts(host: Host, rounds: int) -> Iterator[Figure]:
    """Start and restart."""
    pairs: dict[str, list[list[float]]] = defaultdict(list)
    for line in host.lines("start", rounds, *host.system.batch):
        for name in ("start", "in-job", "shared", "restart"):
            pairs[name].append(line[name])
    yield _figure(
        *("start", "Start, to kernel_info_reply", "s"),
        f"{host.system.batch[0]} to a first line + a local start",
        pairs["start"],
        Reach("difference at most", 0.15),
        note=f"{host.system.cycle}, ours and the reference's alike: the spread is its.",
    )
    yield _figure(
        *("start-in-job", "Start, from the job's first line", "s", "a local start"),
        pairs["in-job"],
        Reach("difference at most", 0.15),
        note=f"What {host.system.title} does before that is the same for whoever submits.",
    )
    yield _figure(
        *("start-shared", "Start of a second kernel in a shared job", "s"),
        "a local start",
        pairs["shared"],
        Reach("difference at most", 0.3),
    )
    yield _figure(
        *("restart", "Restart in the job", "s", "a local restart"),
        pairs["restart"],
        Reach("difference at most", 0.15),
    )


def round_trips(host: Host, rounds: int) -> Iterator[Figure]:
    """Of small messages, one after the other."""
    names = (LOCAL, "ssh", "srun", TUNNELLED, SESSION)
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for line in host.lines("round_trips", rounds, *names):
        for kind in ("info", "execute"):
            found[line["kernel"], kind].append(line[kind])
    for kind, title, bounds in (
        ("info", "kernel_info", (1.5, 1.5)),
        ("execute", 'execute("pass")', (1.25, 1.5)),
    ):
        for place, share in enumerate(("p50", "p99")):
            for name, reference, reach in (
                ("", LOCAL, Reach("ratio at most", bounds[place])),
                ("-ssh-L", TUNNELLED, Reach("ratio at most", 1.0)),
                ("-session", SESSION, Reach("reported")),
            ):
                yield _figure(
                    f"{kind}-{share}{name}",
                    f"{title} round trip, {share}",
                    "s",
                    "local, ipc" if reference == LOCAL else reference,
                    _paired(found["ssh", kind], found[reference, kind], place),
                    reach,
                )
        yield _figure(
            f"{kind}-srun",
            f"{title} round trip over srun, p50",
            "s",
            "over ssh",
            _paired(found["srun", kind], found["ssh", kind], 0),
            Reach("ratio at most", 2.0),
        )


def streaming(host: Host, rounds: int) -> Iterator[Figure]:
    """Round trips while the kernel's output streams."""
    for name in ("ssh", LOCAL):
        pairs = [line["busy"] for line in host.lines("streaming", rounds, name)]
        ours = name == "ssh"
        yield _figure(
            "streaming" if ours else "streaming-local",
            "kernel_info on control while 50 MB stream, p99"
            + ("" if ours else ", of a local kernel"),
            "s",
            "the same without the stream",
            pairs,
            Reach("ratio at most", 2.0) if ours else Reach("reported"),
        )


def output(host: Host, rounds: int) -> Iterator[Figure]:
    """Throughput."""
    names = (LOCAL, "ssh", "srun", SESSION)
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for line in host.lines("output", rounds, *names):
        for kind in ("display", "stream", "small"):
            seconds, count = line[kind]
            amount = SMALL if kind == "small" else SIZE
            found[line["kernel"], kind].append([amount / seconds, count])
    for kind, title in (
        ("display", "50 MB of display_data in one message"),
        ("stream", "50 x 1 MB of stream"),
    ):
        for carrier in ("ssh", "srun"):
            over = "" if carrier == "ssh" else " over srun"
            yield _figure(
                f"{kind}-{carrier}",
                title + over,
                "B/s",
                SESSION if carrier == "ssh" else "over ssh",
                _paired(
                    found[carrier, kind],
                    found[SESSION if carrier == "ssh" else "ssh", kind],
                    0,
                ),
                Reach("ratio at least", 0.9) if carrier == "ssh" else Reach("reported"),
            )
    yield _figure(
        *("small", "10,000 small iopub messages", "messages/s", "local, ipc"),
        _paired(found["ssh", "small"], found[LOCAL, "small"], 0),
        Reach("ratio at least", 0.8),
    )
    lost = [SMALL - count for _, count in found["ssh", "small"]]
    yield Figure(
        *("small-lost", "Lost of them", "messages", "", lost, []),
        Reach("at most", 0.0),
    )


def imports(host: Host, rounds: int) -> Iterator[Figure]:
    pairs = [line["import"] for line in host.lines("imports", rounds)]
    yield _figure(
        *("import", "Import of the provisioner and jupyter_client", "s"),
        "import jupyter_client",
        pairs,
        Reach("ratio at most", 1.3),
    )


def agent(host: Host, rounds: int) -> Iterator[Figure]:
    pairs: dict[str, list[list[float]]] = defaultdict(list)
    for line in host.lines("agent", rounds):
        for kind in ("rss", "pss"):
            pairs[kind].append([count / 2**20 for count in line[kind]])
    for kind, reach in (
        ("rss", Reach("difference at most", 15.0)),
        ("pss", Reach("reported")),
    ):
        yield _figure(
            f"agent-{kind}",
            f"Memory of the agent, {kind.upper()}",
            "MiB",
            "python3 -I -S",
            pairs[kind],
            reach,
        )


def _paired(
    ours: list[list[float]], reference: list[list[float]], place: int
) -> list[list[float]]:
    return [[a[place], b[place]] for a, b in zip(ours, reference, strict=True)]


def _figure(
    name: str,
    title: str,
    unit: str,
    reference_title: str,
    pairs: list[list[float]],
    reach: Reach,
    note: str = "",
) -> Figure:
    ours, reference = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Figure(name, title, unit, reference_title, ours, reference, reach, note)
