"""What it means that a job runs and nobody can reach it, in words. Called by connector.py."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from remote_kernels.scheduler.driver import Driver, Enters
from remote_kernels.scheduler.job import JobId


def no_answer(
    silent: Sequence[str], here: str, node: str, job_id: JobId, driver: Driver
) -> str:
    """Return what is said when these carriers got no answer; the logs cannot know why.

    Parameters
    ----------
    silent:
        Their names.
    here, node:
        The two hosts.
    job_id, driver:
        The job on the node, and its scheduler.
    """
    ways = " and ".join(silent)
    text = (
        f"Job {job_id} runs on {node}, but no answer gets from there to {here}: "
        "most often a firewall between them drops it.\n"
    )
    tries = ""
    if "ssh" in silent:
        tries += f"  ssh {shlex.quote(node)} true\n"
    if {*silent} - {"ssh"} and isinstance(driver, Enters):
        text += f"{driver.way_back}\n" if driver.way_back else ""
        tries += f"  {shlex.join(driver.into(job_id, node, ['hostname']))}\n"
    else:
        text += "With 'carrier' auto (the default) other ways are tried, too.\n"
    return (
        f"{text}Try it on {here} while a job of yours runs there:\n{tries}"
        f"If that hangs as well, tell the site's staff: {ways} from {here} to {node} got "
        "no answer, and one way is needed: ssh (port 22), or the scheduler's own."
    )
