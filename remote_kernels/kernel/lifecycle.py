"""The lifecycle of a kernel: its states, the events that move it, and what follows.

Pure, and one table: `step(state, event)` gives the next state and the actions that this
step demands. What a pair of state and event does not have in the table changes nothing:
news may come late, and twice. `status.py` owns the state of each kernel; nobody else
calls `step`.

    NEW ─► SUBMITTING ─► PENDING ─► STARTING ─► RUNNING ◄─► LOST
               │  ▲          │          │        │   ▲        │
            CHOOSING         └─► FAILED ◄┘      DEAD ─► RESTARTING
                                                 │
    any that lives ─► ENDING ─► ENDED,   LEAVING ─► TAKEN,   RELEASED,   DETACHED
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType


class State(enum.Enum):
    """Where a kernel is in its life, as this process knows it."""

    NEW = "new"  # nothing was submitted, nothing is attached
    SUBMITTING = "submitting"  # its job is being submitted
    CHOOSING = "choosing"  # a person has to choose one of several jobs
    PENDING = "pending"  # its job waits, for all that is known
    STARTING = "starting"  # its job runs; the kernel does not answer yet
    RUNNING = "running"
    LOST = "lost"  # there is no connection; it is being made anew
    RESTARTING = "restarting"  # the job gets a new process
    DEAD = "dead"  # its process has ended; its job goes on
    FAILED = "failed"  # it did not start; the stand-in says why
    ENDING = "ending"  # its job has ended, which clients are being told
    ENDED = "ended"  # its job has ended, which clients have been told
    LEAVING = "leaving"  # another server has it, which clients are being told
    TAKEN = "taken"  # another server has it, which clients have been told
    RELEASED = "released"  # somebody ended it
    DETACHED = "detached"  # left to the next server


class Event(enum.Enum):
    """What happens to a kernel."""

    START = "start"  # somebody wants it
    CHOOSE = "choose"  # there are several jobs in which it may run
    SUBMITTED = "submitted"
    ADOPTED = "adopted"  # we wait for the job that an earlier server submitted
    JOB_RUNS = "job runs"
    READY = "ready"  # its process listens, and we are connected
    LOST = "lost"
    RESUMED = "resumed"
    EXITED = "exited"  # its process has ended, and not with its job
    RESTART = "restart"
    FAILED = "failed"  # it did not start
    JOB_ENDED = "job ended"
    TAKEN = "taken"  # another server has taken it over
    TOLD = "told"  # clients have had the time to hear of the end
    CLOSED = "closed"  # nothing of a kernel that ended is left on this host
    GIVE_UP = "give up"  # its process is dead, and nobody starts it again
    RELEASE = "release"  # somebody ends it
    UNDO = "undo"  # its start failed, and its caller hears of that
    DETACH = "detach"  # this process lets go of it


class Action(enum.Enum):
    """What a step demands."""

    SUBMIT = "submit a job"
    START_PROCESS = "tell the agent to start a new process"
    SAY = "say the end to clients"
    NEWS = "tell listeners what happened"
    STOP_AGENT = "ask the agent to end its kernels, itself and its job"
    END_PROCESS = "end the kernel's process in a job that others share"
    DISCONNECT = "close the connection to the agent"
    CANCEL = "cancel the job, or leave one that is shared"
    LEAVE = "no longer count as one of those that share the job"
    SEAL = "write in the record how it ended, and remove its secrets"
    REMOVE = "remove the record"
    FAREWELL = "close all on this host, once clients had the time to hear"
    CLOSE = "close all on this host"


WAITED = frozenset({State.SUBMITTING, State.CHOOSING, State.PENDING, State.STARTING})
ARRIVED = frozenset({State.RUNNING, State.LOST, State.RESTARTING, State.DEAD})
OVER = frozenset({State.ENDING, State.ENDED, State.LEAVING, State.TAKEN})
GONE = frozenset({State.RELEASED, State.DETACHED})
# Its record is another server's, or nobody's: nothing is written there.
NOT_OURS = GONE | {State.LEAVING, State.TAKEN}
# Its job runs, whatever the scheduler said last.
BEGUN = ARRIVED | {State.STARTING}
# A job is there, for all we know, and it is we who watch it.
WATCHED = frozenset({State.PENDING, State.STARTING, *ARRIVED})
# A restart brings a new process: in the job, in its place in the queue, or in a new one.
RESTARTABLE = WAITED | ARRIVED | {State.FAILED}

Step = tuple[State, tuple[Action, ...]]
Rows = dict[tuple[State, Event], Step]


def step(state: State, event: Event) -> Step:
    """Return the next state and what has to be done, in that order."""
    return TABLE.get((state, event), (state, ()))


def _rows(
    states: Iterable[State], event: Event, to: State | None, *actions: Action
) -> Rows:
    """Return the same row for several states; without `to` each stays what it is."""
    return {(state, event): (to or state, actions) for state in states}


S, E, A = State, Event, Action

TABLE: Mapping[tuple[State, Event], Step] = MappingProxyType(
    {
        # Until the kernel is there
        (S.NEW, E.START): (S.SUBMITTING, (A.SUBMIT,)),
        (S.NEW, E.ADOPTED): (S.PENDING, ()),
        (S.NEW, E.READY): (S.RUNNING, (A.NEWS,)),
        (S.NEW, E.LOST): (S.LOST, (A.NEWS,)),
        (S.SUBMITTING, E.CHOOSE): (S.CHOOSING, ()),
        (S.SUBMITTING, E.SUBMITTED): (S.PENDING, (A.NEWS,)),
        (S.CHOOSING, E.SUBMITTED): (S.PENDING, (A.NEWS,)),
        (S.CHOOSING, E.FAILED): (S.FAILED, (A.SAY, A.CANCEL, A.REMOVE)),
        (S.PENDING, E.JOB_RUNS): (S.STARTING, (A.NEWS,)),
        (S.STARTING, E.READY): (S.RUNNING, (A.NEWS,)),
        **_rows(
            (S.PENDING, S.STARTING),
            E.FAILED,
            S.FAILED,
            *(A.SAY, A.END_PROCESS, A.DISCONNECT, A.CANCEL, A.SEAL, A.NEWS),
        ),
        # While it lives
        (S.RUNNING, E.LOST): (S.LOST, (A.NEWS,)),
        (S.LOST, E.RESUMED): (S.RUNNING, (A.NEWS,)),
        (S.LOST, E.READY): (S.RUNNING, (A.NEWS,)),
        **_rows((S.RUNNING, S.LOST, S.RESTARTING), E.EXITED, S.DEAD),
        **_rows((S.DEAD, S.RESTARTING), E.LOST, None, A.NEWS),
        **_rows((S.DEAD, S.RESTARTING), E.RESUMED, None, A.NEWS),
        **_rows(ARRIVED, E.RESTART, S.RESTARTING, A.START_PROCESS),
        **_rows((S.DEAD, S.RESTARTING), E.READY, S.RUNNING, A.NEWS),
        # A restart of one that did not come; of one that is waited for: see WAITED.
        (S.FAILED, E.RESTART): (S.SUBMITTING, (A.CANCEL, A.REMOVE, A.SUBMIT)),
        # Its end
        **_rows(ARRIVED, E.JOB_ENDED, S.ENDING, A.SAY, A.FAREWELL, A.SEAL, A.NEWS),
        **_rows(
            (S.PENDING, S.STARTING, *ARRIVED),
            E.TAKEN,
            S.LEAVING,
            *(A.SAY, A.FAREWELL, A.NEWS),
        ),
        **_rows(
            WAITED | ARRIVED,
            E.GIVE_UP,
            S.ENDED,
            *(A.SEAL, A.NEWS, A.STOP_AGENT, A.FAREWELL, A.CANCEL),
        ),
        (S.ENDING, E.TOLD): (S.ENDED, ()),
        (S.LEAVING, E.TOLD): (S.TAKEN, ()),
        (S.ENDING, E.CLOSED): (S.ENDED, ()),
        (S.LEAVING, E.CLOSED): (S.TAKEN, ()),
        (S.FAILED, E.CLOSED): (S.ENDED, ()),
        # It is let go of
        **_rows(
            WATCHED,
            E.RELEASE,
            S.RELEASED,
            *(A.STOP_AGENT, A.NEWS, A.DISCONNECT, A.CANCEL, A.REMOVE, A.CLOSE),
        ),
        **_rows(
            (S.SUBMITTING, S.CHOOSING, S.FAILED),
            E.RELEASE,
            S.RELEASED,
            *(A.DISCONNECT, A.CANCEL, A.REMOVE, A.CLOSE),
        ),
        **_rows(
            (S.NEW, *WAITED, *ARRIVED, S.FAILED),
            E.UNDO,
            S.RELEASED,
            *(A.END_PROCESS, A.DISCONNECT, A.CANCEL, A.REMOVE, A.CLOSE),
        ),
        (S.NEW, E.RELEASE): (S.RELEASED, (A.CLOSE,)),
        **_rows((S.ENDING, S.ENDED), E.RELEASE, S.RELEASED, A.LEAVE, A.REMOVE, A.CLOSE),
        **_rows((S.ENDING, S.ENDED), E.UNDO, S.RELEASED, A.LEAVE, A.REMOVE, A.CLOSE),
        **_rows((S.LEAVING, S.TAKEN), E.RELEASE, S.DETACHED, A.CLOSE),
        **_rows((S.LEAVING, S.TAKEN), E.UNDO, S.DETACHED, A.CLOSE),
        **_rows(set(State) - GONE, E.DETACH, S.DETACHED, A.CLOSE),
    }
)
