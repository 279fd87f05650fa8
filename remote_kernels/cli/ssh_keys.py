"""What ssh would have to show to a node without a prompt, as far as this side tells.

It decides nothing: whether a node takes it is known once a kernel's carrier has tried.
Called by `doctor`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_TIMEOUT = 10.0  # seconds; a Match exec in the configuration may take its time


def ways() -> tuple[list[str], list[str]]:
    """What can be used without a prompt, and the keys that cannot."""
    settings = _settings()
    keys = list(_keys(settings))
    locked = [path for path in keys if _is_locked(path)]
    found = [_named(path) for path in keys if path not in locked]
    if "SSH_AUTH_SOCK" in os.environ or _value(settings, "identityagent"):
        found.append("an ssh-agent")
    if _value(settings, "hostbasedauthentication") == "yes":
        found.append("host-based authentication")
    return found, [_named(path) for path in locked]


def _named(path: Path) -> str:
    return path.name if path.parent == Path.home() / ".ssh" else str(path)


def _keys(settings: Sequence[str]) -> Iterator[Path]:
    """All that lie in ~/.ssh, and those that the configuration names elsewhere."""
    directory = Path.home() / ".ssh"
    named = [Path(text).expanduser() for text in _values(settings, "identityfile")]
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
    """The IdentityFile lines for any host, as the nodes' names are not known here."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return
    for name, value in re.findall(
        r"(?im)^\s*(IdentityFile|Include)[\s=]+(.+?)\s*$", text
    ):
        value = value.strip('"').replace("%d", str(Path.home()))
        if name.lower() == "identityfile":
            yield value
        elif depth < 5:
            base = Path.home() / ".ssh"
            for word in value.split():
                pattern = Path(word).expanduser()
                relative = os.path.relpath(base / pattern, "/")
                for file in sorted(Path("/").glob(relative)):
                    yield from _configured(file, depth + 1)


def _settings() -> list[str]:
    """As ssh itself reads its configuration; empty where there is no ssh."""
    try:
        done = subprocess.run(
            ["ssh", "-G", "localhost"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines()


def _values(settings: Sequence[str], name: str) -> list[str]:
    pairs = (line.partition(" ") for line in settings)
    return [value for key, _, value in pairs if key.lower() == name]


def _value(settings: Sequence[str], name: str) -> str:
    value = [*_values(settings, name), ""][0]
    return "" if value in ("none", "SSH_AUTH_SOCK") else value


def _is_locked(path: Path) -> bool:
    """Whether it has a passphrase; also if it cannot be read at all."""
    try:
        done = subprocess.run(
            ["ssh-keygen", "-y", "-P", "", "-f", str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode != 0
