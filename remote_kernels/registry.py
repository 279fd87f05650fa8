"""One private directory per kernel in shared storage: its record.

    STATE_DIR/kernels/KERNEL_ID/   0700
        record.json   who, where, which job      written by the login end
        spec.json     what the agent starts, with the job's secret      written by the login end
        agent.json    where the agent is                                written by the agent
        ended.json    why the agent ended on its own                    written by the agent
        sessions.json the notebooks that use the kernel                 written by the login end
        kernel_info.json  what the kernel said of itself                written by the login end
        held.json     what clients asked while the job waited           written by the login end
        job.log       what the scheduler and the agent wrote
        kernel.log    what the kernel process wrote

Every file has one writer, is 0600, and is written beside and renamed. Called by
kernel/ and the CLI.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import platformdirs

from remote_kernels.errors import RecordError

log = logging.getLogger(__name__)

MEMORY = 24 * 3600.0  # seconds
HELD_BYTES = 4 * 1024 * 1024  # of requests; more than that is not kept
TAIL = 4000  # characters of a log quoted in an error


def state_dir(configured: str | None) -> Path:
    """Where records are: as configured, else the XDG state directory."""
    if configured:
        return Path(configured).expanduser()
    return platformdirs.user_state_path("remote_kernels")


def write_private(path: Path, text: str) -> None:
    """Write a 0600 file beside and rename it."""
    beside = path.with_name(f"{path.name}.tmp")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


class Record:
    """The record of one kernel.

    Parameters
    ----------
    base:
        The state directory.
    kernel_id:
        The kernel's ID.
    """

    def __init__(self, base: Path, kernel_id: str) -> None:
        self.base = base
        self.kernel_id = kernel_id
        self.path = base / "kernels" / kernel_id
        self.job_log = self.path / "job.log"
        self.kernel_log = self.path / "kernel.log"

    def create(self) -> None:
        """Make the directory. Raises RecordError."""
        if not self.is_live:
            self.remove()  # of a job that ended
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.mkdir(mode=0o700)
        except OSError as exc:
            msg = (
                f"Cannot keep this kernel's record in {self.path}: {exc}\n"
                "Set state_dir in the kernelspec's config to a directory of yours "
                "that both this machine and the compute nodes can write."
            )
            raise RecordError(msg) from exc

    def write(self, name: str, body: dict[str, Any]) -> None:
        """Write one of the JSON files. Raises RecordError."""
        try:
            write_private(self.path / name, json.dumps(body, indent=1))
        except OSError as exc:
            msg = f"Cannot write {self.path / name}: {exc}"
            raise RecordError(msg) from exc

    def read(self, name: str) -> dict[str, Any] | None:
        """One of the JSON files, or None when it is not there yet."""
        try:
            # Listing makes an NFS client look again (its attribute cache holds 3-60 s).
            os.listdir(self.path)  # noqa: PTH208
            body = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            msg = f"Cannot read {self.path / name}: {exc}"
            raise RecordError(msg) from exc
        assert isinstance(body, dict)
        return body

    def write_held(self, held: Sequence[tuple[str, Sequence[bytes]]]) -> None:
        """Requests of clients that wait for the kernel. Raises RecordError."""
        size = sum(len(part) for _, parts in held for part in parts)
        if size <= HELD_BYTES:
            encoded = [
                [target, *(base64.b64encode(part).decode() for part in parts)]
                for target, parts in held
            ]
            self.write("held.json", {"held": encoded})

    def read_held(self) -> list[tuple[str, list[bytes]]]:
        """What `write_held` wrote. Raises RecordError."""
        body = self.read("held.json") or {"held": []}
        return [
            (target, [base64.b64decode(part) for part in parts])
            for target, *parts in body["held"]
        ]

    def logs(self) -> str:
        """The ends of both logs, for an error's text."""
        parts = []
        for path in (self.job_log, self.kernel_log):
            try:
                text = path.read_text(encoding="utf-8", errors="replace").strip()
            except OSError:
                continue
            if text:
                parts.append(f"--- {path.name}\n{text[-TAIL:]}")
        return "\n".join(parts)

    @property
    def is_live(self) -> bool:
        """Whether its job may still be there."""
        return (self.path / "spec.json").exists()

    def seal(self, end: str) -> None:
        """The job has ended: keep for a day how, and the logs; no secret."""
        self.write("record.json", {**(self.read("record.json") or {}), "end": end})
        for path in self.path.glob("*.json"):
            if path.name not in ("record.json", "ended.json"):
                path.unlink(missing_ok=True)

    def purge_if_old(self) -> None:
        """Remove what has been sealed for a day."""
        try:
            old = self.path.stat().st_mtime < time.time() - MEMORY
        except OSError:
            return
        if old and not self.is_live:
            self.remove()

    def remove(self) -> None:
        for _ in range(5):  # the job, which is ending, may write to it meanwhile
            shutil.rmtree(self.path, ignore_errors=True)
            if not self.path.exists():
                return


def records(base: Path) -> list[Record]:
    """Every record in a state directory."""
    try:
        names = sorted(os.listdir(base / "kernels"))  # noqa: PTH208
    except OSError:
        return []
    return [Record(base, name) for name in names]


class Memory:
    """Which carrier worked, per cluster, in one small file.

    Losing it costs only a probe. It is forgotten after a day, so that one bad moment
    of the better carrier does not last.
    """

    def __init__(self, base: Path) -> None:
        self._path = base / "carriers.json"

    def carrier(self, cluster: str) -> str | None:
        """The carrier's name, or None when none is known."""
        known = self._load().get(cluster)
        if not isinstance(known, dict) or time.time() - known["time"] > MEMORY:
            return None
        return str(known["carrier"])

    def remember(self, cluster: str, carrier: str) -> None:
        if self.carrier(cluster) == carrier:
            return
        known = {**self._load(), cluster: {"carrier": carrier, "time": time.time()}}
        try:
            write_private(self._path, json.dumps(known))
        except OSError as exc:
            log.info("cannot remember the carrier: %s", exc)

    def _load(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}
