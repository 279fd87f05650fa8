"""The words for Slurm's reasons and states: what it means, and what can be done.

Rules: data only, used by `words.py`. A row is a pattern that fits the whole
reason, a clause that says what it means, and a sentence that says what can be done
("" where there is only to wait). Matched by family, as Slurm has some 200 reasons and
adds more with each release. No reason fits two rows, so their order means nothing.

Known from Slurm's sources (22.05 to 26.05): src/common/job_state_reason.c has the
reasons, src/slurmctld sets them, and instead of some it shows a text of its own (such
as "Reservation course was deleted"), which is matched too.
"""

from __future__ import annotations

from remote_kernels.causes import EndCause

Row = tuple[str, str, str]

# Commands to copy, without a %: jupyter_server (2.21) shows each twice. What reads these
# puts the user's name in the place of $USER, and the job's number in that of {job}.
ACCOUNTS = (
    "`sacctmgr -P show assoc user=$USER format=account,partition,qos` lists yours"
)
NODES = (
    "`sinfo -N -O nodelist,partition,cpus,memory,gres,features,statelong` shows what "
    "the nodes have"
)
TIMES = "`sinfo -O partition,time` shows the longest time of each"
OF_QOS = "`sacctmgr show qos format={}` shows what each allows"
OF_ASSOC = (
    "`sacctmgr -P show assoc user=$USER format=account,partition,qos,{}` shows yours"
)
_SMALLER = (
    "Asking for less ('time', 'cpus-per-task', 'mem', 'gpus') may let it start sooner; "
    "`squeue --me --start` shows when Slurm expects it to."
)
_TELL = "Start the kernel again; if it happens again, tell the administrators."
AGAIN = "Start the kernel again if you still need it."

# One row a line, as a table is read.
# fmt: off

# With these a job waits for ever unless its request changes.
NEVER: tuple[Row, ...] = (
    (r"PartitionTimeLimit", "it asks for more time than its partition allows", f"Ask for less with 'time', or choose another 'partition' ({TIMES})."),
    (r"AccountNotAllowed|InvalidAccount|Job's account not permitted .*", "its account may not be used there", f"Set 'account' to another one, or choose another 'partition' ({ACCOUNTS})."),
    (r"InvalidQOS|QOSNotAllowed|Job's QOS not permitted .*", "its quality of service may not be used there", f"Change 'qos' ({ACCOUNTS})."),
    (r"MaxMemPerLimit", "it asks for more memory than a job there may have", "Ask for less with 'mem', or choose another 'partition'."),
    (r"QOSMin\w+", "it asks for less than its quality of service demands", f"Ask for more ({OF_QOS.format('name,mintres').replace('allows', 'demands')}), or change 'qos' ({ACCOUNTS})."),
    (r"QOSMaxWallDurationPerJobLimit", "it asks for more time than its quality of service allows", f"Ask for less with 'time', or change 'qos' ({OF_QOS.format('name,maxwall')})."),
    (r"AssocMaxWallDurationPerJobLimit", "it asks for more time than your account allows", f"Ask for less with 'time', or change 'account' ({OF_ASSOC.format('maxwall')})."),
    (r"QOSMax(?!Wall)\w+Per(Job|Node)(Limit)?", "it asks for more than one job may have in its quality of service", "Ask for less ('cpus-per-task', 'mem', 'gpus', 'nodes', 'time'), or change 'qos' (`sacctmgr show qos format=name,maxtres,maxtrespernode,maxtresmins` shows what each allows)."),
    (r"AssocMax(?!Wall)\w+Per(Job|Node)(Limit)?", "it asks for more than one job may have with your account", f"Ask for less ('cpus-per-task', 'mem', 'gpus', 'nodes', 'time'), or change 'account' ({OF_ASSOC.format('maxtres,maxtrespernode,maxtresmins')})."),
    (r"DependencyNeverSatisfied", "it was to wait for another job, and that one did not end as it should", "Take the dependency out of 'sbatch_args'."),
    (r"ReservationDeleted|ReservationInvalid|Reservation .+ was deleted", "its reservation is gone or cannot be used", "Take 'reservation' out, or name another one (`scontrol show reservation` lists them)."),
)

