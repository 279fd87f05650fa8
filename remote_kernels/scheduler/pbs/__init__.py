"""PBS Professional, and OpenPBS."""

from .driver import Pbs

DRIVER = Pbs()
