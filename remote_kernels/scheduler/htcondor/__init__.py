"""HTCondor."""

from .driver import HTCondor

DRIVER = HTCondor()
