"""Start an agent by srun and leave it alone: prints the ID of its step or of its job.

    detach.py --output LOG -- SRUN...                        JOB.STEP, once the step runs
    detach.py --output LOG --allocate -- SALLOC... -- SRUN...      JOB, once it has a number

The script for srun comes on standard input. srun is detached, so that it outlives
whoever started it; in the second form its end gives the job back, whose number takes
the place of {job} in SRUN.

Rules: stands alone (standard library only, Python 3.9, run with `-I -S`). Run with
the arguments that `commands.py` makes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

STEP = re.compile(rb"^remote_kernels: step (\d+\.\d+)\b", re.MULTILINE)
JOB = re.compile(rb"\b(?:Pending|Granted) job allocation (\d+)")
GRANTED = re.compile(rb"\bGranted job allocation (\d+)")
FIRST_LOOK = 0.005  # seconds between two looks at the log, growing to
LAST_LOOK = 1.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE = 5.0  # seconds for srun to end its step


class Log:
    """What srun and salloc write from now on. The file is read on the host that writes."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._from = os.fstat(self.fd).st_size

    def text(self) -> bytes:
        """Return what was written behind where it began."""
        return os.pread(self.fd, 1 << 16, self._from)

    def wait_for(self, pattern: re.Pattern[bytes], pid: int) -> str:
        """Return what the pattern's group found; "" if the process `pid`, our child, ended."""
        delay = FIRST_LOOK
        while True:
            ended = os.waitpid(pid, os.WNOHANG)[0]
            found = pattern.search(self.text())
            if found:
                return found[1].decode()
            if ended:
                return ""
            time.sleep(delay)
            delay = min(delay * 1.1, LAST_LOOK)


def main() -> int:
    """Start what the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(description="Hold a Slurm step.")
    parser.add_argument("--output", required=True)
    parser.add_argument("--allocate", action="store_true")
    own, rest = _split(sys.argv[1:])
    args = parser.parse_args(own)
    log = Log(args.output)
    with tempfile.TemporaryFile() as script:
        script.write(sys.stdin.buffer.read())
        script.seek(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until there is whom to end
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            _be_holder(rest, script.fileno(), log, allocate=args.allocate)
    for signum in SIGNALS:
        signal.signal(signum, lambda number, _: _end(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    found = log.wait_for(JOB if args.allocate else STEP, child)
    if not found:
        sys.stderr.buffer.write(log.text())
        return 1
    print(found)
    return 0


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _end(child: int) -> None:
    """Whoever asked for this has gone: srun ends its step, salloc takes back its job."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGTERM)
    end = time.monotonic() + GRACE
    while time.monotonic() < end:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(child, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
                continue
        break
    os._exit(143)


def _be_holder(words: list[str], script: int, log: Log, *, allocate: bool) -> None:
    """Never returns."""
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(log.fd, 1)
        os.dup2(log.fd, 2)
        if allocate:
            words = _allocated(*_split(words), log)
        if words:
            os.dup2(script, 0)
            os.execvp(words[0], words)  # noqa: S606 -- as asked
    except OSError as error:
        os.write(2, f"{words[:1]}: {error}\n".encode())
    finally:
        os._exit(1)


def _allocated(salloc: list[str], srun: list[str], log: Log) -> list[str]:
    """Return what to be once there is a job; empty: there will be none."""
    process = subprocess.Popen(salloc)
    job = log.wait_for(GRANTED, process.pid)
    if not job:
        return []
    # The step is told the job's nodes under names of ours, as srun sets its own.
    shown = _shown(job)
    os.environ["RK_NODES"] = shown.get("NodeList", "")
    os.environ["RK_NODE_COUNT"] = shown.get("NumNodes", "")
    # salloc also waits until all nodes are ready, which srun does, too; but not where a
    # node of the job manages its steps (24.05 to 26.05).
    if shown.get("StepMgrEnabled") == "Yes":
        process.wait()
    srun = [word.replace("{job}", job) for word in srun]
    # A shell is smaller than we are, and this may take days.
    return ["/bin/sh", "-c", f'"$@"; exec scancel {job}', "sh", *srun]


def _shown(job: str) -> dict[str, str]:
    """Return what scontrol shows of a job, the first of each name; empty: nothing."""
    argv = ["scontrol", "-o", "show", "job", job]
    done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, text=True)
    return dict(reversed(re.findall(r"(?:^|\s)(\w+)=(\S*)", done.stdout)))


if __name__ == "__main__":
    sys.exit(main())
