"""agent.kernel_session: whose session it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from remote_kernels.agent import visits
from remote_kernels.agent.kernel_session import KernelSession
from remote_kernels.wire import control
from remote_kernels.wire.codes import ProcessState, RefusalCode
from remote_kernels.wire.hello import Ask, Refused


@pytest.mark.asyncio
async def test_who_missed_the_answer_asks_by_another_carrier() -> None:
    """He is not told that somebody else has the kernel; another one is."""
    state = control.KernelState("k", 1, ProcessState.RUNNING)
    kernel: Any = SimpleNamespace(id="k", state=lambda: state)
    session = KernelSession(kernel, {}, lambda _: None)
    mine = session.decide(Ask("mine", take=False))
    link: Any = SimpleNamespace(silence=0.1, flush_soon=lambda: None)
    mine.link = link

    assert mine is session.decide(Ask("mine", take=False))
    with pytest.raises(Refused) as refused:
        session.decide(Ask("another's", take=False))
    assert (RefusalCode.IN_USE, 0.1) == (refused.value.code, refused.value.heard)


@pytest.mark.asyncio
async def test_who_lets_go_leaves_nothing_open() -> None:
    """His session is over, with the ports and processes that it had; the next one begins."""
    state = control.KernelState("k", 1, ProcessState.RUNNING)
    kernel: Any = SimpleNamespace(id="k", state=lambda: state)
    session = KernelSession(kernel, {}, lambda _: None)
    mine = session.decide(Ask("mine"))

    mine.on_goodbye()

    assert mine.closed
    with pytest.raises(Refused) as unknown:
        session.decide(Ask("mine", resume=True))
    assert RefusalCode.UNKNOWN_SESSION is unknown.value.code
    assert mine is not session.decide(Ask("another's", take=False))


@pytest.mark.asyncio
async def test_a_session_beside_it() -> None:
    """It takes nothing from who has the kernel, nor does who comes take anything of it."""
    state = control.KernelState("k", 1, ProcessState.RUNNING)
    kernel: Any = SimpleNamespace(id="k", state=lambda: state)
    session = KernelSession(kernel, {}, lambda _: None)
    mine = session.decide(Ask("mine", take=False))
    visit = session.decide(Ask("beside", take=False, beside=True))

    session.decide(Ask("another's"))

    assert (True, False) == (mine.closed, visit.closed)
    assert visit is session.decide(Ask("beside", resume=True, beside=True))
    visit.on_goodbye()
    assert visit.closed
    with pytest.raises(Refused) as unknown:
        session.decide(Ask("beside", resume=True, beside=True))
    assert RefusalCode.UNKNOWN_SESSION is unknown.value.code
    for number in range(visits.MOST):
        session.decide(Ask(str(number), beside=True))
    with pytest.raises(Refused) as full:
        session.decide(Ask("one more", beside=True))
    assert RefusalCode.IN_USE is full.value.code


@pytest.mark.asyncio
async def test_a_session_beside_it_is_for_processes() -> None:
    """Nothing of the kernel is given there, and no other kernel's job."""
    opened: list[str] = []
    there = visits.Visits("k", lambda channel: opened.append("process"), 60)
    channel: Any = None
    for kernel, target in (("k", "shell"), ("k", "tcp:80"), ("other", "exec")):
        with pytest.raises(ConnectionRefusedError):
            await there._connect(kernel, target, channel)
    await there._connect("k", "exec", channel)
    assert ["process"] == opened
