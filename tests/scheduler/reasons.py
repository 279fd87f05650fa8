"""All reasons and states of Slurm, each with the family that it is meant to be in.

The words are those of Slurm's sources: of 22.05 the strings of libslurm 22.05.8, which
are those of `job_state_reason_string` (src/common/slurm_protocol_defs.c); of 25.11
src/common/job_state_reason.c, where `MaxBBRunMinsPerAccount` and those after it are
new. The texts that Slurm shows instead of some reasons are strings of slurmctld 22.05.8
(src/slurmctld: job_mgr.c, job_scheduler.c, node_scheduler.c, reservation.c). The states
are those of doc/html/job_state_codes.shtml of 25.11; `EXPEDITING` is new in it. 26.05.3
has the same reasons and states.
"""

from __future__ import annotations

import re
from itertools import chain

# What each family says first, and the reasons that are meant to be in it.
NEVER = {
    "it asks for more time than its partition allows": ("PartitionTimeLimit "),
    "its account may not be used there": ("AccountNotAllowed InvalidAccount "),
    "its quality of service may not be used there": ("InvalidQOS QOSNotAllowed "),
    "it asks for more memory than a job there may have": ("MaxMemPerLimit "),
    "it asks for less than its quality of service demands": (
        "QOSMinBB QOSMinBilling QOSMinCpuNotSatisfied QOSMinEnergy QOSMinGRES "
        "QOSMinLicense QOSMinMemory QOSMinNode QOSMinUnknown "
    ),
    "it asks for more time than its quality of service allows": (
        "QOSMaxWallDurationPerJobLimit "
    ),
    "it asks for more time than your account allows": (
        "AssocMaxWallDurationPerJobLimit "
    ),
    "it asks for more than one job may have in its quality of service": (
        "QOSMaxBBMinutesPerJob QOSMaxBBPerJob QOSMaxBBPerNode "
        "QOSMaxBillingMinutesPerJob QOSMaxBillingPerJob QOSMaxBillingPerNode "
        "QOSMaxCpuMinutesPerJobLimit QOSMaxCpuPerJobLimit QOSMaxCpuPerNode "
        "QOSMaxEnergyMinutesPerJob QOSMaxEnergyPerJob QOSMaxEnergyPerNode "
        "QOSMaxGRESMinutesPerJob QOSMaxGRESPerJob QOSMaxGRESPerNode "
        "QOSMaxLicenseMinutesPerJob QOSMaxLicensePerJob "
        "QOSMaxMemoryMinutesPerJob QOSMaxMemoryPerJob QOSMaxMemoryPerNode "
        "QOSMaxNodeMinutesPerJob QOSMaxNodePerJobLimit "
        "QOSMaxUnknownMinutesPerJob QOSMaxUnknownPerJob QOSMaxUnknownPerNode "
    ),
    "it asks for more than one job may have with your account": (
        "AssocMaxBBMinutesPerJob AssocMaxBBPerJob AssocMaxBBPerNode "
        "AssocMaxBillingMinutesPerJob AssocMaxBillingPerJob "
        "AssocMaxBillingPerNode AssocMaxCpuMinutesPerJobLimit "
        "AssocMaxCpuPerJobLimit AssocMaxCpuPerNode AssocMaxEnergyMinutesPerJob "
        "AssocMaxEnergyPerJob AssocMaxEnergyPerNode AssocMaxGRESMinutesPerJob "
        "AssocMaxGRESPerJob AssocMaxGRESPerNode AssocMaxLicenseMinutesPerJob "
        "AssocMaxLicensePerJob AssocMaxMemMinutesPerJob AssocMaxMemPerJob "
        "AssocMaxMemPerNode AssocMaxNodeMinutesPerJob AssocMaxNodePerJobLimit "
        "AssocMaxUnknownMinutesPerJob AssocMaxUnknownPerJob "
        "AssocMaxUnknownPerNode "
    ),
    "it was to wait for another job, and that one did not end as it should": (
        "DependencyNeverSatisfied "
    ),
    "its reservation is gone or cannot be used": (
        "ReservationDeleted ReservationInvalid "
    ),
}

PERHAPS_NEVER = {
    "no node of its partition has what it asks for": (
        "BadConstraints PartitionConfig PartitionNodeLimit "
    ),
}

