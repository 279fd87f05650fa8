"""The options of a job of HTCondor's, by the names that a submit description has for them.

Pure; called by `driver.py` and `description.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from remote_kernels.errors import ConfigError
from remote_kernels.options import (
    DURATION,
    SIZE,
    Kind,
    Option,
    as_bytes,
    as_seconds,
    one_of,
    text,
    texts,
    whole,
    whole_text,
)


def commands(options: Mapping[str, Any]) -> list[str]:
    """Return them as lines of a submit description; nothing is transferred by default."""
    given = {"should_transfer_files": "NO", **options}
    if given["should_transfer_files"] != "NO":  # else all new files are brought back
        given["transfer_output_files"] = '""'
    more = given.pop("submit_commands", ())
    given.pop("nodes", None)  # it has one
    if "allowed_job_duration" in given:
        given["allowed_job_duration"] = as_seconds(given["allowed_job_duration"])
    for name in ("request_memory", "request_disk"):  # it reads no 4GiB
        if name in given:
            given[name] = f"{as_bytes(given[name]) // 1024}K"
    return [*(f"{name} = {value}" for name, value in given.items()), *more]


# What a further line must not say, and why.
_REASONS = {
    "executable cmd arguments args arguments2 transfer_executable shell universe jobuniverse copy_to_spool": "what the job runs is made here",
    "environment env getenv": "the job's environment is chosen by env_keep",
    "input in output out error err initialdir initial_dir remote_initialdir job_iwd iwd": "the job's log goes to the kernel's own private directory",
    "batch_name jobbatchname remotekernelsscript": "the job is found again by the name that we give it",
    "periodic_remove periodic_release periodic_hold leave_in_queue leave_job_in_queue on_exit_remove on_exit_hold": "a job that has lost its kernel is to leave the queue",
    "max_retries job_max_retries retry_until success_exit_code job_success_exit_code periodic_vacate cron_minute cron_hour cron_day_of_month cron_month cron_day_of_week": "a job that starts anew has lost its kernel",
    "queue max_materialize max_idle job_materialize_limit job_materialize_max_idle": "a kernel is one job",
    "noop_job is_noop_job": "it would run nothing",
    "docker_image container_image want_docker want_docker_image want_container": "in a container there are not the files of this host that a kernel needs",
    "job_status cluster_id proc_id owner user num_job_starts job_start_date hold_reason_code": "it is for HTCondor alone to say",
    "machine_count node_count min_hosts max_hosts": "a kernel's job is on one machine",
    "should_transfer_files allowed_job_duration request_cpus request_memory request_disk request_gpus require_gpus requirements accounting_group acct_group": "it is an option of its own",
}
# An attribute mostly has the name of its line without the "_": +PeriodicRemove; where it
# has another one, as LeaveJobInQueue and JobMaxRetries, that is there as well.
_REFUSED = {
    name.replace("_", ""): why
    for names, why in _REASONS.items()
    for name in names.split()
}


def _commands(value: object) -> tuple[str, ...]:
    lines = texts(value)
    for line in lines:
        name = re.match(r"\s*(?:\+|MY\.)?([\w.]+)\s*=\s*\S", line, re.IGNORECASE)
        if name is None:
            reason = (
                f"{line!r} is no line such as 'rank = Memory' or '+Name = \"text\"'"
            )
            raise ConfigError(reason)
        why = _REFUSED.get(name[1].lower().replace("_", ""))
        if why:
            reason = f"{line!r} cannot be in the submit description: {why}"
            raise ConfigError(reason)
        _refuse_continued(line)
    return lines


def _text(value: object) -> str:
    found = text(value)
    _refuse_continued(found)
    return found


def _refuse_continued(line: str) -> None:
    if line.rstrip().endswith("\\"):
        reason = (
            f"{line!r} ends in a backslash, and so would go on in the next line of the "
            "submit description"
        )
        raise ConfigError(reason)


def _group(value: object) -> str:
    found = _text(value)
    if "$" in found:
        reason = f"{found!r} has a $, which HTCondor would take for a macro"
        raise ConfigError(reason)
    return found


# With more, HTCondor (23.9.6) runs the job with 0 of them.
_MOST = 2**31 - 1


def _count(value: object) -> int:
    found = whole(value)
    if found > _MOST:
        reason = f"{found} is more than HTCondor counts: {_MOST}"
        raise ConfigError(reason)
    return found


# One row a line, as a table is read.
# fmt: off
_TEXT = Kind(("string",), "text without line breaks", _text, pattern=whole_text(r".*[^\s\\]"))
_GROUP = Kind(("string",), "the name of a group", _group, pattern=whole_text(r"[^$]*[^\s\\$]"))
_COUNT = Kind(("integer",), "a whole number above 0", _count, bounds=(("minimum", 1), ("maximum", _MOST)))
_LINES = Kind(("list",), "a list of lines of a submit description", _commands)
OPTIONS = (
    Option("accounting_group", _GROUP, "GROUP", "group_physics", "Accounting group that the job is charged to.", portable="account", title="Accounting group"),
    Option("allowed_job_duration", DURATION, "TIME", "2:00:00", "Time limit of the job, and so of the kernel: 2:00:00, 90m, 2h.", portable="time"),
    Option("request_cpus", _COUNT, "N", 4, "CPUs for the kernel.", portable="cores", title="CPUs"),
    Option("request_memory", SIZE, "SIZE", "4G", "Memory: 4G, 500M.", portable="memory"),
    Option("request_disk", SIZE, "SIZE", "10G", "Room on the machine's own disk: 10G, 500M.", title="Disk"),
    Option("request_gpus", _COUNT, "N", 1, "Number of GPUs.", portable="gpus"),
    Option("require_gpus", _TEXT, "EXPRESSION", "Capability >= 8.0", "What the GPUs must have.", title="What the GPUs must have"),
    Option("requirements", _TEXT, "EXPRESSION", 'Machine == "node7.example.org"', "What the machine must have.", like="properties", title="What the machine must have"),
    Option("should_transfer_files", one_of("NO", "IF_NEEDED", "YES"), "HOW", "IF_NEEDED", "NO: only machines of the same FILESYSTEM_DOMAIN as this host. IF_NEEDED, YES: any machine, where the site shares home directories without telling HTCondor so.", title="Transfer of files"),
    Option("submit_commands", _LINES, "LINE", ["rank = Memory"], "Further line of the submit description.", is_plain=False, title="Further lines of the submit description"),
)
# fmt: on
LACKS = {
    "queue": "HTCondor has no queues; what the machine must have is said by "
    "'requirements'",
    "nodes": "a kernel's job of HTCondor is on one machine: 'nodes' can only be 1",
    "exclusive": "HTCondor has no option for whole machines; ask for as many CPUs as a "
    "machine has by 'request_cpus'",
    "reservation": "HTCondor has no reservations",
    "hosts": "HTCondor takes them as 'requirements', such as "
    '"Machine == \\"node7.example.org\\""',
    "signal": "HTCondor signals no job before its time limit; 'warn_before' has the "
    "notebook warned",
    "begin": 'HTCondor takes it as "submit_commands": ["deferral_time = ...", '
    '"deferral_prep_time = 60", "deferral_window = 864000"]: the first in seconds since '
    "1970; 60 s before it the job may take its machine, and for ten days begin late",
    "dependency": "HTCondor has dependencies within a DAG alone, and a kernel is in none",
}
"""What others have, and what to do instead."""
