"""IBM Spectrum LSF."""

from .driver import Lsf

DRIVER = Lsf()
