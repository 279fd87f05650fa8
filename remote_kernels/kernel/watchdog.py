"""What is done when our process dies without having cleaned up.

A SIGTERM ends a plain Python script before any of our code runs, and so does a Ctrl-C
in `jupyter console` while its kernel starts (jupyter_client 8.10 resets SIGINT for
that time): the job would stay in the queue. So a small shell waits at the other end of
a pipe. When the pipe closes without a word, it cancels the job and removes our files.
A forked child lets go of its copy of the pipe, or our death would not close it. Made by
local_end.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from remote_kernels import forked, harmless

log = harmless.logger(__name__)

STOP = "stop"
KEEP = "keep"
NOW = "now"
LATER = "later"
END_TIMEOUT = 5.0  # seconds for the shell to end
NOW_TIMEOUT = 30.0  # seconds for the job to be cancelled
FIRST_LOOK, LOOK = 0.002, 0.05  # seconds between two looks whether it has, growing

# Twice, since a submission that was under way hands its job in after our death (one that
# comes later still ends as soon as it starts: its record is gone); and again while the
# controller does not answer.
_SCRIPT = f"""\
trap '' HUP INT TERM
keep=$1
shift
again() {{
  times=0
  for pause in 0 4 8 16 32 64 128; do
    sleep "$pause"
    if "$@"; then times=$((times + 1)); fi
    printf %s "$paths" | while IFS= read -r path; do rm -rf -- "$path"; done
    [ "$times" -lt 2 ] || return 0
  done
}}
paths= newline='
'
while IFS= read -r line; do
  case $line in
    {STOP}) exit 0 ;;
    {KEEP}) paths= ; keep={KEEP} ;;
    {NOW}) "$@" ; exit ;;
    {LATER}) again "$@" & exit 0 ;;
    /*) paths="$paths$line$newline" ;;
  esac
done
[ -z "$keep" ] || set -- true
again "$@"
"""


class Watchdog:
    """Who cancels the job when we cannot.

    Parameters
    ----------
    cancel:
        The command that cancels the job, known before the job is.
    environ:
        Its environment.
    """

    def __init__(self, cancel: Sequence[str], environ: Mapping[str, str]) -> None:
        self._cancel = list(cancel)
        self._environ = dict(environ)
        self._shell: subprocess.Popen[str] | None = None

    def start(self, *, keep: bool = False) -> None:
        """Start the shell. If no process can be had, the kernel works without it.

        `keep`: the job is to live on, unless `cancel_job` is called.
        """
        args = ["remote-kernels", KEEP if keep else "", *self._cancel]
        try:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                cwd="/",
                text=True,
                start_new_session=True,  # a Ctrl-C in the terminal is not for it
            )
        except OSError as exc:
            log.warning("a job may be left over if this process dies: %s", exc)

    def remove(self, path: Path) -> None:
        """Remove this file or directory, too."""
        assert path.is_absolute()
        self._say(str(path))

    def keep(self) -> None:
        """Let the job live on, and let what was to be removed stay."""
        self._say(KEEP)

    async def cancel_job(self) -> bool:
        """Cancel the job now, with descriptors of its own; whether that was done."""
        shell = self._shell
        if shell is None or not self._cancel or not self._say(NOW):
            return False
        return await _ended(shell, NOW_TIMEOUT) == 0

    def cancel_later(self) -> bool:
        """Try for four minutes to cancel the job, whatever becomes of this process.

        Returns
        -------
        bool
            Whether that is tried.
        """
        return bool(self._cancel) and self._say(LATER)

    async def stop(self) -> None:
        """Stop the shell: all is cleaned up, and nothing is left to do.

        To be called again if it was cancelled.
        """
        self._say(STOP)
        shell = self._shell
        if shell is not None and shell.stdin is not None:
            with contextlib.suppress(OSError):  # somebody killed it
                shell.stdin.close()
            await _ended(shell, END_TIMEOUT)
            self._shell = None

    def _say(self, line: str) -> bool:
        """Tell the shell; return whether it may have heard."""
        stdin = self._shell.stdin if self._shell is not None else None
        if stdin is None or stdin.closed:
            return False
        with contextlib.suppress(OSError):  # somebody killed it
            stdin.write(f"{line}\n")
            stdin.flush()
        return True

    def forked(self) -> None:
        """Let go of the shell, in a child of this process: it is the parent's."""
        shell, self._shell = self._shell, None
        if shell is not None and shell.stdin is not None and not shell.stdin.closed:
            forked.let_go([shell.stdin.fileno()], shell)
            shell.returncode = 0  # no child of this process, which need not wait for it


async def _ended(shell: subprocess.Popen[str], timeout: float) -> int | None:
    """Return its exit code; None if it has not ended in so many seconds."""
    pause = FIRST_LOOK
    end = asyncio.get_running_loop().time() + timeout
    while shell.poll() is None and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(pause)
        pause = min(pause * 2, LOOK)
    return shell.returncode
