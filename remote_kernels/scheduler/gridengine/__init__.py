"""Grid Engine: Sun's, Son of, Open, Univa's and Altair's."""

from .driver import GridEngine

DRIVER = GridEngine()