WAITS = {
    "waiting for the scheduler's next round": ("None WaitingForScheduling "),
    "waiting for free nodes": ("Resources "),
    "other jobs are ahead in the queue": ("Priority "),
    "your group or your quality of service uses all it is allowed": (
        "AssocGrpBB AssocGrpBilling AssocGrpCpuLimit AssocGrpEnergy AssocGrpGRES "
        "AssocGrpJobsLimit AssocGrpLicense AssocGrpMemLimit AssocGrpNodeLimit "
        "AssocGrpSubmitJobsLimit AssocGrpUnknown AssociationJobLimit "
        "AssociationResourceLimit MaxBBPerAccount MaxBillingPerAccount "
        "MaxCpuPerAccount MaxEnergyPerAccount MaxGRESPerAccount MaxJobsPerAccount "
        "MaxLicensePerAccount MaxMemoryPerAccount MaxNodePerAccount "
        "MaxSubmitJobsPerAccount MaxUnknownPerAccount QOSGrpBB QOSGrpBilling "
        "QOSGrpCpuLimit QOSGrpEnergy QOSGrpGRES QOSGrpJobsLimit QOSGrpLicense "
        "QOSGrpMemLimit QOSGrpNodeLimit QOSGrpSubmitJobsLimit QOSGrpUnknown "
        "QOSJobLimit QOSResourceLimit "
    ),
    "the computing time granted to your group is used up, or too little of it is left": (
        "AssocGrpBBMinutes AssocGrpBillingMinutes AssocGrpCPUMinutesLimit "
        "AssocGrpEnergyMinutes AssocGrpGRESMinutes AssocGrpLicenseMinutes "
        "AssocGrpMemMinutes AssocGrpNodeMinutes AssocGrpUnknownMinutes "
        "AssocGrpWallLimit AssociationTimeLimit QOSGrpBBMinutes "
        "QOSGrpBillingMinutes QOSGrpCPUMinutesLimit QOSGrpEnergyMinutes "
        "QOSGrpGRESMinutes QOSGrpLicenseMinutes QOSGrpMemoryMinutes "
        "QOSGrpNodeMinutes QOSGrpUnknownMinutes QOSGrpWallLimit QOSTimeLimit "
    ),
    "the running jobs of your group hold all the computing time it may hold at once": (
        "AssocGrpBBRunMinutes AssocGrpBillingRunMinutes AssocGrpCPURunMinutesLimit "
        "AssocGrpEnergyRunMinutes AssocGrpGRESRunMinutes AssocGrpLicenseRunMinutes "
        "AssocGrpMemRunMinutes AssocGrpNodeRunMinutes AssocGrpUnknownRunMinutes "
        "MaxBBRunMinsPerAccount MaxBillingRunMinsPerAccount MaxCpuRunMinsPerAccount "
        "MaxEnergyRunMinsPerAccount MaxGRESRunMinsPerAccount "
        "MaxLicenseRunMinsPerAccount MaxMemoryRunMinsPerAccount "
        "MaxNodeRunMinsPerAccount MaxUnknownRunMinsPerAccount QOSGrpBBRunMinutes "
        "QOSGrpBillingRunMinutes QOSGrpCPURunMinutesLimit QOSGrpEnergyRunMinutes "
        "QOSGrpGRESRunMinutes QOSGrpLicenseRunMinutes QOSGrpMemoryRunMinutes "
        "QOSGrpNodeRunMinutes QOSGrpUnknownRunMinutes "
    ),
    "as many of your jobs run as may run at once": (
        "AssocMaxJobsLimit QOSMaxJobsPerUserLimit "
    ),
    "you have as many jobs, waiting and running, as you may have": (
        "AssocMaxSubmitJobLimit QOSMaxSubmitJobPerUserLimit "
    ),
    "your running jobs reach a limit of yours": (
        "QOSMaxBBPerUser QOSMaxBillingPerUser QOSMaxCpuPerUserLimit "
        "QOSMaxEnergyPerUser QOSMaxGRESPerUser QOSMaxLicensePerUser "
        "QOSMaxMemoryPerUser QOSMaxNodePerUserLimit QOSMaxUnknownPerUser "
    ),
    "your running jobs hold all the computing time that you may hold at once": (
        "MaxBBRunMinsPerUser MaxBillingRunMinsPerUser MaxCpuRunMinsPerUser "
        "MaxEnergyRunMinsPerUser MaxGRESRunMinsPerUser MaxLicenseRunMinsPerUser "
        "MaxMemoryRunMinsPerUser MaxNodeRunMinsPerUser MaxUnknownRunMinsPerUser "
    ),
    "your group has lately used more than its share": ("QOSUsageThreshold "),
    "a limit of your account holds it back": ("AccountingPolicy "),
    "the nodes it needs are in use, reserved or out of order": (
        "NodeDown ReqNodeNotAvail "
    ),
    "its partition is closed for the time being": ("PartitionDown PartitionInactive "),
    "no machine that could start it is up": ("FrontEndDown "),
    "as many nodes are switched on as the site allows": ("MaxPoweredUpNodes "),
    "the cluster has no electrical power to spare for it": (
        "PowerNotAvail PowerReserved "
    ),
    "no node has the features it asks for at present": ("Constraints "),
    "waiting for its reservation to begin or to have room": ("Reservation "),
    "the job is on hold, by you or by whoever manages your account": ("JobHeldUser "),
    "the administrators put the job on hold": ("JobHeldAdmin "),
    "the job failed to start and is on hold": ("JobHoldMaxRequeue "),
    "copying its files to the fast temporary storage failed, and it is on hold": (
        "BurstBufferOperation "
    ),
    "waiting for the jobs it depends on": ("Dependency "),
    "waiting for its begin time": ("BeginTime "),
    "waiting for a licence": ("Licenses "),
    "waiting for room in the fast temporary storage": ("BurstBufferResources "),
    "copying its files to the fast temporary storage": ("BurstBufferStageIn "),
    "the node is being prepared": ("Prolog "),
    "an earlier start of the job is being cleaned up": ("Cleaning "),
    "the clusters are agreeing on which of them runs it": ("FedJobLock "),
    "all network ports for parallel programs are in use": ("MpiPortsBusy "),
    "all channels through which GPUs of several nodes share memory are in use": (
        "NvidiaImexChannels "
    ),
    "as many jobs of its array run as it allows": ("JobArrayTaskLimit "),
    "it was to start at once, which the site does not allow": ("SchedDefer "),
    "it cannot end before its deadline": ("DeadLine "),
    "an earlier start of the job used more memory than it had asked for": (
        "OutOfMemory "
    ),
    "an earlier start of the job reached its time limit": ("TimeLimit "),
    "an earlier start of the job failed": (
        "InactiveLimit JobLaunchFailure NonZeroExitCode RaisedSignal SystemFailure "
    ),
}

