"""agent.seat: whose session it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from remote_kernels.agent.seat import Seat
from remote_kernels.wire import control
from remote_kernels.wire.codes import Refusal, State
from remote_kernels.wire.hello import Ask, Refused


@pytest.mark.asyncio
async def test_who_missed_the_answer_asks_by_another_carrier() -> None:
    """He is not told that somebody else has the kernel; another one is."""
    state = control.KernelState("k", 1, State.RUNNING)
    kernel: Any = SimpleNamespace(state=lambda: state)
    seat = Seat("k", kernel, {}, "", lambda _: None)
    seat.decide(Ask("mine", take=False))
    link: Any = SimpleNamespace(silence=0.1, flush_soon=lambda: None)
    assert seat._mux is not None
    seat._mux.link = link

    assert 0 == seat.decide(Ask("mine", take=False))
    with pytest.raises(Refused) as refused:
        seat.decide(Ask("another's", take=False))
    assert (Refusal.IN_USE, 0.1) == (refused.value.code, refused.value.heard)
