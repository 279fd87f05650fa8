"""What of the notebook server's environment a job may see. Called by `drivers.py`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

# The job gets what a login shell would find, not what the notebook server holds: no
# tokens, no variables of an enclosing job, no half-loaded modules. An inherited
# _ModuleTable* or LOADEDMODULES makes Lmod believe that modules are loaded whose
# variables were not passed. XDG_RUNTIME_DIR names a directory the node has not.
ALLOWED = (
    *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "LANGUAGE", "LC_*", "TZ"),
    *("TERM", "MODULEPATH", "MODULESHOME", "LMOD_*"),
)
# A pattern in env_keep never reaches these, nor what any driver guards; a full name does.
GUARDED = (
    *("RK_*", "XDG_RUNTIME_DIR", "_ModuleTable*", "LOADEDMODULES", "_LMFILES_"),
    *("JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"),
)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern fits, as a shell matches file names."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
