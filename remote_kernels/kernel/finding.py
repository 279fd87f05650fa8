"""Which kernel a person means.

By its ID, the beginning of that, its job's ID, or its notebook's name or path; it may be
left out where there is one only. Called by the command line.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from remote_kernels import harmless
from remote_kernels.errors import RecordError

from .inventory import Recorded, recorded
from .model import KernelModel
from .runtime import Runtime

ATTACHABLE = "that runs"  # it has an agent
LIVE = "that waits or runs"
ON_RECORD = "on record"  # also one that ended
PATIENCE = 5.0  # seconds for a batch system to say whether its job is still there


async def find(
    runtime: Runtime,
    bases: Iterable[Path],
    wanted: str | None,
    among: str = ATTACHABLE,
) -> Recorded:
    """Return the kernel in these state directories that is meant. Raises RecordError.

    Whoever is reached by its agent need not wait for a batch system that hangs.
    """
    patience = PATIENCE if among == ATTACHABLE else None
    return choose(await recorded(runtime, bases, patience=patience), wanted, among)


def choose(
    kernels: list[Recorded], wanted: str | None, among: str = ATTACHABLE
) -> Recorded:
    """Return the kernel that is meant; RecordError lists what there is instead.

    One that ended is only meant if no other is.
    """
    listed = [kernel for kernel in kernels if _is(kernel, among)]
    found = _meant(listed, wanted)
    if len(found) == 1:
        return found[0]
    others = _meant(kernels, wanted) if wanted and not found else []
    if len(others) == 1:
        raise RecordError(_why_not(others[0]))
    if not listed:
        verb = {ATTACHABLE: "runs", LIVE: "waits or runs"}.get(among, "is on record")
        msg = f"No kernel of yours {verb} here.{_waiting(kernels)}"
        raise RecordError(msg)
    lines = "\n".join(
        harmless.line(f"  {k.kernel_id}  job {k.job_id}  {k.model().called}")
        for k in found or listed
    )
    if wanted is None:
        msg = f"Which of these kernels?\n{lines}"
    else:
        few = f"No kernel {among} matches {wanted!r}. These are there:"
        many = f"More than one kernel matches {wanted!r}:"
        msg = f"{many if found else few}\n{lines}"
    raise RecordError(msg)


def _meant(kernels: list[Recorded], wanted: str | None) -> list[Recorded]:
    """Return all if none is named; those that ended only if there is no other."""
    meant = [k for k in kernels if wanted is None or _is_meant(k, wanted)]
    return [kernel for kernel in meant if not kernel.ended] or meant


def _why_not(kernel: Recorded) -> str:
    if not kernel.ended:
        return waits(kernel, kernel.model())
    end = " ".join(kernel.ended.split())
    return (
        f"Kernel {kernel.kernel_id} has ended: {end}\n"
        f"`remote-kernels info {kernel.kernel_id}` says more of it."
    )


def waits(kernel: Recorded, model: KernelModel) -> str:
    """Return what to say of a kernel whose job has not begun, or has no agent yet."""
    if model.state != "waiting":
        return (
            f"Kernel {model.kernel_id} cannot be reached yet: {model.text}.\n"
            "Try again in a while."
        )
    return (
        f"Kernel {model.kernel_id} has no node yet: its job {kernel.job_id} waits "
        f"({model.text}).\n`remote-kernels ls --watch` shows when it starts."
    )


def _waiting(kernels: list[Recorded]) -> str:
    """Return a line on those that are not there yet, or ""."""
    waiting = sum(_is(kernel, LIVE) for kernel in kernels)
    text = f"\n{waiting} may soon: `remote-kernels ls` shows what becomes of them."
    return text if waiting else ""


def _is(kernel: Recorded, among: str) -> bool:
    if among == ATTACHABLE:
        return kernel.attachable
    return among == ON_RECORD or not kernel.ended


def _is_meant(kernel: Recorded, wanted: str) -> bool:
    return bool(wanted) and (
        kernel.kernel_id.startswith(wanted)
        or str(kernel.job_id) == wanted
        or any(_ends_with(path, wanted) for path in kernel.model().notebooks)
    )


def _ends_with(path: str, wanted: str) -> bool:
    """Match a notebook's name, with or without .ipynb, or some or all of its path."""
    parts, asked = PurePosixPath(path).parts, PurePosixPath(wanted).parts
    names = {parts[-1:], (PurePosixPath(path).stem,)}
    return asked[-len(parts) :] == parts or (
        bool(asked) and asked[-1:] in names and asked[:-1] == parts[-len(asked) : -1]
    )
