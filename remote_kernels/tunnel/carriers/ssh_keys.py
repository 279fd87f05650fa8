"""What could open a node without a prompt, and what to do if sshd lets nobody in.

Whether a node takes it is known only once a carrier has tried. Used by ssh.py for
advice, and by `doctor`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# What ssh(1) and asyncssh (2.24) try if ~/.ssh/config has no IdentityFile.
DEFAULT = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk", "id_dsa")
AUTHORIZED = "~/.ssh/authorized_keys"
_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_TIMEOUT = 10.0  # seconds; a Match exec in the configuration may take its time


@dataclass(frozen=True)
class Key:
    """One that could be offered.

    Parameters
    ----------
    name : str
        Its file, or what the ssh-agent calls it.
    blob : str
        Its public part as in authorized_keys; empty: unknown.
    locked : bool
        Whether it has a passphrase that nobody could be asked for.
    """

    name: str
    blob: str
    locked: bool = False


async def advice(host: str, files: Sequence[str], agent: str, instead: str = "") -> str:
    """Say what to do about a refusal by this host.

    Parameters
    ----------
    files : sequence of str
        The IdentityFile lines of ~/.ssh/config; empty: the usual ones.
    agent : str
        The ssh-agent's socket; empty: there is none.
    instead : str
        The other carriers that the user may choose; "" for none.
    """
    held = await _of_agent(agent)
    keys = await asyncio.to_thread(_of_files, files, {key.blob for key in held})
    authorized = await asyncio.to_thread(_text, Path(AUTHORIZED))
    return told(host, [*held, *keys], authorized, instead)


def told(host: str, keys: Sequence[Key], authorized: str, instead: str = "") -> str:
    """Say so by the keys that there are and the text of authorized_keys."""
    offered = [key for key in keys if not key.locked]
    locked = [key for key in keys if key.locked]
    if not keys:
        return (
            "There is no SSH key here. Where the site allows ssh to the nodes of a job, "
            "one of the cluster's own is enough:\n"
            "  ssh-keygen -t ed25519\n"
            f"  cat ~/.ssh/id_ed25519.pub >> {AUTHORIZED}"
        )
    lines = []
    if offered:
        known = [key for key in offered if key.blob and key.blob in authorized.split()]
        names = ", ".join(key.name for key in known or offered)
        if known:
            other = f"Use carrier {instead}, or ask" if instead else "Ask"
            lines.append(
                f"{host} refused {names}, though {AUTHORIZED} has it: this site may not "
                f"let users log in to its nodes. {other} the site's staff."
            )
        else:
            file = next((key.name for key in offered if "/" in key.name), "")
            how = f"cat {file}.pub" if file else "ssh-add -L"
            lines.append(
                f"{host} refused {names}, which {AUTHORIZED} does not have. Where the "
                f"nodes share your home:\n  {how} >> {AUTHORIZED}\n"
                f"else, where {host} takes a password:\n"
                f"  ssh-copy-id {f'-i {file}.pub ' if file else ''}{shlex.quote(host)}"
            )
    if locked:
        names = " ".join(key.name for key in locked)
        lines.append(
            f"{', '.join(key.name for key in locked)}: has a passphrase, and no ssh-agent "
            "that this server knows holds it. In the shell that starts the server, "
            f"before:\n  eval $(ssh-agent); ssh-add {names}"
        )
    return "\n".join(lines)


def _of_files(files: Sequence[str], held: set[str]) -> list[Key]:
    names = files or [f"~/.ssh/{name}" for name in DEFAULT]
    paths = [Path(name).expanduser() for name in names]
    keys = [_of_file(path) for path in paths if path.exists()]
    return [key for key in keys if key.blob not in held or not key.blob]


def _of_file(path: Path) -> Key:
    import asyncssh

    locked = False
    try:
        key = asyncssh.read_private_key(path)
        blob = key.export_public_key().split()[1].decode()
    except (OSError, ValueError) as exc:
        locked = "assphrase" in str(exc)
        blob = _blob(path.with_name(f"{path.name}.pub"))
    return Key(_short(path), blob, locked)


def _blob(path: Path) -> str:
    return [*_text(path).split(), "", ""][1]


def _text(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _short(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)


async def _of_agent(path: str) -> list[Key]:
    import asyncssh

    if not path:
        return []
    try:
        async with asyncssh.connect_agent(path) as agent:
            keys = await agent.get_keys()
    except (OSError, ValueError, asyncssh.Error):
        return []
    found = []
    for key in keys:
        blob = base64.b64encode(key.public_data).decode()
        found.append(Key(f"the ssh-agent's {key.get_comment()}", blob))
    return found


def agent_of(configured: object) -> str:
    """Return the ssh-agent's socket, as ~/.ssh/config or the environment has it."""
    return os.path.expanduser(str(configured or os.environ.get("SSH_AUTH_SOCK", "")))  # noqa: PTH111


# --- before anybody has tried ------------------------------------------------------


def ways() -> tuple[list[str], list[str]]:
    """Return what can be used without a prompt, and the keys that cannot."""
    said = settings("localhost", _TIMEOUT).splitlines()
    keys = [_of_file(path) for path in _private_keys(said)]
    found = [_named(key) for key in keys if not key.locked]
    if "SSH_AUTH_SOCK" in os.environ or _value(said, "identityagent"):
        found.append("an ssh-agent")
    if _value(said, "hostbasedauthentication") == "yes":
        found.append("host-based authentication")
    return found, [_named(key) for key in keys if key.locked]


def _named(key: Key) -> str:
    return key.name.removeprefix("~/.ssh/")


def _private_keys(said: Sequence[str]) -> Iterator[Path]:
    """All that lie in ~/.ssh, and those that the configuration names elsewhere."""
    directory = Path.home() / ".ssh"
    named = [Path(text).expanduser() for text in _values(said, "identityfile")]
    named += [Path(text).expanduser() for text in _configured(directory / "config")]
    try:
        there = sorted(directory.iterdir())
    except OSError:
        there = []
    for path in dict.fromkeys([*there, *named]):
        try:
            with path.open("rb") as file:
                private = _PRIVATE.match(file.read(100))
        except OSError:
            continue
        if private:
            yield path


def _configured(path: Path, depth: int = 0) -> Iterator[str]:
    """Yield the IdentityFile lines for any host: the nodes' names are not known here."""
    pattern = r"(?im)^\s*(IdentityFile|Include)[\s=]+(.+?)\s*$"
    for name, value in re.findall(pattern, _text(path)):
        value = value.strip('"').replace("%d", str(Path.home()))
        if name.lower() == "identityfile":
            yield value
        elif depth < 5:
            base = Path.home() / ".ssh"
            for word in value.split():
                relative = os.path.relpath(base / Path(word).expanduser(), "/")
                for file in sorted(Path("/").glob(relative)):
                    yield from _configured(file, depth + 1)


def settings(host: str, timeout: float) -> str:
    """Return all that ssh(1) goes by for a host, as it reads the configuration itself.

    "" where there is no ssh, or no answer within so many seconds. Blocks.
    """
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["ssh", "-G", "--", host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return done.stdout.decode(errors="replace")
    return ""


def _values(said: Sequence[str], name: str) -> list[str]:
    pairs = (line.partition(" ") for line in said)
    return [value for key, _, value in pairs if key.lower() == name]


def _value(said: Sequence[str], name: str) -> str:
    value = [*_values(said, name), ""][0]
    return "" if value in ("none", "SSH_AUTH_SOCK") else value
