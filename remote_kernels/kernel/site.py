"""The batch system that is here: whether it answers, and what this site has.

Called by the doors: `doctor`, `install`, `info`, completion, and the REST API's start.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import platformdirs
import zmq

from remote_kernels import harmless, records
from remote_kernels.config import Settings, own_names, parse
from remote_kernels.errors import CommandError, ConfigError, RemoteKernelError
from remote_kernels.records import Cache
from remote_kernels.scheduler import command
from remote_kernels.scheduler.driver import Driver, Enters, Site
from remote_kernels.scheduler.drivers import DRIVERS, environment
from remote_kernels.scheduler.here import detected
from remote_kernels.scheduler.job import JobRequest
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.tunnel.carriers import ssh_keys

from . import socket_directory
from .runtime import Runtime

log = harmless.logger(__name__)

TIMEOUT = 5.0  # seconds for the batch system to say what there is
PATIENCE = 2.0  # the same, while somebody waits at a prompt
FRESH = 600.0  # seconds that what it offers is good for
_PACKAGES = ("remote-kernels", "jupyter-client", "jupyter-server", "pyzmq", "asyncssh")


# --- what a config asks for ---------------------------------------------------------


def check(config: Mapping[str, object]) -> Settings:
    """Return its settings, after a look at all that can be wrong without asking.

    Raises ConfigError.
    """
    settings = parse(config)
    settings.driver.check(JobRequest("", "", settings.options))
    return settings


def can_be_submitted(config: Mapping[str, object]) -> bool:
    """Return whether such a job could be submitted on this host, for all we know."""
    try:
        return check(config).driver.is_here(os.environ)
    except ConfigError:
        return False


async def doubts(config: Mapping[str, object]) -> list[str]:
    """Return what this site has not of what a config asks for, a sentence each.

    Nothing where nobody answers in time. Raises ConfigError.
    """
    settings = parse(config)
    driver = settings.driver
    if not isinstance(driver, Site) or not driver.is_here(os.environ):
        return []
    try:
        query = driver.doubts(JobRequest("", "", settings.options))
        if query is None:
            return []
        environ = environment(driver, os.environ, settings.env_keep)
        return query.answer(await command.run(query.argv, env=environ, timeout=TIMEOUT))
    except RemoteKernelError as error:
        log.debug("nothing is known of the site: %s", error)
        return []


async def slow_starts(settings: Settings) -> str | None:
    """Return why jobs start late here even where there is room, and what to change.

    None if they do not, or if nobody tells.
    """
    driver = settings.driver
    query = driver.slow_starts() if isinstance(driver, Site) else None
    if query is None:
        return None
    environ = environment(driver, os.environ, settings.env_keep)
    try:
        return query.answer(await command.run(query.argv, env=environ, timeout=TIMEOUT))
    except RemoteKernelError as error:
        log.debug("nothing is known of starts: %s", error)
        return None


def usual() -> str:
    """Return the batch system that a new kernelspec names.

    It is the one that is here; where none is, as on a laptop, a real one all the same:
    nobody who installs a kernel for compute nodes wants one of this host.
    """
    here = detected()
    return next(iter(DRIVERS)) if here.is_fallback else here.name


async def offers(option: str) -> list[str]:
    """Return what an option of the batch system's can be here.

    It is asked once in a while, and never for long.
    """
    cache = Cache(platformdirs.user_cache_path("remote_kernels"), "offers.json")
    key = f"{option} on {socket.gethostname()}"  # clusters may share a home
    kept = cache.load()
    with contextlib.suppress(KeyError, ValueError, TypeError):
        made, names = kept[key]
        if time.time() - float(made) < FRESH:
            return [str(name) for name in names]
    driver = detected()
    query = None
    if isinstance(driver, Site):
        (own,) = own_names({option: None}, driver.name)
        query = driver.offers(own, getpass.getuser())
    if query is None:
        return []
    try:
        done = await command.run(query.argv, timeout=PATIENCE)
        if done.returncode != 0:
            return []
        names = query.answer(done)
    except RemoteKernelError:
        return []
    cache.keep({**kept, key: [time.time(), names]})
    return names


def carriers(settings: Settings) -> tuple[str, ...]:
    """Return the carriers by which its jobs may be reached, the best one first."""
    if settings.carrier != "auto":
        return (settings.carrier,)
    return settings.driver.carriers


def cautions(settings: Settings, carrier: str) -> list[str]:
    """Return what is to be known of a carrier before it is relied on, a clause each."""
    driver = _way_of(settings, carrier)
    if driver is None:
        return []
    found = [] if driver.is_private else ["not encrypted on the network"]
    return [*found, *filter(None, [driver.caution])]


def closed(settings: Settings, carrier: str) -> str:
    """Return why that carrier cannot reach such a job; "" if nothing speaks against it."""
    driver = _way_of(settings, carrier)
    return driver.closed(settings.options) if driver is not None else ""


def _way_of(settings: Settings, carrier: str) -> Enters | None:
    """Return whose way into a job that carrier is; None if it is not a driver's own."""
    driver = settings.driver
    return driver if carrier != "ssh" and isinstance(driver, Enters) else None


