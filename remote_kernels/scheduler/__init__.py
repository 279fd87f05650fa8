"""Batch systems: a folder for each, and what all have in common beside them."""
