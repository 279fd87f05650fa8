"""Sessions beside that of whoever has a kernel: for processes in its job only.

They end no other session and are ended by none, so the command line may come whether a
notebook server has the kernel or not. SPEC.md section 1. Called by kernel_session.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from remote_kernels.relay.channel import Channel
from remote_kernels.relay.mux import Mux
from remote_kernels.wire.codes import Farewell, RefusalCode
from remote_kernels.wire.exec import TARGET
from remote_kernels.wire.hello import Ask, Refused
from remote_kernels.wire.session import Session

MOST = 16
ALONE = 60.0  # seconds that one lasts without a pipe
QUEUE_BYTES = 8 * 1024 * 1024  # of one channel, before no more is read for it


def resumable(mux: Mux | None, ask: Ask) -> Mux:
    """Return it, if it can go on from where it is asked to. Raises Refused."""
    if mux is None:
        msg = "this agent does not know that session"
        raise Refused(RefusalCode.UNKNOWN_SESSION, msg)
    if not mux.session.can_resume(ask.received):
        raise Refused(RefusalCode.POSITION, f"cannot go on from {ask.received}")
    return mux


class Visits:
    """Those of one kernel.

    Parameters
    ----------
    kernel : str
        The kernel's ID.
    execute : callable
        Starts what a channel asks for.
    look : float
        Seconds between two looks whether a session has a pipe.
    """

    def __init__(
        self, kernel: str, execute: Callable[[Channel], None], look: float
    ) -> None:
        self._kernel = kernel
        self._execute = execute
        self._look = look
        self._muxes: dict[str, Mux] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

    @property
    def are_attended(self) -> bool:
        """Whether anybody is there."""
        return any(mux.link is not None for mux in self._muxes.values())

    def decide(self, ask: Ask) -> Mux:
        """Return the session's mux; it begins here if it is new.

        Raises Refused.
        """
        mux = self._muxes.get(ask.session)
        if mux is None and not ask.resume:
            if len(self._muxes) >= MOST:
                msg = f"{MOST} sessions are beside that of the kernel already"
                raise Refused(RefusalCode.IN_USE, msg)
            mux = self._begin(ask.session)
        return resumable(mux, ask)

    def _begin(self, session: str) -> Mux:
        mux = self._muxes[session] = Mux(
            Session(session, first_channel=2, high_water=QUEUE_BYTES),
            lambda message: None,  # none is expected, and none is obeyed
            self._connect,
            lambda: self._end(session, Farewell.DETACHED, ""),
        )
        self._watches[session] = asyncio.ensure_future(self._watch(session, mux))
        return mux

    async def _connect(self, kernel: str, target: str, channel: Channel) -> None:
        if kernel != self._kernel or target != TARGET:
            msg = "a session beside the kernel's is for processes only"
            raise ConnectionRefusedError(msg)
        self._execute(channel)

    async def _watch(self, session: str, mux: Mux) -> None:
        """Until nobody has come for long."""
        alone = 0.0
        while alone < ALONE:
            await asyncio.sleep(self._look)
            alone = 0.0 if mux.link is not None else alone + self._look
        self._end(session, Farewell.GIVEN_UP, "nobody came back")

    def _end(self, session: str, code: Farewell, detail: str) -> None:
        mux, watch = self._muxes.pop(session, None), self._watches.pop(session, None)
        if watch is not None and watch is not asyncio.current_task():
            watch.cancel()
        if mux is not None:
            mux.close(code, detail)

    def close(self, code: Farewell, detail: str) -> None:
        """End all."""
        for session in list(self._muxes):
            self._end(session, code, detail)
