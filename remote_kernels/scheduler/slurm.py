"""The driver for Slurm: its commands out, its answers in.

Rules: pure. Only forms that work from 20.11 to 26.05; no --json (its schema changes
with each release, and scontrol has none before 23.02). Slurm's words for the user
are in `slurm_text.py`. Called through `base.Driver`. Quirks were seen on 22.05.8.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from remote_kernels.errors import CommandError, ControllerError
from remote_kernels.scheduler import base, slurm_site, slurm_text
from remote_kernels.scheduler.base import (
    Completed,
    JobRequest,
    JobStatus,
    Phase,
    number,
)

# A site may need these three to find its controller; all other SLURM_* variables of
# the server would speak of an enclosing job.
SITE = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CLUSTER_NAME")
# What a job, or a step of one, puts into its environment besides.
_OF_THE_JOB = (
    "SLURM_*",
    "SLURMD_*",
    "SBATCH_*",
    "SALLOC_*",
    "SRUN_*",
    "PMI*",
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "XDG_RUNTIME_DIR",
)

_PHASES = {
    Phase.PENDING: "PENDING CONFIGURING POWER_UP_NODE REQUEUED REQUEUE_FED "
    "REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT EXPEDITING",
    Phase.RUNNING: "RUNNING RESIZING SIGNALING",
    Phase.ENDING: "COMPLETING STAGE_OUT",
    Phase.SUSPENDED: "SUSPENDED STOPPED",
    Phase.ENDED: "COMPLETED FAILED CANCELLED TIMEOUT OUT_OF_MEMORY NODE_FAIL BOOT_FAIL "
    "PREEMPTED DEADLINE REVOKED",
}
_PHASE_OF = {word: phase for phase, words in _PHASES.items() for word in words.split()}

_UNANSWERED = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Zero Bytes were transmitted|"
    r"Slurm controller not responding|slurm backup controller in standby|"
    r"Connection refused|Connection timed out|Insane message length|"
    r"Unable to establish control|Communication connection failure|"
    r"can't be reached now|Protocol authentication error|temporarily unable",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"Invalid job id|already completing or completed|already finished", re.IGNORECASE
)
# What srun says when a task ends with anything but exit code 0, or by a signal.
_ENDS = re.compile(
    r"srun: (error: \S+: tasks? \d+: |(\S+ )*(Force )?Terminat(ed|ing) |sending Ctrl-C )"
)
# Reasons may hold spaces, commas and bars; nothing else in a row does.
ROW = "%i|%T|%r|%B|%N|%S|%e"
_PLACES = "%i|%P|%Q|%r"
# What sbatch prints with --parsable, and without (22.05, src/sbatch/sbatch.c).
_PARSABLE = re.compile(r"^(\d+(?:;\S+)?)[^\S\n]*$", re.MULTILINE)
_SUBMITTED = re.compile(
    r"^(?:sbatch: )?Submitted batch job (\d+)(?: on cluster (\S+))?[^\S\n]*$",
    re.MULTILINE,
)
_NOTICE = 2000  # characters of a notice; what is more is no notice
_HOLD = str(Path(__file__).with_name("hold.py"))
# Only these compete for a place: the others are held, or wait for something else.
_COMPETING = ("Priority", "Resources", "None", "")


class Slurm:
    """`base.Driver` for Slurm."""

    name = "slurm"
    command = "sbatch"
    prefix = "srun: "
    way_back = (
        "The node must connect back to srun here: slurm.conf's SrunPortRange says at "
        "which ports, and a firewall on this host must let the nodes in there."
    )
    carriers: tuple[str, ...] = ("ssh", "srun")

    def check(self, request: JobRequest) -> None:
        """Everything that `config` lets pass has a word in Slurm."""

    def questions(self, request: JobRequest) -> list[list[str]]:
        return []

    def answered(self, request: JobRequest, answers: Sequence[Completed]) -> JobRequest:
        return request

    def site_argv(self) -> list[str]:
        return slurm_site.ARGV

    def doubts(self, completed: Completed, request: JobRequest) -> list[str]:
        return slurm_site.doubts(completed, request.options, request.extra_args)

    def submit_argv(self, request: JobRequest) -> list[str]:
        """The kernel's memory dies with its job, so the job is never requeued."""
        if request.start == "salloc":
            salloc = ["salloc", "--no-shell", f"--job-name={request.name}"]
            salloc += [*_options(request, "signal"), *request.extra_args]
            return held(request, step("{job}"), salloc)
        argv = ["sbatch", "--parsable", "--no-requeue", "--export=ALL"]
        argv += [f"--job-name={request.name}", f"--output={_pattern(request.output)}"]
        argv += ["--open-mode=append"]
        # B: to the batch script, which is our agent's
        return [*argv, *_options(request, "signal=B:"), *request.extra_args]

    def parse_submit(self, stdout: str) -> str:
        """The last line of that form: job_submit plugins may print lines of theirs.

        A site's wrapper may drop --parsable; then it is a sentence.
        """
        found = _PARSABLE.findall(stdout)
        if found:
            return str(found[-1])
        for own, where in reversed(_SUBMITTED.findall(stdout)):
            return f"{own};{where}" if where else str(own)
        text = "sbatch printed no job id"
        raise ValueError(text)

    def notice(self, completed: Completed) -> str:
        """Lines of the site's: of a plugin, or of a wrapper."""
        if completed.argv[0] != self.command:
            return ""
        said = f"{completed.stderr}\n{completed.stdout}"
        said = _SUBMITTED.sub("", _PARSABLE.sub("", said))
        lines = (line.rstrip().removeprefix("sbatch: ") for line in said.splitlines())
        return "\n".join(filter(None, lines))[:_NOTICE]

    def unanswered(self, completed: Completed) -> bool:
        return completed.returncode != 0 and bool(_UNANSWERED.search(completed.stderr))

    def groups(self, job_ids: Sequence[str]) -> list[list[str]]:
        """By cluster: two clusters may have a job of the same number."""
        found: dict[str, list[str]] = {}
        for job_id in job_ids:
            found.setdefault(base.split_id(job_id)[1], []).append(job_id)
        return list(found.values())

    def status_argv(self, job_ids: Sequence[str]) -> list[str]:
        # -a: a partition may be hidden. Without it a job there would seem to be gone.
        numbers = ",".join(map(number, job_ids))
        where = cluster_option(job_ids[0])
        return ["squeue", *where, "-a", "-h", "-t", "all", "-j", numbers, "-o", ROW]

    def parse_status(
        self, completed: Completed, job_ids: Sequence[str]
    ) -> dict[str, JobStatus]:
        """A single unknown id fails with "Invalid job id"; among others it is absent.

        With -M a line "CLUSTER: name" comes first, even with -h.
        """
        if completed.returncode != 0 and _GONE.search(completed.stderr):
            return {}
        if completed.returncode != 0 or _UNANSWERED.search(completed.stderr):
            raise _no_answer(completed)
        known = {base.split_id(job_id)[0]: job_id for job_id in job_ids}
        rows = (_row(line, known) for line in completed.stdout.splitlines())
        return {status.job_id: status for status in rows if status}

    def ended_argvs(self, job_id: str) -> list[list[str]]:
        """The controller knows a job for MinJobAge (300 s); then only accounting."""
        own, where = number(job_id), cluster_option(job_id)
        fields = "State,ExitCode,End,NodeList"
        return [
            ["scontrol", *where, "-a", "-o", "show", "job", own],
            ["sacct", *where, "-X", "-n", "-P", "-j", own, "-o", fields],
        ]

    def parse_ended(self, completed: Completed, job_id: str) -> JobStatus | None:
        """Without accounting sacct says so and exits with 1: it does not know."""
        if completed.argv[0] == "sacct":
            return _accounted(completed.stdout, job_id)
        if completed.returncode != 0 and _GONE.search(completed.stderr):
            return None
        if completed.returncode != 0:
            raise _no_answer(completed)
        return _shown(completed.stdout, job_id)

    def places_argv(self) -> list[str]:
        return ["squeue", "-a", "-h", "-t", "PD", "-o", _PLACES]

    def parse_places(
        self, completed: Completed, job_ids: Sequence[str]
    ) -> dict[str, int]:
        """By partition, priority and number, as Slurm's scheduler goes through them.

        An array counts as one job. One that may run in several partitions is in each
        queue; its place is the best one. Only the usual cluster's queue is listed.
        """
        if completed.returncode != 0 or _UNANSWERED.search(completed.stderr):
            raise _no_answer(completed)
        queues: dict[str, list[tuple[int, int]]] = {}
        where: dict[str, tuple[list[str], tuple[int, int]]] = {}
        for line in completed.stdout.splitlines():
            number, partition, priority, reason = f"{line}|||".split("|")[:4]
            digits = re.match(r"\d+", number.strip())
            if digits is None or not priority.isdigit() or reason not in _COMPETING:
                continue
            key = -int(priority), int(digits[0])
            for name in partition.split(","):
                queues.setdefault(name, []).append(key)
            where[number.strip()] = partition.split(","), key
        return {
            job_id: 1 + min(sum(o < key for o in queues[name]) for name in names)
            for job_id in job_ids
            if job_id in where
            for names, key in [where[job_id]]
        }

    def extend_argv(self, job_id: str, minutes: int) -> list[str]:
        own, where = number(job_id), cluster_option(job_id)
        limit = f"TimeLimit=+{minutes}"
        return ["scontrol", *where, "update", f"JobId={own}", limit]

    def own_argv(self, user: str) -> list[str]:
        return ["squeue", "-a", "-h", f"--user={user}", "-o", f"%j|{ROW}"]

    def parse_own(self, completed: Completed) -> list[tuple[str, JobStatus]]:
        if completed.returncode != 0 or _UNANSWERED.search(completed.stderr):
            raise _no_answer(completed)
        found = []
        for line in completed.stdout.splitlines():
            name, _, row = line.partition("|")
            number = row.partition("|")[0].strip()
            if base.OUR_NAME.fullmatch(name):
                status = _row(row, {number: number})
                found += [(name, status)] if status else []
        return found

    def cancel_argv(self, job_ids: Sequence[str]) -> list[str]:
        return ["scancel", *cluster_option(job_ids[0]), *map(number, job_ids)]

    def cancel_name_argv(self, name: str, user: str) -> list[str]:
        return ["scancel", f"--user={user}", f"--name={name}"]

    def check_cancel(self, completed: Completed) -> None:
        if completed.returncode == 0 or _GONE.search(completed.stderr):
            return
        if self.unanswered(completed):
            raise _no_answer(completed)
        summary = "The job could not be cancelled."
        streams = completed.stdout, completed.stderr
        raise CommandError(summary, completed.argv, completed.returncode, *streams)

    def attach_argv(self, job_id: str, node: str, argv: Sequence[str]) -> list[str]:
        """A step that asks for nothing, so that it never waits for the job's own use.

        Without --gres=none the step would ask again for the job's GPUs; --mem=0 shares
        the job's memory; --mpi=none and --chdir=/ keep plugins and missing
        directories out of it. srun's own messages go to its standard error.
        """
        quiet = ["--gres=none", "--unbuffered", "--chdir=/", "--quiet"]
        return [*step(job_id, node), *quiet, *argv]

    def shell_argv(
        self, job_id: str, node: str, argv: Sequence[str], *, terminal: bool = True
    ) -> list[str]:
        """A step with all that the job has there, shared with the kernel.

        A step that names no --gres gets the job's GPUs. Before 22.05 --overlap shares
        only CPUs: while a step of the user's own has the GPUs, this one waits, and
        srun says so, as it is not --quiet here. Not --unbuffered: that makes standard
        output a terminal. --disable-status: Ctrl-C is for the command, at once.
        """
        pty = ["--pty"] if terminal else ["--disable-status"]
        return [*step(job_id, node), *pty, *argv]

    def tells_exit(self, line: str) -> bool:
        return bool(_ENDS.match(line))

    def environment(
        self, environ: Mapping[str, str], keep: Sequence[str] = ()
    ) -> dict[str, str]:
        return base.chosen(environ, [*base.ALLOWED, *SITE], keep)

    def never(self, status: JobStatus) -> str | None:
        return slurm_text.never(status)

    def pending_text(self, status: JobStatus) -> str:
        return slurm_text.pending(status)

    def advice(self, status: JobStatus) -> str:
        return slurm_text.advice(status)

    def ended_text(self, status: JobStatus) -> str:
        return slurm_text.ended(status)

    def cluster_argv(self) -> list[str]:
        return ["scontrol", "show", "config"]

    def parse_cluster(self, completed: Completed) -> str | None:
        found = re.search(r"^ClusterName\s*=\s*(\S+)", completed.stdout, re.MULTILINE)
        return found[1] if found else None

    def explain_submit(self, completed: Completed) -> str:
        return slurm_text.submit(completed)


