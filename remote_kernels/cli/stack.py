"""`remote-kernels stack`: where a kernel hangs, as py-spy on its node sees it.

Called by `main`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import click

from remote_kernels.cli import inside
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.inside import OpenJob
from remote_kernels.cli.say import say
from remote_kernels.kernel.remote_process import RemoteProcess, told_by
from remote_kernels.kernel.stack import check, spies, trouble


@click.command()
@click.argument("kernel", required=False, shell_complete=running_kernels)
@click.option("-a", "--all", "everything", is_flag=True, help="Also its children.")
@click.option(
    "-l", "--locals", "with_locals", is_flag=True, help="Also local variables."
)
@click.option("-n", "--native", is_flag=True, help="Also frames of C, C++ and Cython.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def stack(
    kernel: str | None, everything: bool, with_locals: bool, native: bool, as_json: bool
) -> None:
    """Show where a Python kernel is: the stack of each of its threads.

    KERNEL is a kernel's ID or the beginning of it, its job's ID, or the name or path
    of its notebook; it may be left out when there is only one. py-spy (pip install
    "remote-kernels[stack]") reads the stacks from outside, so it does not matter what
    the kernel hangs in; the kernel goes on afterwards. py-spy is looked for beside the
    kernel's Python, on the node's PATH, and beside remote-kernels.

    \b
    remote-kernels stack
    remote-kernels stack 4711 --locals
    remote-kernels stack 4711 --all      # also its worker processes
    """
    job = inside.job(kernel)
    asked = {"all": everything, "locals": with_locals, "native": native}
    options = {**asked, "json": as_json, "spies": spies()}
    told = _ask(job, options)
    check(job.model.kernel_id, told)
    if as_json:
        body = {name: told[name] for name in ("node", "pid", "processes")}
        click.echo(json.dumps({"kernel_id": job.model.kernel_id, **body}, indent=2))
    for process in told["processes"]:
        if "error" in process:
            say(trouble(process, told), err=True)
        elif not as_json:
            say(process["text"].rstrip("\n") + "\n")
    if any("error" in process for process in told["processes"]):
        sys.exit(1)


def _ask(job: OpenJob, options: dict[str, Any]) -> dict[str, Any]:
    """Return what the program on the node says. Raises AgentError."""
    with job.way() as way:
        process = RemoteProcess(way, "stack", options=options)
        with contextlib.closing(process):
            body: dict[str, Any] = json.loads(
                b"".join(told_by(process, job.number, job.node))
            )
    return body
