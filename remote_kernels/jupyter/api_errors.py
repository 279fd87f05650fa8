"""What the REST API answers when it cannot do what it was asked.

Each error of ours has a status, and its text goes out as it is: it says what came back
(a scheduler's own words among it) and what to do next. Called by the API's files.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tornado import web

from remote_kernels.errors import (
    CommandError,
    ConfigError,
    ControllerError,
    DeniedError,
    InUseError,
    KernelspecError,
    PortError,
    RecordError,
    RemoteKernelError,
    ResourceError,
    SubmitError,
)

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

_STATUSES: tuple[tuple[type[RemoteKernelError], int], ...] = (
    (ConfigError, 400),
    (KernelspecError, 400),
    (InUseError, 409),
    (PortError, 409),
    (SubmitError, 409),  # refused: the request and the site do not fit
    (ControllerError, 503),
    (DeniedError, 403),
    (ResourceError, 503),
    (RecordError, 500),
    (RemoteKernelError, 502),  # the job, its node or a command there failed
)


class Refusal(web.HTTPError):
    """An answer other than yes, with a text for people.

    Not tornado's own, which (6.5) doubles each % of its text.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, "%s", text)
        self.text = text


def told(method: Method) -> Method:
    """An error of ours becomes an answer."""

    @functools.wraps(method)
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            await method(*args, **kwargs)
        except RemoteKernelError as error:
            raise Refusal(status_of(error), str(error)) from error

    return wrapper  # type: ignore[return-value]  # takes and gives the same


def status_of(error: RemoteKernelError) -> int:
    """The HTTP status that says what kind of failure it was."""
    if isinstance(error, CommandError) and unanswered(error):
        return 503
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def unanswered(error: CommandError) -> bool:
    """Whether there was no answer at all, so that trying again may help."""
    return error.transient or (error.returncode is None and bool(error.argv))
