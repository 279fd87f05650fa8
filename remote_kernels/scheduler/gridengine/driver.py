"""The driver for Grid Engine: its commands out, its answers in.

Rules: pure. What comes back is read in `answers.py`, Grid Engine's words for the user
are in `words.py`, what a site has is asked in `site.py`. A job is submitted with
-notify: the SIGUSR2 that comes before each SIGKILL (of qdel, of the time limit) is the
only sign on which its kernel can end cleanly. Called through `scheduler.driver.Driver`.
Quirks were seen on 8.1.9.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from remote_kernels.causes import EndCause
from remote_kernels.errors import CommandError, ConfigError
from remote_kernels.scheduler import driver
from remote_kernels.scheduler.free import Estimate, Queue
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Query,
    Submission,
    login_name,
)

from . import answers, free, options, site, words

# What a command needs to find the qmaster.
SITE = (
    "SGE_ROOT",
    "SGE_CELL",
    "SGE_QMASTER_PORT",
    "SGE_EXECD_PORT",
    "SGE_CLUSTER_NAME",
)
# With -terse, and without.
_TERSE = re.compile(r"^(\d+)(?:\.\d+-\d+:\d+)?[^\S\n]*$", re.MULTILINE)
_SUBMITTED = re.compile(r"^Your job(?:-array)? (\d+)(?:\.\S+)? ", re.MULTILINE)
_DIRECTORY = re.compile(r"^#\$.*\s-c?wd\b", re.MULTILINE)

# The node, as Grid Engine calls it, is in HOSTNAME. Without -notify at the site
# (NOTIFY_KILL=none) RK_ENDS never comes. SIGUSR1 comes before a job is paused, and at
# s_rt. Both reach every process of the job, in whatever session (8.1.9: by its
# additional group), and would end it; the agent has no need to pass them on. Univa's
# tells the GPUs in SGE_HGR_*.
_HEAD = """\
export RK_JOB_ID=$JOB_ID RK_NODE=$HOSTNAME RK_JOB_MARK=JOB_ID=$JOB_ID
export RK_LAUNCHERS="qrsh rk-spread"  # the second one is cluster/spread.py
export RK_NODE_COUNT=${{RK_NODE_COUNT:-$NHOSTS}} RK_NODES=${{RK_NODES:-$HOSTNAME}}
export RK_ENDS=USR2 RK_WARNS= RK_IGNORES="{ignores}"
if [ -r "${{PE_HOSTFILE:-}}" ]; then  # the first one hosts us
  RK_NODES=$(awk '!seen[$1]++ {{print $1}}' "$PE_HOSTFILE" | paste -sd,)
