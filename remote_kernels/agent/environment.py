"""The variables that a kernel's process begins with, and its directory.

Variables are the job's own, as the prologue left them; then those of this start; then
the lines of the kernelspec's `env`, in which `${NAME}` is what the kernel would have
without these lines. Called by kernel_process.py, and on the login node for a kernel that is
tried there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# Of the server's host, not of this node: a missing run-time directory breaks kernels,
# and ipykernel exits when JPY_PARENT_PID is not its parent.
UNSET = ("XDG_RUNTIME_DIR", "JPY_PARENT_PID")
# What Slurm sets for the devices of a job (its gres guide), each a list.
LISTS = (
    *("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"),
    "GPU_DEVICE_ORDINAL",
)


class NoGpuError(OSError):
    """The job does not have a GPU that the kernel is to see."""


def environment(spec: Mapping[str, Any], job: Mapping[str, str]) -> dict[str, str]:
    """Return a kernel's variables, by its spec (see supervisor.py) and its job's."""
    env = {**job, **spec.get("env", {})}
    for name in UNSET:
        env.pop(name, None)
    if spec.get("gpus") is not None:
        env.update(visible_gpus(spec["gpus"], job))
    return {**env, **filled(spec.get("env_lines", {}), env)}


def visible_gpus(wanted: str, job: Mapping[str, str]) -> dict[str, str]:
    """Return the kernel's variables, chosen from the job's.

    Parameters
    ----------
    wanted : str
        Places in the job's lists, from 0: "0", or "0,2"; "none" hides them all.
    job : mapping
        The job's environment.

    Raises NoGpuError for a GPU that the job does not have.
    """
    said = {name: job.get(name) for name in LISTS}
    # NoDevFiles: Slurm's word for none.
    lists = {n: v.split(",") for n, v in said.items() if v and v != "NoDevFiles"}
    if wanted == "none":
        return dict.fromkeys(lists or LISTS[:1], "")
    places = [int(word) for word in wanted.split(",")]
    has = min((len(devices) for devices in lists.values()), default=0)
    if max(places) >= has:
        msg = (
            f"there is no GPU {max(places)} here (visible_gpus={wanted}): the job has "
            f"{has} on this node, counted from 0"
        )
        raise NoGpuError(msg)
    return {
        name: ",".join(devices[place] for place in places)
        for name, devices in lists.items()
    }


def filled(lines: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """Fill in variables as jupyter_client (8.10) does; what is not known, stays."""
    if not any("$" in line for line in lines.values()):
        return dict(lines)
    from string import Template  # few ask for it

    return {name: Template(line).safe_substitute(env) for name, line in lines.items()}


def directory(wanted: str) -> str:
    """Return this one, if the node has it and lets us in; else the home directory."""
    home = os.path.expanduser("~")
    found = (d for d in (wanted, home) if os.path.isdir(d) and os.access(d, os.X_OK))
    return next(found, "/")


def is_without(pid: int, wanted: str) -> bool:
    """Return whether a process is elsewhere, as its container has no such directory."""
    root = f"/proc/{pid}/root"
    try:
        there = os.path.samefile(f"/proc/{pid}/cwd", wanted)
        os.stat(f"{root}/")
    except OSError:  # it hides that from us
        return False
    return not there and not os.path.isdir(root + wanted)
