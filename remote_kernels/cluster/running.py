"""What a helper returns: the library's own client, and the end of all that was started.

Called by the file of each library.
"""

from __future__ import annotations

import atexit
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, TypeVar

from remote_kernels.cluster.allocation import Allocation
from remote_kernels.cluster.launchers import allocation
from remote_kernels.cluster.step import Order, Step, start, until

T = TypeVar("T")


@dataclass
class Starting:
    """What a helper has started so far; it ends unless everything comes in time.

    Parameters
    ----------
    here : Allocation
        Where it runs.
    end : float
        By when everything must have come (of `time.monotonic`).
    stack : contextlib.ExitStack
        What ends it.
    steps : list of Step
        The steps among it.
    """

    here: Allocation
    end: float
    stack: contextlib.ExitStack
    steps: list[Step] = field(default_factory=list)

    def step(self, what: str, order: Order) -> Step:
        """Start a step; `what` names it in errors."""
        started = start(what, self.here, order)
        self.stack.callback(started.close)
        self.steps.append(started)
        return started

    def until(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait for `ready()` to be true. Raises StepError when it is too late."""
        until(what, ready, self.steps, self.end)

    def opened(self, client: T, what: str, page: str = "") -> Cluster[T]:
        """Return a Cluster that ends all of it in time, and print what there is."""
        nodes = self.here.names
        text = f"{what} on {', '.join(nodes)}"
        cluster = Cluster(client, text, nodes, self.stack.pop_all())
        atexit.register(cluster.close)
        print(f"{text}.{page}")
        return cluster


@contextlib.contextmanager
def starting(nodes: Sequence[str] | None, timeout: float) -> Iterator[Starting]:
    """Yield what is to be started on these nodes, on all of the allocation if None.

    `timeout` is in seconds. Raises AllocationError.
    """
    here = allocation().only(nodes)
    with contextlib.ExitStack() as stack:
        yield Starting(here, time.monotonic() + timeout, stack)


class Cluster(Generic[T]):
    """Workers in the kernel's allocation, until `close()` or the end of the kernel.

    As a context manager it gives the client, and closes at the end of the block.
    """

    def __init__(
        self, client: T, what: str, nodes: list[str], stack: contextlib.ExitStack
    ) -> None:
        self.client = client
        self.nodes = nodes
        self._what = what
        self._stack = stack

    def close(self) -> None:
        """End the client and the workers; a second call does nothing."""
        self.__exit__(None, None, None)

    def __enter__(self) -> T:
        return self.client

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        atexit.unregister(self.close)
        self._what = "closed"
        self._stack.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<{self._what}>"


def reached(what: str, port: int, job: str, path: str = "") -> str:
    """Return where a page on this node is, and how to get a browser there.

    Not as a link, which would lead a browser to the machine that it runs on.
    """
    return (
        f" {what}: port {port} of the kernel's node{path and f', {path}'}. 'Ports…' in "
        "JupyterLab's panel Compute opens it; on the login node, `remote-kernels "
        f"forward {job} {port}` brings it to you."
    )
