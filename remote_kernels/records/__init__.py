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

    STATE_DIR/jobs/NAME/           0700: a job of the user's own, see job_record.py

Every file has one writer, is 0600, and is written beside and renamed; to held.json
lines are also added, of which the last may be half there. What is read is
taken for nothing before it was looked at: whose it is (relay/private.py), and whether
it has the shape that it should have (shapes.py). Called by kernel/ and the doors.
"""

from .caches import Cache as Cache
from .caches import CarrierCache as CarrierCache
from .caches import KernelInfoCache as KernelInfoCache
from .directory import Directory as Directory
from .files import read_private as read_private
from .files import write_for_user as write_for_user
from .files import write_private as write_private
from .job_end import GIVEN_UP as GIVEN_UP
from .job_end import KERNEL_ENDED as KERNEL_ENDED
from .job_end import NOT_STARTED as NOT_STARTED
from .job_end import SHUT_DOWN as SHUT_DOWN
from .job_end import TAKEN as TAKEN
from .job_end import UNKNOWN as UNKNOWN
from .job_end import JobEnd as JobEnd
from .job_record import JobRecord as JobRecord
from .logs import without_notice as without_notice
from .record import MEMORY as MEMORY
from .record import Record as Record
from .state_directory import every_job as every_job
from .state_directory import every_record as every_record
from .state_directory import forget as forget
from .state_directory import left as left
from .state_directory import names as names
from .state_directory import state_dir as state_dir
from .trouble import cannot as cannot
from .trouble import is_passing as is_passing
from .trouble import tell_once as tell_once
