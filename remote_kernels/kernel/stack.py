"""Where a kernel hangs, as agent/stack.py tells it, in words; or why nobody can tell.

Called by the command line and, for the server, by look_inside.py.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from remote_kernels.errors import AgentError, ConfigError

Told = dict[str, Any]


def text(kernel_id: str, told: Told) -> str:
    """Return the stacks as text. Raises AgentError or ConfigError if there are none."""
    check(kernel_id, told)
    each = [
        trouble(one, told) if "error" in one else str(one["text"]).rstrip("\n")
        for one in told["processes"]
    ]
    return "\n\n".join(each) + "\n"


def spies() -> list[str]:
    """Return where this host has py-spy; the node may share the directory."""
    beside = str(Path(sys.executable).with_name("py-spy"))
    return [path for path in (beside, shutil.which("py-spy")) if path]


def check(kernel_id: str, told: Told) -> None:
    """Raise AgentError or ConfigError if no stack can be shown at all."""
    name = f"Kernel {kernel_id}"
    if not told["pid"]:
        msg = f"{name} has no process on {told['node']} now; is it being restarted?"
        raise AgentError(msg)
    if not told["processes"]:
        msg = (
            f"{name} is not a Python kernel: process {told['pid']} on {told['node']} is "
            f"{told['command']}\nA debugger of its language may help: `remote-kernels "
            f"exec {kernel_id} -- gdb -p {told['pid']} -batch -ex bt`."
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


def trouble(process: Told, told: Told) -> str:
    """Return why the stack of one process is not shown, and what can be done."""
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