# Nodes that are down or being set up can cause these too, for a while.
PERHAPS_NEVER: tuple[Row, ...] = (
    (r"PartitionConfig|PartitionNodeLimit|BadConstraints", "no node of its partition has what it asks for", f"Ask for less ('cpus-per-task', 'mem', 'gres', 'gpus', 'nodes'), or change 'constraint', 'nodelist' or 'partition' ({NODES})."),
)

WAITS: tuple[Row, ...] = (
    (r"", "waiting in the queue", ""),
    (r"None|WaitingForScheduling", "waiting for the scheduler's next round", ""),
    (r"Resources", "waiting for free nodes", _SMALLER),
    (r"Priority", "other jobs are ahead in the queue", _SMALLER),
    # Limits of a group: of what runs now, of the time that is granted, of both.
    (r"(Assoc|QOS)Grp(?!\w*Minutes|Wall)\w+|Max(?!\w*RunMins)\w+PerAccount|(Association|QOS)(Job|Resource)Limit", "your group or your quality of service uses all it is allowed", "It starts when jobs of your group end; end one of yours, ask for less, or change 'account' or 'qos'."),
    (r"(Assoc|QOS)Grp(?!\w*RunMinutes)\w+Minutes(Limit)?|(Assoc|QOS)GrpWallLimit|(Association|QOS)TimeLimit", "the computing time granted to your group is used up, or too little of it is left", "Ask for less with 'time', change 'account' or 'qos', or apply for more computing time (`sshare` shows what is used)."),
    (r"(Assoc|QOS)Grp\w+RunMinutes(Limit)?|Max\w+RunMinsPerAccount", "the running jobs of your group hold all the computing time it may hold at once", "It starts as they go on or end; asking for less with 'time' may let it start sooner."),
    # Limits of one person.
    (r"AssocMaxJobsLimit|QOSMaxJobsPerUserLimit", "as many of your jobs run as may run at once", "It starts when one of them ends: `squeue --me` lists them."),
    (r"AssocMaxSubmitJobLimit|QOSMaxSubmitJobPerUserLimit", "you have as many jobs, waiting and running, as you may have", "End one of them: `squeue --me` lists them."),
    (r"QOSMax(?!Jobs|SubmitJob)\w+PerUser(Limit)?", "your running jobs reach a limit of yours", "End another one (`squeue --me` lists them); if none runs, ask for less."),
    (r"Max\w+RunMinsPerUser", "your running jobs hold all the computing time that you may hold at once", "End another one (`squeue --me` lists them), or ask for less with 'time'."),
    (r"QOSUsageThreshold", "your group has lately used more than its share", "It starts when that share has recovered (`sshare` shows it); another 'qos' or 'account' may start sooner."),
    (r"AccountingPolicy", "a limit of your account holds it back", f"Ask the administrators which one, or change 'account' or 'qos' ({ACCOUNTS})."),
    # Nodes that cannot be had.
    (r"ReqNodeNotAvail, Reserved for maintenance", "the nodes are reserved for maintenance, before this job would end", "Ask for less with 'time', so that it ends before (`scontrol show reservation` shows when), or wait until it is over."),
    (r"ReqNodeNotAvail(?!, Reserved for maintenance).*|NodeDown", "the nodes it needs are in use, reserved or out of order", "Asking for less with 'time' may help; so may leaving out 'nodelist' and 'constraint' (`sinfo -R` shows which are out of order)."),
    (r"Nodes required for job are DOWN.*", "the nodes it needs are out of order or kept for more urgent jobs", f"Choose another 'partition' or ask for less ({NODES}), or wait."),
    (r"PartitionDown|PartitionInactive", "its partition is closed for the time being", "Choose another 'partition' (`sinfo -s` lists them), or wait until the administrators open it."),
    (r"FrontEndDown", "no machine that could start it is up", "Tell the administrators if it lasts."),
    (r"MaxPoweredUpNodes", "as many nodes are switched on as the site allows", "It starts when another job ends."),
    (r"PowerNotAvail|PowerReserved", "the cluster has no electrical power to spare for it", _SMALLER),
    # Not held by Slurm: later changes of nodes may satisfy them.
    (r"Constraints", "no node has the features it asks for at present", f"Change 'constraint' ({NODES}), or wait until such a node is there."),
    (r"Reservation", "waiting for its reservation to begin or to have room", "`scontrol show reservation` shows when; without 'reservation' it runs outside."),
    (r"Problem using reservation|Required nodes outside of the reservation", "its reservation does not have the nodes it asks for", "Take 'nodelist' or 'reservation' out, or ask for less."),
    # On hold until somebody lets it go on.
    (r"JobHeldUser", "the job is on hold, by you or by whoever manages your account", "`scontrol release {job}` lets it go on."),
    (r"JobHeldAdmin", "the administrators put the job on hold", "Ask them why."),
    (r"JobHoldMaxRequeue|launch failed.*|.*requeued in .* state|.*requeued held", "the job failed to start and is on hold", _TELL),
    (r"BurstBufferOperation", "copying its files to the fast temporary storage failed, and it is on hold", "Look at the burst buffer's options in 'sbatch_args', or ask the administrators."),
    # What it waits for by its own request, or by the way that Slurm works.
    (r"Dependency", "waiting for the jobs it depends on", "Take the dependency out of 'sbatch_args' to start without them."),
    (r"BeginTime", "waiting for its begin time", "Take --begin out of 'sbatch_args' to start at once; a job that Slurm put back into the queue waits for some minutes."),
    (r"Licenses", "waiting for a licence", "`scontrol show licenses` shows how many are free; fewer of them in 'sbatch_args' may let it start."),
    (r"BurstBufferResources", "waiting for room in the fast temporary storage", ""),
    (r"BurstBufferStageIn", "copying its files to the fast temporary storage", ""),
    (r"Prolog", "the node is being prepared", ""),
    (r"Cleaning", "an earlier start of the job is being cleaned up", ""),
    (r"FedJobLock", "the clusters are agreeing on which of them runs it", ""),
    (r"MpiPortsBusy", "all network ports for parallel programs are in use", ""),
    (r"NvidiaImexChannels", "all channels through which GPUs of several nodes share memory are in use", ""),
    (r"JobArrayTaskLimit", "as many jobs of its array run as it allows", "Take --array out of 'sbatch_args'; a kernel is one job."),
    (r"SchedDefer", "it was to start at once, which the site does not allow", "Take --immediate out of 'sbatch_args'."),
    (r"DeadLine", "it cannot end before its deadline", "Ask for less with 'time', or take --deadline out of 'sbatch_args'."),
    # Why an earlier start ended, of a job that is in the queue again.
    (r"OutOfMemory", "an earlier start of the job used more memory than it had asked for", "Ask for more with 'mem'."),
    (r"TimeLimit", "an earlier start of the job reached its time limit", "Ask for more with 'time'."),
    (r"JobLaunchFailure|SystemFailure|NonZeroExitCode|RaisedSignal.*|InactiveLimit", "an earlier start of the job failed", _TELL),
)

