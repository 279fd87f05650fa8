"""One private directory per kernel in shared storage: its record.

    STATE_DIR/kernels/KERNEL_ID/   0700
        record.json   who, where, which job      written by the login end
        spec.json     what the agent starts, with the job's secret      written by the login end
        agent.json    where the agent is                                written by the agent
        ended.json    why the agent ended on its own                    written by the agent
        sessions.json the notebooks that use the kernel                 written by the login end
        began         nothing; it is there once the job's script runs  made by the script
        kernel_info.json  what the kernel said of itself                written by the login end
        held.json     what clients asked while the job waited           written by the login end
        job.log       what the scheduler and the agent wrote
        kernel.log    what the kernel process wrote

Every file has one writer, is 0600, and is written beside and renamed; to held.json
lines are also added, of which the last may be half there. What is read is
taken for nothing before it was looked at: whose it is (relay/private.py), and whether
it has the shape that it should have (shapes.py). Called by kernel/ and the CLI.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import re
import shlex
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from remote_kernels import harmless
from remote_kernels.errors import RecordError
from remote_kernels.relay import private
from remote_kernels.wire import objects
from remote_kernels.wire.frames import ProtocolError

from . import shapes
from .worker import Worker

log = harmless.logger(__name__)

MEMORY = 24 * 3600.0  # seconds
CARRIER = 3600.0  # seconds
HELD_BYTES = 4 * 1024 * 1024  # of requests; more than that is not kept
TAIL = 4000  # characters of a log quoted in an error
# Each ipykernel (7.3) prints these at its start, whatever its fate; under an error they
# would look like its cause.
_NOTICE = re.compile(
    r"^(NOTE: When using the `ipython kernel` entry point, |"
    r"To exit, you will have to explicitly quit this process, |"
    r'"quit" from a client, or using Ctrl-|'
    r"To read more about this, see https://github\.com/ipython/|"
    r"To connect another client to this kernel, use:|    --existing ).*\n?",
    re.MULTILINE,
)


# Words for an end that are ours, where the scheduler has none.
NOT_STARTED = "not-started"  # the kernel did not come; its job was cancelled
GIVEN_UP = "given-up"  # its process died again and again; its job was cancelled
SHUT_DOWN = "shut-down"  # somebody ended it
KERNEL_ENDED = "kernel-ended"  # it ended in a shared job, which goes on
TAKEN = "taken"  # for this process: another server has the kernel
UNKNOWN = "unknown"  # nobody says why
OURS = frozenset({NOT_STARTED, GIVEN_UP, SHUT_DOWN, KERNEL_ENDED, TAKEN, UNKNOWN})


@dataclass(frozen=True)
class JobEnd:
    """How a kernel's job ended: in memory, on record, in REST and in events.

    Parameters
    ----------
    word:
        The scheduler's own word for it, such as TIMEOUT, or one of ours.
    exit_code:
        Of the job's script; None where nobody said.
    signal:
        The number of the signal that ended the script; None where nobody said.
    text:
        In plain words, with what to change.
    """

    word: str
    exit_code: int | None = None
    signal: int | None = None
    text: str = ""

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> JobEnd | None:
        """Return the one in what `record.json` holds, or None."""
        body = facts.get("end")
        if body is None:
            return None
        return cls(body["word"], body["exit_code"], body["signal"], body["text"])

    @property
    def is_schedulers(self) -> bool:
        """Whether the word is the scheduler's."""
        return self.word not in OURS


def state_dir(configured: str | None) -> Path:
    """Where records are: as configured, else the XDG state directory."""
    if configured:
        return Path(configured).expanduser()
    return platformdirs.user_state_path("remote_kernels")


def write_for_user(path: Path, text: str) -> None:
    """A 0600 file where the user wants it. Raises OSError."""
    private.write_beside(str(path), text.encode())


def write_private(path: Path, text: str) -> None:
    """A 0600 file in a directory of ours alone. Raises OSError."""
    with private.opened(str(path.parent)) as directory:
        private.write(directory, path.name, text.encode())


