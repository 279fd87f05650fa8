"""jupyter.outliving: only a notebook server's kernels outlive their process."""

from __future__ import annotations

import gc
import weakref

from jupyter_client.multikernelmanager import MultiKernelManager

from remote_kernels.jupyter.outliving import let_outlive, outlives_server


def test_a_manager_that_nobody_registered() -> None:
    """A script's kernels end with it."""
    assert not outlives_server(MultiKernelManager())


def test_a_kernel_without_a_manager_of_many() -> None:
    """A console's kernel ends with it."""
    assert not outlives_server(None)


def test_the_notebook_server_s_manager() -> None:
    """This one's kernels live on, another's do not."""
    mine, other = MultiKernelManager(), MultiKernelManager()

    let_outlive(mine)

    assert [True, False] == [outlives_server(manager) for manager in (mine, other)]


def test_a_manager_is_not_kept_alive() -> None:
    """A server in a test comes and goes."""
    manager = MultiKernelManager()
    let_outlive(manager)
    gone = weakref.ref(manager)

    del manager
    gc.collect()

    assert gone() is None
