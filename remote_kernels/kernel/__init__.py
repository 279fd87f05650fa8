"""The story of one kernel. The only part that knows every other."""

from .launch import Launch
from .story import RemoteKernel

__all__ = ["Launch", "RemoteKernel"]
