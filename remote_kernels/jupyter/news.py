"""What happens to this process's kernels, for whoever wants to know.

The provisioner tells, on the background loop; listeners must not block, and go to a
loop of their own. Called by the provisioner and the server extension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remote_kernels.kernel.model import KernelModel

# submitted, pending, running, attached, lost, resumed, warning, ended
Listener = Callable[[str, "KernelModel", str], None]

from remote_kernels import harmless

log = harmless.logger(__name__)

_LISTENERS: list[Listener] = []


def listen(listener: Listener) -> None:
    """Call `listener(action, view, text)` at each piece of news from now on."""
    _LISTENERS.append(listener)


def unlisten(listener: Listener) -> None:
    """Call it no more; no error if it was not called before."""
    if listener in _LISTENERS:
        _LISTENERS.remove(listener)


def tell(action: str, view: KernelModel, text: str = "") -> None:
    for listener in tuple(_LISTENERS):  # others come and go, in another thread
        try:
            listener(action, view, text)
        except Exception:  # no kernel is lost for it
            log.exception("%s of kernel %s was not told", action, view.kernel_id)
