"""Directories and files that are this user's alone, at both ends.

What is ours is 0700 or 0600 by mode, whatever the umask. What is there already is
used only if it belongs to us and nobody else can write to it; it is opened step by
step, without following links, and looked at through what was opened, so nobody can
exchange it in between. Called by records/, kernel/ and agent/.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from collections.abc import Iterator

LARGEST = 16 * 1024 * 1024  # bytes of a file; none of ours comes near
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC


class NotPrivateError(OSError):
    """Others could change what is there. The text says what to do.

    `elsewhere`: that is to choose another directory.
    """

    def __init__(self, text: str, *, elsewhere: bool = False) -> None:
        super().__init__(errno.EPERM, text)
        self.elsewhere = elsewhere

    def __str__(self) -> str:
        return str(self.args[1])


# What is ours


@contextlib.contextmanager
def opened(base: str, *names: str, missing_too: bool = False) -> Iterator[int]:
    """Yield a descriptor of `base/names...`. Raises OSError.

    `base` may be reached through links, as the user or root made them; what is below
    it is no link, and made if it is missing and `missing_too`.
    """
    path, fd = base, os.open(_unlinked(base), _DIRECTORY)
    try:
        _check(path, os.fstat(fd))
        for name in names:
            path = os.path.join(path, name)
            if missing_too:
                _mkdir(name, fd)
            below = _open_below(fd, name, path)
            os.close(fd)
            fd = below
            _check(path, os.fstat(fd))
        yield fd
    finally:
        os.close(fd)


def make(base: str, *names: str) -> None:
    """Make what is missing of `base/names...`; check all of it. Raises OSError."""
    make_missing(base)
    with opened(base, *names, missing_too=True):
        pass


def make_missing(path: str) -> None:
    """Make this directory and those above it, where they are missing. Raises OSError."""
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path) or "."
    for one in reversed(missing):
        _mkdir(one)


def check(path: str) -> None:
    """Raise OSError where this directory is not ours alone, or a link."""
    _check(path, os.lstat(path))


def _check_file(name: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Not a file", name)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        msg = f"{name} is not yours alone: {_told(status)}"
        raise NotPrivateError(msg)


def is_ours(path: str) -> bool:
    """Return whether `check` finds nothing wrong with it."""
    with contextlib.suppress(OSError):
        check(path)
        return True
    return False


def read(directory: int, name: str) -> bytes:
    """Read a file of ours. Raises OSError."""
    # A named pipe in its place would keep us waiting.
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _FILE, dir_fd=directory)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        _check_file(name, status)
        if status.st_size > LARGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
        return file.read(LARGEST)


def write(directory: int, name: str, data: bytes) -> None:
    """Write beside and rename, so that it is never half there. Raises OSError."""
    beside = f"{name}.{os.urandom(4).hex()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE
    fd = os.open(beside, flags, 0o600, dir_fd=directory)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o600)
            file.write(data)
        os.replace(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside, dir_fd=directory)
        raise


def append(directory: int, name: str, data: bytes) -> None:
    """Append to a file of ours that is there; a crash may leave half. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | _FILE
    with os.fdopen(os.open(name, flags, dir_fd=directory), "ab") as file:
        _check_file(name, os.fstat(file.fileno()))
        file.write(data)


def write_beside(path: str, data: bytes) -> None:
    """Write a 0600 file where the user wants it, in anybody's directory. Raises OSError."""
    above, name = os.path.split(os.path.abspath(path))
    directory = os.open(above, _DIRECTORY)
    try:
        write(directory, name, data)
    finally:
        os.close(directory)


# What is above


def check_above(path: str) -> None:
    """Raise NotPrivateError where others could put a directory in this one's place.

    Not above the home directory, nor of that itself: who can write there has the
    account.
    """
    home = os.path.realpath(os.path.expanduser("~"))
    above = os.path.dirname(os.path.realpath(path))
    while above != home:
        with contextlib.suppress(FileNotFoundError):
            _check_shared(above, os.stat(above))
        if above == os.path.dirname(above):
            return
        above = os.path.dirname(above)


def check_shared(path: str) -> None:
    """Raise NotPrivateError where others could exchange what we make in it."""
    _check_shared(path, os.stat(path))
    check_above(path)


def _check_shared(path: str, status: os.stat_result) -> None:
    trusted = status.st_uid in (0, os.geteuid(), _nobody())
    if trusted and (not _others_write(status) or status.st_mode & stat.S_ISVTX):
        return
    where = f"{path}, of which what is to be private is a part"
    if not trusted:
        msg = f"{where}, belongs to neither you nor root: {_told(status)}."
        raise NotPrivateError(msg, elsewhere=True)
    msg = (
        f"{where}, can be written by others ({_told(status)}), who could put a "
        "directory of theirs in its place."
    )
    if status.st_uid == os.geteuid():
        msg += f" If nobody else needs that:\n  chmod go-w {shlex.quote(path)}"
    raise NotPrivateError(msg, elsewhere=True)


def _nobody() -> int:
    """Whom all owners look like that a user namespace, as of a container, has not."""
    try:
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


# One directory


def _unlinked(path: str) -> str:
    """Where it is. Raises NotPrivateError for a link that somebody else made."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return path
    if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid()):
        msg = f"{path} is a link that somebody else made: {_told(status)}."
        raise NotPrivateError(msg, elsewhere=True)
    return os.path.realpath(path)


def _open_below(directory: int, name: str, path: str) -> int:
    try:
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except NotADirectoryError:
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            raise
        raise _linked(path) from None


def _mkdir(path: str, directory: int | None = None) -> None:
    with contextlib.suppress(FileExistsError):
        make_new(path, directory)


def make_new(path: str, directory: int | None = None) -> None:
    """Make a directory that is not there; raises FileExistsError if it is."""
    os.mkdir(path, 0o700, dir_fd=directory)
    fd = os.open(path, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        if os.fstat(fd).st_mode & 0o700 != 0o700:  # such an umask
            os.fchmod(fd, 0o700)
    finally:
        os.close(fd)


def _check(path: str, status: os.stat_result) -> None:
    quoted = shlex.quote(path)
    if stat.S_ISLNK(status.st_mode):
        raise _linked(path)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    if status.st_uid != os.geteuid():
        msg = f"{path} is not yours: {_told(status)}."
        raise NotPrivateError(msg, elsewhere=True)
    if _others_write(status):
        msg = (
            f"{path} can be written by others ({_told(status)}), who could run what "
            "they like as you.\nIf nobody else has put anything there:\n"
            f"  chmod 700 {quoted}"
        )
        raise NotPrivateError(msg)


def _linked(path: str) -> NotPrivateError:
    text = f"{path} is a link, where a directory of yours should be.\n"
    return NotPrivateError(f"{text}  rm {shlex.quote(path)}")


def _others_write(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


def _is_own_group(gid: int) -> bool:
    """Return whether a group is the user's alone: many systems make one for each user."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    alone = not set(group.gr_mem) - {user.pw_name}
    return gid == user.pw_gid and group.gr_name == user.pw_name and alone


def _told(status: os.stat_result) -> str:
    import grp
    import pwd

    owner, group = str(status.st_uid), str(status.st_gid)
    with contextlib.suppress(KeyError):
        owner = pwd.getpwuid(status.st_uid).pw_name
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(status.st_gid).gr_name
    return f"owner {owner}, group {group}, mode {stat.S_IMODE(status.st_mode):04o}"
