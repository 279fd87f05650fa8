"""What tests that drive several hosts and users share."""

from __future__ import annotations

from cluster.fixtures import cluster

__all__ = ["cluster"]
