"""jupyter.process: what belongs to a process, and whose kernels outlive it."""

from __future__ import annotations

import asyncio
import gc
import weakref

from jupyter_client.manager import KernelManager
from jupyter_client.multikernelmanager import MultiKernelManager

from remote_kernels.jupyter.process import process
from remote_kernels.jupyter.provisioner import RemoteKernelProvisioner


def lasts(parent: MultiKernelManager | None) -> bool:
    """Whether a kernel of this manager outlives its process."""
    manager = KernelManager(parent=parent)
    return RemoteKernelProvisioner(parent=manager)._is_lasting


def test_there_is_one() -> None:
    """Its loop turns."""
    work = asyncio.sleep(0, "done")

    assert process() is process()
    assert "done" == asyncio.run(process().background.run(work))


def test_a_manager_that_nobody_registered() -> None:
    """A script's kernels end with it."""
    assert not lasts(MultiKernelManager())


def test_a_kernel_without_a_manager_of_many() -> None:
    """A console's kernel ends with it."""
    assert not lasts(None)


def test_the_notebook_server_s_manager() -> None:
    """This one's kernels live on, another's do not."""
    mine, other = MultiKernelManager(), MultiKernelManager()

    process().lasting.add(mine)

    assert [True, False] == [lasts(manager) for manager in (mine, other)]


def test_a_manager_is_not_kept_alive() -> None:
    """A server in a test comes and goes."""
    manager = MultiKernelManager()
    process().lasting.add(manager)
    gone = weakref.ref(manager)

    del manager
    gc.collect()

    assert gone() is None
