"""What of the notebook server's environment a job may see. Called by `drivers.py`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence

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


def filtered(
    environ: Mapping[str, str],
    keep: Sequence[str],
    allowed: Iterable[str],
    guarded: Iterable[str],
) -> dict[str, str]:
    """Return the variables that are allowed or kept.

    Parameters
    ----------
    environ : mapping
        The notebook server's environment.
    keep : sequence of str
        The kernelspec's `env_keep`: names, and patterns that do not reach what is
        guarded.
    allowed, guarded : iterable of str
        Patterns of the batch systems, beside ALLOWED and GUARDED.
    """
    allowed, guarded = (*ALLOWED, *allowed), (*GUARDED, *guarded)
    return {
        name: value
        for name, value in environ.items()
        if name in keep
        or matches(name, allowed)
        or (matches(name, keep) and not matches(name, guarded))
    }


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern fits, as a shell matches file names."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
