"""OAR's states, reasons, events and refusals, each with what it means and what to do.

Values only; `words.py` makes sentences of them. A pattern fits the whole of a reason, and
any part of a refusal; {job} and {reason} are filled in.
"""

from __future__ import annotations

from remote_kernels.causes import EndCause

Row = tuple[str, str, str]  # a pattern, a clause of what it means, what to do

LOG = "The end of its log may tell why."
AGAIN = "Start the kernel again."
NODE = (
    f"{AGAIN} Should it happen once more, tell the administrators: "
    "`oarstat -e -j {job}` shows what happened."
)
TROUBLE = "The job could not be started on its node, or not be looked after ({reason})."
_FEWER = (
    "`oarnodes -s` shows which nodes are there. Ask for fewer 'nodes', 'core' or 'gpu', "
    "or for less by 'property'."
)

# One row a line, as a table is read.
# fmt: off
STATES: dict[str, tuple[str, str]] = {
    "Hold": ("held, and not to be started", "`oarresume {job}` lets it go, unless the administrators hold it."),
    "toLaunch": ("about to start", ""),
    "Launching": ("starting on its node", ""),
    "toAckReservation": ("its reservation is being looked at", ""),
}
WAITS: tuple[Row, ...] = (
    (r"No enough matching resources.*", "no node that fits is there, or will be in the time for which OAR plans", _FEWER),
    (r"Cannot determine scheduling time due to dependency.*", "another job has to end first", "`oarstat -f -j {job}` shows which, by its dependencies."),
    (r"No enough Tokens.*", "others use the licences that it asks for", ""),
    (r"Inner job: container \S+ is yet to scheduled.*", "the job that it is to be in has not started", ""),
    (r".*quota.*", "you, your project or your queue have as much as the site's quota allows", "`oarstat -u` shows your jobs: end some, or wait."),
    (r"One or several nodes are not responding correctly.*", "its nodes did not answer", _FEWER),
)
ENDS: dict[str, tuple[str, str]] = {
    "WALLTIME": ("The job reached its time limit (WALLTIME).", "Ask for more with 'walltime'."),
    "BESTEFFORT_KILL": ("The job was ended to make room for another one (BESTEFFORT_KILL), as its type is besteffort.", f"{AGAIN} Without that type nobody ends it before its time."),
    "OUTPUT_FILES": ("The job's log could not be opened on the compute node (OUTPUT_FILES): the state directory is not shared with it.", "Set 'state_dir' to a directory on a filesystem that the login node and the compute nodes share."),
    "WORKING_DIRECTORY": ("The job's directory is not there on the compute node (WORKING_DIRECTORY).", NODE),
    "USER_SHELL": ("You have no account on the compute node (USER_SHELL).", NODE),
    "EXTERMINATE_JOB": ("The job's node did not answer, and the job was given up (EXTERMINATE_JOB).", NODE),
}
# What oarsub says, in whatever case, and what to do about it; 2.5.9, and 2.5.10 as in its
# source (sources/core/common-libs/lib/OAR/IO.pm).
REFUSALS: tuple[tuple[str, str], ...] = (
    (r"There are not enough resources for your request", f"No nodes of this cluster, busy or not, could give that. {_FEWER}"),
    (r"queue \S+ does not exist", "`oarstat -f` shows the queues of all jobs; without 'queue' it is the site's usual one."),
    (r'column "?(\w+)"? does not exist|Unknown column', "Nodes here have no such property: `oarnodes` shows those that they have. If cores or GPUs have another name here, use 'resource', as for -l."),
    (r"syntax error at |unterminated quoted |error in your SQL syntax", "'property' and the braces of 'resource' are conditions of SQL, such as \"mem > 8000 AND cluster = 'big'\"."),
    (r"Cannot recognize (the resource description|-- )", "'resource' is written as for -l: \"/nodes=1/core=2,walltime=1:00:00\"."),
    (r"unknown job type", "'type' is one that this site knows; most have besteffort."),
    (r"Invalid stdout file name", "OAR takes letters without accents, digits, blanks and . / _ - % in the name of a log. Set 'state_dir' to a directory whose path has no others."),
    (r"Cannot connect to executor|DBI connect|DB connection error", "OAR's server or its database does not answer; try again in a while."),
    (r"root and oar users are not allowed", "Start the notebook server as an ordinary user."),
    (r"Only member of the group", "Leave 'queue' out, or ask the administrators."),
)
# fmt: on
CAUSES = {
    "WALLTIME": EndCause.TIME,
    "FRAG_JOB_REQUEST": EndCause.CANCELLED,
    "BESTEFFORT_KILL": EndCause.PREEMPTED,
    "EXTERMINATE_JOB": EndCause.NODE,
    "OUTPUT_FILES": EndCause.START,
    "WORKING_DIRECTORY": EndCause.START,
    "USER_SHELL": EndCause.START,
}
# Of oarsub's stderr alone: what a rule prints on stdout is a notice.
RULE = "ADMISSION RULE]"
BY_A_RULE = (
    "The site's rules do not allow it as asked; change what they name, or ask the "
    "administrators."
)
