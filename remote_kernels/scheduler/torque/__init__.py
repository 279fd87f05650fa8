"""Torque."""

from .driver import Torque

DRIVER = Torque()
