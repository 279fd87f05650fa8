"""What to do about what sbatch refused: its own words, and what to change.

Rules: pure. sbatch (22.05 to 25.11) says why on a line of its own where a limit of
accounting is the cause ("sbatch: error: QOSMaxSubmitJobPerUserLimit"): that is one of
the reasons in `reasons.py`, and says more than the line after it. The texts are
those of src/common/slurm_errno.c. Called by `words.py`.
"""

from __future__ import annotations

import re

from .reasons import ACCOUNTS, NEVER, NODES, OF_ASSOC, OF_QOS, TIMES

_LIMITS = (
    "`sacctmgr show qos format=name,maxwall,maxtres,maxtrespu,grptres` and `sacctmgr "
    "-P show assoc user=$USER format=account,partition,maxwall,maxtres,grptres`"
)
_ENOUGH = "end one of them (`squeue --me` lists yours), or wait until one ends."

# One row a line, as a table is read.
# fmt: off

# Limits of accounting, by their names; the first that fits counts.
_LIMITED: tuple[tuple[str, str], ...] = (
    (r"(Assoc|QOS)Grp\w*Submit\w*|Max\w*Submit\w*PerAccount", f"Your group has as many jobs, waiting and running, as it may have: {_ENOUGH}"),
    (r"(Assoc|QOS)\w*Submit\w*", f"You have as many jobs, waiting and running, as you may have: {_ENOUGH}"),
    *((pattern, f"{says[0].upper()}{says[1:]}. {remedy}") for pattern, says, remedy in NEVER),
    (r"(Assoc|QOS)(Max|Grp)(?!\w*Wall)\w+|Max\w+Per(User|Account)", f"It asks for more than that limit allows: ask for less ('cpus-per-task', 'mem', 'gpus', 'nodes', 'time'), or change 'qos' or 'account'. {_LIMITS} show the limits."),
    (r"QOSGrpWall\w*", f"Ask for less with 'time', or change 'qos' ({OF_QOS.format('name,grpwall')})."),
    (r"AssocGrpWall\w*", f"Ask for less with 'time', or change 'account' ({OF_ASSOC.format('grpwall')})."),
)

_REFUSED: tuple[tuple[str, str], ...] = (
    (r"invalid partition", "Change 'partition': `sinfo -s` lists the partitions of this cluster."),
    (r"Invalid account|account.* required|must .*specify .*account|User account not valid", f"Set 'account' to one that may use this partition: {ACCOUNTS}. (The notebook server's SBATCH_ACCOUNT is not passed on unless 'env_keep' names it.)"),
    (r"Invalid qos", f"Change 'qos': {ACCOUNTS}."),
    (r"group not permitted to use this partition|partition not available|Requested partition configuration not available", "Choose another 'partition', or ask for less: `sinfo -s` lists those that are open to you."),
    (r"reservation", "Change 'reservation': `scontrol show reservation` lists them with those who may use them."),
    (r"generic resource|gres|invalid gpu|TRES\b.* specification", "Change 'gres' or 'gpus': `sinfo{of} -O partition,gres:40` lists what the nodes have."),
    (r"accounting/QOS policy", f"You have reached a limit of your account or quality of service: end other jobs (`squeue --me`), or ask for less. {_LIMITS} show the limits."),
    (r"requested time limit|--time(-min)? spec|invalid time", f"Set 'time' to what the partition allows: {TIMES}."),
    (r"node configuration is not available|node count|Node name|feature|More processors requested|CPU count|Memory (required|specification)|--mem\S* spec", f"No node has what is asked for: {NODES}."),
    (r"dependency", "Take the dependency out of 'sbatch_args': that job is not there, or not yours."),
    (r"license", "Change the licences in 'sbatch_args': `scontrol show licenses` lists them."),
    (r"Unable to contact slurm controller|Socket timed out|not responding", "Slurm's controller did not answer. Try again in a while; `sinfo` shows whether it answers."),
    (r"temporarily unable to accept job|job queue full", "The cluster has as many jobs as it can hold. Try again in a while."),
    (r"authentication|munge", "Slurm could not tell who you are: munge on this machine may be down, or its clock wrong. Tell the administrators, or use another login node."),
    (r"unrecognized option|invalid option|ambiguous", "This version of Slurm does not know an option: see 'sbatch_args' and `sbatch --version`."),
    (r"can't be reached now", "Check the cluster's name in --clusters: `sacctmgr show clusters` lists them."),
    (r"Unable to process configuration file|establish a configuration source", "This machine is no client of a Slurm cluster, or SLURM_CONF does not name the cluster's slurm.conf."),
    (r"^\W*(\w+: )?usage:|script (file )?(is )?(missing|required)|no script|SCRIPT\b", "The sbatch that comes first on PATH is not Slurm's own, but a wrapper of this site that takes no script on standard input, as Slurm's does. `type -a sbatch` lists all; put the directory of Slurm's own (such as /usr/bin) before the wrapper's in the PATH of the notebook server, or ask the administrators to let the script through."),
)
# fmt: on


def advice(stderr: str, stdout: str = "") -> str:
    """Say what to do about what sbatch said; "" if we do not know it."""
    for line in stderr.splitlines():
        word = line.strip().rpartition(" ")[2]
        for pattern, text in _LIMITED:
            if re.fullmatch(pattern, word):
                return text
    for pattern, text in _REFUSED:
        if re.search(pattern, stderr or stdout, re.IGNORECASE | re.MULTILINE):
            return text
    return ""
