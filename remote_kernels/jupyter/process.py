"""What Jupyter's doors have in common in one process; `process()` is how they find it.

Jupyter makes provisioners by an entry point, and extensions by their class, and can hand
neither of them anything of ours. So there is this one place where something of ours
belongs to the process; all that it calls is handed its runtime. It is made when it is
first asked for: by the server extension, or with the first kernel where there is none.
A forked child has one of its own. Called by the provisioner and the server extension.
"""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

from remote_kernels import harmless

from .background import Background

if TYPE_CHECKING:
    from remote_kernels.kernel.model import KernelModel  # noqa: F401 -- as a text, below

    from .provisioner import RemoteKernelProvisioner

log = harmless.logger(__name__)

Told = ParamSpec("Told")


class Wire(Generic[Told]):
    """Passes on what happens to kernels, to all who want to know.

    The provisioner tells, on the background loop; listeners must not block, and go to
    a loop of their own.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[Told, None]] = []

    def listen(self, listener: Callable[Told, None]) -> None:
        """Call it at each piece of news from now on."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[Told, None]) -> None:
        """Call it no more; it is no error if it was not called before."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def tell(self, *args: Told.args, **kwargs: Told.kwargs) -> None:
        """Call all listeners; one that fails is only logged."""
        for listener in tuple(self._listeners):  # others come and go, in another thread
            try:
                listener(*args, **kwargs)
            except Exception:  # no kernel is lost for it
                log.exception("%r was not told of %s", listener, args)


class NewsWire(Wire[str, "KernelModel", str]):
    """What happened: submitted, pending, running, ...; the kernel; a text for people."""


class ChangeWire(Wire[str, bool]):
    """Whose model may be another one now, by ID; whether what it uses was measured."""


class ProcessGlobals:
    """What belongs to this process.

    Attributes
    ----------
    background : Background
        The event loop on which its kernels live.
    runtime : remote_kernels.kernel.runtime.Runtime
        What these have in common; to be used on that loop.
    news : NewsWire
        What happens to them, for whoever listens.
    changes : ChangeWire
        Which of them are no longer as they were.
    lasting : weakref.WeakSet
        The kernel managers whose kernels outlive this process: those of notebook
        servers with our extension, because it brings the kernels back. The kernels of a
        script, nbconvert or a console end with it.
    provisioners : weakref.WeakSet
        Those that have or had a kernel.
    """

    def __init__(self) -> None:
        from remote_kernels.kernel.runtime import Runtime  # takes a while to import

        self.background = Background()
        self.runtime = Runtime()
        self.news = NewsWire()
        self.changes = ChangeWire()
        self.lasting: weakref.WeakSet[Any] = weakref.WeakSet()
        self.provisioners: weakref.WeakSet[RemoteKernelProvisioner] = weakref.WeakSet()

    def forked(self) -> None:
        """Let go of all kernels, in a child: it neither signals nor ends them."""
        self.background.forked()
        for provisioner in self.provisioners:
            provisioner.forked()
        self.runtime.forked()


@functools.cache
def process() -> ProcessGlobals:
    """Return what belongs to this process, with its event loop running."""
    made = ProcessGlobals()
    made.background.start()
    return made


def _forked() -> None:
    if process.cache_info().currsize:
        process().forked()
        process.cache_clear()


os.register_at_fork(after_in_child=_forked)