# States of jobs that are not waiting in the usual way, and have not ended.
STATES: dict[str, tuple[str, str]] = {
    "CONFIGURING": ("the node is being switched on", ""),
    "POWER_UP_NODE": ("the node is being switched on", ""),
    "REQUEUED": ("the job is being put back into the queue", ""),
    "REQUEUE_FED": ("another cluster failed to run it; it is in the queue again", ""),
    "REQUEUE_HOLD": ("the job was put back into the queue, and is on hold", _TELL),
    "SPECIAL_EXIT": ("the job was put back into the queue, and is on hold", _TELL),
    "RESV_DEL_HOLD": ("its reservation is gone, and it is on hold", "Take 'reservation' out, or name another one."),
    "EXPEDITING": ("the job is being put at the head of the queue", ""),
    "RUNNING": ("the job is running", ""),
    "RESIZING": ("the job is running, and its number of nodes is changing", ""),
    "SIGNALING": ("the job is running, and is being sent a signal", ""),
    "SUSPENDED": ("the job is paused, for a more urgent one or by the administrators", "Its kernel answers again when it goes on; ask the administrators if it lasts."),
    "STOPPED": ("the job is paused, by you or by the administrators", "`scancel --full --signal=CONT {job}` lets it go on."),
    "COMPLETING": ("the job is ending", ""),
    "STAGE_OUT": ("the job has ended, and its files are being copied", ""),
    "UPDATE_DB": ("the job is being written to Slurm's records", ""),
    "LAUNCH_FAILED": ("the job could not be started on its node", _TELL),
    "RECONFIG_FAIL": ("the node could not be set up as asked", _TELL),
}