TEXTS = {
    "ReqNodeNotAvail, Reserved for maintenance": "the nodes are reserved for maintenance, before this job would end",
    "ReqNodeNotAvail, UnavailableNodes:node[01-04]": "the nodes it needs are in use, reserved or out of order",
    "ReqNodeNotAvail, May be reserved for other job": "the nodes it needs are in use, reserved or out of order",
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": "the nodes it needs are out of order or kept for more urgent jobs",
    "Required nodes outside of the reservation": "its reservation does not have the nodes it asks for",
    "Problem using reservation": "its reservation does not have the nodes it asks for",
    "Reservation course was deleted": "its reservation is gone or cannot be used",
    "Job's account not permitted to use this partition (gpu allows physics not bio)": (
        "its account may not be used there"
    ),
    "Job's QOS not permitted to use this partition (gpu denies long including long)": (
        "its quality of service may not be used there"
    ),
    "launch failed requeued held": "the job failed to start and is on hold",
    "job requeued in held state": "the job failed to start and is on hold",
    "job requeued in special exit state": "the job failed to start and is on hold",
    "RaisedSignal:9(Killed)": "an earlier start of the job failed",
}
# Shown as they are: of Blue Gene, which is no more, and Slurm's word for none of its own.
VERBATIM = ["BlockMaxError", "BlockFreeAction", "InvaildReason"]
# Nothing can be done about these, nor need be.
JUST_WAIT = (
    "None WaitingForScheduling BurstBufferResources BurstBufferStageIn Prolog Cleaning "
    "FedJobLock MpiPortsBusy NvidiaImexChannels"
)
# In the documentation only: the manual of squeue 22.05, and job_reason_codes.shtml (for
# which the sources of all versions say AssocMaxBBMinutesPerJob).
DOCUMENTED = {"WaitingForScheduling", "QOSMaxBBMinutesPerJob"}
LATER = re.compile(
    r"Max\w+RunMinsPer(User|Account)|MaxPoweredUpNodes|MpiPortsBusy|NvidiaImexChannels|"
    r"ReservationInvalid|Constraints|InvaildReason"
)

FAMILY_OF = {
    reason: says
    for says, reasons in chain(NEVER.items(), PERHAPS_NEVER.items(), WAITS.items())
    for reason in reasons.split()
}
MAPPED = {**FAMILY_OF, **TEXTS}
IMPOSSIBLE = {reason for reason, says in MAPPED.items() if says in NEVER}
PERHAPS = {reason for reason, says in MAPPED.items() if says in PERHAPS_NEVER}

# States: those that a job may yet leave, and how it can end.
ALIVE = (
    "CONFIGURING POWER_UP_NODE REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT "
    "RESV_DEL_HOLD EXPEDITING RUNNING RESIZING SIGNALING SUSPENDED STOPPED COMPLETING "
    "STAGE_OUT UPDATE_DB LAUNCH_FAILED RECONFIG_FAIL"
)
ENDED = (
    "COMPLETED FAILED CANCELLED TIMEOUT OUT_OF_MEMORY NODE_FAIL BOOT_FAIL PREEMPTED "
    "DEADLINE REVOKED"
)
