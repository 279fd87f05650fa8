"""A batch system that is nobody's, to see that a folder is all that one takes."""

from abacus.driver import Abacus

DRIVER = Abacus()
