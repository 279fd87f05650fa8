"""What there is to choose from: what is free, when a job would start, what is not allowed.

Rules: nothing is submitted, and nothing is invented: what a batch system does not tell is
None. Each question is asked once for all who want to know, and none is waited for long.
Called by the REST API and by `info --queues`, on the loop of the runtime.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from remote_kernels import harmless
from remote_kernels.bounded import within
from remote_kernels.config import Settings
from remote_kernels.errors import ChoiceError, CommandError, ConfigError
from remote_kernels.scheduler.driver import Driver, Estimates, Queues
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.free import Estimate, Queue
from remote_kernels.scheduler.here import detected
from remote_kernels.scheduler.job import JobRequest
from remote_kernels.scheduler.jobs import Jobs

from . import site
from .runtime import Runtime

log = harmless.logger(__name__)

PATIENCE = 5.0  # seconds for a batch system to say when a job would start
QUEUES_PATIENCE = 20.0  # the same of what is free: all who look wait together
_NAME = "jupyter-00000000"  # of a job that is never submitted


# --- what is free -------------------------------------------------------------------


@dataclass(frozen=True)
class Free:
    """What is free.

    Parameters
    ----------
    scheduler
        The batch system.
    asked
        When it was asked, in seconds since the epoch.
    queues
        Its queues; none where it cannot tell.
    """

    scheduler: str
    asked: float
    queues: list[Queue]

    def as_json(self) -> dict[str, Any]:
        """Return what the REST API tells."""
        return {**asdict(self), "queues": [each.as_json() for each in self.queues]}


async def free(runtime: Runtime, scheduler: str = "auto") -> Free:
    """Return what is free, as it was at most half a minute ago.

    Raises
    ------
    ConfigError
        There is no such batch system.
    CommandError
        It does not say.
    """
    driver = DRIVERS.get(scheduler) if scheduler != "auto" else detected()
    if driver is None:
        known = ", ".join(("auto", *DRIVERS))
        msg = f"There is no batch system called {scheduler!r}. Known: {known}."
        raise ConfigError(msg)
    if not isinstance(driver, Queues):
        return Free(driver.name, time.time(), [])
    jobs, query = runtime.jobs(driver), driver.queues()
    asked, queues = await runtime.queues.get(
        driver.name, lambda: jobs.ask(query, QUEUES_PATIENCE)
    )
    return Free(driver.name, asked, queues)


# --- when a job would start ---------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """When a kernel's job would start, or why it never could.

    Parameters
    ----------
    start
        Seconds since the epoch; None where nobody knows, or it never would.
    text
        What the batch system says besides, as a clause for people.
    problems
        What is not allowed, or not to be had, and what to change.
    """

    start: float | None
    text: str
    problems: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return what the REST API tells."""
        return asdict(self)


async def outlook(runtime: Runtime, config: Mapping[str, object]) -> Outlook:
    """Return what would become of a kernel with that config; nothing is submitted."""
    try:
        settings = site.check(config)
    except ConfigError as error:
        return Outlook(None, "", error.problems)
    key = json.dumps(config, sort_keys=True, default=repr)
    _, found = await runtime.estimates.get(
        key, lambda: _ask(runtime, dict(config), settings)
    )
    return found


async def _ask(
    runtime: Runtime, config: Mapping[str, object], settings: Settings
) -> Outlook:
    """Ask what this site has not, and when the job would start: one such question at a time."""
    try:
        await within(runtime.estimating.acquire(), PATIENCE)
    except asyncio.TimeoutError:
        return Outlook(None, f"{settings.driver.title} is slow to answer", [])
    try:
        doubts, said = await asyncio.gather(
            site.doubts(config), _estimate(runtime, settings)
        )
    finally:
        runtime.estimating.release()
    problems = [*doubts, *filter(None, [said.problem])]
    return Outlook(None if problems else said.start, said.text, problems)


async def _estimate(runtime: Runtime, settings: Settings) -> Estimate:
    """Ask when such a job would start, or why it would be refused."""
    driver = settings.driver
    try:
        asking = _first(runtime.jobs(driver), driver, settings)
        found = await within(asking, PATIENCE)
    except ChoiceError as error:
        return Estimate(None, str(error))
    except ConfigError as error:
        return Estimate(None, "", str(error))
    except (asyncio.TimeoutError, CommandError) as error:
        log.info("%s does not say when a job would start: %s", driver.name, error)
        return Estimate(None, f"{driver.title} did not answer")
    return found or Estimate(None, f"{driver.title} does not say when")


async def _first(jobs: Jobs, driver: Driver, settings: Settings) -> Estimate | None:
    """Return the first answer that says anything."""
    if not isinstance(driver, Estimates):
        return None
    request = JobRequest(_NAME, "/dev/null", settings.options)
    prepared = await jobs.prepare(request)
    for query in driver.estimates(prepared):
        found = await jobs.ask(query, PATIENCE)
        if found is not None:
            return found
    return None
