"""Slurm's words in plain words: what a job waits for, how it ended, what to change.

Rules: pure; the words are in `slurm_reasons.py`; an unknown one of Slurm's is shown as
it is. Called by `slurm.py`.
"""

from __future__ import annotations

import os
import pwd
import re
import signal

from remote_kernels.scheduler.base import JobStatus, Phase
from remote_kernels.scheduler.slurm_reasons import (
    AGAIN,
    ENDS,
    FAILURES,
    NEVER,
    PERHAPS_NEVER,
    STATES,
    WAITS,
    Row,
)

PATIENCE = 20.0  # seconds until one of PERHAPS_NEVER is believed

# ExitCode=0:53 is what Slurm (22.05) says of a job whose --output cannot be opened.
_NO_OUTPUT = 53

_LOG = "The end of its log may tell why."
_MEMORY = (
    "This often happens when the memory is used up: ask for more with 'mem', or look "
    "at the end of its log."
)

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
    found = _match(NEVER, status.reason)
    if found is None and status.standing >= PATIENCE:
        found = _match(PERHAPS_NEVER, status.reason)
    if found is None:
        return None
    text, remedy = found
    return f"The job can never start as asked ({status.reason}): {text}. {remedy}"


def pending(status: JobStatus) -> str:
    """What a job waits for, as a clause; Slurm's own word is in brackets."""
    found = _waiting(status)
    if found is not None:
        return f"{found[0]} ({status.reason})" if status.reason else found[0]
    if status.state == "PENDING":
        return f"waiting ({status.reason})"
    words = f"{status.state} {status.reason}".strip()
    return f"in a state that we do not know ({words})"


def advice(status: JobStatus) -> str:
    """What can be done about that; "" if there is only to wait."""
    return (_waiting(status) or ("", ""))[1]


def ended(status: JobStatus) -> str:
    """How a job ended, and what can be done."""
    word = status.state.partition(" ")[0].rstrip("+")
    if word == "FAILED":
        return _failed(status)
    if word == "CANCELLED" and " by " in status.state:
        return _cancelled(_user(status.state.rpartition(" ")[2]))
    return " ".join(ENDS.get(word, (f"The job ended: {status.state}.", _LOG)))


def submit(stderr: str) -> str:
    """What to do about what sbatch said; "" if we do not know it."""
    for pattern, advice in _SUBMITS:
        if re.search(pattern, stderr, re.IGNORECASE):
            return advice
    return ""


def _waiting(status: JobStatus) -> tuple[str, str] | None:
    if status.state in STATES:
        return STATES[status.state]
    if status.state != "PENDING":
        return None
    return _match((*WAITS, *NEVER, *PERHAPS_NEVER), status.reason)


def _failed(status: JobStatus) -> str:
    if status.signal == _NO_OUTPUT:
        return (
            "The job's log could not be opened on the compute node: the state "
            "directory is not shared with it. Set 'state_dir' to a directory on a "
            "filesystem that the login node and the compute nodes share."
        )
    failure = _match(FAILURES, status.reason)
    if failure:
        return " ".join(failure)
    if status.signal:
        remedy = _MEMORY if status.signal == signal.SIGKILL else _LOG
        return f"The job was ended by signal {_named(status.signal)}. {remedy}"
    if status.exit_code:
        return f"The job's script failed with exit code {status.exit_code}. {_LOG}"
    hopeless = _match((*NEVER, *PERHAPS_NEVER), status.reason)
    if hopeless:
        text, remedy = hopeless
        return f"The job failed: {text} ({status.reason}). {remedy}"
    return f"The job failed ({status.reason or 'no reason given'}). {_LOG}"


def _named(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def _cancelled(who: str) -> str:
    if who == "you":
        return f"The job was cancelled by you. {AGAIN}"
    return f"The job was cancelled by {who}. Ask them why before you start it again."


def _user(number: str) -> str:
    """Accounting says who cancelled a job by a number (sacct, 20.11 to 26.05)."""
    if number == str(os.getuid()):
        return "you"
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (KeyError, ValueError):
        return f"user {number}"


def _match(table: tuple[Row, ...], reason: str) -> tuple[str, str] | None:
    """scontrol prints the spaces of a reason as underscores."""
    for pattern, text, remedy in table:
        if re.fullmatch(pattern, reason.replace("_", " ")):
            return text, remedy
    return None
