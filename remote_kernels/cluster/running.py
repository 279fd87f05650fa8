"""What a helper returns: the library's own client, and the end of all that was started.

Called by the file of each library.
"""

from __future__ import annotations

import atexit
import contextlib
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


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


def opened(
    client: T,
    what: str,
    nodes: list[str],
    stack: contextlib.ExitStack,
    page: str = "",
) -> Cluster[T]:
    """Return a Cluster that ends what `stack` would end, and print what there is."""
    text = f"{what} on {', '.join(nodes)}"
    cluster = Cluster(client, text, nodes, stack.pop_all())
    atexit.register(cluster.close)
    print(f"{text}.{page}")
    return cluster


def reached(what: str, port: int, job: str, path: str = "") -> str:
    """Return where a page on this node is, and how to get a browser there."""
    return (
        f" {what}: http://127.0.0.1:{port}{path} on the kernel's node; on the login "
        f"node, `remote-kernels forward {job} {port}` brings it to you."
    )
