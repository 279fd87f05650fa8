"""A job of the user's own: a script as it is, or a notebook that runs without a page.

Rules: all is checked before anything is submitted; what was submitted is on record, or
there is no job of it. A script's own lines count, and what is asked for here goes over
them. A notebook is run as it was when it was submitted, by jupyter/headless.py in this
server's own Python, its kernel beside that on the node. A job's environment is that of
a kernel's job (docs/environment.md). Called by both doors.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import json
import os
import re
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote_kernels import harmless, records
from remote_kernels.config import OPTIONS, Settings, batch_system, over, parse
from remote_kernels.errors import CommandError, ConfigError, StateError
from remote_kernels.records.job_record import FACTS, JobRecord
from remote_kernels.scheduler import notebook_script
from remote_kernels.scheduler.driver import Driver, Logs, Mails, Scripts
from remote_kernels.scheduler.drivers import DRIVERS, environment
from remote_kernels.scheduler.job import (
    OUR_NAME,
    SUBMITTED,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
)
from remote_kernels.scheduler.jobs import Jobs

from .job import as_facts, check_is_here
from .own_job import Found, found
from .runtime import Runtime

log = harmless.logger(__name__)

MAILS = ("begin", "end", "fail")
NAME = re.compile(r"[A-Za-z0-9._+][A-Za-z0-9._+-]{0,63}")
A_NAME = "letters, digits and any of . _ + -, 64 at most, and begin with no -"
ADDRESS = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}(@[A-Za-z0-9][A-Za-z0-9.-]{0,252})?"
)
LARGEST_SCRIPT = 4 * 2**20  # bytes; Slurm takes no more
LARGEST_NOTEBOOK = 100 * 2**20  # bytes
PROGRAM = "remote_kernels.jupyter.headless"
_NEEDED = ("nbclient", "nbconvert")
# Where Jupyter on the node finds the kernelspecs that this server has.
_JUPYTERS = ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_*", "IPYTHONDIR")
_OURS = {option.name for option in OPTIONS}
_OF_JOBS = ("scheduler", "env_keep", "state_dir")  # what of these is about any job
_OF_SCRIPTS = ("queue", "account")  # what of a kernelspec is a user's usual one
# What is about the way to a kernel, or about its place in a job that it shares.
_NOT_BESIDE = ("allocation", "keep", "node", "carrier", "runtime_dir", "address")
_NOT_ITS_JOBS = _OURS - {*_OF_JOBS}

Environ = Mapping[str, str]


@dataclass(frozen=True)
class Mail:
    """When mail is to be sent, and to whom; "": to the batch system's own address."""

    on: tuple[str, ...]
    to: str = ""


@dataclass(frozen=True)
class Wanted:
    """What is to be submitted.

    Parameters
    ----------
    path
        The script, or the notebook.
    config
        A kernelspec's config, whose wishes count where `options` has none.
    options
        What is asked for.
    name
        What the job is to be called; "" leaves it to the script or to us.
    mail
        About what mail is wanted.
    kernel
        For a notebook: the kernelspec that runs it.
    is_ours
        Whether that kernelspec is of this package.
    """

    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    mail: Mail | None = None
    kernel: str = ""
    is_ours: bool = False


async def submit_script(runtime: Runtime, order: Wanted) -> Found:
    """Submit a batch script as it is.

    Raises
    ------
    ConfigError
        It is no such script, or asks for what cannot be.
    SubmitError
        The scheduler refuses it.
    RecordError
        It cannot be put on record; then there is no job.
    """
    settings = _settings(_usual(order.config), order)
    driver, jobs = settings.driver, runtime.jobs(settings.driver)
    if not isinstance(driver, Scripts):
        msg = (
            f"{driver.title} is given no batch scripts here. Submit it in a shell, as "
            f"with {driver.command}; a notebook can be submitted here."
        )
        raise ConfigError(msg)
    taking: Scripts = driver
    script = await asyncio.to_thread(_script_in, order.path)

    async def hand(record: JobRecord, request: JobRequest, env: Environ) -> JobId:
        way = taking.own_submission(request, str(order.path), script)
        return await jobs.submit_own(way, request, env)

    facts = {"script": str(order.path), "name": order.name or order.path.name}
    return await _submit(runtime, settings, order, hand, facts)


