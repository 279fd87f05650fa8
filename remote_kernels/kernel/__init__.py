"""The story of one kernel. The only part that knows every other."""

from .launch import Launch
from .story import DRIVERS, RemoteKernel

__all__ = ["DRIVERS", "Launch", "RemoteKernel"]
