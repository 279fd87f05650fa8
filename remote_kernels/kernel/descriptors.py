"""Whether this process may open what one more kernel takes.

Found before a job is submitted: where descriptors run out half way, the commands that
take the job back cannot be started either. Called by startup.py; what such an
error looks like, also by remote_kernel.py and actions.py.
"""

from __future__ import annotations

import os
import resource

from remote_kernels.errors import ResourceError
from remote_kernels.scheduler.command import EXHAUSTED, ROOM

NEEDED = 32  # of one kernel with a page, and of a command that runs meanwhile


def check_room() -> None:
    """Raise ResourceError if one more kernel would run out of file descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = _used()
    if used is not None and used + NEEDED <= limit:
        return
    said = "all" if used is None else str(used)
    msg = (
        f"This process may have {limit} files and connections open, and has {said} of "
        f"them; a kernel takes about {NEEDED}. No job was submitted.\n"
        f"{ROOM}"
    )
    raise ResourceError(msg)


def _used() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - less our own look
    except OSError as exc:
        return None if exc.errno in EXHAUSTED else 0


def is_exhaustion(exc: BaseException | None) -> bool:
    """Return whether an error, or its cause, is a lack of descriptors or processes."""
    while exc is not None:
        if isinstance(exc, OSError) and exc.errno in EXHAUSTED:
            return True
        exc = exc.__cause__
    return False
