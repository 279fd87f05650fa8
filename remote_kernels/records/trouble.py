"""What it means when files of a record cannot be read or written, in words."""

from __future__ import annotations

import errno
import shlex
from pathlib import Path

from remote_kernels import harmless
from remote_kernels.errors import RecordError
from remote_kernels.relay import private

log = harmless.logger(__name__)

_TOLD: set[str] = set()


def tell_once(exc: RecordError) -> None:
    """Log a warning once that would come again at each look."""
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
    """Return an error that says what was tried, what came back, and what to do."""
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
    """Return whether a file cannot be read just now, whatever is in it."""
    return isinstance(exc.__cause__, OSError) and exc.__cause__.errno in _PASSING
