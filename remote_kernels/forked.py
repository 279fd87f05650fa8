"""What a forked child has of its parent's, and must let go of.

A fork copies our objects and descriptors, but not the thread that works with them. A
copy of a pipe hides the parent's death from whoever waits for it at the other end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

_KEPT: list[object] = []


def keep(owner: object) -> None:
    """Keep an object, in the child: its destructor would act for the parent."""
    _KEPT.append(owner)


def let_go(descriptors: Iterable[int], owner: object) -> None:
    """Let go of descriptors, in the child: they are its parent's alone.

    The numbers stay taken, as their owner may still close them.
    """
    keep(owner)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in descriptors:
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)
