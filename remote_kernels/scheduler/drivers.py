"""The batch systems that we know.

Each is a package beside this file that has a `DRIVER`; others come with packages of
their own, under the entry point `remote_kernels.schedulers`. Called by whoever reads a
kernelspec's `scheduler`, or asks all of them. Which one is here: `here.py`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points

from remote_kernels import harmless, scheduler

from .driver import Driver
from .environment import ALLOWED, GUARDED, matches

GROUP = "remote_kernels.schedulers"

log = harmless.logger(__name__)


def _found() -> dict[str, Driver]:
    drivers: list[Driver] = [
        importlib.import_module(f"{scheduler.__name__}.{module.name}").DRIVER
        for module in pkgutil.iter_modules(scheduler.__path__)
        if module.ispkg
    ]
    drivers += filter(None, map(_loaded, entry_points(group=GROUP)))
    # As it is chosen, and shown.
    drivers.sort(key=lambda driver: (driver.is_fallback, driver.rank, driver.name))
    found: dict[str, Driver] = {}
    for driver in drivers:
        if found.setdefault(driver.name, driver) is not driver:
            log.warning("a second batch system '%s' is left out", driver.name)
    return found


def _loaded(point: EntryPoint) -> Driver | None:
    """Return another package's driver; a package that is broken harms no other."""
    try:
        driver = point.load()
        if not isinstance(driver, Driver):
            msg = f"{driver!r} is no Driver"
            raise TypeError(msg)
    except Exception as exc:  # noqa: BLE001 - whatever its import does
        log.warning(
            "the batch system '%s' is left out: %s: %r", point.name, point.value, exc
        )
        return None
    return driver


DRIVERS: Mapping[str, Driver] = _found()
"""All of them, by the names that a kernelspec gives them; the last resort last."""


def environment(
    driver: Driver, environ: Mapping[str, str], keep: Sequence[str] = ()
) -> dict[str, str]:
    """Return what of the server's environment its commands, and so jobs, may see.

    Parameters
    ----------
    driver : Driver
        The batch system.
    environ : mapping
        The notebook server's environment.
    keep : sequence of str
        The kernelspec's `env_keep`: names, and patterns that do not reach what is
        guarded.
    """
    allowed = (*ALLOWED, *driver.allowed)
    guarded = [*GUARDED, *(one for each in DRIVERS.values() for one in each.guarded)]
    return {
        name: value
        for name, value in environ.items()
        if name in keep
        or matches(name, allowed)
        or (matches(name, keep) and not matches(name, guarded))
    }
