"""Where an SSH carrier goes. Made by kernel/, used by ssh.py and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Destination:
    """Where the agent is.

    Parameters
    ----------
    hosts : tuple
        Names and addresses of the node, the likeliest first.
    host_keys : tuple
        The node's public host keys, as its agent reported them through the job; empty
        to go by the user's and the system's known_hosts.
    socket : str
        The agent's Unix socket.
    connect : tuple
        The command that joins its standard streams to that socket, for nodes whose
        sshd does not forward.
    template : str
        The option 'address' that made the host's name, if it was given.
    instead : str
        The other carriers that the user may choose, for advice; "" for none.
    """

    hosts: tuple[str, ...]
    host_keys: tuple[str, ...]
    socket: str
    connect: tuple[str, ...]
    template: str = ""
    instead: str = ""
