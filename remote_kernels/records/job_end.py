"""How a kernel's job ended, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from remote_kernels import harmless
from remote_kernels.causes import EndCause

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
    cause:
        Why, for programs to decide by.
    """

    word: str
    exit_code: int | None = None
    signal: int | None = None
    text: str = ""
    cause: EndCause = EndCause.UNKNOWN

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> JobEnd | None:
        """Return the one in what `record.json` holds, or None."""
        body = facts.get("end")
        if body is None:
            return None
        return cls(**{**body, "cause": EndCause.read(body["cause"])})

    def as_json(self) -> dict[str, Any]:
        """Return it as it is shown: its texts are harmless."""
        shown = {"word": harmless.line(self.word), "text": harmless.text(self.text)}
        return {**asdict(self), **shown}

    @property
    def is_schedulers(self) -> bool:
        """Whether the word is the scheduler's."""
        return self.word not in OURS
