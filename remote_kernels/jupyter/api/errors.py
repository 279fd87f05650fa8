"""What the REST API answers when it cannot do what it was asked.

Each error of ours has a status, and its text goes out as it is: it says what came back
(a scheduler's own words among it) and what to do next. Called by the API's files.
"""

from __future__ import annotations

from collections.abc import Mapping

from tornado import web

from remote_kernels import errors
from remote_kernels.errors import CommandError, RemoteKernelError

_STATUSES: Mapping[int, tuple[type[RemoteKernelError], ...]] = {
    400: (errors.ConfigError, errors.KernelspecError),
    403: (errors.DeniedError,),
    404: (errors.NotFoundError,),
    # A submission that was refused: the request and the site do not fit.
    409: (errors.StateError, errors.InUseError, errors.PortError, errors.SubmitError),
    500: (errors.RecordError,),
    503: (errors.UnknownError, errors.ControllerError, errors.ResourceError),
    502: (RemoteKernelError,),  # the job, its node or a command there failed
}


class Refusal(web.HTTPError):
    """An answer other than yes, with a text for people.

    Not tornado's own, which (6.5) doubles each % of its text.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, "%s", text)
        self.text = text


def status_of(error: RemoteKernelError) -> int:
    """Return the HTTP status that says what kind of failure it was."""
    if isinstance(error, CommandError) and error.unanswered:
        return 503
    return next(
        status for status, kinds in _STATUSES.items() if isinstance(error, kinds)
    )
