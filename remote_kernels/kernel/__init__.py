"""The story of one kernel. The only part that knows every other."""

from .drivers import DRIVERS
from .launch import Launch
from .story import RemoteKernel

__all__ = ["DRIVERS", "Launch", "RemoteKernel"]
