"""A short private directory for one kernel's sockets at the login end.

$XDG_RUNTIME_DIR where it is ours, else /tmp: a Unix socket's path has 107 bytes, so a
deep home directory will not do.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from remote_kernels import harmless
from remote_kernels.errors import ConfigError, RecordError
from remote_kernels.relay import private
from remote_kernels.wire.kernel_sockets import SUN_PATH

log = harmless.logger(__name__)

TMP = Path("/tmp")  # noqa: S108 - mkdtemp makes a 0700 directory in it
LONGEST_NAME = len("/up-control")


def choose_base(configured: str | None, environ: dict[str, str]) -> Path:
    """Return where to make the directory. Raises ConfigError if its path is too long.

    Parameters
    ----------
    configured:
        The user's choice, if any.
    environ:
        The process's environment.
    """
    if configured:
        base = Path(configured).expanduser()
        example = base / "rk-12345678"
        length = len(os.fsencode(example)) + LONGEST_NAME
        if length > SUN_PATH:
            msg = (
                f"runtime_dir {base} is too long: a Unix socket's path has at most "
                f"{SUN_PATH} bytes, and ours would have {length}. Choose a directory "
                f"of at most {SUN_PATH - length + len(os.fsencode(base))} bytes."
            )
            raise ConfigError(msg)
        return base
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime and len(runtime) < 60 and _is_ours(Path(runtime)):
        return Path(runtime)
    return TMP


def _is_ours(path: Path) -> bool:
    return private.is_ours(str(path)) and not path.lstat().st_mode & 0o077


def make(base: Path) -> Path:
    """Make a new 0700 directory in `base`, and return it. Raises RecordError."""
    try:
        private.make_missing(str(base))
        if base != TMP:
            private.check_shared(str(base))
        made = Path(tempfile.mkdtemp(prefix="rk-", dir=base))
        made.chmod(0o700)  # such an umask
        return made
    except OSError as exc:
        msg = (
            f"Cannot make a directory for the kernel's sockets in {base}: {exc}\n"
            "Set runtime_dir in the kernelspec's config to a short path that you can "
            "write."
        )
        raise RecordError(msg) from exc


def new(configured: str | None) -> Path:
    """Make a directory where the user wants it, or where there is a place for it.

    Raises ConfigError, RecordError.
    """
    return make(choose_base(configured, dict(os.environ)))


def room_for(file: Path, instead: Path | None) -> Path:
    """Return where a file can be made whose directory is missing: there, made anew.

    Where that cannot be, in `instead`.
    """
    try:
        private.make_missing(str(file.parent))
    except OSError as exc:
        log.warning("%s", exc)
    if instead is None or file.parent.is_dir():
        return file
    return instead / file.name


def remove(path: Path) -> None:
    """Remove a directory, whatever is in it; one that is not there is no error."""
    shutil.rmtree(path, ignore_errors=True)