async def submit_notebook(runtime: Runtime, order: Wanted) -> Found:
    """Submit a notebook, to be run in a job; for the errors see `submit_script`.

    StateError where this server's environment has not what runs it.
    """
    check_environment()
    config = {n: v for n, v in order.config.items() if _key(n) not in _NOT_ITS_JOBS}
    settings = _settings(config, order)
    driver, jobs = settings.driver, runtime.jobs(settings.driver)
    text = await asyncio.to_thread(_notebook_in, order.path)
    result = await asyncio.to_thread(_beside, order.path)
    report = result.with_suffix(".html")

    async def hand(record: JobRecord, request: JobRequest, env: Environ) -> JobId:
        await asyncio.to_thread(record.write_notebook, text)
        argv = [sys.executable, "-m", PROGRAM, f"--notebook={record.notebook}"]
        argv += [f"--result={result}", f"--report={report}"]
        argv += [f"--record={record.path}", f"--kernel={order.kernel}"]
        if order.is_ours:
            argv.append(f"--options={json.dumps(_beside_it(order.config))}")
        head = driver.script_head(request)
        script = notebook_script.build(head, argv, str(order.path.parent))
        if not order.name:
            return await jobs.submit(script, request, env)
        way = driver.submission(request, script)  # others may have that name
        return await jobs.submit_own(way, request, env)

    facts = {
        "notebook": str(order.path),
        "result": str(result),
        "report": str(report),
        "name": order.name,
    }
    return await _submit(runtime, settings, order, hand, facts, keep=_JUPYTERS)


async def _submit(
    runtime: Runtime,
    settings: Settings,
    order: Wanted,
    hand: Callable[[JobRecord, JobRequest, Environ], Awaitable[JobId]],
    facts: Mapping[str, Any],
    keep: Sequence[str] = (),
) -> Found:
    """Have it handed over, and put it on record.

    Parameters
    ----------
    hand
        Submits it.
    facts
        What is to be on record of it.
    keep
        Variables that its job needs besides.
    """
    driver, jobs = settings.driver, runtime.jobs(settings.driver)
    check_is_here(driver)
    env = environment(driver, os.environ, (*settings.env_keep, *keep))
    base = records.state_dir(settings.state_dir)
    record = await asyncio.to_thread(JobRecord.new, base)
    job_id: JobId | None = None
    try:
        name = facts["name"] or f"notebook-{record.path.name[:8]}"
        request = JobRequest(
            name=order.name if "script" in facts else name,
            output=str(record.job_log),
            options=with_mail(driver, settings.options, order.mail),
            user=str(os.getuid()),
        )
        request = await jobs.prepare(request)
        submitted = time.time()
        job_id = await hand(record, request, env)
        body = {
            **facts,
            **as_facts(job_id),
            "name": name,
            "scheduler": driver.name,
            "cluster": await jobs.cluster(),
            "log": await _log_of(jobs, job_id, record, facts),
            "times": {"submitted": submitted},
        }
        await asyncio.to_thread(record.write, FACTS, body)
    except BaseException:
        with contextlib.suppress(CommandError):  # what went wrong first is told
            if job_id is not None:
                await jobs.cancel(job_id)
        await asyncio.to_thread(record.remove)
        raise
    log.info("job=%s submitted: %s", job_id, order.path)
    status = JobStatus(job_id, Phase.PENDING, SUBMITTED)
    return found(driver, status, record, body)


async def _log_of(
    jobs: Jobs, job_id: JobId, record: JobRecord, facts: Mapping[str, Any]
) -> str | None:
    """Return where its log will be: in the record, or where the batch system says."""
    driver = jobs.driver
    if "notebook" in facts or driver.is_fallback:
        return str(record.job_log)
    if not isinstance(driver, Logs):
        return None
    try:
        return await jobs.ask(driver.log_of(job_id))
    except CommandError as error:
        log.info("job=%s where its log will be is not known: %s", job_id, error)
        return None


# --- what is asked for ------------------------------------------------------------------


def _settings(config: Mapping[str, Any], order: Wanted) -> Settings:
    """Return what counts: a kernelspec's wishes, and over them the order's.

    Raises ConfigError.
    """
    for name in order.options:
        if _key(name) in _OURS and _key(name) not in _OF_JOBS:
            msg = f"option '{name}' is about kernels; a job of one's own has none"
            raise ConfigError(msg)
    if order.name and not NAME.fullmatch(order.name):
        msg = f"the name {order.name!r} cannot be a job's: it must be {A_NAME}"
        raise ConfigError(msg)
    if OUR_NAME.fullmatch(order.name):
        msg = f"the name {order.name!r} is one of those that kernels' jobs have"
        raise ConfigError(msg)
    settings = parse(over(config, order.options))
    settings.driver.check(JobRequest("", "", settings.options))
    return settings