def read_private(path: Path) -> dict[str, Any]:
    """What is in such a file. Raises OSError, ValueError."""
    with private.opened(str(path.parent)) as directory:
        return _parsed(private.read(directory, path.name))


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        return objects.decode(data, "it", private.LARGEST)
    except ProtocolError as exc:
        raise ValueError(str(exc)) from exc


def without_notice(text: str) -> str:
    """What a kernel wrote, for an error's text: less what every ipykernel prints."""
    if _NOTICE.search(text):
        text = re.sub(r"\n{3,}", "\n\n", _NOTICE.sub("", text))
    return text.strip()


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
        self.worker = Worker()  # for who must not wait for a stalled file server
        self._held: int | None = None  # bytes in held.json, as far as it is ours

    @property
    def _below(self) -> tuple[str, ...]:
        """Its directory, as seen from the state directory."""
        return self.path.relative_to(self.base).parts

    def create(self) -> None:
        """Make the directory. Raises RecordError."""
        if not self.is_live:
            self.remove()  # of a job that ended
        above, name = self._below
        try:
            private.make(str(self.base), above)
            with private.opened(str(self.base), above) as directory:
                private.make_new(name, directory)
            self.make()
        except OSError as exc:
            what = f"keep this kernel's record in {self.path}"
            raise cannot(what, self.base, exc) from exc

    def make(self, *below: str) -> None:
        """A directory of it, with what is above. Raises OSError where it is not safe."""
        private.make(str(self.base), *self._below, *below)
        if not _is_default(self.base):
            private.check_above(str(self.base))

    def write(self, name: str, body: dict[str, Any]) -> None:
        """Write one of the JSON files. Raises RecordError."""
        try:
            with self._opened(name) as (directory, file):
                private.write(directory, file, json.dumps(body, indent=1).encode())
        except OSError as exc:
            what = f"write {self.path / name}"
            raise cannot(what, self.base, exc) from exc

    def read(self, name: str) -> dict[str, Any] | None:
        """One of the JSON files, or None when it is not there yet.

        With defaults for what is not in it. Raises RecordError, also where it has not
        the shape of such a file (see shapes.py).
        """
        data = self._data(name)
        try:
            return None if data is None else shapes.shaped(name, _parsed(data))
        except ValueError as exc:
            msg = f"Cannot read {self.path / name}: {exc}"
            raise RecordError(msg) from exc

    def _data(self, name: str) -> bytes | None:
        try:
            with self._opened(name) as (directory, file):
                # Listing makes an NFS client look again (its attribute cache holds
                # 3-60 s).
                os.listdir(directory)  # noqa: PTH208
                return private.read(directory, file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            msg = f"Cannot read {self.path / name}: {exc}"
            raise RecordError(msg) from exc

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, str]]:
        *below, file = name.split("/")
        with private.opened(str(self.base), *self._below, *below) as directory:
            yield directory, file

    def sessions(self) -> dict[str, Any]:
        """The notebooks that use the kernel; damaged, they are forgotten."""
        return self.read_if_good("sessions.json") or {}

    def read_if_good(self, name: str) -> dict[str, Any] | None:
        """One that the kernel can do without: it is left out, and said, if damaged."""
        try:
            return self.read(name)
        except RecordError as exc:
            tell_once(exc)
            return None

    def last_word(self) -> str | None:
        """Why the agent ended on its own, if it did."""
        try:
            own = self.read("ended.json")
        except RecordError as exc:
            if is_passing(exc):
                return None
            return f"its last word cannot be read ({exc})"
        return None if own is None else str(own["reason"])

    def has(self, name: str) -> bool:
        """Whether that file is there."""
        try:
            return name in os.listdir(self.path)  # noqa: PTH208 - see `read`
        except OSError:
            return False

    def write_held(
        self, held: Sequence[tuple[str, Sequence[bytes]]], known: int = 0
    ) -> None:
        """Requests of clients that wait for the kernel. Raises RecordError.

        The first `known` were written by the call before: the others are added, so
        that many cells take no longer each than few.
        """
        if self._held is None:
            known = 0
        added = held[known:]
        before = self._held if known and self._held is not None else 0
        size = before + sum(len(part) for _, parts in added for part in parts)
        if size <= HELD_BYTES:
            self._held = None  # until that is done
            lines = [
                [target, *(base64.b64encode(part).decode() for part in parts)]
                for target, parts in added
            ]
            if not known:
                self.write("held.json", {"held": lines})
            elif not self._add("held.json", {"held": lines}):
                self.write_held(held)
                return
        self._held = size

    def _add(self, name: str, body: dict[str, Any]) -> bool:
        """A line to a file that is there; whether it is. Raises RecordError."""
        try:
            with self._opened(name) as (directory, file):
                private.append(directory, file, b"\n" + json.dumps(body).encode())
        except FileNotFoundError:  # the record was made anew
            return False
        except OSError as exc:
            what = f"write {self.path / name}"
            raise cannot(what, self.base, exc) from exc
        return True

    def read_held(self) -> list[tuple[str, list[bytes]]]:
        """What `write_held` wrote; damaged, it is forgotten."""
        try:
            bodies = self._read_lines("held.json")
        except RecordError as exc:
            tell_once(exc)
            return []
        return [
            (target, [base64.b64decode(part) for part in parts])
            for body in bodies
            for target, *parts in body["held"]
        ]

    def _read_lines(self, name: str) -> list[dict[str, Any]]:
        """Objects below each other; without the last of several if it is half there."""
        data = self._data(name)
        if data is None:
            return []
        lines, found = re.split(rb"\n(?=\{)", data), []
        for number, line in enumerate(lines, 1):
            try:
                found.append(shapes.shaped(name, _parsed(line)))
            except ValueError as exc:
                if 1 < number == len(lines):
                    break
                msg = f"Cannot read {self.path / name}: {exc}"
                raise RecordError(msg) from exc
        return found

    def logs(self) -> str:
        """The ends of both logs, for an error's text."""
        parts = []
        for path in (self.job_log, self.kernel_log):
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            text = without_notice(text)
            if text:
                parts.append(f"--- {path.name}\n{text[-TAIL:]}")
        return "\n".join(parts)

    @property
    def is_live(self) -> bool:
        """Whether its job may still be there; also if that cannot be seen."""
        try:
            os.stat(self.path / "spec.json", follow_symlinks=False)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def seal(self, end: JobEnd) -> None:
        """The job has ended: keep for a day how, for whom, and the logs; no secret.

        Raises RecordError; where the disk is full, when the secret is gone.
        """
        try:
            facts = self.read("record.json") or {}
        except RecordError as exc:
            tell_once(exc)
            facts = {}
        try:
            self.write("record.json", {**facts, "end": asdict(end)})
        finally:
            self._forget_all_but("record.json", "ended.json", "sessions.json")

    def _forget_all_but(self, *kept: str) -> None:
        try:
            with private.opened(str(self.base), *self._below) as directory:
                for name in os.listdir(directory):  # noqa: PTH208
                    if name.endswith(".json") and name not in kept:
                        os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return
        except OSError as exc:
            what = f"clear {self.path}"
            raise cannot(what, self.base, exc) from exc

    def purge_if_old(self) -> None:
        """Remove what has been sealed for a day."""
        try:
            old = self.path.lstat().st_mtime < time.time() - MEMORY
        except OSError:
            return
        if old and not self.is_live:
            self.remove()

    def remove(self) -> None:
        """Also what is there in its place."""
        with contextlib.suppress(OSError):
            if not stat.S_ISDIR(self.path.lstat().st_mode):
                self.path.unlink()
        for _ in range(5):  # the job, which is ending, may write to it meanwhile
            shutil.rmtree(self.path, ignore_errors=True)
            if not os.path.lexists(self.path):
                return


