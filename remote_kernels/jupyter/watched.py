"""Jobs of one's own, and what is free, as events of the server while somebody looks.

Rules: a GET of the REST API says that somebody looks (`shown`); then the server asks by
itself for a while, and tells what is new (interest.py). Made by the server extension.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .interest import Body, Interest

EVENTS = Path(__file__).with_name("events")
TOPICS = ("jobs", "queues")
_IDS = "https://events.remote-kernels.org/{}/v1"

Ask = Callable[[], Awaitable[Body]]


class Watched:
    """What is told again while somebody looks, until `stop`.

    Parameters
    ----------
    logger:
        The server's EventLogger.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._interests: dict[tuple[str, str], Interest] = {}
        for topic in TOPICS:
            logger.register_event_schema(EVENTS / f"{topic}_v1.yaml")

    def shown(self, topic: str, of: str, body: Body, ask: Ask) -> None:
        """Note that a GET was answered with this; `ask` asks for the same again.

        Parameters
        ----------
        topic:
            One of `TOPICS`.
        of:
            Of which batch system; "" for all.
        """
        found = self._interests.get((topic, of))
        if found is None:
            found = Interest(ask, lambda body: self._emit(topic, body))
            self._interests[topic, of] = found
        found.shown(body)

    def _emit(self, topic: str, body: Body) -> None:
        self._logger.emit(schema_id=_IDS.format(topic), data=body)

    def stop(self) -> None:
        """Ask no more."""
        for interest in self._interests.values():
            interest.stop()
