"""Files of the server's contents, named by their paths below its root directory.

Rules: the contents manager says where a path is, and what is not to be shown: links are
what they are for Jupyter. Called by jobs.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_server.services.contents.filemanager import FileContentsManager
from jupyter_server.utils import ensure_async
from tornado import web

from .errors import Refusal


async def file_below(server: Any, path: str) -> Path:
    """Return where a file is.

    Raises
    ------
    Refusal
        There is no such file below the root, or contents are no files here.
    """
    contents: Any = server.contents_manager
    is_file_manager = isinstance(contents, FileContentsManager)
    if not is_file_manager:
        raise Refusal(409, "This server's contents are no files, so none is submitted.")
    try:
        is_there = await ensure_async(contents.file_exists(path))
        if is_there and not contents.allow_hidden:
            is_there = not await ensure_async(contents.is_hidden(path))
        found = Path(contents._get_os_path(path))
    except (web.HTTPError, OSError, ValueError):
        is_there = False
    if not is_there:
        raise Refusal(404, f"There is no file {path!r} below this server's root.")
    return found.absolute()  # noqa: ASYNC240 - nothing is looked up


def path_below(server: Any, path: str | None) -> str | None:
    """Return a file's path below the root; None if it is not there."""
    root = getattr(server.contents_manager, "root_dir", None)
    if path is None or not root:
        return None
    try:
        return Path(path).relative_to(root).as_posix()
    except ValueError:
        return None
