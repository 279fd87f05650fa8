"""Run a notebook in a job, without a page.

Rules: the result is saved after each cell, and at once when a signal says that the job
is to end; the notebook itself is never changed. An error in a cell is in the result, the
report is made all the same, and the exit code tells. What became of it is also in
progress.json of the job's record. The kernel runs beside this program, through its
kernelspec: one of ours as a job of this machine (`--options`). Run by the batch script
that kernel/own_submission.py makes; needs nbclient and nbconvert.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

FAILED = 1  # it could not be run
CELL_FAILED = 3  # a cell has an error
NO_REPORT = 4  # all cells were run, but there is no report
KERNEL_DIED = 5
START_TIMEOUT = 600  # seconds for the kernel to answer, once it has started
_ENDS = ("TERM", "INT", "HUP", "XCPU")
_NAME = re.compile(r"\w+")


class Run:
    """One notebook, from its first cell to its report.

    Parameters
    ----------
    args
        The program's arguments.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._result, self._report = Path(args.result), Path(args.report)
        text = Path(args.notebook).read_text(encoding="utf-8")
        self.book = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        _without_outputs(self.book)
        self._codes = [c for c in self.book.cells if c.cell_type == "code"]
        self._done = 0
        self.signal: int | None = None
        self._executing: asyncio.Task[Any] | None = None
        self._client = _Executing(
            self.book,
            take_signals=self._take_signals,
            kernel_name=args.kernel,
            timeout=None,
            startup_timeout=START_TIMEOUT,
            resources={"metadata": {"path": str(Path.cwd())}},
            on_cell_start=self._begins,
            on_cell_executed=self._is_done,
        )

    async def whole(self) -> int:
        """Run all of it; return the exit code."""
        self.save()
        self.tell("running", f"its kernel starts; it has {self._cells}")
        executing = self._client.async_execute(**self._options())
        self._executing = asyncio.ensure_future(executing)
        self._take_signals()
        code, text = await self._outcome(self._executing)
        self._take_signals()
        self.save()
        report = await asyncio.to_thread(self._make_report)
        if report:
            text, code = f"{text} There is no report: {report}", code or NO_REPORT
        self.tell("finished" if not code else "failed", text, has_report=not report)
        sys.stderr.write(f"{text}\n")
        return code

    def _options(self) -> dict[str, Any]:
        if not self._args.options:
            return {}
        # The kernel is to see this job as it is: its GPUs, modules, numbers.
        keep = [n for n in os.environ if _NAME.fullmatch(n) and n[:3] != "RK_"]
        return {"remote_kernels": {**json.loads(self._args.options), "env_keep": keep}}

    async def _outcome(self, task: asyncio.Task[Any]) -> tuple[int, str]:
        try:
            await task
        except CellExecutionError as error:
            told = f"{error.ename}: {error.evalue}".strip().splitlines() or [""]
            return CELL_FAILED, f"Cell {self._done} has an error: {told[0][:500]}."
        except DeadKernelError:
            if self.signal is None:
                text = f"The kernel died in cell {self._done + 1} of {self._cells}."
                return KERNEL_DIED, text
        except asyncio.CancelledError:
            if self.signal is None:
                raise
        except Exception as error:  # noqa: BLE001 - whatever the kernel's start comes to
            if self.signal is None:
                return FAILED, f"The notebook could not be run: {error}"
        if self.signal is not None:
            name = signal.Signals(self.signal).name
            text = f"The job was told to end ({name}) after {self._so_far}."
            return 128 + self.signal, text
        return 0, f"All of its {self._cells} were run."

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _ends():
            loop.add_signal_handler(number, self._told_to_end, number)

    def _told_to_end(self, number: int) -> None:
        """Save first: there may be little time. All that is left then is the report."""
        task = self._executing
        if self.signal is None and task is not None and not task.done():
            self.signal = number
            self.save()
            self.tell("failed", f"It was told to end after {self._so_far}.")
            # What nbclient (0.11) leaves behind then would fill the log.
            task.get_loop().set_exception_handler(lambda loop, context: None)
            task.cancel()

    # How far it is

    @property
    def _cells(self) -> str:
        count = len(self._codes)
        return f"{count} cell{'s' * (count != 1)}"

    @property
    def _so_far(self) -> str:
        return f"{self._done} of {self._cells}"

    def _begins(self, cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code":
            self.tell("running", f"cell {self._done + 1} of {len(self._codes)}")

    def _is_done(self, cell: Any, cell_index: int, **_: Any) -> None:
        """Save; cells without code are passed over."""
        self._done = 1 + next(i for i, it in enumerate(self._codes) if it is cell)
        self.save()

    # What is written

    def save(self) -> None:
        """Write the result as it is now; never half of it."""
        text = nbformat.writes(self.book)  # type: ignore[no-untyped-call]
        _write(self._result, text)

    def tell(self, state: str, text: str, *, has_report: bool = False) -> None:
        """Say in the job's record how far it is; what cannot be said is no harm."""
        body = {"state": state, "text": text, "has_report": has_report}
        path = Path(self._args.record, "progress.json")
        with contextlib.suppress(OSError):
            _write(path, json.dumps({**body, "time": time.time()}), mode=0o600)

    def _make_report(self) -> str:
        """Make the report of what there is; return why it could not be made."""
        from nbconvert import HTMLExporter

        try:
            resources = {"metadata": {"name": self._result.stem}}
            exporter = HTMLExporter()  # type: ignore[no-untyped-call]
            text, _ = exporter.from_notebook_node(self.book, resources=resources)
            _write(self._report, text)
        except Exception as error:  # noqa: BLE001 - whatever its templates come to
            return f"{type(error).__name__}: {error}"
        return ""


class _Executing(NotebookClient):
    """Leaves signals to us.

    nbclient (0.11) takes two of them just before it starts the kernel, to end that.
    """

    def __init__(self, *args: Any, take_signals: Callable[[], None], **kw: Any) -> None:
        super().__init__(*args, **kw)
        self._take_signals = take_signals

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        self._take_signals()
        await super().async_start_new_kernel(**kwargs)


def _without_outputs(book: Any) -> None:
    """Take them out: what is in the result is to be of this run alone."""
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def _ends() -> list[signal.Signals]:
    """Return the signals on which the job is about to end, here."""
    further = os.environ.get("RK_ENDS", "").split()
    return [signal.Signals[f"SIG{name}"] for name in (*_ENDS, *further)]


def _write(path: Path, text: str, mode: int = 0o666) -> None:
    """Write beside and rename; nothing that is there is followed or changed."""
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(beside, flags, mode)
    try:
        with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def main() -> int:
    """Run the notebook that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(description="Run a notebook in a job.")
    for name in ("notebook", "result", "report", "record"):
        parser.add_argument(f"--{name}", required=True, metavar="PATH")
    parser.add_argument("--kernel", required=True, metavar="NAME")
    parser.add_argument("--options", default="", metavar="JSON")
    args = parser.parse_args()
    for name in {"USR1", "USR2"} & {*os.environ.get("RK_IGNORES", "").split()}:
        signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_IGN)
    return asyncio.run(Run(args).whole())


if __name__ == "__main__":
    sys.exit(main())