def _usual(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a kernelspec's config counts for a script, too: where, and who pays."""
    driver = batch_system(config.get("scheduler"))
    options = driver.options if driver is not None else ()
    names = {*_OF_JOBS, *_OF_SCRIPTS}
    names |= {_key(each.name) for each in options if each.portable in _OF_SCRIPTS}
    return {name: value for name, value in config.items() if _key(name) in names}


def with_mail(
    driver: Driver, options: Mapping[str, Any], mail: Mail | None
) -> Mapping[str, Any]:
    """Return the options with what asks for mail. ConfigError where none is sent."""
    if mail is None:
        return options
    if mail.to and not ADDRESS.fullmatch(mail.to):
        msg = f"{mail.to!r} is no address of mail"
        raise ConfigError(msg)
    if not isinstance(driver, Mails):
        msg = f"{driver.title} sends no mail about jobs; leave 'mail' out"
        raise ConfigError(msg)
    further = driver.mail([when for when in MAILS if when in mail.on], mail.to)
    given = options.get(driver.further, ())
    return {**options, driver.further: (*given, *further)}


def _key(name: str) -> str:
    return name.replace("-", "_")


def _beside_it(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes over a kernelspec's config where its kernel runs beside us.

    null takes out what is about a job, or about the way to one.
    """
    here = next(name for name, driver in DRIVERS.items() if driver.is_fallback)
    asked = [n for n in config if _key(n) not in _OURS or _key(n) in _NOT_BESIDE]
    return {**dict.fromkeys(asked), "scheduler": here}


# --- what there is ----------------------------------------------------------------------


def check_environment() -> None:
    """Raise StateError where this Python has not what runs a notebook."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        msg = (
            f"No notebook can be run as a job: {' and '.join(missing)} is not installed "
            "in the notebook server's environment. Install it there:\n"
            f"  {sys.executable} -m pip install {' '.join(missing)}"
        )
        raise StateError(msg)


def _script_in(path: Path) -> str:
    data = _read(path, LARGEST_SCRIPT)
    if not data.startswith(b"#!"):
        msg = (
            f"{path.name} is no batch script: its first line does not begin with #!, as "
            "in #!/bin/bash."
        )
        raise ConfigError(msg)
    try:
        return data.decode()
    except ValueError as exc:
        msg = f"{path.name} is no text: {exc}"
        raise ConfigError(msg) from exc


def _notebook_in(path: Path) -> str:
    data = _read(path, LARGEST_NOTEBOOK)
    try:
        text = data.decode()
        kernel_of(text)
    except ValueError as exc:
        msg = f"{path.name} is no notebook: {exc}"
        raise ConfigError(msg) from exc
    return text


def kernel_of(text: str) -> str:
    """Return the name of a notebook's kernelspec; "" if it names none.

    ValueError for what is no notebook.
    """
    book = json.loads(text)
    if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
        msg = "it has no cells, or is of a format before 4"
        raise ValueError(msg)  # noqa: TRY004 - of the file
    spec = (book.get("metadata") or {}).get("kernelspec") or {}
    return str(spec.get("name", "")) if isinstance(spec, dict) else ""


def notebook_kernel(path: Path) -> str:
    """Return the name of a notebook's kernelspec; "" if it has none. Raises ConfigError."""
    return kernel_of(_notebook_in(path))


def _read(path: Path, most: int) -> bytes:
    """Return what is in a file. Raises ConfigError."""
    try:
        # A named pipe in its place would keep us waiting.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                msg = f"{path.name} is no file."
                raise ConfigError(msg)
            if status.st_size > most:
                msg = (
                    f"{path.name} is too large to be submitted: {status.st_size} bytes."
                )
                raise ConfigError(msg)
            return file.read(most)
    except OSError as exc:
        msg = f"Cannot read {path.name}: {exc.strerror}"
        raise ConfigError(msg) from exc


def _beside(path: Path) -> Path:
    """Return a path that nothing has, for what becomes of a notebook."""
    stem = f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count():
        mark = f"{stem}-{number}" if number else stem
        result = path.with_name(f"{mark}.ipynb")
        if not result.exists() and not result.with_suffix(".html").exists():
            break
    return result