def _options(request: JobRequest, signal: str) -> list[str]:
    """As sbatch and salloc have them; `signal` begins how that one is said."""
    argv = []
    for name, value in request.options.items():
        if name == "signal":
            argv.append(f"--{signal}{'' if signal.endswith(':') else '='}{value}")
        elif value is True:
            argv.append(f"--{name}")
        elif value is not False:
            argv.append(f"--{name}={value}")
    return argv


def held(
    request: JobRequest, step: Sequence[str], salloc: Sequence[str] = ()
) -> list[str]:
    """Runs the script on standard input in a step, detached; see `hold.py`.

    It is read to its end before it runs: what it starts must not read the rest of it.
    """
    shell = ["bash", *(["-l"] if request.login else []), "-c", 'eval "$(cat)"']
    step = [*step, f"--job-name={request.name}", *shell]
    argv = [sys.executable, "-I", "-S", _HOLD, f"--output={request.output}"]
    return [*argv, *(["--allocate", "--", *salloc] if salloc else []), "--", *step]


def _pattern(path: str) -> str:
    """In a file name for sbatch % begins a pattern, and a backslash ends patterns."""
    return path.replace("%", "%%")


def step(job_id: str, node: str = "") -> list[str]:
    """A step beside all others of the job, whatever those use."""
    argv = ["srun", *cluster_option(job_id), f"--jobid={number(job_id)}", "--overlap"]
    argv += ["--nodes=1", "--ntasks=1", *([f"--nodelist={node}"] if node else [])]
    return [*argv, "--mem=0", "--cpu-bind=none", "--mpi=none"]


