"""The batch script of a notebook that runs in a job, without a page.

Rules: pure text; every value is quoted; nothing secret is in it. It becomes the program
(`exec`), so that signals and exit code are that one's. Called by kernel/.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from remote_kernels.errors import ConfigError

NO_PYTHON = 97
NO_DIRECTORY = 96
RESTARTED = 93

_EXITS = {
    RESTARTED: "The scheduler started the job a second time; the notebook was not run "
    "again.",
    NO_DIRECTORY: "The notebook's directory is not there on the compute node. Put it on a "
    "file system that the login node and the compute nodes share.",
    NO_PYTHON: "The notebook server's own Python is not there on the compute node, or "
    "cannot run there. Start the server from an environment on a file system that the "
    "nodes share.",
}


def explain_exit(code: int) -> str | None:
    """Say what an exit code of the script means; None if it is the program's."""
    return _EXITS.get(code)


def build(head: str, argv: Sequence[str], directory: str) -> str:
    """Return the script.

    Parameters
    ----------
    head
        The driver's lines (`Driver.script_head`).
    argv
        The program: a Python, and what it is to run.
    directory
        Where it starts.
    """
    where, python = shlex.quote(directory), shlex.quote(argv[0])
    text = f"""\
#!/bin/bash
{head}
# A notebook as a batch job; made by remote_kernels.
unset XDG_RUNTIME_DIR  # names a directory of the login node
rk_say() {{ echo "remote_kernels: $*" >&2; }}
if [ "${{rk_restarted:-0}}" != 0 ]; then
  rk_say "the scheduler started this job again; the notebook is not run a second time"
  exit {RESTARTED}
fi
cd -- {where} || {{
  rk_say "the notebook's directory is not there on $(uname -n)"
  exit {NO_DIRECTORY}
}}
{python} -c '' || {{
  rk_say "the notebook server's Python does not run on $(uname -n):" {python}
  exit {NO_PYTHON}
}}
exec {shlex.join(argv)}
"""
    if "\0" in text or "\r" in text:
        message = "a value for the batch script holds a NUL or a carriage return"
        raise ConfigError(message)
    return text
