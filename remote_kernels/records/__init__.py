"""One private directory per kernel in shared storage: its record.

    STATE_DIR/kernels/KERNEL_ID/   0700
        record.json   who, where, which job      written by the login end
        spec.json     what the agent starts, with the job's secret      written by the login end
        agent.json    where the agent is                                written by the agent
        ended.json    why the agent ended on its own                    written by the agent
        sessions.json the notebooks that use the kernel                 written by the login end
        began         nothing; it is there once the job's script runs  made by the script
        kernel_info.json  what the kernel said of itself                written by the login end
        held.json     what clients asked while the job waited           written by the login end
        job.log       what the scheduler and the agent wrote
        kernel.log    what the kernel process wrote

Every file has one writer, is 0600, and is written beside and renamed; to held.json
lines are also added, of which the last may be half there. What is read is
taken for nothing before it was looked at: whose it is (relay/private.py), and whether
it has the shape that it should have (shapes.py). Called by kernel/ and the doors.
"""

from .carrier_cache import CarrierCache
from .directory import Directory
from .files import read_private, write_for_user, write_private
from .job_end import (
    GIVEN_UP,
    KERNEL_ENDED,
    NOT_STARTED,
    SHUT_DOWN,
    TAKEN,
    UNKNOWN,
    JobEnd,
)
from .logs import without_notice
from .record import MEMORY, Record
from .state_directory import every_record, forget, left, names, state_dir
from .trouble import cannot, is_passing, tell_once

__all__ = [
    "GIVEN_UP",
    "KERNEL_ENDED",
    "MEMORY",
    "NOT_STARTED",
    "SHUT_DOWN",
    "TAKEN",
    "UNKNOWN",
    "CarrierCache",
    "Directory",
    "JobEnd",
    "Record",
    "cannot",
    "every_record",
    "forget",
    "is_passing",
    "left",
    "names",
    "read_private",
    "state_dir",
    "tell_once",
    "without_notice",
    "write_for_user",
    "write_private",
]
