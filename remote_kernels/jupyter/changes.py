"""How this server's kernels are now, as events of the server: events/kernels_v1.yaml.

A page that has once asked for all kernels keeps itself by these. Rules: what changes at
once is told at once, in one event, and no more often than `PACE`; what kernels use is
gathered for longer. Nothing is asked or told where nothing changed, and nothing is done
for each page: the server's own event stream does that. Called by the server extension.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from remote_kernels import harmless
from remote_kernels.kernel.model import KernelModel
from remote_kernels.kernel.service import Known

from .process import ChangeWire

SCHEMA = Path(__file__).with_name("events") / "kernels_v1.yaml"
SCHEMA_ID = "https://events.remote-kernels.org/kernels/v1"
PACE = 1.0  # seconds from one event to the next
USAGE_PACE = 10.0  # seconds, of those that tell only what is used
_MEMORY = 1024 * 1024  # bytes; a difference that nobody sees

log = harmless.logger(__name__)


class Look(Protocol):
    """How kernels are found: `jupyter.api.known.Kernels`."""

    async def own(self, ids: set[str]) -> list[Known]:
        """Return those of these kernels that this server has."""

    def has(self, kernel_id: str) -> bool:
        """Whether this server has it, or is just starting it."""


class Gathered:
    """Names, handed on together, at once but no more often than every `pace` seconds.

    There is no timer where there is nothing to do. To be used on one event loop.
    """

    def __init__(
        self, pace: float, hand_on: Callable[[set[str]], Awaitable[None]]
    ) -> None:
        self._pace = pace
        self._hand_on = hand_on
        self._names: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, name: str) -> None:
        """Hand it on."""
        self._names.add(name)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Hand nothing on any more that is not there yet."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._names:
                names, self._names = self._names, set()
                try:
                    await self._hand_on(names)
                except Exception:  # the next change is told again
                    log.exception("changes of %d kernels were not told", len(names))
                await asyncio.sleep(self._pace)
        finally:
            self._task = None


class Changes:
    """From this process's changes to one server's event logger, until `stop`.

    Parameters
    ----------
    changes:
        Which of this process's kernels are no longer as they were.
    logger:
        The server's EventLogger.
    loop:
        The server's IOLoop, where events are emitted.
    kernels:
        How the kernels are found.
    pace, usage_pace:
        Seconds from one event to the next.
    """

    def __init__(
        self,
        changes: ChangeWire,
        logger: Any,
        loop: Any,
        kernels: Look,
        pace: float = PACE,
        usage_pace: float = USAGE_PACE,
    ) -> None:
        self._changes = changes
        self._logger = logger
        self._loop = loop
        self._kernels = kernels
        self._told: dict[str, KernelModel] = {}
        self._one_at_a_time = asyncio.Lock()
        self._states = Gathered(pace, self._tell)
        self._usage = Gathered(usage_pace, self._tell)
        self._stopped = False
        logger.register_event_schema(SCHEMA)
        changes.listen(self._hear)

    def stop(self) -> None:
        """Emit no more."""
        self._stopped = True
        self._changes.unlisten(self._hear)
        self._states.stop()
        self._usage.stop()

    def _hear(self, kernel_id: str, measured: bool) -> None:
        """On any thread. A closed loop takes nothing, silently."""
        self._loop.add_callback(self._note, kernel_id, measured)

    def _note(self, kernel_id: str, measured: bool) -> None:
        if not self._stopped:
            (self._usage if measured else self._states).add(kernel_id)

    async def _tell(self, ids: set[str]) -> None:
        """Emit how these kernels are, as far as that is not what was told last."""
        async with self._one_at_a_time:
            models = [known.model for known in await self._kernels.own(ids)]
            new = [m for m in models if seen(m) != self._told.get(m.kernel_id)]
            gone = sorted(id for id in ids & {*self._told} if not self._kernels.has(id))
            for model in new:
                self._told[model.kernel_id] = seen(model)
            for kernel_id in gone:
                del self._told[kernel_id]
            if new or gone:
                self._logger.emit(schema_id=SCHEMA_ID, data=event(new, gone))


def event(models: list[KernelModel], gone: list[str]) -> dict[str, Any]:
    """Return an event's data."""
    return {"kernels": [model.as_json() for model in models], "gone": gone}


def seen(model: KernelModel) -> KernelModel:
    """Return it with what it uses as people see that: whole percents and MiB.

    So a kernel that idles is not told of again and again.
    """
    if model.usage is None:
        return model
    used = {name: _rounded(name, value) for name, value in model.usage.items()}
    used["gpus"] = [
        {name: _rounded(name, value) for name, value in gpu.items()}
        for gpu in model.usage.get("gpus") or ()
    ]
    used.pop("time", None)
    return replace(model, usage=used)


def _rounded(name: str, value: Any) -> Any:
    if not isinstance(value, (int, float)):
        return value
    return round(value / _MEMORY) if name.startswith("memory") else round(value)
