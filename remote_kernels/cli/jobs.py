"""`remote-kernels submit` and `remote-kernels jobs`: jobs that are no kernels.

Called by `main`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from remote_kernels.cli import kernelspec, words
from remote_kernels.cli.completion import names_of
from remote_kernels.cli.options import GroupedCommand, config_options
from remote_kernels.cli.rows import show
from remote_kernels.cli.say import say
from remote_kernels.errors import ConfigError
from remote_kernels.kernel import own_submission
from remote_kernels.kernel.own_job import Found, JobModel
from remote_kernels.kernel.own_jobs import own_jobs
from remote_kernels.kernel.own_submission import MAILS, Mail, Wanted
from remote_kernels.kernel.runtime import Runtime

_TITLES = ("Job", "Name", "State", "Queue", "Node", "Time left")


@click.command(cls=GroupedCommand)
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--job-name", default="", metavar="NAME", help="What the job is called.")
@click.option(
    "--kernel",
    metavar="NAME",
    shell_complete=names_of(kernelspec.installed),
    help="For a notebook, the kernelspec that runs it; for a script, one whose "
    "scheduler, queue and account count.  [default: the notebook's; none]",
)
@click.option(
    "--mail-type",
    "mail_on",
    type=click.Choice(MAILS),
    multiple=True,
    help="When the batch system is to send mail. Repeatable.",
)
@click.option("--mail-user", "mail_to", default="", metavar="ADDRESS", help="To whom.")
@config_options
def submit(
    path: Path,
    job_name: str,
    kernel: str | None,
    mail_on: tuple[str, ...],
    mail_to: str,
    settings: dict[str, object],
) -> None:
    """Submit a batch script as it is, or a notebook that runs in a job.

    What a notebook becomes, and a report of it, are written beside it.

    \b
    remote-kernels submit fit.sh --time 2:00:00 --mail-type end
    remote-kernels submit fit.ipynb --kernel python-compute --memory 16G
    """
    if mail_to and not mail_on:
        msg = "--mail-user goes with --mail-type."
        raise click.UsageError(msg)
    path = path.absolute()
    is_notebook = path.suffix == ".ipynb"
    if is_notebook and kernel is None:
        kernel = own_submission.notebook_kernel(path)
        if not kernel:
            msg = f"{path.name} names no kernelspec: give one by --kernel."
            raise ConfigError(msg)
    spec = None
    if kernel is not None:
        spec = kernelspec.find(kernel, kernelspec.installed(), "kernelspec")
    order = Wanted(
        path=path,
        config=spec.config if spec is not None and spec.is_ours else {},
        options=settings,
        name=job_name,
        mail=Mail(mail_on, mail_to) if mail_on else None,
        kernel=kernel or "",
        is_ours=spec is not None and spec.is_ours,
    )
    _report(asyncio.run(_submitted(order, is_notebook)).model)


async def _submitted(order: Wanted, is_notebook: bool) -> Found:
    if is_notebook:
        return await own_submission.submit_notebook(Runtime(), order)
    return await own_submission.submit_script(Runtime(), order)


def _report(job: JobModel) -> None:
    say(job.job_id)
    if job.result is not None:
        say(f"It will be in {job.result}, and its report beside it.", err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="All that is known, as JSON.")
def jobs(as_json: bool) -> None:
    """Show your jobs that are no kernels.

    Those that live, whoever submitted them; and those that were submitted here, by
    `remote-kernels submit` or from a notebook server, and ended within a week.
    """
    known = asyncio.run(own_jobs(Runtime(), kernelspec.state_dirs()))
    if as_json:
        say(json.dumps(known.as_json(), indent=2))
    else:
        rows = [_row(job.model) for job in known.jobs]
        nothing = "" if known.error else "You have no jobs here but kernels."
        show(_TITLES, rows, nothing, length=None)
    if known.error:
        say(known.error, err=True)
        sys.exit(1)


def _row(job: JobModel) -> tuple[str, ...]:
    left = "" if job.end is not None else words.time_left(job)
    return (
        *(job.job_id, job.name, words.state(job)),
        *(job.queue or "", job.node or "", left),
    )
