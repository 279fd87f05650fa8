"""`remote-kernels`, also run by Jupyter as `jupyter remote-kernels`.

This is the one place where commands are registered, and where errors reach the user:
what we raise on purpose is printed without a traceback, and Ctrl-C ends with code 130.
Called by the two script entry points in pyproject.toml.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from typing import Any

import click

from remote_kernels import __version__, harmless
from remote_kernels.cli.completion import completion
from remote_kernels.cli.doctor import doctor
from remote_kernels.cli.forward import forward
from remote_kernels.cli.info import info
from remote_kernels.cli.install import install
from remote_kernels.cli.jobs import jobs, submit
from remote_kernels.cli.kernels import list_kernels, remove
from remote_kernels.cli.logs import logs
from remote_kernels.cli.ls import ls
from remote_kernels.cli.running import attach, clean
from remote_kernels.cli.shell import exec_, shell
from remote_kernels.cli.stack import stack
from remote_kernels.cli.stop import stop
from remote_kernels.cli.top import top
from remote_kernels.errors import RemoteKernelError
from remote_kernels.wrapping import wrapped

NAME = "remote-kernels"

log = harmless.logger(__name__)


class Commands(click.Group):
    """A click group that shows our errors as a user wants to read them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except RemoteKernelError as error:
            log.debug("traceback of the error", exc_info=True)
            raise click.ClickException(_shown(harmless.text(error))) from error
        except KeyboardInterrupt:
            raise _interrupted() from None
        except click.Abort as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # at a prompt
                raise _interrupted() from None
            raise


def _shown(text: str) -> str:
    """Return an error's text, wrapped to the terminal if there is one."""
    if not sys.stderr.isatty():
        return text
    before = "Error: "
    width = shutil.get_terminal_size().columns
    return wrapped(before + text, width).removeprefix(before)


def _interrupted() -> click.exceptions.Exit:
    click.echo("\nInterrupted.", err=True)
    return click.exceptions.Exit(130)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("-v", "--verbose", count=True, help="Log to stderr; -vv logs more.")
def cli(verbose: int) -> None:
    """Jupyter kernels as batch jobs: the notebook stays, the kernel computes.

    \b
    remote-kernels install python-compute --time 2:00:00 --cores 4
    remote-kernels ls --watch
    remote-kernels logs --follow
    remote-kernels attach
    remote-kernels shell -- nvidia-smi
    remote-kernels stack 4711
    remote-kernels forward 4711 8787
    remote-kernels stop 4711
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("remote_kernels").setLevel(level)
    # jupyter_client warns there of what the commands say themselves.
    logging.getLogger("traitlets").setLevel(level if verbose else logging.ERROR)


_KERNELSPECS = (install, list_kernels, remove)
_KERNELS = (ls, info, logs, attach, stop, clean)
_INSIDE = (shell, exec_, stack, top, forward)
_JOBS = (submit, jobs)

for command in (*_KERNELSPECS, *_KERNELS, *_INSIDE, *_JOBS, doctor, completion):
    cli.add_command(command)


def main() -> None:
    """Run the command line. Ends the process."""
    _open_standard_streams()
    cli(prog_name=NAME)


def _open_standard_streams() -> None:
    """Else what is opened next would be one: a socket, into which output goes."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
