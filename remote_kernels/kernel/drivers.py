"""The scheduler drivers by the names that a kernelspec gives them."""

from __future__ import annotations

from collections.abc import Callable

from remote_kernels.config import Settings, resolve_scheduler
from remote_kernels.errors import ConfigError
from remote_kernels.scheduler.base import Driver
from remote_kernels.scheduler.local import Local
from remote_kernels.scheduler.slurm import Slurm
from remote_kernels.scheduler.slurm_step import SlurmStep

DRIVERS: dict[str, Callable[[], Driver]] = {
    "slurm": Slurm,
    "slurm-step": SlurmStep,
    "local": Local,
}


def driver_name(settings: Settings) -> str:
    """Which of them the kernelspec's config asks for."""
    scheduler = resolve_scheduler(settings)
    asked = "jobid" if settings.jobid is not None else "start"
    if scheduler == "local" and (settings.jobid or settings.start != "sbatch"):
        msg = (
            f"'{asked}' needs Slurm, but sbatch is not on PATH of this server. Start "
            "it on a login node of the cluster, or load Slurm's module before."
        )
        raise ConfigError(msg)
    return f"{scheduler}-step" if settings.jobid is not None else scheduler
