"""Why a job ended, as programs are told it: a closed set, whatever batch system it was.

Rules: programs decide by these, and people read the text beside them. A driver says
which one it was (`Driver.cause`); where nobody knows it is `UNKNOWN`, never a guess.
"""

from __future__ import annotations

import enum


class EndCause(str, enum.Enum):
    """Why a job ended."""

    FINISHED = "finished"  # its script ended without an error
    FAILED = "failed"  # its script ended with an error
    KILLED = "killed"  # by SIGKILL, of which nobody tells; often for lack of memory
    TIME = "time"  # it reached its time limit
    MEMORY = "memory"  # it used more memory than it may
    LIMIT = "limit"  # it reached another limit, or one of several
    CANCELLED = "cancelled"  # by somebody, or by a rule of the site
    PREEMPTED = "preempted"  # others got what it had
    NODE = "node"  # its node failed, or what it needs there
    START = "start"  # it could not be started, or its kernel could not
    UNKNOWN = "unknown"  # nobody says

    __str__ = str.__str__
    __hash__ = str.__hash__

    @classmethod
    def read(cls, word: str) -> EndCause:
        """Return the one of this name; another version's is UNKNOWN."""
        return cls(word) if word in cls._value2member_map_ else cls.UNKNOWN
