"""The driver for PBS Professional and OpenPBS: its commands out, its answers in.

Rules: pure. Forms that work from PBS Professional 14 to 2026 and OpenPBS 23, as their
manuals and OpenPBS's sources have them; seen at no site yet. What comes back is read in
`answers.py`, PBS's words for the user are in `words.py`.

A job is asked for without -x: where the site keeps no history, -x is refused for jobs
that run, too. How one ended is asked with it.

The way in is ssh: `pbs_tmrsh` and `pbsdsh` start tasks from within a job alone, give
them no standard input, and send what they print to the job's log. MoM adds what ssh
starts to the job only where the site has it run `pbs_attach` (by PAM, or an execution
hook); elsewhere a session is not counted as the job's, and where `$restrict_user` is
set it is ended when the job is.

Called through `scheduler.driver.Driver`.
"""

from __future__ import annotations

import abc
import re
import shlex
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar

from remote_kernels.errors import CommandError, ControllerError, DeniedError
from remote_kernels.scheduler import driver
from remote_kernels.scheduler.free import Queue
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Query,
    Submission,
)

from . import answers, options, site, words

# Its commands find its server by these; all other PBS_* speak of an enclosing job.
SITE = ("PBS_CONF_FILE", "PBS_DEFAULT", "PBS_SERVER", "PBS_EXEC")
_DENIED = re.compile(r"Unauthorized Request|Cannot (modify|set) attribute")

_HEAD = """\
rk_nodes=$(awk '!seen[$1]++ {print $1}' "${PBS_NODEFILE:-/dev/null}")
case $PBS_JOBID in *.*) export RK_CLUSTER=${PBS_JOBID#*.} ;; esac
export RK_JOB_ID=$PBS_JOBID RK_NODE=${rk_nodes%%$'\\n'*}
if [ -n "$rk_nodes" ]; then
  export RK_NODES=${rk_nodes//$'\\n'/,} RK_NODE_COUNT=$(wc -l <<<"$rk_nodes")
fi
export RK_JOB_MARK=PBS_JOBID=$PBS_JOBID RK_LAUNCHERS="pbsdsh pbs_tmrsh\""""

# With what is listed of this user's jobs, by their numbers.
_OWN = 'ids=$(qselect -u "$1") || exit; [ -z "$ids" ] || exec qstat -f -F json $ids'
# Those that have just ended are listed, too, and no failure.
_BY_NAME = (
    'ids=$(qselect -u "$(id -un)" -N "$1") || exit; [ -n "$ids" ] || exit 0; '
    "said=$(qdel $ids 2>&1) || case $said in "
    '*COMPLETE* | *"Unknown Job"* | *"has finished"*) ;; '
    '*) echo "$said" >&2; exit 1 ;; esac'
)
# qalter takes the whole limit.
_EXTEND = """\
limit=$(qstat -f "$1") || exit
limit=$(printf "%s\\n" "$limit" | sed -n "s/^ *Resource_List.walltime = //p")
[ -n "$limit" ] || { echo "the job has no walltime" >&2; exit 1; }
limit=$(echo "$limit" | awk -F: -v minutes="$2" '{
  for (i = 1; i <= NF; i++) s = s * 60 + $i
  s += minutes * 60
  printf "%d:%02d:%02d", s / 3600, s % 3600 / 60, s % 60
}')
exec qalter -l walltime="$limit" "$1\""""


class Family(
    driver.Driver,
    driver.Clusters,
    driver.Ends,
    driver.Extends,
    driver.Queues,
    driver.Mails,
    driver.Scripts,
    driver.Site,
):
    """What PBS and Torque, which has come from it, have the same."""

    command = "qsub"
    # Whose qstat this is, and whether there is a server.
    question = ("sh", "-c", "qstat --version; exec qstat -B")
    is_login = True
    further = "qsub_args"
    further_form = ("-l", "{}=...")
    guarded = ("PBS_*",)
    causes = words.CAUSES
    number = r"\d+(\.[\w.-]+)?"
    printed: ClassVar[re.Pattern[str]]
    """A line with a job's number, as qsub prints it."""
    busy: ClassVar[re.Pattern[str]]
    """What qdel says of a job that may not be ended just now."""

    @classmethod
    def is_here(cls, environ: Mapping[str, str]) -> bool:
        """Look for all commands: Grid Engine has a qsub, but no pbsnodes."""
        places = environ.get("PATH")
        return all(shutil.which(name, path=places) for name in ("qsub", "pbsnodes"))

    @abc.abstractmethod
    def asked(self, request: JobRequest) -> list[str]:
        """Return the words of qsub for what a request asks for. May raise ConfigError."""

    def own_submission(self, request: JobRequest, path: str, script: str) -> Submission:
        argv = ["qsub", *(["-N", request.name] if request.name else [])]
        argv += [*self.asked(request), path]
        return Submission(argv, "", self.submitted, str(PurePosixPath(path).parent))

    def mail(self, on: Collection[str], to: str) -> tuple[str, ...]:
        """Return when, in its letters: a job that fails is one that is aborted."""
        letters = {"begin": "b", "end": "e", "fail": "a"}
        when = "".join(letters[word] for word in on)
        return ("-m", when, *(["-M", to] if to else []))

    @abc.abstractmethod
    def no_answer(self, completed: Completed) -> ControllerError:
        """Return the error that says that the server did not answer."""

    @abc.abstractmethod
    def is_gone(self, completed: Completed) -> bool:
        """Return whether it failed for nothing but jobs that are not there."""

    def notice(self, completed: Completed) -> str:
        """Return what the site's hooks, or a wrapper, said besides the job's number."""
        said = f"{completed.stderr}\n{self.printed.sub('', completed.stdout)}"
        lines = (line.rstrip().removeprefix("qsub: ") for line in said.splitlines())
        return "\n".join(filter(None, lines))

    def submitted(self, completed: Completed) -> JobId:
        """Take the last line of that form: hooks and wrappers may print lines of theirs."""
        found = self.printed.findall(completed.stdout)
        if not found:
            text = "qsub printed no job id"
            raise ValueError(text)
        return JobId(found[-1])

    def script_head(self, request: JobRequest) -> str:
        return _HEAD

    def extend(self, job_id: JobId, minutes: int) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise self.no_answer(completed)
            completed.check(
                DeniedError if _DENIED.search(completed.stderr) else CommandError,
                f"The time limit of job {job_id} was not moved.",
                "Most sites let only their staff move it: ask them, or save your work "
                "and start the kernel anew with more 'walltime'.",
            )

        return Query(["sh", "-c", _EXTEND, "sh", str(job_id), str(minutes)], parse)

    def cancel(self, job_id: JobId) -> Query[None]:
        def parse(completed: Completed) -> None:
            if completed.returncode == 0 or self.is_gone(completed):
                return
            if self.is_no_answer(completed) or self.busy.search(completed.stderr):
                raise self.no_answer(completed)
            completed.check(CommandError, "The job could not be deleted.")

        return Query(["qdel", str(job_id)], parse)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        return ["sh", "-c", _BY_NAME, "sh", request.name]