def records(base: Path) -> list[Record]:
    """Every record in a state directory."""
    return [Record(base, name) for name in names(base, "kernels")]


def names(base: Path, kind: str) -> list[str]:
    """What is in one of the state directory's directories; what is not ours is not."""
    try:
        with private.opened(str(base), kind) as directory:
            return sorted(filter(_can_be_said, os.listdir(directory)))  # noqa: PTH208
    except private.NotPrivateError as exc:
        tell_once(RecordError(str(exc)))
    except OSError:
        pass
    return []


def _can_be_said(name: str) -> bool:
    """Not a name that is no text: no kernel has such a one."""
    return name.isprintable()


def _is_default(base: Path) -> bool:
    """In the home directory, above which nobody has a say."""
    return base == Path.home() / ".local/state/remote_kernels"


_TOLD: set[str] = set()


def tell_once(exc: RecordError) -> None:
    """A warning that would come again at each look."""
    if str(exc) not in _TOLD:
        _TOLD.add(str(exc))
        log.warning("%s", exc)


_FULL = {
    errno.ENOSPC: "The file system is full, or your part of it: `df -h {0}` and "
    "`quota -s` tell. Make room there, or",
    errno.EDQUOT: "Your quota is used up: `quota -s`, or a command of your site's own, "
    "tells of what. Make room there, or",
    errno.EROFS: "The file system cannot be written now; your site's staff may know "
    "why. Until it can,",
}
_ELSEWHERE = (
    "set state_dir in the kernelspec's config to a directory of yours that both this "
    "machine and the compute nodes can write."
)


