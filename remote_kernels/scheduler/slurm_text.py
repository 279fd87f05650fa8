"""Slurm's words in plain words: what a job waits for, how it ended, what to change.

Rules: pure; matches by family, because Slurm has some 190 reasons and adds more with
each release; an unknown word is shown as it is. Called by `slurm.py`.
"""

from __future__ import annotations

import os
import pwd
import re

from remote_kernels.scheduler.base import JobStatus, Phase

# Reasons with which a job waits for ever unless its request changes.
_NEVER = (
    (
        r"PartitionTimeLimit",
        (
            "it asks for more time than its partition allows; ask for less with 'time', or "
            "choose another 'partition' (`sinfo -o '%P %l'` shows their limits)"
        ),
    ),
    (
        r"AccountNotAllowed|InvalidAccount",
        (
            "its account may not be used there; set 'account' to one of yours "
            "(`sacctmgr show assoc user=$USER format=account,partition,qos` lists them)"
        ),
    ),
    (
        r"InvalidQOS|QOSNotAllowed|QOSUsageThreshold",
        (
            "its quality of service may not be used there; change 'qos' (`sacctmgr show "
            "assoc user=$USER format=account,partition,qos` lists yours)"
        ),
    ),
    (
        r"MaxMemPerLimit",
        (
            "it asks for more memory than a job there may have; ask for less with 'mem', "
            "or choose another 'partition'"
        ),
    ),
    (
        r"QOSMin\w+",
        (
            "it asks for less than its quality of service demands; change 'qos' or ask "
            "for more"
        ),
    ),
    (
        r"(QOS|Assoc)Max\w*Per(Job|Node)(Limit)?",
        (
            "it asks for more than one job of yours may have; ask for less (time, "
            "cpus-per-task, mem, gpus, nodes), or change 'qos' or 'account'"
        ),
    ),
    (
        r"DependencyNeverSatisfied",
        "a job that it depends on failed; take the dependency out of 'sbatch_args'",
    ),
    (r"ReservationDeleted", "its reservation is no more; take out 'reservation'"),
)
# Nodes that are down or being set up can cause these too, for a while.
_PERHAPS_NEVER = (
    (
        r"PartitionConfig|PartitionNodeLimit|BadConstraints|Constraints",
        (
            "no node of its partition has what it asks for; ask for less (cpus-per-task, "
            "mem, gres, gpus, nodes), or change 'constraint', 'nodelist' or 'partition' "
            "(`sinfo -N -o '%N %P %c %m %G %f %T'` shows what the nodes have)"
        ),
    ),
)
PATIENCE = 20.0  # seconds until one of those is believed

# ExitCode=0:53 is what Slurm (22.05) says of a job whose --output cannot be opened.
_NO_OUTPUT = 53

_WAITS = (
    (r"", "waiting in the queue"),
    (r"None", "waiting for the scheduler's next round"),
    (r"Resources", "waiting for free nodes"),
    (r"Priority", "other jobs are ahead in the queue"),
    (r"AssocGrp\w*|QOSGrp\w*|Max\w*PerAccount", "your group uses all it is allowed"),
    (
        r"AssocMax\w*|QOSMax\w*|Max\w*PerUser",
        "your running jobs reach a limit of yours; end another one",
    ),
    (
        r"ReqNodeNotAvail.*|Reservation|NodeDown|PartitionDown|PartitionInactive",
        (
            "the nodes are unavailable or reserved, often for maintenance; asking for less "
            "time may help"
        ),
    ),
    (r"JobHeldUser", "the job is on hold (`scontrol release` lets it go on)"),
    (r"JobHeldAdmin", "the administrators put the job on hold; ask them"),
    (r"JobHoldMaxRequeue|launch failed.*", "the job failed to start and is on hold"),
    (r"Dependency", "waiting for the jobs it depends on"),
    (r"BeginTime", "waiting for its begin time"),
    (r"Licenses", "waiting for a licence"),
    (r"Nodes required for job are DOWN.*", "the nodes it needs are down or reserved"),
)

_ENDS = {
    "COMPLETED": "The job ended on its own.",
    "CANCELLED": "The job was cancelled, by you or by an administrator.",
    "TIMEOUT": "The job reached its time limit. Ask for more with 'time'.",
    "OUT_OF_MEMORY": "The job used more memory than it had asked for and was ended. "
    "Ask for more with 'mem'.",
    "NODE_FAIL": "The compute node failed. Start the kernel again; if it happens "
    "again on the same node, tell the administrators.",
    "BOOT_FAIL": "The compute node could not be started. Start the kernel again.",
    "PREEMPTED": "A job of higher priority took the node. Start the kernel again, or "
    "choose a 'partition' or 'qos' that is not preempted.",
    "DEADLINE": "The job reached its deadline.",
    "REVOKED": "Another cluster of the federation took the job.",
}

