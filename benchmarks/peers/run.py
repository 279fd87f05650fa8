"""Install, start, drive, look, clean: one peer after another.

`measure` is called by the command line and by whoever makes a report. What a peer
leaves is recorded and then removed, so that the next one starts clean; one that cannot
run gets a row with the reason.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from on_cluster.traces import traces
from testbed.api import Cluster
from testbed.layout import ClusterError

from benchmarks.peers import environment, look
from benchmarks.peers.known import PEERS, Peer
from benchmarks.peers.row import Seen, table
from benchmarks.peers.seat import Seat
from benchmarks.results import PeerTable

DRIVE = Path(__file__).with_name("drive.py")
SAMPLES = 200
PATIENCE = 120.0  # for the next fact; drive's own bounds are shorter
LINES = 12  # of an error

Say = Callable[[str], object]


class Silence(Exception):
    """The driving program said nothing for too long, or ended too early."""


@dataclass
class Session:
    """The driving program, as the user on the login host."""

    seat: Seat
    process: subprocess.Popen[str]
    facts: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def stage(self) -> dict[str, Any]:
        """Keep facts until a stage or the end is reached; its own facts."""
        while True:
            fact = self._next()
            if "step" not in fact:
                return fact
            self.facts.append(fact)

    def _next(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            msg = f"nothing heard for {PATIENCE:g} s, after {self._last()}"
            raise Silence(msg) from None
        if line is None:
            msg = f"ended by {self.process.wait(10)}, after {self._last()}"
            raise Silence(msg)
        fact: dict[str, Any] = json.loads(line)
        return fact

    def _last(self) -> str:
        return str(self.facts[-1]["step"]) if self.facts else "nothing"

    def go(self) -> None:
        """Let it go on."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        for end in (self.process.stdin, self.process.stdout):
            _close(end)


def _close(end: IO[str] | None) -> None:
    try:
        if end:
            end.close()
    except BrokenPipeError:
        return  # it ended while we told it to go on


def start(seat: Seat, peer: Peer, program: str, number: int) -> Session:
    """Start drive.py; what it and the peer say goes to ~/given/said."""
    drive = seat.write("drive.py", DRIVE.read_text())
    said = seat.write("said", "")
    script = f'exec "$@" 2>>{said}'
    command = [*peer.prefix, seat.python, drive, program, str(number)]
    process = seat.cluster.popen(
        "login1",
        seat.user,
        ["sh", "-c", script, "sh", *command],
        env={**seat.env, **peer.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Session(seat, process)


# --- the two programs, seen from outside ----------------------------------------------


def rounds(seat: Seat, peer: Peer, number: int, seen: Seen) -> None:
    """Kernels one after another in one server, which then ends at once."""
    cluster, user = seat.cluster, seat.user
    session = start(seat, peer, "rounds", number)
    before = traces(cluster, user)
    try:
        session.stage()  # ready
        cost = look.calls(cluster, user)
        session.go()
        session.stage()  # the end
        session.process.wait(60)
    finally:
        session.close()
        seen.facts += session.facts
        seen.rounds = number
        seen.left_by_rounds = look.left(cluster, user, before)
        seat.clear(before)
    seen.calls = (look.calls(cluster, user) - cost) / number


def life(seat: Seat, peer: Peer, seen: Seen) -> None:
    """One kernel, with all that is asked of it, in a server that goes on."""
    cluster, user = seat.cluster, seat.user
    clean = traces(cluster, user)
    session = start(seat, peer, "life", SAMPLES)
    try:
        session.stage()  # ready
        before, closed = traces(cluster, user), look.ports(cluster, user)
        session.go()
        while stage := (fact := session.stage()).get("stage"):
            if stage == "started":
                seen.ports = look.ports(cluster, user) - closed
                seen.readable = look.readable(cluster, user, fact["key"])
            elif stage == "shut down":
                seen.left_by_life = look.left(cluster, user, before)
            else:
                seen.asked[stage] = look.calls(cluster, user)
                seen.jobs[stage] = jobs(seat)
            session.go()
        session.process.wait(60)
    finally:
        session.close()
        seen.facts += session.facts
        seat.clear(clean)


def jobs(seat: Seat) -> list[str]:
    """The user's jobs, by number."""
    return [job.id for job in seat.cluster.jobs() if job.user == seat.user]


# --- one peer, all peers --------------------------------------------------------------


def measure_one(
    cluster: Cluster, peer: Peer, place: Path, number: int, say: Say
) -> Seen:
    """Everything that is seen of one peer; errors are part of it."""
    path = place / peer.name.replace(" ", "-")
    seen = Seen(peer)
    say(f"{peer.name}: is being installed")
    try:
        environment.install(path, peer.packages)
        seen.version = environment.version(path, peer.distribution)
    except (environment.InstallError, subprocess.TimeoutExpired) as error:
        seen.error = last(str(error))
        return seen
    try:
        use(Seat(cluster, peer.user, path), peer, number, seen, say)
    except (ClusterError, OSError, subprocess.TimeoutExpired) as error:
        seen.error = seen.error or last(str(error))
    return seen


def use(seat: Seat, peer: Peer, number: int, seen: Seen, say: Say) -> None:
    """Both programs, and a clean end of what they leave."""
    try:
        say(f"{peer.name} {seen.version}: is set up as {peer.user}")
        peer.set_up(seat)
        say(f"{peer.name}: {number} rounds")
        rounds(seat, peer, number, seen)
        seen.error = _error(seat, seen)
        say(f"{peer.name}: one life")
        life(seat, peer, seen)
    except (Silence, environment.InstallError) as error:
        seen.error = seen.error or last(f"{_said(seat)}\n{error}")
    finally:
        seen.error = seen.error or _error(seat, seen)
        seen.stubborn = seat.close()


def _error(seat: Seat, seen: Seen) -> str:
    """The last words of one that never answered."""
    worked = any(f["step"] == "start" and "value" in f for f in seen.facts)
    return "" if worked or not seen.facts else last(_said(seat))


def _said(seat: Seat) -> str:
    try:
        return seat.read("said")
    except OSError:
        return ""  # it had not come to that


def last(text: str) -> str:
    """The last lines of what a program said."""
    return "\n".join(text.strip().splitlines()[-LINES:])


def measure(
    cluster: Cluster,
    names: Sequence[str] = (),
    rounds: int = 5,
    say: Say = lambda line: None,
    kept: Path | None = None,
) -> PeerTable:
    """Measure these, or all, one after another.

    Parameters
    ----------
    cluster:
        The test cluster, up and otherwise unused.
    names:
        Of `known.PEERS`; none: all of them.
    rounds:
        How many kernels are started for the median of the start.
    say:
        Is told what happens.
    kept:
        Where environments are kept for another time; they are removed if not given.
    """
    wanted = [peer for peer in PEERS if not names or peer.name in names]
    with environment.directory(kept) as place:
        seen = [measure_one(cluster, peer, place, rounds, say) for peer in wanted]
    return table(seen)
