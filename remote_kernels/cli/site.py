"""One look at the scheduler: what a kernelspec asks for that this site has not.

Said and never refused: whoever installs may know better, and the site may change.
Called by `install`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping

from remote_kernels import harmless
from remote_kernels.config import parse
from remote_kernels.errors import RemoteKernelError
from remote_kernels.kernel import DRIVERS, driver_name
from remote_kernels.scheduler import command
from remote_kernels.scheduler.base import JobRequest

log = harmless.logger(__name__)

TIMEOUT = 5.0  # seconds for the scheduler to say what there is


def doubts(config: Mapping[str, object]) -> list[str]:
    """In a sentence each; nothing where nobody answers in time."""
    settings = parse(config)
    request = JobRequest("", settings.options, settings.sbatch_args, "")
    try:
        driver = DRIVERS[driver_name(settings)]()
        argv = driver.site_argv()
        if not argv or shutil.which(driver.command) is None:
            return []
        environ = driver.environment(os.environ, settings.env_keep)
        done = asyncio.run(command.run(argv, env=environ, timeout=TIMEOUT))
        return driver.doubts(done, request)
    except RemoteKernelError as error:
        log.debug("nothing is known of the site: %s", error)
        return []
