"""The story of one kernel. The only part that knows every other."""

from .drivers import DRIVERS, driver_name
from .launch import Launch
from .story import RemoteKernel

__all__ = ["DRIVERS", "Launch", "RemoteKernel", "driver_name"]
