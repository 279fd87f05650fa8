"""Jupyter kernels as batch jobs, their channels carried back to the login node.

Imports nothing: the job imports this package too.
"""

__version__ = "0.1.0"