ENDS: dict[str, tuple[str, str]] = {
    "COMPLETED": ("The job ended on its own.", AGAIN),
    "CANCELLED": ("The job was cancelled, by you or by an administrator.", "If it was not you, ask the administrators why."),
    "TIMEOUT": ("The job reached its time limit.", "Ask for more with 'time'."),
    "OUT_OF_MEMORY": ("The job used more memory than it had asked for and was ended.", "Ask for more with 'mem'."),
    "NODE_FAIL": ("The compute node failed.", "Start the kernel again; if it happens again on the same node, tell the administrators."),
    "BOOT_FAIL": ("The compute node could not be started.", _TELL),
    "PREEMPTED": ("A job of higher priority took the node.", "Start the kernel again, or choose a 'partition' or 'qos' where this does not happen."),
    "DEADLINE": ("The job could not end before its deadline.", "Ask for less with 'time', or take --deadline out of 'sbatch_args'."),
    "REVOKED": ("Another cluster took the job.", "Name one cluster with --clusters in 'sbatch_args' to have it run there."),
    "UNKNOWN": ("The job is gone, and Slurm no longer knows how it ended.", "The end of its log may tell; start the kernel again if you still need it."),
}

# Why a job FAILED, where its exit code does not say it better.
FAILURES: tuple[Row, ...] = (
    (r"JobLaunchFailure|launch failed.*", "The job could not be started on its node.", _TELL),
    (r"Prolog.*", "The preparation of the node for the job failed.", _TELL),
    (r"SystemFailure", "Slurm, a file system or the network failed.", _TELL),
    (r"InactiveLimit", "Slurm saw the job do nothing for longer than the site allows.", "Ask the administrators about that limit."),
    (r"BurstBufferOperation", "Copying its files to or from the fast temporary storage failed.", "Look at the burst buffer's options in 'sbatch_args', or ask the administrators."),
    (r"NodeDown", *ENDS["NODE_FAIL"]),
    (r"OutOfMemory", *ENDS["OUT_OF_MEMORY"]),
    (r"TimeLimit", *ENDS["TIMEOUT"]),
    (r"DeadLine", *ENDS["DEADLINE"]),
)
# fmt: on
CAUSES = {
    "TIMEOUT": EndCause.TIME,
    "TimeLimit": EndCause.TIME,
    "OUT_OF_MEMORY": EndCause.MEMORY,
    "OutOfMemory": EndCause.MEMORY,
    "DEADLINE": EndCause.LIMIT,
    "DeadLine": EndCause.LIMIT,
    "InactiveLimit": EndCause.LIMIT,
    "CANCELLED": EndCause.CANCELLED,
    "REVOKED": EndCause.CANCELLED,
    "PREEMPTED": EndCause.PREEMPTED,
    "NODE_FAIL": EndCause.NODE,
    "NodeDown": EndCause.NODE,
    "SystemFailure": EndCause.NODE,
    "BOOT_FAIL": EndCause.START,
    "JobLaunchFailure": EndCause.START,
    "launch": EndCause.START,
    "Prolog": EndCause.START,
    "BurstBufferOperation": EndCause.START,
    "STEP": EndCause.FINISHED,
}
