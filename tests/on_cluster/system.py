"""The batch system over which these tests run: RK_CLUSTER_SCHEDULER, or Slurm."""

from __future__ import annotations

from testbed.layout import default_scheduler
from testbed.systems import named

SYSTEM = named(default_scheduler())
