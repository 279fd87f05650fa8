"""Which kernel managers' kernels outlive their process: those of a notebook server.

The server extension registers its server's, because it brings the kernels back. A
script, nbconvert or a console cannot: its kernels end with it. Called by the
provisioner and the extension.
"""

from __future__ import annotations

import weakref
from typing import Any

_MANAGERS: weakref.WeakSet[Any] = weakref.WeakSet()


def let_outlive(manager: Any) -> None:
    """Kernels of this MultiKernelManager live on without it."""
    _MANAGERS.add(manager)


def let_end(manager: Any) -> None:
    """They end with it, after all."""
    _MANAGERS.discard(manager)


def outlives_server(manager: Any) -> bool:
    return manager is not None and manager in _MANAGERS
