"""The machine itself, where there is no batch system."""

from .driver import Local

DRIVER = Local()
