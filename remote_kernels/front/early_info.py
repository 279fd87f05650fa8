"""Tells what a kernel is before it is there.

Known by what such a kernel said of itself at an earlier start, or by a probe, else by
its kernelspec's language.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_client._version import protocol_version

from .held_requests import HeldRequests
from .interfaces import Cancellable, Later
from .jupyter_message import ASK, Head
from .voice import Voice

# Seconds for which "idle" is seen after a kernel_info_reply: jupyter_server lets no
# message through to a page before it has found another state than "starting", for
# which it looks each 0.05 s (2.21, connection/channels.py, nudge).
SEEN = 0.2
# Seconds in which a page's question what kernel this is may wait for the kernel's own
# answer, or a probe's: the page writes it into the notebook.
PATIENCE = 5.0
# What a page goes by until the kernel itself answers; of other languages, the name.
LANGUAGES = {"python": {"mimetype": "text/x-python", "file_extension": ".py"}}


class EarlyInfo:
    """Answers kernel_info requests: at once, or when more is known.

    Parameters
    ----------
    voice:
        Speaks to clients.
    held:
        What waits; questions that wait are among them.
    language:
        The kernelspec's.
    say_state:
        Tells clients the true state again.
    later:
        Calls something after some seconds.
    """

    def __init__(
        self,
        voice: Voice,
        held: HeldRequests,
        language: str,
        say_state: Callable[[], None],
        later: Later,
    ) -> None:
        self._voice = voice
        self._held = held
        self._least = least_info(language)
        self._info: dict[str, Any] | None = None
        self._say_state = say_state
        self._later = later
        self._state_due: Cancellable | None = None
        self._answers_due: Cancellable | None = None  # for pages that asked

    @property
    def is_known(self) -> bool:
        """Whether the kernel has said, sometime, what it is."""
        return self._info is not None

    def ask(
        self, target: str, request: Head, parts: list[bytes], *, at_once: bool
    ) -> None:
        """Answer a request, or hold it.

        The notebook server gets its answer at once: it opens no websocket before
        (2.21).

        Parameters
        ----------
        target:
            By which socket it came.
        request:
            Its head.
        parts:
            Its frames.
        at_once:
            Whether also a page must not wait.
        """
        if self.is_known or at_once or not request.is_of_client:
            self._answer(target, request)
            return
        self._held.add(target, parts)
        if self._answers_due is None:
            self._answers_due = self._later(PATIENCE, self.answer_held)

    def introduce(self, info: dict[str, Any]) -> None:
        """Answer with this content of a kernel_info_reply, also those who wait for it."""
        self._info = info
        self.answer_held()

    def answer_held(self) -> None:
        """Answer those who wait with what is known."""
        self._wait_no_more()
        for target, request in self._held.take_all_of(ASK):
            self._answer(target, request)

    def _answer(self, target: str, request: Head) -> None:
        """As a kernel does: without "busy" and "idle" the server asks again."""
        self._voice.answer(target, request, self._info or self._least)
        self.say_no_state()
        self._state_due = self._later(SEEN, self._say_state)

    def say_no_state(self) -> None:
        """Leave the state to others."""
        if self._state_due is not None:
            self._state_due.cancel()

    def stop(self) -> None:
        """Say nothing more by itself: the kernel is there."""
        self.say_no_state()
        self._wait_no_more()

    def _wait_no_more(self) -> None:
        if self._answers_due is not None:
            self._answers_due.cancel()
            self._answers_due = None


def least_info(language: str) -> dict[str, Any]:
    """Return a kernel_info_reply's content where nothing but a language is known."""
    known = LANGUAGES.get(language.lower(), {})
    return {
        "protocol_version": protocol_version,
        "implementation": "remote_kernels",
        "implementation_version": "",
        "language_info": {
            "name": language,
            "version": "",
            "mimetype": "",
            "file_extension": "",
            **known,
        },
        "banner": "This kernel is not there yet; its job was submitted.",
        "help_links": [],
    }
