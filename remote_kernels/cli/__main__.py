"""`python -m remote_kernels.cli`: the command line of this very environment."""

from .main import main

main()
