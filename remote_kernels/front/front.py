"""The sockets that the notebook server sees, and who answers there.

ROUTER for shell, control, stdin and hb, XPUB for iopub, so that however many clients
there are, each channel crosses the tunnel once. Messages go to whoever answers: the
stand-in while the job waits, then `Clients`, and so the agent's message buffer. A `Heartbeat`
takes heartbeats on as they are, and a `Passage` all of a kernel with CURVE, whose
streams only the login end can read. Made by kernel/, and bound anew at each launch:
jupyter_client (8.10) unlinks the files at every restart.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from remote_kernels.relay.channel import Channel
from remote_kernels.wire import kernel_sockets

from . import passage
from .heartbeat import Heartbeat
from .interfaces import Request, Respondent
from .listener import Broadcast, Listener
from .passage import Passage


def connection_info(ip: str, key: bytes) -> dict[str, Any]:
    """Return what Jupyter must know of a front's sockets."""
    return {
        "transport": "ipc",
        "ip": ip,
        **kernel_sockets.port_fields(kernel_sockets.NUMBERS),
        "key": key,
        "signature_scheme": "hmac-sha256",
    }


class Front:
    """One kernel's five sockets at the login end.

    Parameters
    ----------
    ip:
        The `ip` of a connection of transport ipc: the sockets are `ip-1` to `ip-5`,
        in a directory that only the user may enter.
    """

    def __init__(self, ip: str) -> None:
        self._ip = ip
        self._listeners: dict[str, Listener] = {}
        self._passages: dict[str, Passage | Heartbeat] = {}
        self._respondent: Respondent | None = None

    # Called by kernel/

    def bind(self, respondent: Respondent) -> None:
        """Make the sockets that clients connect to; `respondent` answers them.

        Raises OSError.
        """
        for target in kernel_sockets.SOCKETS:
            listener = Listener(target == "iopub", partial(self._take, target))
            self._listeners[target] = listener
            listener.bind(self._path(target))
        self._serve(respondent)

    def rebind(self, ip: str | None = None) -> None:
        """Make them anew after jupyter_client (8.10) has unlinked them at a restart.

        Whoever is connected stays so, and nothing that is under way is lost.

        Parameters
        ----------
        ip:
            Another place for them.

        Raises
        ------
        OSError
            A socket cannot be made there.
        """
        self._ip = ip or self._ip
        for target, listener in self._listeners.items():
            listener.bind(self._path(target))

    def _path(self, target: str) -> Path:
        return Path(kernel_sockets.path(self._ip, target))

    def is_reachable(self) -> bool:
        """Whether new clients find all of it."""
        return all(listener.is_reachable() for listener in self._listeners.values())

    def hand_over(
        self,
        respondent: Respondent | None,
        back: Mapping[str, Path],
        curve: tuple[bytes, bytes] | None = None,
        held: Sequence[Request] = (),
        heartbeat: Callable[[], Channel | None] | None = None,
    ) -> None:
        """Let the kernel answer from now on; also a new process of it.

        Parameters
        ----------
        respondent:
            For the targets that are not in `back`.
        back:
            For each target whose bytes pass as they are, the path of the tunnel's
            socket.
        curve:
            The kernel's CURVE public and secret key (Z85), where it uses CURVE.
        held:
            Requests for the kernel that come before all others.
        heartbeat:
            Makes a channel to its heartbeat, if that is not in `back`, and if it can.
        """
        self.disconnect()  # from a process that is gone
        identity = secrets.token_bytes(8)
        for target, path in back.items():
            sock = passage.connect(target, path, identity, curve)
            self._passages[target] = Passage(self._listeners[target], sock)
        if heartbeat is not None:
            self._passages["hb"] = Heartbeat(self._listeners["hb"].send, heartbeat)
        self._serve(respondent)
        for target, parts in held:
            self._take(target, parts)
        for listener in self._listeners.values():
            listener.resume()

    def disconnect(self) -> None:
        """Let go of the tunnel's sockets before they go: ZMQ would connect again."""
        for target, open_passage in self._passages.items():
            self._listeners[target].pause()
            open_passage.close()
        self._passages.clear()

    def close(self) -> None:
        """Close all sockets, and remove their files."""
        self.disconnect()
        for listener in self._listeners.values():
            listener.close()
        self._serve(None)
        self._listeners.clear()

    def _serve(self, respondent: Respondent | None) -> None:
        if self._respondent is not None and self._respondent is not respondent:
            self._respondent.serve(None)
        self._respondent = respondent
        if respondent is not None:
            respondent.serve(self)

    # Called by listeners

    def _take(self, target: str, parts: list[bytes]) -> bool:
        """Pass a client's message on, and tell whether another one may follow."""
        if target in self._passages:
            self._passages[target].send(parts)
            return True
        assert self._respondent is not None
        if target == "iopub":
            return self._respondent.subscribed(parts[0])
        return self._respondent.request(target, parts)

    # Called by the respondent

    def send(self, target: str, parts: list[bytes]) -> None:
        """Send a message by identity, or on iopub by topic."""
        self._listeners[target].send(parts)

    def begin(self, parts: list[bytes], left: int) -> Broadcast:
        """Publish a message of whose last frame `left` bytes follow."""
        return self._listeners["iopub"].begin(parts, left)

    def resume(self, target: str) -> None:
        """Bring requests again: there is room for them."""
        self._listeners[target].resume()

    def has_client(self, target: str, identity: bytes) -> bool:
        """Whether a client of that identity has connected to that socket."""
        return self._listeners[target].has_client(identity)

    def awaits_subscriptions(self) -> bool:
        """Whether a client of iopub has connected and not yet subscribed."""
        return self._listeners["iopub"].awaits_subscriptions()
