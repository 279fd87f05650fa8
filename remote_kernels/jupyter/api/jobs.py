"""Handlers of jobs that are no kernels: list, submit, tell of one, end it, its log."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any

from remote_kernels.kernel import own_jobs, own_submission
from remote_kernels.kernel.own_job import Found
from remote_kernels.kernel.own_submission import Wanted

from . import input
from .errors import Refusal
from .files import file_below, path_below
from .handler import Handler, Routes, guarded
from .known import PATIENCE, Kernels, config_of, log_end, own_config

_PATHS = ("script", "notebook", "result", "report")


async def all_jobs(kernels: Kernels, server: Any) -> dict[str, Any]:
    """Return what is told of all of them."""
    work = own_jobs.own_jobs(kernels.runtime, [*kernels.state_dirs()], PATIENCE)
    body = (await kernels.run(work)).as_json()
    return {**body, "jobs": [_below(server, job) for job in body["jobs"]]}


def _as_json(server: Any, job: Found) -> dict[str, Any]:
    """Return what is told of a job."""
    return _below(server, job.model.as_json())


def _below(server: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Return a job with its files as they are called below the root."""
    return {**body, **{name: path_below(server, body[name]) for name in _PATHS}}


class _Jobs(Handler):
    async def find(self, job_id: str) -> Found:
        """Return one of them. Raises NotFoundError, StateError, UnknownError."""
        bases = [*self.kernels.state_dirs()]
        work = own_jobs.find(self.kernels.runtime, bases, job_id, PATIENCE)
        return await self.kernels.run(work)


class JobsHandler(_Jobs):
    """All jobs that are no kernels."""

    @guarded
    async def get(self) -> None:
        """List them."""
        input.nothing(self.request.query_arguments)
        ask = partial(all_jobs, self.kernels, self.serverapp)
        body = await ask()
        self.kernels.looked_at("jobs", "", body, ask)
        self.answer(body)

    @guarded
    async def post(self) -> None:
        """Submit one."""
        input.nothing(self.request.query_arguments)
        asked = input.job(self.request.body)
        text = "Who may not run code in kernels may not submit jobs either."
        await self.check_execute(text)
        path = await file_below(self.serverapp, asked.path)
        order = await asyncio.to_thread(self._order, asked, path)
        kind = own_submission.submit_script
        if asked.is_notebook:
            kind = own_submission.submit_notebook
        job = await self.kernels.run(kind(self.kernels.runtime, order))
        self.set_status(HTTPStatus.CREATED)
        self.set_header("Location", self.url_of("jobs", job.model.job_id))
        self.answer(_as_json(self.serverapp, job))

    def _order(self, asked: input.Submit, path: Any) -> Wanted:
        """Return what is to be submitted, with its kernelspec's config."""
        if "state_dir" in asked.options:
            raise Refusal(400, "option 'state_dir' can only be set in the kernelspec")
        name = asked.kernelspec
        if asked.is_notebook and name is None:
            name = own_submission.notebook_kernel(path)
            if not name:
                text = "The notebook names no kernelspec: give one as 'kernelspec'."
                raise Refusal(400, text)
        config = None if name is None else self._config(name, asked)
        return Wanted(
            path=path,
            config=config or {},
            options=asked.options,
            name=asked.name,
            mail=asked.mail,
            kernel=name or "",
            is_ours=config is not None,
        )

    def _config(self, name: str, asked: input.Submit) -> dict[str, Any] | None:
        server: Any = self.serverapp
        specs = server.kernel_spec_manager.get_all_specs()
        if (
            asked.is_notebook
            and name in specs
            and own_config(specs[name]["spec"]) is None
        ):
            return None  # it runs as it is
        return config_of(specs, name)


class JobHandler(_Jobs):
    """One job."""

    @guarded
    async def get(self, job_id: str) -> None:
        """Tell of the job."""
        input.nothing(self.request.query_arguments)
        self.answer(_as_json(self.serverapp, await self.find(job_id)))

    @guarded
    async def delete(self, job_id: str) -> None:
        """Cancel it; forget one that has ended."""
        input.nothing(self.request.query_arguments)
        job = await self.find(job_id)
        await self.kernels.run(own_jobs.end(self.kernels.runtime, job))
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


class JobLogHandler(_Jobs):
    """The end of a job's log."""

    @guarded
    async def get(self, job_id: str) -> None:
        """Show the end of it."""
        lines = input.log_lines(self.request.query_arguments)
        job = await self.find(job_id)
        path = await self.kernels.run(own_jobs.log_path(self.kernels.runtime, job))
        text = await asyncio.to_thread(log_end, path, lines)
        self.finish(text, set_content_type="text/plain; charset=utf-8")


JOB = r"/jobs/(?P<job_id>[^/]+)"
ROUTES: Routes = [
    ("/jobs", JobsHandler),
    (JOB, JobHandler),
    (f"{JOB}/log", JobLogHandler),
]
