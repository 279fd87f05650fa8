"""The words by which one end tells the other what happened. SPEC.md sections 1, 2 and 4.

Only these decide what follows. The text beside a code is for people: nobody looks into
it. A code of a later version is read as UNKNOWN.
"""

from __future__ import annotations

from enum import Enum


class Code(str, Enum):
    """A word of the protocol; its value is what JSON has."""

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def _missing_(cls, value: object) -> Code:
        return cls("unknown")


class RefusalCode(Code):
    """Why the agent refuses a session."""

    UNKNOWN_SESSION = "unknown-session"  # it has another one, or none
    POSITION = "position"  # it cannot go on from there
    IN_USE = "in-use"  # another login end is heard
    NO_KERNEL = "no-kernel"  # it has no such kernel, and cannot start it
    ELSEWHERE = "elsewhere"  # the kernel is on another node of the job
    UNKNOWN = "unknown"


class Farewell(Code):
    """Why a session is over."""

    REPLACED = "replaced"  # the kernel has a newer session
    GIVEN_UP = "given-up"  # the kernel ends; its job, which others share, goes on
    ENDING = "ending"  # the agent ends, and the job with it
    DETACHED = "detached"  # the login end lets go of a kernel that lives on
    UNKNOWN = "unknown"


class ProcessState(Code):
    """What a kernel's process does."""

    STARTING = "starting"
    RUNNING = "running"  # it listens on all of its sockets
    EXITED = "exited"
    FAILED = "failed"  # it was not started, or is of no use
    UNKNOWN = "unknown"

    @property
    def is_over(self) -> bool:
        """Whether there is no process any more, as far as this version knows."""
        return self in (ProcessState.EXITED, ProcessState.FAILED)


class Cause(Code):
    """Why a process has exited or failed, where more is known than its exit code."""

    NONE = ""
    ENDED = "ended"  # by the agent, which was told to
    OUT_OF_MEMORY = "out-of-memory"  # killed at the job's limit
    NO_PROGRAM = "no-program"  # argv[0] is not there, or cannot be run
    NO_GPU = "no-gpu"  # the job lacks a GPU that the kernel is to see
    NO_LOOPBACK = "no-loopback"  # the node has no 127.0.0.1
    HIDDEN = "hidden"  # a container hides the node directory from the kernel
    UNKNOWN = "unknown"
