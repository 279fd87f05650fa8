"""Our provisioner with the local scheduler, for kernelspecs that name none.

On PYTHONPATH beside its entry point; $JUPYTER_DEFAULT_PROVISIONER_NAME chooses it.
"""

from __future__ import annotations

from typing import Any

from remote_kernels.jupyter.provisioner import RemoteKernelProvisioner


class RemoteLocal(RemoteKernelProvisioner):
    """As if each kernelspec had this config."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(scheduler="local", poll_interval=0.1, **kwargs)
