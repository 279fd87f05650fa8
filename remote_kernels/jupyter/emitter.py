"""What happens to kernels, as events of the server: events/kernel_v1.yaml.

Whoever subscribes to the server's events (`api/events/subscribe`) gets them, and what
the site's `EventLogger.handlers` write. Called by the server extension.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remote_kernels import harmless
from remote_kernels.kernel.model import KernelModel

from .process import NewsWire

SCHEMA = Path(__file__).with_name("events") / "kernel_v1.yaml"
SCHEMA_ID = "https://events.remote-kernels.org/kernel/v1"


class Emitter:
    """From this process's news to one server's event logger, until `stop`.

    Parameters
    ----------
    news:
        What happens to this process's kernels.
    logger:
        The server's EventLogger.
    loop:
        The server's IOLoop, where events are emitted.
    """

    def __init__(self, news: NewsWire, logger: Any, loop: Any) -> None:
        self._news = news
        self._logger = logger
        self._loop = loop
        logger.register_event_schema(SCHEMA)
        news.listen(self._hear)

    def stop(self) -> None:
        """Emit no more."""
        self._news.unlisten(self._hear)

    def _hear(self, action: str, view: KernelModel, text: str) -> None:
        """On the background loop's thread. A closed loop takes nothing, silently."""
        data = event(action, view, text)
        self._loop.add_callback(self._logger.emit, schema_id=SCHEMA_ID, data=data)


def event(action: str, view: KernelModel, text: str) -> dict[str, Any]:
    """Return an event's data; a scheduler's own word is no text for people."""
    body = view.as_json()
    plain = body["text"] if text in ("", view.reason) else harmless.text(text)
    names = ("kernel_id", "job_id", "node", "scheduler", "state", "reason")
    told = {name: body[name] for name in names}
    return {"action": action, **told, "text": plain, "end": body["end"]}
