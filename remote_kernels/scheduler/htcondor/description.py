"""A submit description, and what the job that it describes runs.

Rules: pure text. condor_submit takes no script on standard input: what a job runs must be
a file, or be in the job's ad, which everybody may read and the site keeps. So the script
lies, with the environment, in a file of the user's alone beside the job's log; the job
removes it as it begins, and who cancels a job that never did removes it, too: see
`submit.sh` and `remove.sh`. Called by `driver.py`. Seen on 23.9.6.
"""

from __future__ import annotations

from remote_kernels.scheduler.job import JobRequest
from remote_kernels.scheduler.script import RESTARTED, STATE_DIR_MISSING

from .options import commands

SCRIPT = "RemoteKernelsScript"
"""The attribute of a job that names its script's file."""

# Where the directory is there, but not the file, an earlier start has taken it. The
# script is read to its end before it runs: what it starts must not read the rest of it.
_BEGIN = f"""\
[ -r "$0" ] || sleep 2;
[ -r "$0" ] || [ ! -d "${{0%/*}}" ] || exit {RESTARTED};
[ -r "$0" ] || exit {STATE_DIR_MISSING};
exec 3<"$0" >>"$1" 2>&1 </dev/null;
rm -f -- "$0";
while IFS= read -r -d "" -u 3 rk_one && [ "$rk_one" ]; do export "$rk_one"; done;
unset rk_one;
exec /bin/bash LOGIN -c 'rk_text=$(cat <&3); exec 3<&-; eval "$rk_text"'"""

# Nobody waits for a job whose kernel is lost, as it is on hold after it had begun, or is
# to begin anew; nor for one that HTCondor itself put on hold. What the user holds (1: by
# condor_hold, 15: as it was submitted, 16: its files are copied) he will release.
_REMOVE = (
    "(JobStatus == 5 && (JobStartDate =!= undefined || (HoldReasonCode != 1 && "
    "HoldReasonCode != 15 && HoldReasonCode != 16))) || "
    "(JobStatus == 1 && NumJobStarts > 0)"
)


def script_file(request: JobRequest) -> str:
    """Return the path of the file that has the job's script until that begins."""
    return f"{request.output}.script"


def description(request: JobRequest) -> str:
    """Return the submit description of such a job."""
    begin = _BEGIN.replace("\n", " ")
    begin = begin.replace(" LOGIN", " -l" if request.login else "")
    script = script_file(request)
    arguments = "-c", begin, script, request.output
    return "\n".join(
        [
            "universe = vanilla",
            "executable = /bin/bash",
            "transfer_executable = false",
            f"arguments = {_arguments(*arguments)}",
            "initialdir = /",  # it is everywhere, and nothing is written there
            "notification = never",
            f"batch_name = {request.name}",
            f"periodic_remove = {_REMOVE}",
            f"+{SCRIPT} = {_plain(quoted(script))}",
            *commands(request.options),
            "queue",
        ]
    )


def quoted(text: str) -> str:
    """Return the text as a ClassAd has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _arguments(*words: str) -> str:
    """Return the words in the notation that keeps blanks and quotes in them."""
    inner = " ".join(f"'{word.replace(chr(39), chr(39) * 2)}'" for word in words)
    return _plain('"' + inner.replace('"', '""') + '"')


def _plain(text: str) -> str:
    """Without macros: no file's name is one."""
    return text.replace("$", "$(DOLLAR)")
