"""The fixtures of the cluster's own tests."""

from __future__ import annotations

from cluster.fixtures import cluster

__all__ = ["cluster"]
