"""Grid Engine's commands as magics, and what a kernel can know of its job there."""

from .commands import magics
from .own_job import own_job

__all__ = ["magics", "own_job"]
