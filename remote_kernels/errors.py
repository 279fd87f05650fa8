"""Every exception that we raise on purpose, in one tree.

Each text says what was tried, what came back, and what to do next. What runs in
the job cannot import this file; `wire.frames.ProtocolError` is its counterpart.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import SupportsIndex


class _Text(str):
    """An error's text, which a page is to show as it is.

    jupyter_server (2.21) makes a tornado.web.HTTPError of `str(error)`, and that one
    (6.5) doubles each % for a page in which nothing undoes it.
    """

    __slots__ = ()

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        """As of any str, but for that."""
        return self if (old, new) == ("%", "%%") else super().replace(old, new, count)


class RemoteKernelError(Exception):
    """Anything that this library reports. `transient` says that trying again may help."""

    transient = False

    def __str__(self) -> str:
        return _Text(super().__str__())


class ConfigError(RemoteKernelError, ValueError):
    """The kernelspec or an option asks for something that cannot be.

    Parameters
    ----------
    text : str
        What is wrong.
    problems : sequence of str
        The same, where it is more than one thing.
    """

    def __init__(self, text: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(*filter(None, [text]))
        self.problems = [*problems] or [text]


class ChoiceError(ConfigError):
    """Somebody must choose: the text lists what there is.

    Parameters
    ----------
    text : str
        What is to be chosen, for people.
    option : str
        The driver's option that is not decided.
    choices : sequence of str
        What it can be.
    """

    def __init__(self, text: str, option: str, choices: Sequence[str]) -> None:
        super().__init__(text)
        self.option = option
        self.choices = list(choices)


class CommandError(RemoteKernelError):
    """A command that we ran failed.

    Parameters
    ----------
    summary : str
        What was tried, one sentence.
    argv : sequence of str
        The command as it was run.
    returncode : int or None
        Its exit code; negative for a signal, None when it was not started or did
        not end in time.
    stdout, stderr : str
        Both streams, verbatim.
    advice : str
        What to do next.
    """

    def __init__(
        self,
        summary: str,
        argv: Sequence[str],
        returncode: int | None,
        stdout: str = "",
        stderr: str = "",
        advice: str = "",
    ) -> None:
        self.argv = list(argv)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        ended = "did not end" if returncode is None else f"exit code {returncode}"
        lines = [summary, f"  command: {shlex.join(argv)}", f"  {ended}"]
        for name, text in (("stderr", stderr), ("stdout", stdout)):
            if text.strip():
                aligned = text.strip().replace("\n", "\n" + " " * len("  stderr: "))
                lines.append(f"  {name}: {aligned}")
        if advice:
            lines.append(advice)
        super().__init__("\n".join(lines))

    @property
    def unanswered(self) -> bool:
        """Whether there was no answer at all, so that trying again may help."""
        return self.transient or (self.returncode is None and bool(self.argv))


class SubmitError(CommandError):
    """The scheduler did not take the job."""


class ControllerError(CommandError):
    """The scheduler did not answer. Says nothing about the job."""

    transient = True


class DeniedError(CommandError):
    """The batch system does not let this user do that."""


class StepError(CommandError):
    """A step in the kernel's own allocation failed, or did not come up in time."""


class AllocationError(RemoteKernelError):
    """The kernel is in no allocation, or that has not what is asked for."""


class JobError(RemoteKernelError):
    """The job cannot start, or ended before its kernel was ready."""


class AgentError(RemoteKernelError):
    """The agent started but could not do its work, or its kernel failed to start."""


class TunnelError(RemoteKernelError):
    """No carrier reaches the agent, or the session cannot be resumed.

    `silent`: the carriers that got no answer at all, as behind a firewall, if none did.
    """

    transient = True

    def __init__(self, text: str, silent: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.silent = tuple(silent)


class NotFoundError(RemoteKernelError):
    """There is no kernel, or nothing of a kernel, of that name."""


class StateError(RemoteKernelError):
    """The kernel, or its job, is not one of which that can be asked now."""


class UnknownError(RemoteKernelError):
    """The batch system has not said yet what must be known first."""

    transient = True


class InUseError(RemoteKernelError):
    """Another server is attached to the kernel."""


class ResourceError(RemoteKernelError):
    """Neither this process nor its user may open or start as much as is needed."""

    transient = True


class ServerError(RemoteKernelError):
    """A notebook server that has the kernel did not do what it was asked."""


class PortError(RemoteKernelError):
    """A port cannot be forwarded now, or not in that way."""


class RecordError(RemoteKernelError):
    """The state directory cannot hold our records."""


class KernelspecError(RemoteKernelError):
    """A kernelspec cannot be found, read or written, or is not ours to change."""
