"""What Slurm puts at the beginning of a batch script. Pure text; called by `driver.py`.

The agent learns what it must know of its job from variables of ours (agent/job_facts.py).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from remote_kernels.scheduler.job import JobRequest

_FACTS = """\
export RK_JOB_ID=$SLURM_JOB_ID RK_NODE=$SLURMD_NODENAME RK_CLUSTER=$SLURM_CLUSTER_NAME
export RK_NODES=$SLURM_JOB_NODELIST RK_NODE_COUNT=$SLURM_JOB_NUM_NODES
export RK_JOB_MARK=SLURM_JOB_ID=$SLURM_JOB_ID RK_LAUNCHERS=srun
rk_restarted=${SLURM_RESTART_COUNT:-0}"""

# The user's own srun, in a cell, would take a step's variables for its options. What
# is kept speaks of the job. `detach.py` waits for the line, and tells a job of salloc's
# the nodes; another node's agent has them from the first one's.
_LEAVE_STEP = """\
echo "remote_kernels: step $SLURM_JOB_ID.$SLURM_STEP_ID on $SLURMD_NODENAME" >&2
rk_cpus=${SLURM_JOB_CPUS_PER_NODE:-$SLURM_JOB_CPUS_PER_NODE_PACK_GROUP_0}
for rk_one in ${!SLURM_*} ${!SRUN_*} ${!PMI_*} ${!PMIX_*}; do
  case $rk_one in
    SLURM_CONF | SLURM_CLUSTERS | SLURM_CLUSTER_NAME | SLURM_JOB_ID | SLURM_JOBID) ;;
    SLURM_JOB_NAME | SLURM_JOB_PARTITION | SLURM_JOB_ACCOUNT | SLURM_JOB_QOS) ;;
    SLURM_JOB_GPUS | SLURM_JOB_USER | SLURM_JOB_UID | SLURM_JOB_GID) ;;
    *) unset "$rk_one" ;;
  esac
done
[ -z "$rk_cpus" ] || export SLURM_JOB_CPUS_PER_NODE=$rk_cpus"""
_NODES = """\
if [ -n "${RK_NODES:-}" ]; then
  export SLURM_JOB_NODELIST=$RK_NODES SLURM_NODELIST=$RK_NODES
  export SLURM_JOB_NUM_NODES=$RK_NODE_COUNT SLURM_NNODES=$RK_NODE_COUNT
fi"""


def head(request: JobRequest) -> str:
    """Return how the script of a job, or of a step in one, begins."""
    if "jobid" in request.options or request.options.get("start") == "salloc":
        return step_head(request.variables)
    return _FACTS


def step_head(variables: Mapping[str, str]) -> str:
    """Return how a script begins that runs in a step, but is to look like its job."""
    own = (f"export {name}={shlex.quote(v)}" for name, v in variables.items())
    return "\n".join([_LEAVE_STEP, *own, _NODES, _FACTS])
