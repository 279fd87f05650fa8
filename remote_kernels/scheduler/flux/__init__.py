"""Flux, the resource manager of flux-core."""

from .driver import Flux

DRIVER = Flux()
