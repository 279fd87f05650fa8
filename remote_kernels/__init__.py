"""Jupyter kernels as batch jobs, their channels carried back to the login node.

Imports nothing: the job imports this package too.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """`%load_ext remote_kernels`: the magics, in the kernel."""
    from remote_kernels import magics

    magics.load(shell)


def unload_ipython_extension(shell: "InteractiveShell") -> None:
    """`%unload_ext remote_kernels`."""
    from remote_kernels import magics

    magics.unload(shell)