def answer(completed: Completed, unless: str = "") -> str:
    """What squeue printed; "" where it failed by saying `unless`."""
    if completed.returncode != 0 and unless and unless in completed.stderr:
        return ""
    if completed.returncode != 0 or _UNANSWERED.search(completed.stderr):
        raise _no_answer(completed)
    return completed.stdout


def is_of_the_job(name: str) -> bool:
    """Whether a variable speaks of the job that it was found in."""
    return name not in SITE and base.matches(name, _OF_THE_JOB)


def first_node(nodes: str) -> str:
    """Of a list as Slurm writes it: "c[01-04],d7"."""
    first = re.match(r"(?:[^,\[]|\[[^]]*\])*", nodes)
    return re.sub(r"\[(\w+)[^]]*\]", r"\1", first[0]) if first else ""


def cluster_option(job_id: str) -> list[str]:
    where = base.split_id(job_id)[1]
    return ["-M", where] if where else []


def _no_answer(completed: Completed) -> ControllerError:
    return ControllerError(
        f"Slurm did not answer {completed.argv[0]}.",
        completed.argv,
        completed.returncode,
        completed.stdout,
        completed.stderr,
        "This says nothing about the job. Slurm's controller may be restarting; "
        "`sinfo` shows whether it answers.",
    )


