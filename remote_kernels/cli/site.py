"""One look at the scheduler: what a kernelspec asks for that this site has not.

Said and never refused: whoever installs may know better, and the site may change.
Called by `install`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from remote_kernels import harmless
from remote_kernels.config import parse
from remote_kernels.errors import RemoteKernelError
from remote_kernels.scheduler import command
from remote_kernels.scheduler.driver import Site
from remote_kernels.scheduler.drivers import environment
from remote_kernels.scheduler.job import JobRequest

log = harmless.logger(__name__)

TIMEOUT = 5.0  # seconds for the scheduler to say what there is


def doubts(config: Mapping[str, object]) -> list[str]:
    """In a sentence each; nothing where nobody answers in time."""
    settings = parse(config)
    driver = settings.driver
    if not isinstance(driver, Site) or not driver.is_here(os.environ):
        return []
    try:
        query = driver.doubts(JobRequest("", "", settings.options))
        if query is None:
            return []
        environ = environment(driver, os.environ, settings.env_keep)
        done = asyncio.run(command.run(query.argv, env=environ, timeout=TIMEOUT))
        return query.parse(done)
    except RemoteKernelError as error:
        log.debug("nothing is known of the site: %s", error)
        return []
