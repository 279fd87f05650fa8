"""The fixtures of the cluster's own tests."""

from __future__ import annotations

from testbed.fixtures import cluster

__all__ = ["cluster"]