_SUBMITS = (
    (
        r"invalid partition",
        "Change 'partition': `sinfo -s` lists the partitions of this cluster.",
    ),
    (
        (
            r"Invalid account|Invalid .*account/partition|account.* required|"
            r"must .*specify .*account"
        ),
        (
            "Set 'account' to one that may use this partition: `sacctmgr show assoc "
            "user=$USER format=account,partition,qos` lists yours. (The notebook server's "
            "SBATCH_ACCOUNT is not passed on unless 'env_keep' names it.)"
        ),
    ),
    (
        r"Invalid qos",
        (
            "Change 'qos': `sacctmgr show assoc user=$USER format=account,partition,qos` "
            "lists yours."
        ),
    ),
    (
        r"reservation",
        (
            "Change 'reservation': `scontrol show reservation` lists them with those who "
            "may use them."
        ),
    ),
    (
        r"generic resource|gres|invalid gpu",
        "Change 'gres' or 'gpus': `sinfo -o '%P %G'` lists what the nodes have.",
    ),
    (
        r"time limit|--time spec",
        "Change 'time': `sinfo -o '%P %l'` lists the longest time of each partition.",
    ),
    (
        (
            r"node configuration is not available|node count|Node name|feature|"
            r"More processors requested|Memory (required|specification)|--mem\S* spec"
        ),
        (
            "No node has what is asked for: `sinfo -N -o '%N %P %c %m %G %f'` lists what "
            "the nodes have."
        ),
    ),
    (
        r"AssocMaxSubmitJobLimit|QOSMaxSubmitJob|policy|limit",
        (
            "You have reached a limit of your account: end other jobs (`squeue --me`) or "
            "ask for less."
        ),
    ),
    (
        r"Unable to contact slurm controller|Socket timed out|not responding",
        (
            "Slurm's controller did not answer. Try again in a while; `sinfo` shows "
            "whether it answers."
        ),
    ),
    (
        r"unrecognized option|invalid option|ambiguous",
        (
            "This version of Slurm does not know an option: see 'sbatch_args' and "
            "`sbatch --version`."
        ),
    ),
    (r"can't be reached now", "Check the cluster's name in --clusters."),
    (
        r"Unable to process configuration file|establish a configuration source",
        (
            "This machine is no client of a Slurm cluster, or SLURM_CONF does not name "
            "the cluster's slurm.conf."
        ),
    ),
)


def never(status: JobStatus) -> str | None:
    """Why a job that waits can never start, and what to change; None if it may."""
    if status.phase is not Phase.PENDING:
        return None
    found = _match(_NEVER, status.reason)
    if found is None and status.standing >= PATIENCE:
        found = _match(_PERHAPS_NEVER, status.reason)
    if found is None:
        return None
    return f"The job can never start as asked ({status.reason}): {found}."


def pending(status: JobStatus) -> str:
    """What a job waits for."""
    if status.state in ("CONFIGURING", "POWER_UP_NODE"):
        return "the node is being switched on"
    found = _match((*_WAITS, *_NEVER, *_PERHAPS_NEVER), status.reason)
    if found is None:
        return f"waiting ({status.reason})"
    return f"{found} ({status.reason})" if status.reason else found


def ended(status: JobStatus) -> str:
    """How a job ended, and what to change."""
    word = status.state.partition(" ")[0].rstrip("+")
    if word == "FAILED":
        return _failed(status)
    if word == "CANCELLED" and " by " in status.state:
        return f"The job was cancelled by {_user(status.state.rpartition(' ')[2])}."
    if word == "UNKNOWN":
        return "The job is gone, and Slurm no longer knows how it ended."
    return _ENDS.get(word, f"The job ended: {status.state}.")


def submit(stderr: str) -> str:
    """What to do about what sbatch said; "" if we do not know it."""
    for pattern, advice in _SUBMITS:
        if re.search(pattern, stderr, re.IGNORECASE):
            return advice
    return ""


def _failed(status: JobStatus) -> str:
    if status.signal == _NO_OUTPUT:
        return (
            "The job's log could not be opened on the compute node: the state "
            "directory is not shared with it. Set 'state_dir' to a directory on a "
            "filesystem that the login node and the compute nodes share."
        )
    if status.signal:
        return f"The job was ended by signal {status.signal}."
    if status.exit_code is not None:
        return f"The job's script failed with exit code {status.exit_code}."
    return f"The job failed ({status.reason or 'no reason given'})."


def _user(number: str) -> str:
    """Accounting says who cancelled a job by a number (sacct, 20.11 to 26.05)."""
    if number == str(os.getuid()):
        return "you"
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (KeyError, ValueError):
        return f"user {number}"


def _match(table: tuple[tuple[str, str], ...], reason: str) -> str | None:
    for pattern, text in table:
        if re.fullmatch(pattern, reason):
            return text
    return None
