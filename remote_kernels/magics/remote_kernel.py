"""`%remote_kernel`: where the kernel runs, how much time is left, what it uses.

Called by IPython, as `load` has registered it.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from typing import Any

from IPython.core.error import UsageError

from remote_kernels import spans
from remote_kernels.agent.usage import Sampler
from remote_kernels.errors import CommandError
from remote_kernels.magics.command import Failure
from remote_kernels.magics.own_job import OwnJob, own_job
from remote_kernels.magics.report import Report
from remote_kernels.magics.time_left import Warnings

FRESH = (
    15.0  # seconds: a loop over %remote_kernel must not become a loop over its question
)
SHORTEST = 0.25  # seconds over which the use of CPUs is measured


class RemoteKernelMagic:
    """The measurements and warnings of one kernel."""

    def __init__(self) -> None:
        self.warnings = Warnings(self._ask, _tell)
        self._sampler = Sampler(lambda: [os.getsid(0)])
        self._sampled: float | None = None
        self._told: tuple[float, float | None, str] | None = None

    def magic(self, line: str) -> Report | dict[str, Any] | None:
        """Show where this kernel runs, how much time is left, and what it uses.

        %remote_kernel              a table; `_` has its values as attributes
        %remote_kernel --json       the same as a dict
        %remote_kernel --warn 10m 2m    warn in the notebook when so much time is left
                                    (5m, 1h30m, 300, 0:05:00); replaces what was set
        %remote_kernel --warn off   warn no more
        """
        words = shlex.split(line)
        if not words:
            return self.report()
        if words == ["--json"]:
            return self.report().as_dict()
        if words[0] == "--warn" and len(words) > 1:
            self._warn([word for word in words if word != "--warn"])
            return None
        message = "%remote_kernel takes nothing, --json, or --warn with times or 'off'"
        raise UsageError(message)

    def report(self) -> Report:
        """Measure, and return what is known now."""
        job = own_job(os.environ)
        end, note = (None, "") if job is None else self._end(job)
        used, since = self._use()
        return Report(
            node=os.uname().nodename if job is None else job.node,
            pid=os.getpid(),
            job_id=job.id if job else None,
            job_name=job.name if job else None,
            partition=job.partition if job else None,
            account=job.account if job else None,
            cpus=job.cpus if job else None,
            memory_asked=job.memory if job else None,
            gpus_asked=job.gpus if job else None,
            end_time=end,
            time_left=None if end is None else max(0.0, end - time.time()),
            cpu_percent=used["cpu_percent"],
            cpu_since=since,
            cpus_usable=used["cpus"],
            memory=used["memory"],
            memory_limit=used["memory_limit"],
            gpus=list(used["gpus"]),
            notes=(note,) if note else (),
        )

    def _use(self) -> tuple[dict[str, Any], float | None]:
        """Return a sample, and the seconds since the one before it."""
        if self._sampled is None:
            self._sampler.sample()
            self._sampled = time.monotonic()
        time.sleep(max(0.0, self._sampled + SHORTEST - time.monotonic()))
        now = time.monotonic()
        since, self._sampled = now - self._sampled, now
        return self._sampler.sample(), since

    def _end(self, job: OwnJob) -> tuple[float | None, str]:
        """Return the end time, and what there is to say about it."""
        now = time.monotonic()
        if self._told is None or now - self._told[0] > FRESH:
            try:
                self._told = now, job.end_time(), ""
            except CommandError as error:
                self._told = (
                    now,
                    job.promised_end,
                    f"The batch system does not say: {error}",
                )
        return self._told[1:]

    def _ask(self) -> float | None:
        """Return the end as it is now, for a warning that is due."""
        job = own_job(os.environ)
        return None if job is None else job.end_time()

    def _warn(self, words: list[str]) -> None:
        if words == ["off"]:
            print(
                "No more warnings." if self.warnings.cancel() else "No warning was set."
            )
            return
        before = _parsed(words)
        end = self._first_answer()
        if end is None:
            print("This job has no time limit: there is nothing to warn about.")
            return
        ahead = self.warnings.set(before, end)
        times = ", ".join(spans.say(seconds) for seconds in ahead)
        late = ", ".join(spans.say(s) for s in sorted(before) if s not in ahead)
        text = f"{spans.say(end - time.time())} left."
        text += f" A warning comes {times} before the end." if times else ""
        text += f" Too late for: {late}." if late else ""
        print(text)

    def _first_answer(self) -> float | None:
        """Return the end as the batch system says, or else as it said at the start."""
        job = own_job(os.environ)
        if job is None:
            message = "this kernel is not in a job: there is no time limit"
            raise UsageError(message)
        try:
            return job.end_time()
        except CommandError as error:
            if job.promised_end is None:
                raise Failure(error) from None
            return job.promised_end


def _parsed(words: list[str]) -> list[float]:
    try:
        return [spans.parse(word) for word in " ".join(words).replace(",", " ").split()]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _tell(text: str) -> None:
    """Show a text below the cell that runs, or else below the last one that ran."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