class Pbs(Family):
    """PBS Professional, and OpenPBS."""

    name = "pbs"
    title = "PBS Professional"
    rank = 2
    lacks = options.LACKS
    options = options.OPTIONS
    allowed = SITE
    printed = re.compile(r"^(\d+\.[\w.-]+)[^\S\n]*$", re.MULTILINE)
    busy = answers.BUSY

    def recognizes(self, completed: Completed) -> bool:
        """Return whether that qstat is PBS's own, whether its server answered or not.

        Torque's says "Version: 6.1.2" on standard error, and Grid Engine's knows no such
        option.
        """
        return bool(site.version(completed))

    def contradictions(self, config: Mapping[str, Any]) -> Iterator[str]:
        both = [name for name in options.CHUNKED if name in config]
        if "select" in config and both:
            yield (
                f"options 'select' and {', '.join(map(repr, both))} exclude each other: "
                "'select' has the whole request"
            )

    # Before it is submitted

    def version(self) -> Query[str]:
        return Query(["qstat", "--version"], site.version)

    def queues(self) -> Query[list[Queue]]:
        return site.queues()

    def doubts(self, request: JobRequest) -> Query[list[str]] | None:
        return site.doubts(request.options)

    def offers(self, option: str, user: str) -> Query[list[str]] | None:
        return site.offers(option)

    def cluster(self) -> Query[str | None]:
        return Query(["qstat", "-B", "-f", "-F", "json"], _cluster)

    # Submission

    def submission(self, request: JobRequest, script: str) -> Submission:
        """Return how to submit it; never run again, as the kernel's memory dies with its job.

        Its own shell is named, as the user's may be any: it runs the script as a
        program, by the script's first line.
        """
        argv = ["qsub", "-N", request.name, *ALWAYS, *self.asked(request)]
        return Submission(argv, into_log(script, request.output), self.submitted)

    def asked(self, request: JobRequest) -> list[str]:
        self.check(request)
        given, argv = request.options, []
        for name, flag in (("queue", "-q"), ("account", "-A"), ("project", "-P")):
            argv += [flag, given[name]] if name in given else []
        argv += [*options.chunks(given), *options.place(given)]
        if "walltime" in given:
            argv += ["-l", f"walltime={options.walltime(given['walltime'])}"]
        return [*argv, *given.get("qsub_args", ())]

    def submit_advice(self, completed: Completed) -> str:
        return words.submit(completed)

    def is_no_answer(self, completed: Completed) -> bool:
        return answers.is_no_answer(completed)

    def no_answer(self, completed: Completed) -> ControllerError:
        return answers.no_answer(completed)

    def is_gone(self, completed: Completed) -> bool:
        return answers.is_gone(completed)

    # A job that is there

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        if not job_ids:
            return []
        argv = ["qstat", "-f", "-F", "json", *map(str, job_ids)]
        return [Query(argv, lambda completed: answers.listed(completed, job_ids))]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        argv = ["qstat", "-x", "-f", "-F", "json", str(job_id)]
        return [Query(argv, lambda completed: answers.ended(completed, job_id))]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        return [Query(["sh", "-c", _OWN, "sh", user], answers.every)]

    # Its words

    def never(self, status: JobStatus, options: Mapping[str, Any]) -> str | None:
        return words.never(status, options)

    def pending_text(self, status: JobStatus) -> str:
        return words.pending(status)

    def pending_advice(self, status: JobStatus) -> str:
        return words.advice(status)

    def ended_text(self, status: JobStatus) -> str:
        return words.ended(status)


# The log is written by the script itself (`into_log`): PBS would copy it there at the
# end of the job alone, unless the site maps paths ($usecp), and over what is there.
ALWAYS = ("-S", "/bin/bash", "-V", "-r", "n", "-j", "oe", "-o", "/dev/null")


def into_log(script: str, output: str) -> str:
    """Return the script with both of its streams going to that file from the beginning."""
    first, _, rest = script.partition("\n")
    return f"{first}\nexec >>{shlex.quote(output)} 2>&1\n{rest}"


def _cluster(completed: Completed) -> str | None:
    servers = answers.answer(completed, "Server")
    return next(iter(servers), None)
