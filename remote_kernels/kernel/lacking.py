"""What to say of something that the login node has, and a node or a container lacks.

Pure text. Called by connection.py.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

NOT_FOUND = 127  # a shell's exit code for a program or a library
NOT_LOADED = (
    "A job begins with few of your notebook server's variables (PATH is one of them, "
    "LD_LIBRARY_PATH and PYTHONPATH are not), and a node may lack what the login node "
    "has. Load it in the job, or pass a variable on:\n"
    "    remote-kernels install NAME --prologue 'module load ...'\n"
    "    remote-kernels install NAME --env-keep LD_LIBRARY_PATH"
)

# As glibc 2.36, Python 3.11 and bash 5.2 say it.
_MISSES = re.compile(
    "error while loading shared libraries|cannot open shared object file"
    "|No module named|ModuleNotFoundError|command not found"
)


def advice(exit_code: int | None, output: str) -> str:
    """For a kernel that ended before it was ready: a line more, or ""."""
    misses = exit_code == NOT_FOUND or _MISSES.search(output)
    return f"\n{NOT_LOADED}" if misses else ""


def elsewhere(directory: str, node: str) -> str:
    """For a kernel that could not begin in the notebook's directory."""
    return (
        f"The notebook's directory {directory} is not there for its kernel on {node} (or "
        "may not be entered), so the kernel began elsewhere: `import os; os.getcwd()` "
        "says where. Files beside the notebook are not found under their names. Move the "
        "notebook to a file system that the compute nodes share, and a container around "
        f"the kernel must show it (for example --bind {directory})."
    )


def hidden(directory: str) -> str:
    """For a kernel whose container does not show it the node directory."""
    above = PurePosixPath(directory).parent
    return (
        f"The container around the kernel has a {above} of its own, and the kernel's "
        f"sockets lie in that of the node. Show it the node's ({above}:{above} as "
        f"`--bind` of Apptainer or `--volume` of Podman, `--bind {above} {above}` of "
        "bubblewrap), or name a directory of the node that the container shows: "
        "remote-kernels install NAME --node-dir DIRECTORY"
    )
