"""The abacus itself, for this machine: absub, abstat, abdel, abjoin, by the first argument.

Its jobs are directories in $ABACUS_HOME. While the file `asleep` is there, it does not
answer; a job that has patience waits for the file `let-in`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ.get("ABACUS_HOME", "/nowhere"))
LOOK = 0.02  # seconds


def absub() -> int:
    wanted = json.load(sys.stdin)
    number = len([*HOME.glob("ƒ*")]) + 1
    job = HOME / f"ƒ{number};b"
    job.mkdir()
    (job / "job").write_text(json.dumps(wanted))
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            for fd in range(3):
                os.dup2(nothing, fd)
            os.closerange(3, 64)
            count(job, wanted)
        os._exit(0)
    os.wait()
    while not (job / "pid").exists():
        time.sleep(LOOK)
    print(f"welcome; your job is {job.name}, and it is in good hands")
    return 0


def count(job: Path, wanted: dict[str, str]) -> None:
    """Be the job, and never return."""
    with contextlib.suppress(BaseException):
        put(job / "pid", str(os.getpid()))
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        while wanted.get("patience") and not (HOME / "let-in").exists():
            time.sleep(LOOK)
        log = os.open(wanted["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        (job / "script").write_text(wanted["script"])
        told = {"ABACUS_JOB": job.name, "ABACUS_ROD": socket.gethostname()}
        process = subprocess.Popen(
            ["/bin/bash", str(job / "script")],
            env={**os.environ, **told},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        (job / "counting").touch()
        put(job / "ended", str(process.wait()))
    os._exit(0)


def put(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def abstat() -> int:
    for name in sys.argv[2:] or sorted(job.name for job in HOME.glob("ƒ*")):
        job = HOME / name
        if not job.exists():
            continue
        state, code, ended = state_of(job)
        if not ended or sys.argv[2:]:
            wanted = json.loads((job / "job").read_text())
            rod = socket.gethostname() if (job / "counting").exists() else ""
            print("/".join([name, state, wanted["name"], rod, code]))
    return 0


def state_of(job: Path) -> tuple[str, str, bool]:
    if (job / "ended").exists():
        code = (job / "ended").read_text()
        swept = (job / "swept").exists()
        return ("SWEPT", "", True) if swept else ("COUNTED", code, True)
    if (job / "swept").exists() and not lives(job):
        return "SWEPT", "", True
    return ("COUNTING" if (job / "counting").exists() else "QUEUED"), "", False


def lives(job: Path) -> bool:
    try:
        stat = Path(f"/proc/{(job / 'pid').read_text()}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def abdel() -> int:
    for wanted in sys.argv[2:]:
        for job in HOME.glob("ƒ*"):
            name = json.loads((job / "job").read_text())["name"]
            if wanted in (job.name, name) and not state_of(job)[2]:
                (job / "swept").touch()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int((job / "pid").read_text()), signal.SIGTERM)
    return 0


def abjoin() -> int:
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606 - the job is here


if __name__ == "__main__":
    if not HOME.is_dir() or (HOME / "asleep").exists():
        sys.exit(3)
    sys.exit(globals()[sys.argv[1]]())