# --- what is here -------------------------------------------------------------------


@dataclass(frozen=True)
class Here:
    """The batch system that is meant, as it is on this host.

    Parameters
    ----------
    name, command:
        What we call it, and its program.
    path:
        Where the program is; None if it is not on PATH.
    is_missing:
        Whether 'auto' has found no batch system, and stands for this machine itself.
    about:
        What it says of itself, if it was asked.
    cluster:
        The cluster's name; None while nobody tells.
    """

    name: str
    command: str
    path: str | None
    is_missing: bool
    about: str
    cluster: str | None


async def here(runtime: Runtime, settings: Settings, *, reach: bool = False) -> Here:
    """Return which batch system is meant, and what is known of it.

    With `reach` it must answer, and is asked about itself. Raises CommandError.
    """
    driver = settings.driver
    jobs, path = runtime.jobs(driver), shutil.which(driver.command)
    about = await _about(driver, jobs, path) if reach and path is not None else ""
    cluster = await jobs.cluster()
    is_missing = driver.is_fallback and settings.scheduler == "auto"
    return Here(driver.name, driver.command, path, is_missing, about, cluster)


async def _about(driver: Driver, jobs: Jobs, path: str) -> str:
    """Return what there is to say of a batch system that answers."""
    if driver.is_fallback:
        return "jobs are processes of this machine"
    await jobs.own()  # what each user may ask, on each site
    version = ""
    if isinstance(driver, Site):
        query = driver.version()
        with contextlib.suppress(CommandError):
            version = query.answer(await command.run(query.argv, timeout=10))
    return f"{', '.join(filter(None, (path, version)))}; the controller answers"


def commands() -> list[str]:
    """Return the programs of all batch systems but this machine itself."""
    return [each.command for each in DRIVERS.values() if not each.is_fallback]


def versions() -> list[str]:
    """Return what is installed, as in "pyzmq 27.1"."""
    curve = "" if zmq.has("curve") else " (without CURVE)"
    python = ".".join(map(str, sys.version_info[:3]))
    packages = [f"{name} {metadata.version(name)}" for name in _PACKAGES]
    return [f"Python {python}", *packages, f"libzmq {zmq.zmq_version()}{curve}"]


def try_state_dir(settings: Settings) -> Path:
    """Write a record and remove it. Raises RecordError.

    Returns
    -------
    Path
        The state directory.
    """
    record = records.Record(records.state_dir(settings.state_dir), "doctor")
    record.remove()
    record.create()
    record.write("record.json", {})
    record.remove()
    return record.base


def try_socket_dir(settings: Settings) -> Path:
    """Make a directory for sockets and remove it; return where. Raises ConfigError."""
    made = socket_directory.new(settings.runtime_dir)
    socket_directory.remove(made)
    return made.parent


def ssh_ways() -> tuple[list[str], list[str]]:
    """Return what could open a node by ssh, and keys that need a passphrase first."""
    return ssh_keys.ways()