fi
for rk_one in ${{!SGE_HGR_*}}; do
  case $rk_one in
    *[gG][pP][uU]*) export CUDA_VISIBLE_DEVICES=${{!rk_one// /,}} ;;
  esac
done
rk_restarted=${{RESTARTED:-0}} rk_ends=USR2
trap : USR1"""

# A task has few variables of its job. In these {{ }} stands for { }.
_INSIDE = (
    'exec qrsh -inherit "$node" "env RK_NODES=$RK_NODES RK_NODE_COUNT=$RK_NODE_COUNT '
    'PATH=${{PATH@Q}} ${{*@Q}}"'
)
_BY_NAME = f"node=$1; shift; {_INSIDE}"
_BY_NUMBER = (
    f'IFS=, read -ra nodes <<<"$RK_NODES"; node=${{{{nodes[$1]}}}}; shift; {_INSIDE}'
)

# qdel of a name that no job has fails.
_BY_NAME_IF_THERE = (
    'said=$(qdel "$1" 2>&1) || case $said in *"does not exist"*) ;; '
    '*) echo "$said" >&2; exit 1 ;; esac'
)

_QMASTER = (
    'host=$(qconf -sss) || { code=$?; echo "$host"; exit $code; }; '
    'grep -m1 . "${SGE_ROOT:-/var/lib/gridengine}/${SGE_CELL:-default}'
    '/common/shadow_masters" 2>/dev/null || echo "$host"'
)

# What the scheduler says of waiting jobs, and whether any queue could run them if the
# cluster were empty: two commands, however many jobs there are. Both pass over one that
# is unknown, as long as there are others.
_REASONS = (
    'qstat -j "$1" 2>&1 | '
    'sed -n "/^job_number/p; /^error reason/p; /^scheduling info/,/^=/p"; '
    'printf "\\nRK-VERIFIED\\n"; qalter -w v "$1" 2>&1'
)


class GridEngine(
    driver.Driver,
    driver.Clusters,
    driver.Ends,
    driver.Enters,
    driver.Estimates,
    driver.Limits,
    driver.Logs,
    driver.Mails,
    driver.OtherNodes,
    driver.Places,
    driver.Preflight,
    driver.Queues,
    driver.Reasons,
    driver.Scripts,
    driver.Site,
):
    """Grid Engine: Son of Grid Engine 8.1.9, and what speaks as it does."""

    name = "gridengine"
    title = "Grid Engine"
    command = "qsub"
    question = ("qconf", "-sss")
    is_login = True
    carriers = ("ssh", "qrsh")
    lacks = options.LACKS
    options = options.OPTIONS
    further = "qsub_args"
    further_form = ("-{}", "...")
    causes = words.CAUSES
    allowed = SITE
    guarded = (
        *("SGE_*", "JOB_ID", "JOB_NAME", "JOB_SCRIPT", "QUEUE", "REQUEST", "REQNAME"),
        *("NSLOTS", "NHOSTS", "NQUEUES", "PE", "PE_HOSTFILE", "RESTARTED", "ARC"),
        *("ENVIRONMENT", "QRSH_*", "TMPDIR", "TMP", "HOSTNAME"),
    )
    late = 15.0  # accounting's flush_time (sge_conf(5))
    says_little = True
    caution = (
        "a kernel's job ends when its qrsh is killed or its connection breaks, as Grid "
        "Engine ends a job of which a task died"
    )
    way_back = (
        "The node must connect back to qrsh here, at any port, and the job must have a "
        "parallel environment with control_slaves and a slot left for it ('pe')."
    )
    by_name = ("bash", "-c", _BY_NAME, "bash", "{node}")
    by_number = ("bash", "-c", _BY_NUMBER, "bash", "{node}")

    # Before it is submitted

    @classmethod
    def is_here(cls, environ: Mapping[str, str]) -> bool:
        """Return whether its commands are here; others have a qsub, but no qconf."""
        places = environ.get("PATH")
        return all(shutil.which(name, path=places) for name in ("qsub", "qconf"))

    def recognizes(self, completed: Completed) -> bool:
        """Return whether it named its qmaster's host, or could not find or reach it."""
        if completed.returncode == 0:
            return re.fullmatch(r"[\w.-]+\s*", completed.stdout) is not None
        said = completed.stderr + completed.stdout
        return re.search(r"qmaster|SGE_(ROOT|CELL)", said) is not None

    def version(self) -> Query[str]:
        return Query(["qstat", "-help"], lambda done: done.stdout.partition("\n")[0])

    def doubts(self, request: JobRequest) -> Query[list[str]] | None:
        return site.doubts(request.options)

    def offers(self, option: str, user: str) -> Query[list[str]] | None:
        return site.offers(option)

    def queues(self) -> Query[list[Queue]]:
        return free.queues(login_name())

    def estimates(self, request: JobRequest) -> Sequence[Query[Estimate | None]]:
        return free.estimates(self.submission(request, "").argv)

    def slow_starts(self) -> Query[str | None]:
        return Query(["qconf", "-ssconf"], site.slow_starts)

    def cluster(self) -> Query[str | None]:
        """Ask for the qmaster's host, as many sites name no cluster.

        Where another host may take over (sge_shadowd(8)), the one that is first in line.
        """
        return Query(["sh", "-c", _QMASTER], lambda done: answers.answer(done).strip())

    def questions(self, request: JobRequest) -> Sequence[Query[Any]]:
        return site.questions(request.options)

    def prepared(self, request: JobRequest, answers: Sequence[Any]) -> JobRequest:
        return site.prepared(request, answers)

    # Submission

    def contradictions(self, config: Mapping[str, Any]) -> Iterator[str]:
        yield from options.contradictions(config)

    def submission(self, request: JobRequest, script: str) -> Submission:
        """Return how to submit it; never started anew, as the kernel's memory is lost."""
        asked = self._asked(request)
        if re.search(r"[$,]", request.output):
            msg = (
                f"Grid Engine takes no $ and no comma in a log's path: {request.output}"
            )
            raise ConfigError(msg)
        # -C "": no line of the script is an option. The path may hold a colon. -wd: many
        # sites have -cwd among their defaults, and so the server's directory, which a
        # node may not have. The script goes home itself. -now n: else a job that has to
        # wait is none. (-sync y cannot be undone: see site.py.)
        argv = ["qsub", "-terse", "-V", "-notify", "-r", "n", "-S", "/bin/bash"]
        argv += ["-now", "n"]
        argv += ["-wd", "/"]
        argv += ["-b", "n", "-C", "", "-N", request.name]
        argv += ["-j", "y", "-o", f":{request.output}"]
        return Submission([*argv, *asked], script, _submitted)

    def own_submission(self, request: JobRequest, path: str, script: str) -> Submission:
        """Return how to submit it: in its directory, unless it names another one."""
        argv = ["qsub", "-terse", "-now", "n"]
        argv += ["-N", request.name] if request.name else []
        argv += [] if _DIRECTORY.search(script) else ["-cwd"]
        argv += [*self._asked(request), path]
        return Submission(argv, "", _submitted, str(PurePosixPath(path).parent))

    def mail(self, on: Collection[str], to: str) -> tuple[str, ...]:
        """Return when, in its letters: a job that fails is one that is aborted."""
        letters = {"begin": "b", "end": "e", "fail": "a"}
        when = "".join(letters[word] for word in on)
        return ("-m", when, *(["-M", to] if to else []))

    def _asked(self, request: JobRequest) -> list[str]:
        """Return the words of qsub for what a request asks for. May raise ConfigError."""
        self.check(request)
        given = request.options
        if not site.is_prepared(given):
            msg = (
                f"Grid Engine has no words for job {request.name} before its site was "
                "asked for its parallel environments and GPUs: `prepare` comes first."
            )
            raise ConfigError(msg)
        argv = []
        for name in ("q", "P", "ar"):
            argv += [f"-{name}", str(given[name])] if name in given else []
        if "pe" in given:
            total = options.slots(given) * given.get("nodes", 1)
            argv += ["-pe", str(given["pe"]), str(total)]
        resources = options.resources(given)
        argv += ["-l", ",".join(resources)] if resources else []
        return [*argv, *given.get("qsub_args", ())]

    def submit_advice(self, completed: Completed) -> str:
        return words.submit(completed)

    def is_no_answer(self, completed: Completed) -> bool:
        return answers.is_no_answer(completed)

    def script_head(self, request: JobRequest) -> str:
        ignores = "USR2" if "s_rt" in request.options else "USR1 USR2"
        return f"cd 2>/dev/null\n{_HEAD.format(ignores=ignores)}"

    def node_head(self) -> str:
        return _HEAD.format(ignores="USR1 USR2")

    # A job that is there

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        """Ask for all jobs of this user: one that is unknown would spoil `qstat -j`."""
        wanted = set(job_ids)

        def parse(completed: Completed) -> dict[JobId, JobStatus]:
            found = answers.listed(completed)
            return {each.job_id: each for each in found if each.job_id in wanted}

        return [Query(_listing(login_name()), parse)]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        return [Query(_listing(user), lambda done: answers.listed(done, user))]

    def every(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        def parse(completed: Completed) -> list[JobStatus]:
            found = answers.listed(completed, user)
            return [replace(it, queue=it.queue.partition("@")[0]) for it in found]

        return [Query(_listing(user), parse)]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        """Ask accounting: a file that is on this host, or none."""
        argv = ["qacct", "-j", job_id.number]
        return [Query(argv, lambda done: answers.accounted(done, job_id))]

    def log_of(self, job_id: JobId) -> Query[str | None]:
        return Query(["qstat", "-j", job_id.number], answers.log)

    def limits(self, queues: Sequence[str]) -> Query[dict[str, float]]:
        return site.limits(queues)

    def reasons(self, job_ids: Sequence[JobId]) -> Query[dict[JobId, str]]:
        numbers = ",".join(job_id.number for job_id in job_ids)
        return Query(["sh", "-c", _REASONS, "sh", numbers], answers.reasons)

    def places(self, job_ids: Sequence[JobId]) -> Query[dict[JobId, int]]:
        argv = ["qstat", "-u", "*", "-s", "p"]
        return Query(argv, lambda completed: answers.places(completed, job_ids))

    # Its end

    def cancel(self, job_id: JobId) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            if not answers.GONE.search(completed.stdout + completed.stderr):
                completed.check(CommandError, "The job could not be cancelled.")

        return Query(["qdel", job_id.number], parse)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        return ["sh", "-c", _BY_NAME_IF_THERE, "sh", request.name]

    # The way into it

    def into(self, job_id: JobId, node: str, argv: Sequence[str]) -> list[str]:
        """Return a task in the job's parallel environment.

        qrsh makes one line of its arguments, which a shell reads. Never with -noshell:
        8.1.9 hangs then. A task that is killed, as it is when its qrsh is gone without a
        word, takes the job along ("tightly integrated parallel task ... failed - killing
        job", 8.1.9): so ssh comes first wherever it works.
        """
        own = ["env", f"JOB_ID={job_id}", "SGE_TASK_ID=undefined"]
        return [*own, "qrsh", "-inherit", node, shlex.join(argv)]

    def closed(self, options: Mapping[str, Any]) -> str:
        if "pe" in options or not site.is_prepared({**options, "gpu": None}):
            return ""
        return (
            "a job of one core has no parallel environment, which qrsh needs; ask for "
            "several 'cores', or name a 'pe' with control_slaves"
        )

    # Its words

    def never(self, status: JobStatus, options: Mapping[str, Any]) -> str | None:
        return words.never(status)

    def pending_text(self, status: JobStatus) -> str:
        return words.pending(status)

    def pending_advice(self, status: JobStatus) -> str:
        return words.advice(status)

    def ended_text(self, status: JobStatus) -> str:
        return words.ended(status)

    def cause(self, status: JobStatus) -> EndCause:
        if status.state == answers.TOLD and status.signal == signal.SIGKILL:
            return (
                EndCause.KILLED
            )  # qdel's own comes after SIGUSR2, which our script hears
        return super().cause(status)


def _listing(user: str) -> list[str]:
    """Return the command; with its default -s, as ~/.sge_qstat may have another one."""
    return ["qstat", "-xml", "-r", "-s", "prs", "-u", user]


def _submitted(completed: Completed) -> JobId:
    """Take the last line of that form: a site's JSV may print lines of its own."""
    for form in (_TERSE, _SUBMITTED):
        for number in reversed(form.findall(completed.stdout)):
            return JobId(number)
    text = "qsub printed no job id"
    raise ValueError(text)
