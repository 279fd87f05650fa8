"""The scheduler drivers by the names that a kernelspec gives them."""

from __future__ import annotations

from collections.abc import Callable

from remote_kernels.scheduler.base import Driver
from remote_kernels.scheduler.local import Local
from remote_kernels.scheduler.slurm import Slurm

DRIVERS: dict[str, Callable[[], Driver]] = {"slurm": Slurm, "local": Local}
