"""Run one of OAR's commands, for a bounded time; submit a script that comes on stdin.

    program.py --seconds N -- COMMAND...
    program.py --seconds N --script BEGINNING [--login] -- OARSUB...
    program.py --held -- OARSH...

Without the database, OAR's commands (2.5.9) try again for ever, and a user cannot end
them: they have become another user. An alarm that was set before can. oarsh may run for
as long as it likes, but has to end with us: it gets a terminal of its own, and hears when
that hangs up, as anybody does. What it reads and writes is not touched.

oarsub reads no script, and what is on its command line is kept, and told, with the job.
So the script waits in a file, together with the environment, which OAR does not pass on
either: its name begins as is said. It removes that file when it begins; where there is
no job, it is removed here.

Rules: stands alone (standard library only, Python 3.9, run with `-I -S`). Its exit code
is the command's; -N becomes 128 + N, as in a shell. Run with the arguments that
`commands.py` makes.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping
from pathlib import Path

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NAME = re.compile(r"[A-Za-z_]\w*")
# What the node, or the shell itself, knows better.
_NOT_PASSED = re.compile(r"OAR\w*|PWD|OLDPWD|SHLVL|_|BASH_ENV|ENV|HOSTNAME")

_FILE = """\
#!/bin/bash
if [ "${{1:-}}" != rk-begun ]; then
  cd -- {directory} 2>/dev/null || cd
{exports}
  exec /bin/bash {login}"$0" rk-begun
fi
shift
rm -f -- "$0"
{script}"""


def main() -> int:
    """Do what the arguments say; return the exit code."""
    at = sys.argv.index("--")
    parser = argparse.ArgumentParser(description="Run a command of OAR's.")
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--script")
    parser.add_argument("--login", action="store_true")
    parser.add_argument("--held", action="store_true")
    args = parser.parse_args(sys.argv[1:at])
    command = sys.argv[at + 1 :]
    if args.held:
        return hold(command)
    if args.script is None:
        return run(command, args.seconds)
    return submit(command, args)


def submit(command: list[str], args: argparse.Namespace) -> int:
    """Keep the script, and run oarsub; its exit code."""
    script = os.fsdecode(sys.stdin.buffer.read())
    written = text(script, str(Path.cwd()), os.environ, login=args.login)
    for signum in SIGNALS:
        signal.signal(signum, lambda number, _: sys.exit(128 + number))
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until its path is known
    try:
        path = put(args.script, written)
    except OSError as error:
        print(f"{args.script}: {error.strerror}", file=sys.stderr)
        return 1
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        # For the user's own shell, whichever that is; in its place, as signals go there.
        # What OAR has each bash of a job read, ~/.bashrc, has been read by then.
        words = ["exec", "env", "-u", "BASH_ENV", "/bin/bash", path]
        code = run([*command, shlex.join(words)], args.seconds)
    finally:
        if code != 0:  # a job that comes nevertheless finds nothing to do
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()
    return code


def run(command: list[str], seconds: int) -> int:
    """Run it; its exit code."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: signal.alarm(seconds),  # noqa: PLW1509 - no threads here
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    code = process.wait()
    return code if code >= 0 else 128 - code


def hold(command: list[str]) -> int:
    """Run it with a terminal that hangs up as soon as we end; its exit code."""
    master, slave = os.openpty()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            os.execvp(command[0], command)  # noqa: S606 -- as asked
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        finally:
            os._exit(127)
    os.close(slave)
    for number in (0, 1):  # whose end is the command's to tell
        os.close(number)
    for signum in SIGNALS:
        signal.signal(signum, lambda number, _: os._exit(128 + number))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(master)
    return code if code >= 0 else 128 - code


def text(
    script: str, directory: str, environ: Mapping[str, str], *, login: bool
) -> str:
    """Return the file: the environment first, then a new shell that runs the script."""
    exports = [
        f"  export {name}={shlex.quote(value)}"
        for name, value in sorted(environ.items())
        if _NAME.fullmatch(name) and not _NOT_PASSED.fullmatch(name)
    ]
    return _FILE.format(
        directory=shlex.quote(directory),
        exports="\n".join(exports),
        login="-l " if login else "",
        script=script,
    )


def put(beginning: str, content: str) -> str:
    """Write a file of a new name that nobody else can read; its path."""
    place = Path(beginning)
    descriptor, path = tempfile.mkstemp(prefix=f"{place.name}-", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.fsencode(content))  # every byte as it came, in any locale
    except OSError:
        Path(path).unlink()
        raise
    return path


if __name__ == "__main__":
    sys.exit(main())
