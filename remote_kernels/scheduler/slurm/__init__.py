"""Slurm."""

from .driver import Slurm

DRIVER = Slurm()
