"""What the REST API answers when it cannot do what it was asked.

Each error of ours has a status, and its text goes out as it is: it says what came back
(a scheduler's own words among it) and what to do next. Called by the API's files.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tornado import web

from remote_kernels import errors
from remote_kernels.errors import CommandError, RemoteKernelError

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

_STATUSES: tuple[tuple[type[RemoteKernelError], int], ...] = (
    (errors.ConfigError, 400),
    (errors.KernelspecError, 400),
    (errors.NotFoundError, 404),
    (errors.StateError, 409),
    (errors.InUseError, 409),
    (errors.PortError, 409),
    (errors.SubmitError, 409),  # refused: the request and the site do not fit
    (errors.UnknownError, 503),
    (errors.ControllerError, 503),
    (errors.DeniedError, 403),
    (errors.ResourceError, 503),
    (errors.RecordError, 500),
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
    """Let an error of ours become an answer."""

    @functools.wraps(method)
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            await method(*args, **kwargs)
        except RemoteKernelError as error:
            raise Refusal(status_of(error), str(error)) from error

    return wrapper  # type: ignore[return-value]  # takes and gives the same


def status_of(error: RemoteKernelError) -> int:
    """Return the HTTP status that says what kind of failure it was."""
    if isinstance(error, CommandError) and error.unanswered:
        return 503
    return next(status for kind, status in _STATUSES if isinstance(error, kind))
