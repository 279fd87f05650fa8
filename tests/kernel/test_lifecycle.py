"""kernel.lifecycle: the table, and that no order of events breaks a promise."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from remote_kernels.kernel.lifecycle import (
    ARRIVED,
    GONE,
    OVER,
    RESTARTABLE,
    TABLE,
    WAITED,
    WATCHED,
    Action,
    Event,
    State,
    step,
)

S, E, A = State, Event, Action


def path(*events: Event) -> list[State]:
    """The states that a new kernel goes through."""
    states = [S.NEW]
    for event in events:
        states.append(step(states[-1], event)[0])
    return states[1:]


@pytest.mark.parametrize(
    ("events", "states"),
    [
        (
            (E.START, E.SUBMITTED, E.JOB_RUNS, E.READY),
            (S.SUBMITTING, S.PENDING, S.STARTING, S.RUNNING),
        ),
        (
            (E.START, E.CHOOSE, E.SUBMITTED),
            (S.SUBMITTING, S.CHOOSING, S.PENDING),
        ),
        ((E.ADOPTED, E.JOB_RUNS, E.FAILED), (S.PENDING, S.STARTING, S.FAILED)),
        ((E.READY, E.LOST, E.RESUMED), (S.RUNNING, S.LOST, S.RUNNING)),
        ((E.LOST, E.RESUMED, E.TAKEN), (S.LOST, S.RUNNING, S.LEAVING)),
        ((E.READY, E.EXITED, E.RESTART), (S.RUNNING, S.DEAD, S.RESTARTING)),
        ((E.READY, E.RESTART, E.READY), (S.RUNNING, S.RESTARTING, S.RUNNING)),
        ((E.READY, E.RESTART, E.EXITED), (S.RUNNING, S.RESTARTING, S.DEAD)),
        ((E.READY, E.LOST, E.EXITED), (S.RUNNING, S.LOST, S.DEAD)),
        ((E.READY, E.JOB_ENDED, E.TOLD), (S.RUNNING, S.ENDING, S.ENDED)),
        ((E.READY, E.TAKEN, E.TOLD), (S.RUNNING, S.LEAVING, S.TAKEN)),
        ((E.READY, E.TAKEN, E.RELEASE), (S.RUNNING, S.LEAVING, S.DETACHED)),
        ((E.READY, E.GIVE_UP, E.RELEASE), (S.RUNNING, S.ENDED, S.RELEASED)),
        (
            (E.START, E.SUBMITTED, E.FAILED, E.RESTART),
            (S.SUBMITTING, S.PENDING, S.FAILED, S.SUBMITTING),
        ),
        (
            (E.START, E.SUBMITTED, E.FAILED, E.CLOSED),
            (S.SUBMITTING, S.PENDING, S.FAILED, S.ENDED),
        ),
        ((E.READY, E.JOB_ENDED, E.CLOSED), (S.RUNNING, S.ENDING, S.ENDED)),
        ((E.READY, E.DETACH, E.READY), (S.RUNNING, S.DETACHED, S.DETACHED)),
    ],
)
def test_lives(events: tuple[Event, ...], states: tuple[State, ...]) -> None:
    """Those of kernels that start, come back, die, end, and are taken."""
    assert list(states) == path(*events)


# What each step of the table demands, by the event: the whole table, once more, as
# somebody reads it who asks what an event does.
DEMANDED = {
    E.START: {(A.SUBMIT,)},
    E.CHOOSE: {()},
    E.ADOPTED: {()},
    E.SUBMITTED: {(A.NEWS,)},
    E.JOB_RUNS: {(A.NEWS,)},
    E.READY: {(A.NEWS,)},
    E.LOST: {(A.NEWS,)},
    E.RESUMED: {(A.NEWS,)},
    E.EXITED: {()},
    E.TOLD: {()},
    E.CLOSED: {()},
    E.RESTART: {(A.START_PROCESS,), (A.CANCEL, A.REMOVE, A.SUBMIT)},
    E.FAILED: {
        (A.SAY, A.CANCEL, A.REMOVE),
        (A.SAY, A.END_PROCESS, A.DISCONNECT, A.CANCEL, A.SEAL, A.NEWS),
    },
    E.JOB_ENDED: {(A.SAY, A.FAREWELL, A.SEAL, A.NEWS)},
    E.TAKEN: {(A.SAY, A.FAREWELL, A.NEWS)},
    E.GIVE_UP: {(A.SEAL, A.NEWS, A.STOP_AGENT, A.FAREWELL, A.CANCEL)},
    E.RELEASE: {
        (A.STOP_AGENT, A.NEWS, A.DISCONNECT, A.CANCEL, A.REMOVE, A.CLOSE),
        (A.DISCONNECT, A.CANCEL, A.REMOVE, A.CLOSE),
        (A.LEAVE, A.REMOVE, A.CLOSE),
        (A.CLOSE,),
    },
    E.UNDO: {
        (A.END_PROCESS, A.DISCONNECT, A.CANCEL, A.REMOVE, A.CLOSE),
        (A.LEAVE, A.REMOVE, A.CLOSE),
        (A.CLOSE,),
    },
    E.DETACH: {(A.CLOSE,)},
}


@pytest.mark.parametrize("event", Event)
def test_what_an_event_demands(event: Event) -> None:
    """In whatever state it finds the kernel."""
    found = {actions for (_, e), (_, actions) in TABLE.items() if e is event}

    assert DEMANDED[event] == found


def test_every_state_is_reached_and_left() -> None:
    """But for the last ones, which nobody leaves."""
    reached = {S.NEW} | {to for to, _ in TABLE.values()}
    left = {state for (state, _), (to, _) in TABLE.items() if to is not state}

    assert set(State) == reached
    assert set(State) - GONE == left


def test_every_state_is_of_one_kind() -> None:
    kinds = [{S.NEW}, WAITED, ARRIVED, {S.FAILED}, OVER, GONE]

    assert len(State) == sum(len(kind) for kind in kinds)
    assert set(State) == set().union(*kinds)
    assert not RESTARTABLE & (OVER | GONE)


def test_what_is_not_in_the_table_changes_nothing() -> None:
    """News of a connection that come after the end."""
    assert (S.ENDED, ()) == step(S.ENDED, E.RESUMED)


@pytest.mark.parametrize("state", [state for state in State if state in WATCHED])
def test_a_job_that_we_watch(state: State) -> None:
    """Of each state, as random lives come to some of them seldom."""
    for event in (E.RELEASE, E.UNDO):
        actions = step(state, event)[1]
        assert actions.index(A.CANCEL) < actions.index(A.REMOVE)
    assert (S.DETACHED, (A.CLOSE,)) == step(state, E.DETACH)
    assert S.LEAVING is step(state, E.TAKEN)[0]
    if state in ARRIVED:
        assert (S.RESTARTING, (A.START_PROCESS,)) == step(state, E.RESTART)
    assert step(state, E.LOST)[0] in WATCHED


class Promises(RuleBasedStateMachine):
    """Random events against the promises of the design.

    The world has the kernel's job (none, ours, ended, cancelled, or with another
    server) and its process. Each rule is what can happen in the world; the machine
    does what the table demands.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = S.NEW
        self.job = "none"
        self.ends: set[State] = set()

    def send(self, event: Event) -> tuple[Action, ...]:
        before = self.state
        self.state, actions = step(before, event)
        for action in actions:
            self.carry_out(action, before, event)
        if event is E.DETACH and before not in GONE and self.job == "ours":
            self.job = "given"
        self.promised(before, event, actions)
        return actions

    def carry_out(self, action: Action, before: State, event: Event) -> None:
        if action is A.SUBMIT:
            # Never two jobs for one kernel, and none for one whose job has ended.
            assert self.job in ("none", "cancelled", "ended"), (before, event)
            assert not self.ends
            self.job = "none"
        elif action in (A.CANCEL, A.STOP_AGENT, A.END_PROCESS):
            assert self.job not in ("given", "taken"), (before, event)
            if action is not A.END_PROCESS and self.job == "ours":
                self.job = "cancelled"

    def promised(
        self, before: State, event: Event, actions: tuple[Action, ...]
    ) -> None:
        if before in OVER | GONE:  # after an end nothing but the end
            assert self.state in OVER | GONE
            assert not {A.SUBMIT, A.START_PROCESS, A.NEWS, A.SAY} & set(actions)
        if event in (E.LOST, E.RESUMED):  # a lost connection is no end
            assert self.state not in OVER | GONE or before in OVER | GONE
            assert {*actions} <= {A.NEWS}
        if event is E.EXITED:  # a process that died is not a job that ended
            assert {*actions} == set()
            assert self.state is before or self.state is S.DEAD
        if event is E.RESTART and before in ARRIVED:  # restart keeps the job
            assert actions == (A.START_PROCESS,)
        if event is E.DETACH:  # detaching never cancels
            assert {*actions} <= {A.CLOSE}
        if before in (S.LEAVING, S.TAKEN):  # a taken kernel is its new server's
            assert {*actions} <= {A.CLOSE}
        if A.REMOVE in actions and A.SUBMIT not in actions:  # nothing unseen is left
            assert self.job != "ours"
        self.ends |= {self.state} & OVER

    # What people and programs do

    @initialize(event=st.sampled_from([E.START, E.ADOPTED, E.READY, E.LOST]))
    def begun(self, event: Event) -> None:
        self.job = "none" if event is E.START else "ours"
        self.send(event)

    @rule()
    def restarted(self) -> None:
        self.send(E.RESTART)

    @rule(
        event=st.sampled_from([E.RELEASE, E.DETACH, E.GIVE_UP, E.UNDO, E.START]),
        seldom=st.integers(0, 5),
    )
    def asked(self, event: Event, seldom: int) -> None:
        """Seldom, or no life would be long."""
        if seldom == 0:
            self.send(event)

    # What the world does

    @rule()
    def submitted(self) -> None:
        if self.state in (S.SUBMITTING, S.CHOOSING):
            self.job = "ours"
            self.send(E.SUBMITTED)

    @rule(event=st.sampled_from([E.CHOOSE, E.FAILED, E.TOLD, E.CLOSED]))
    def happened(self, event: Event) -> None:
        self.send(event)

    @rule(event=st.sampled_from([E.JOB_RUNS, E.READY, E.LOST, E.RESUMED, E.EXITED]))
    def heard(self, event: Event) -> None:
        if self.state is not S.NEW:
            self.send(event)

    @rule()
    def job_ended(self) -> None:
        if self.job == "ours":
            self.job = "ended"
            self.send(E.JOB_ENDED)

    @rule()
    def taken(self) -> None:
        if self.job == "ours" and self.state in WATCHED:
            self.job = "taken"
            self.send(E.TAKEN)

    @invariant()
    def a_job_is_watched_given_or_cancelled(self) -> None:
        """Whatever was submitted: nobody forgets it."""
        if self.job == "ours":
            assert self.state in WATCHED, self.state
        if self.job == "taken":
            assert self.state in (S.LEAVING, S.TAKEN, S.DETACHED)


class TestPromises(Promises.TestCase):  # type: ignore[misc, valid-type]  # made when asked for
    settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