def cannot(what: str, base: Path, exc: OSError) -> RecordError:
    """What was tried in this state directory, what came back, and what to do."""
    text = f"Cannot {what}: {exc}"
    full = _FULL.get(exc.errno or 0)
    if full:
        text += f"\n{full.format(shlex.quote(str(base)))} {_ELSEWHERE}"
    elif not isinstance(exc, private.NotPrivateError):
        text += f"\n{_ELSEWHERE.capitalize()}"
    elif exc.elsewhere:
        text += f"\nTo have it elsewhere, {_ELSEWHERE}"
    return RecordError(text)


# Of descriptors that have run out, and of a file server that does not answer.
_PASSING = (
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR),
    *(errno.ESTALE, errno.EIO, errno.ETIMEDOUT),
)


def is_passing(exc: RecordError) -> bool:
    """Whether a file cannot be read just now, which says nothing of what is in it."""
    return isinstance(exc.__cause__, OSError) and exc.__cause__.errno in _PASSING


# What is in a state directory beside records, and what it is for.
_BESIDE = {
    "carriers.json": "which carriers worked",
    "kernel_info": "what kernels said of themselves",
    "allocations": "jobs that kernels share",
}


def left(base: Path) -> list[str]:
    """What a state directory holds beside records, for people."""
    found = []
    for name, what in _BESIDE.items():
        path = base / name
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            found.append(f"{what} ({name})")
    return found


def forget(base: Path) -> None:
    """Remove a state directory without kernels, but for what is not ours in it."""
    (base / "carriers.json").unlink(missing_ok=True)
    shutil.rmtree(base / "kernel_info", ignore_errors=True)
    for path in (base / "kernels", base / "allocations", base):
        with contextlib.suppress(OSError):
            path.rmdir()


class Memory:
    """Which carrier worked, per kind of node, in one small file.

    Losing it costs only a second or two. It is forgotten after an hour, so that one bad
    moment of the better carrier does not last.
    """

    def __init__(self, base: Path) -> None:
        self._path = base / "carriers.json"

    def carrier(self, kind: str) -> str | None:
        """The carrier's name, or None when none is known."""
        known = self._load().get(kind)
        if known is None or not 0 <= time.time() - known["time"] <= CARRIER:
            return None
        return str(known["carrier"])

    def remember(self, kind: str, carrier: str) -> None:
        if self.carrier(kind) == carrier:
            return
        known = {**self._load(), kind: {"carrier": carrier, "time": time.time()}}
        try:
            write_private(self._path, json.dumps(known))
        except OSError as exc:
            log.info("cannot remember the carrier: %s", exc)

    def _load(self) -> dict[str, Any]:
        try:
            return shapes.shaped("carriers.json", read_private(self._path))
        except (OSError, ValueError):
            return {}
