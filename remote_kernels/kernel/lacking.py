"""What to say of something that the login node has, and a node or a container lacks.

Pure text. Called by connection.py.
"""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath

NOT_FOUND = 127  # a shell's exit code for a program or a library

# As glibc 2.36, Python 3.11 and bash 5.2 say it.
_MISSES = re.compile(
    "error while loading shared libraries|cannot open shared object file"
    "|No module named|ModuleNotFoundError|command not found"
)
# Python 3.11 begins the line with its path where the module is that of `-m`.
_NO_IPYKERNEL = re.compile(
    r"^(?:(?P<python>/.*?): )?.*No module named '?ipykernel(?:_launcher)?(?![\w.])",
    re.MULTILINE,
)


def change(spec_name: str, options: str) -> str:
    """Return the command that gives an installed kernelspec these options, too."""
    name = shlex.quote(spec_name) if spec_name else "NAME"
    return f"remote-kernels install --from {name} --name {name} {options}"


def not_loaded(spec_name: str) -> str:
    """Return the advice for a program, library or module that is not there."""
    prologue = change(spec_name, "--prologue 'module load ...'")
    keep = change(spec_name, "--env-keep LD_LIBRARY_PATH")
    return (
        "A job begins with few of your notebook server's variables (PATH is one of "
        "them, LD_LIBRARY_PATH and PYTHONPATH are not), and a node may lack what the "
        "login node has. Load it in the job, or pass a variable on:\n"
        f"    {prologue}\n    {keep}"
    )


def advice(exit_code: int | None, output: str, spec_name: str) -> str:
    """Return more lines for a kernel that ended before it was ready, or ""."""
    lacks = _NO_IPYKERNEL.search(output)
    if lacks is not None:
        return f"\n{_without_ipykernel(lacks['python'], spec_name)}"
    if exit_code == NOT_FOUND or _MISSES.search(output):
        return f"\n{not_loaded(spec_name)}"
    return f"\n{_NOT_WAITED_FOR}" if exit_code == 0 else ""


_NOT_WAITED_FOR = (
    "What is around the kernel (a container, a launcher, a script) must run the "
    "kernel's command and wait for it: see 'Something around the kernel' in "
    "docs/environment.md. It is the 'prefix' (--command-prefix) or the 'argv' of the "
    "kernelspec."
)


def _without_ipykernel(python: str | None, spec_name: str) -> str:
    """Return the advice for an interpreter that is there, but cannot be a kernel."""
    pip = f"{shlex.quote(python) if python else 'that interpreter'} -m pip install"
    other = change(spec_name, "--python PATH")
    return (
        f"{python or 'The interpreter'} has no ipykernel. Install it there, or choose "
        f"another interpreter:\n    {pip} ipykernel\n    {other}"
    )


def elsewhere(directory: str, node: str) -> str:
    """Return what is said when a kernel could not begin in the notebook's directory."""
    return (
        f"The notebook's directory {directory} is not there for its kernel on {node} (or "
        "may not be entered), so the kernel began elsewhere: `import os; os.getcwd()` "
        "says where. Files beside the notebook are not found under their names. Move the "
        "notebook to a file system that the compute nodes share, and a container around "
        f"the kernel must show it (for example --bind {directory})."
    )


def hidden(directory: str, spec_name: str) -> str:
    """Return the advice for a container that hides the node directory."""
    above = PurePosixPath(directory).parent
    return (
        f"The container around the kernel has a {above} of its own, and the kernel's "
        f"sockets lie in that of the node. Show it the node's ({above}:{above} as "
        f"`--bind` of Apptainer or `--volume` of Podman, `--bind {above} {above}` of "
        "bubblewrap), or name a directory of the node that the container shows:\n"
        f"    {change(spec_name, '--node-dir DIRECTORY')}"
    )
