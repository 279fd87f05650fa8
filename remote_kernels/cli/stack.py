"""`remote-kernels stack`: where a kernel hangs, as py-spy on its node sees it.

Called by `main`.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from remote_kernels.cli import inside
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.inside import OpenJob
from remote_kernels.cli.say import say
from remote_kernels.errors import AgentError, ConfigError
from remote_kernels.kernel.remote_process import RemoteProcess


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
    options = {**asked, "json": as_json, "spies": _spies()}
    told = _ask(job, options)
    _check(job, told)
    if as_json:
        body = {name: told[name] for name in ("node", "pid", "processes")}
        click.echo(json.dumps({"kernel_id": job.model.kernel_id, **body}, indent=2))
    for process in told["processes"]:
        if "error" in process:
            say(_trouble(process, told), err=True)
        elif not as_json:
            say(process["text"].rstrip("\n") + "\n")
    if any("error" in process for process in told["processes"]):
        sys.exit(1)


def _spies() -> list[str]:
    """Return where this host has py-spy; the node may share the directory."""
    beside = str(Path(sys.executable).with_name("py-spy"))
    return [path for path in (beside, shutil.which("py-spy")) if path]


def _ask(job: OpenJob, options: dict[str, Any]) -> dict[str, Any]:
    """Return what the program on the node says. Raises AgentError."""
    with job.way() as way:
        process = RemoteProcess(way, "stack", options=options)
        with contextlib.closing(process):
            body: dict[str, Any] = json.loads(b"".join(inside.told(job, process)))
    return body


# --- what is wrong, and what to do --------------------------------------------------


def _check(job: OpenJob, told: dict[str, Any]) -> None:
    """Raise AgentError or ConfigError if no stack can be shown at all."""
    name = f"Kernel {job.model.kernel_id}"
    if not told["pid"]:
        msg = f"{name} has no process on {told['node']} now; is it being restarted?"
        raise AgentError(msg)
    if not told["processes"]:
        msg = (
            f"{name} is not a Python kernel: process {told['pid']} on {told['node']} is "
            f"{told['command']}\nA debugger of its language may help: `remote-kernels "
            f"exec {job.model.kernel_id} -- gdb -p {told['pid']} -batch -ex bt`."
        )
        raise ConfigError(msg)
    if not told["spy"]:
        tried = "".join(f"\n  {path}" for path in told["tried"])
        msg = (
            f"py-spy was not found on {told['node']}. Tried:{tried}\n"
            "Install it in the kernel's environment (pip install py-spy) or in that of "
            f"remote-kernels:\n  {shlex.quote(sys.executable)} -m pip install "
            "'remote-kernels[stack]'\nThe kernel need not be restarted."
        )
        raise ConfigError(msg)


def _trouble(process: dict[str, Any], told: dict[str, Any]) -> str:
    said = process["error"].replace("\n", "\n  ")
    text = f"Error: process {process['pid']} on {told['node']}: {said}"
    if not process.get("denied"):
        return text
    return "\n".join([text, _why_denied(told["ptrace_scope"]), _FAULTHANDLER])


def _why_denied(scope: int | None) -> str:
    if scope is None or scope == 0:
        return (
            "The node does not allow looking into this process: it may be in a "
            "container, or have made itself private. py-spy in the same container may "
            "be let in."
        )
    if scope == 1:
        return (
            "On this node a process may be looked into by its parents only "
            "(kernel.yama.ptrace_scope is 1).\nLet your kernels be looked into by "
            "your other processes: remote-kernels install ... --command-prefix "
            "'setpriv --ptracer any' (util-linux 2.41 or later), or in a cell, before "
            "it hangs:\n"
            "  import ctypes; ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1))"
        )
    return (
        "On this node only administrators may look into processes "
        f"(kernel.yama.ptrace_scope is {scope})."
    )


_FAULTHANDLER = (
    "Without py-spy: in a cell, before it hangs,\n"
    "  import faulthandler, signal; faulthandler.register(signal.SIGUSR1)\n"
    "then `remote-kernels exec KERNEL -- kill -USR1 PID` has it write its stacks. "
    "Without that line the signal ends it."
)
