"""Which batch system is here: what `scheduler` "auto" stands for.

PATH alone tells little: commands of several batch systems may be there while a site moves
from one to the other, and three of them have a `qsub`. So where there are several, each
is asked, once in a process; one that answers comes before one that is silent. Called by
whoever reads a config.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from remote_kernels import harmless
from remote_kernels.errors import CommandError

from . import command
from .driver import Driver
from .drivers import DRIVERS, environment
from .job import Completed

log = harmless.logger(__name__)

TIMEOUT = 5.0  # seconds for each to answer; all are asked at once


def detected() -> Driver:
    """Return the batch system of this host."""
    found = [driver for driver in DRIVERS.values() if driver.is_here(os.environ)]
    real = tuple(driver.name for driver in found if not driver.is_fallback)
    if len(real) < 2:
        return found[0]
    return DRIVERS[_chosen(real, os.environ.get("PATH", ""))]


@functools.lru_cache(maxsize=16)
def _chosen(names: tuple[str, ...], path: str) -> str:
    """Return the one that answers, or that at least spoke, or else the first."""
    drivers = [DRIVERS[name] for name in names if DRIVERS[name].question]
    asked = dict(zip(drivers, _answers(drivers), strict=True))
    spoke = [
        (said.returncode != 0, names.index(driver.name))
        for driver, said in asked.items()
        if said is not None and driver.recognizes(said)
    ]
    chosen = names[min(spoke)[1]] if spoke else names[0]
    log.info("of %s, whose commands are here, %s is taken", ", ".join(names), chosen)
    return chosen


def _answers(drivers: Sequence[Driver]) -> list[Completed | None]:
    """Ask all at once; None of one that cannot be asked, or does not answer in time."""
    with ThreadPoolExecutor(len(drivers) or 1) as pool:
        return [*pool.map(_answer, drivers)]


def _answer(driver: Driver) -> Completed | None:
    env = environment(driver, os.environ)
    asking = command.run(driver.question, env=env, timeout=TIMEOUT)
    try:
        return asyncio.run(asking)  # in a thread of its own
    except CommandError as error:
        log.info("%s does not answer: %s", driver.name, error)
        if not error.stdout and not error.stderr:
            return None
        return Completed(tuple(driver.question), 124, error.stdout, error.stderr)
