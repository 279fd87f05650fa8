"""Host-based authentication: the login host vouches for its users to the nodes.

ssh-keysign, which may read the host's own keys, signs for who asks. Source: ssh_config(5),
ssh-keysign(8) of OpenSSH 9.2. Used by ssh_login.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import stat
from pathlib import Path

from .ssh_keys import settings

TIMEOUT = 5.0  # seconds

# Debian; RHEL; SUSE and Arch; built by hand.
PLACES = (
    "/usr/lib/openssh/ssh-keysign",
    "/usr/libexec/openssh/ssh-keysign",
    "/usr/lib/ssh/ssh-keysign",
    "/usr/libexec/ssh-keysign",
    "/usr/libexec/ssh/ssh-keysign",
    "/usr/local/libexec/ssh-keysign",
)


async def keysign(host: str) -> str | None:
    """Return the program that signs for a login to that host, if ssh(1) would use it."""
    path = next(filter(_may_sign, PLACES), None)
    if path is None or not enabled(await asyncio.to_thread(settings, host, TIMEOUT)):
        return None
    return path


def enabled(config: str) -> bool:
    """Return whether ssh(1) would, by what `ssh -G` says."""
    words = {tuple(line.lower().split()) for line in config.splitlines()}
    wanted = {("hostbasedauthentication", "yes"), ("enablesshkeysign", "yes")}
    return wanted <= words


def _may_sign(path: str) -> bool:
    """As root, or of the group that may read the host's keys."""
    with contextlib.suppress(OSError):
        return bool(Path(path).stat().st_mode & (stat.S_ISUID | stat.S_ISGID))
    return False