def _row(line: str, known: Mapping[str, str]) -> JobStatus | None:
    """One line of squeue; None for a line that is none. Component 0 hosts us."""
    if line.count("|") < 6:
        return None
    number, state, rest = line.split("|", 2)
    number = number.strip().removesuffix("+0")
    if number not in known:
        return None
    # Not %B: of a job made by salloc that is the host on which salloc runs.
    reason, _, nodes, start, end = rest.rsplit("|", 4)
    return _status(
        known[number],
        state,
        reason=_word(reason),
        node=first_node(_word(nodes)),
        start=start,
        end=end,
    )


def _status(
    job_id: str,
    state: str,
    *,
    reason: str,
    node: str,
    start: str = "",
    end: str,
    exit: str = "",
    name: str = "",
) -> JobStatus:
    state = state.strip()
    code, signal = _exit_code(exit)
    return JobStatus(
        job_id=job_id,
        # "CANCELLED by 1000" in accounting; "+" marks a cut word there.
        phase=_PHASE_OF.get(state.partition(" ")[0].rstrip("+"), Phase.UNKNOWN),
        state=state,
        reason=reason,
        node=node or None,
        exit_code=code,
        signal=signal,
        start_time=_epoch(start),
        end_time=_epoch(end),
        name=name,
    )


def _word(text: str) -> str:
    text = text.strip()
    return "" if text in ("n/a", "(null)", "None", "N/A", "None assigned") else text


def _exit_code(text: str) -> tuple[int | None, int | None]:
    """Slurm's "code:signal"; a signal of 0 is none."""
    found = re.fullmatch(r"(\d+):(\d+)", text.strip())
    if not found:
        return None, None
    return int(found[1]), int(found[2]) or None


def _epoch(text: str) -> float | None:
    """Slurm's commands print the local time of the host on which they run."""
    try:
        return time.mktime(time.strptime(text.strip(), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None  # N/A, Unknown, NONE, or a site's own SLURM_TIME_FORMAT


def _shown(text: str, job_id: str) -> JobStatus | None:
    """The first line of `scontrol -o show job`: of a het job the component 0."""
    found = re.findall(r"(?:^|\s)(\w+)=(\S*)", text.partition("\n")[0])
    # The first of each name: a comment may hold what looks like fields.
    fields = dict(reversed(found))
    if "JobState" not in fields:
        return None
    return _status(
        job_id,
        fields["JobState"],
        reason=_word(fields.get("Reason", "")),
        node=_word(fields.get("BatchHost", "")),
        start=fields.get("StartTime", ""),
        end=fields.get("EndTime", ""),
        exit=fields.get("ExitCode", ""),
        name=_word(fields.get("JobName", "")),
    )


def _accounted(text: str, job_id: str) -> JobStatus | None:
    """What sacct prints with -X -n -P: one line with bars."""
    lines = [line for line in text.splitlines() if line.count("|") == 3]
    if not lines:
        return None
    state, exit, end, _ = lines[-1].split("|")
    status = _status(job_id, state, reason="", node="", end=end, exit=exit)
    # A job that accounting believes to run, but the controller does not know, is lost.
    return status if status.phase is Phase.ENDED else None
