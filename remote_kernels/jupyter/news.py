"""What happens to this process's kernels, for whoever wants to know.

The provisioner tells, on the background loop; listeners must not block, and go to a
loop of their own. Called by the provisioner and the server extension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from remote_kernels import harmless

if TYPE_CHECKING:
    from remote_kernels.kernel.model import KernelModel

# submitted, pending, running, attached, lost, resumed, warning, ended
Listener = Callable[[str, "KernelModel", str], None]

log = harmless.logger(__name__)


class NewsWire:
    """Passes news of kernels on to all who listen."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener(action, view, text)` at each piece of news from now on."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Call it no more; it is no error if it was not called before."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def tell(self, action: str, view: KernelModel, text: str = "") -> None:
        """Call all listeners; one that fails is only logged."""
        for listener in tuple(self._listeners):  # others come and go, in another thread
            try:
                listener(action, view, text)
            except Exception:  # no kernel is lost for it
                log.exception("%s of kernel %s was not told", action, view.kernel_id)
