"""OAR, as on Grid'5000 and many French sites."""

from .driver import Oar

DRIVER = Oar()
