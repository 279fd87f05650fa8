"""One kernel and its job. The only part that knows every other."""

from .launch import Launch
from .remote_kernel import RemoteKernel

__all__ = ["Launch", "RemoteKernel"]
