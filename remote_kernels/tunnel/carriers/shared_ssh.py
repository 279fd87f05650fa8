"""One SSH connection to a node for all kernels of a shared job there.

Made when the first one needs it, closed with the last one's pipe. A kernel whose pipe
fell silent, or that finds the connection dead, makes another, which is everybody's from
then on.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Hashable

from remote_kernels import harmless

from .base import Adoption, P, Pipe
from .destination import Destination
from .ssh import SshCarrier
from .ssh_transport import SshPipe, join

log = harmless.logger(__name__)


class SshPool:
    """What the ssh carriers of one process have in common.

    Whoever makes the carriers owns it.
    """

    def __init__(self) -> None:
        self.signers: dict[str, str] = {}  # see ssh_login.Login
        self._nodes: weakref.WeakValueDictionary[Hashable, _SharedNode]
        self._nodes = weakref.WeakValueDictionary()

    def carrier(
        self,
        to: Destination,
        port: int = 22,
        adoption: Adoption | None = None,
        sharers: str = "",
    ) -> SshCarrier | SharedSshCarrier:
        """Return a carrier to an agent.

        Parameters
        ----------
        to, port, adoption
            See `SshCarrier`.
        sharers : str
            Carriers with the same one, to the same node, share their connection: a name
            of the job. Empty: nobody does.
        """
        own = SshCarrier(to, port, adoption, self.signers)
        return SharedSshCarrier(own, self, (sharers, to.hosts[0])) if sharers else own

    def node(self, key: Hashable) -> _SharedNode:
        """Return the node of those who share a connection to it; kept by its users."""
        return self._nodes.setdefault(key, _SharedNode())


class SharedSshCarrier:
    """As SshCarrier, for one kernel of several in a job."""

    name = SshCarrier.name
    slow = SshCarrier.slow

    def __init__(self, own: SshCarrier, pool: SshPool, key: Hashable) -> None:
        self._own = own
        self._pool = pool
        self._key = key

    @property
    def answers(self) -> bool:
        """Whether the node was heard of in the attempt that is being made."""
        return self._own.answers

    async def connect(self, make: Callable[[], P]) -> tuple[Pipe, P]:
        """Join a protocol to the agent, over the shared connection if it works."""
        node = self._pool.node((asyncio.get_running_loop(), self._key))
        async with node.turn:
            if node.pipe is not None:
                joined = await join(node.pipe, self._own.to, make)
                if joined is not None:
                    return _Lease(node, joined[0]), joined[1]
                log.debug("= the connection for %s is dead", self._own)
            pipe, protocol = await self._own.connect(make)
            node.pipe, node.users = pipe, set()
            return _Lease(node, pipe), protocol


class _SharedNode:
    """A node, and the connection to it that carriers share."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()  # of who makes it, for those who come meanwhile
        self.pipe: SshPipe | None = None  # the first one over it
        self.users: set[_Lease] = set()


class _Lease:
    """One kernel's use of a node's connection, also when others have another by now."""

    def __init__(self, node: _SharedNode, pipe: SshPipe) -> None:
        self._node = node
        self._pipe = pipe
        self._users = node.users
        self._users.add(self)

    async def close(self) -> str:
        self._users.discard(self)
        if self._users:
            self._pipe.channel.close()
            return self._pipe.said.meaning()
        if self._node.users is self._users:
            self._node.pipe = None
        return await self._pipe.close()
