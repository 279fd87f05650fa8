"""The batch script: everything that happens on the node before the agent runs.

Rules: pure text; every value is quoted; nothing secret is in it. The umask is the
job's, or the prologue's, so each file has a mode of its own. It stays the agent's
parent: it passes the scheduler's signals on, ends with the agent's exit code, and
removes the node directory however the agent ended. Whatever fails before that ends
with an exit code of its own (`explain_exit`). Called by kernel/, which hands it to `jobs.py`.
"""

from __future__ import annotations

import base64
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import PurePosixPath

from remote_kernels.causes import EndCause
from remote_kernels.errors import ConfigError

RESTARTED = 93
NO_NODE_DIR = 94
PROLOGUE_FAILED = 95
STATE_DIR_MISSING = 96
NO_PYTHON = 97
AGENT_FAILED = 98
AGENT_KILLED = 128 + 9

BEGAN = "began"  # a file in the record: the script was read at all

_EXITS = {
    RESTARTED: "The scheduler started the job a second time (after a node failure or a "
    "preemption), and the kernel's memory was lost with the first. Start the kernel "
    "again.",
    NO_NODE_DIR: "No private directory could be made on the compute node (the job's log "
    "says why). If a command was not found there, a start-up file or the prologue has "
    "taken /usr/bin out of PATH; else the node's disk may be full, or others can write "
    "there: 'node_dir' names another place.",
    PROLOGUE_FAILED: "A line of the prologue failed on the compute node; the job's log "
    "names it. Correct 'prologue', or write `|| true` behind a line that may fail.",
    STATE_DIR_MISSING: "The state directory is not shared with the compute node, or "
    "cannot be written there. Set 'state_dir' to a directory on a filesystem that the "
    "login node and the compute nodes share.",
    NO_PYTHON: "No Python 3.9 or later was found on the compute node; the job's log "
    "lists what was tried. Name one with --agent-python (of `remote-kernels install`; "
    "'python' in the config of kernel.json), or load one with --prologue.",
    AGENT_FAILED: "The agent failed on the compute node; the job's log says why.",
    AGENT_KILLED: "The agent on the compute node was killed (SIGKILL), by hand or for "
    "lack of memory on the node, and the kernel with it. Start the kernel again.",
}
_CAUSES = {
    RESTARTED: EndCause.PREEMPTED,
    AGENT_KILLED: EndCause.KILLED,
}  # the others': START

_START_UP_FILES = (
    "With a 'prologue' it runs in a login shell, which reads /etc/profile first, and then "
    "the first of ~/.bash_profile, ~/.bash_login and ~/.profile that is there, with all "
    "that these run. "
)
_ENDED_BY_START_UP = (
    "The job's script never began: the shell that was to run it had been ended, or had "
    f"become another program. {_START_UP_FILES}Look there for `exit` and `exec` (such as "
    "`exec zsh -l`), and keep them for shells that somebody types into:\n"
    "    [[ $- == *i* ]] && exec zsh -l"
)
_REPLACED = (
    "The job's script ended before it had started the agent, though none of its lines "
    "failed: does a line of 'prologue', or what it sources, make the shell another "
    "program (`exec`)?"
)

# A Unix socket's path has 107 bytes at most; a base that is longer than this leaves
# too few for what the agent puts behind it.
_LONGEST_BASE = 60
_OLDEST = "3.9"
_PYTHONS = (
    *("python3", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9"),
    "/usr/bin/python3",
)


def build(
    *,
    record_dir: str,
    agent: bytes,
    python: str | None = None,
    kernel_python: str | None = None,
    prologue: Sequence[str] = (),
    node_dir: str | None = None,
    head: str = "",
) -> str:
    """Return the batch script that runs the agent (a zipped application) for a record.

    Its one argument, if there is one, is the agent's `--node`; that agent ends with its
    standard input, too.

    `head` are the driver's lines (`Driver.script_head`).
    """
    shebang = "#!/bin/bash -l" if prologue else "#!/bin/bash"  # -l: so `module` exists
    text = "\n".join(
        [
            shebang,
            head,
            _HEAD,
            f"rk_record={shlex.quote(record_dir)}",
            _CHECK_RECORD,  # which waits for it
            f'(umask 077; : >"$rk_record/{BEGAN}") 2>/dev/null || :',
            _prologue(prologue),
            f"rk_pythons=({shlex.join(_candidates(python, kernel_python))})",
            _FIND_PYTHON,
            # Not before: bash runs no trap while it waits for a command, so what is
            # there when a slow prologue is cancelled would stay (Slurm 22.05 signals
            # bash alone, then kills all).
            f"rk_base={_node_path(node_dir) if node_dir else '${TMPDIR:-/tmp}'}",
            _OTHERS + (_CHECK_BASE if node_dir else _SHORTEN_BASE) + _MAKE_NODE_DIR,
            _UNPACK,
            base64.encodebytes(agent).decode("ascii") + "rk_end_of_agent",
            _RUN,
        ]
    )
    if "\0" in text or "\r" in text:
        message = "a value for the batch script holds a NUL or a carriage return"
        raise ConfigError(message)
    return text


def explain_exit(code: int) -> str | None:
    """Say what an exit code of the job's script means and what to do; None if not ours."""
    return _EXITS.get(code)


def cause_of_exit(code: int) -> EndCause | None:
    """Return what an exit code of the job's script says of its end; None if not ours."""
    return _CAUSES.get(code, EndCause.START) if code in _EXITS else None


def explain_end(*, began: bool, login: bool) -> str | None:
    """Explain a job that ended by itself, before its agent was there, without a reason.

    Parameters
    ----------
    began : bool
        Whether the file `BEGAN` is there.
    login : bool
        Whether it has a prologue.
    """
    if began:
        return _REPLACED if login else None
    return _ENDED_BY_START_UP if login else "The job's script never began."


def explain_silence(*, began: bool, login: bool) -> str | None:
    """Explain a job that runs, but whose agent has not reported for long."""
    if began or not login:
        return None
    return f"The job's script has not begun. {_START_UP_FILES}One of them may wait."


def _candidates(python: str | None, kernel_python: str | None) -> list[str]:
    """Where to look for a Python; the kernel's own first, as it is surely meant.

    The server's own last: often the node sees it, too, and has none but an old one.
    """
    if python:
        return [python]
    own = []
    if kernel_python and PurePosixPath(kernel_python).name.startswith("python"):
        own = [kernel_python]
    return list(dict.fromkeys([*own, *_PYTHONS, sys.executable]))


def _node_path(path: str) -> str:
    """Quoted, but for variables such as $USER, which mean the node's."""
    parts = re.split(r"(\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\}))", path)
    return "".join(
        f'"{part}"' if index % 2 else shlex.quote(part)
        for index, part in enumerate(parts)
        if part
    )


def _prologue(lines: Sequence[str]) -> str:
    """In this very shell, but as one string: a bad quote in it stays inside it.

    An ERR trap checks what `set -e` would, without changing the shell in which
    module and conda functions run; failures inside those and inside sourced files
    are their own affair. The DEBUG trap remembers the prologue's own command, as
    after a function BASH_COMMAND is the function's last one; it runs once more for
    the ERR trap itself, so the command before is the one (bash 5.2).
    """
    if not lines:
        return ""
    return f"""\
rk_stage=prologue rk_command= rk_before= rk_depth=${{#BASH_SOURCE[@]}}
rk_check() {{
  [ "$2" -gt "$rk_depth" ] && return
  echo "remote_kernels: the prologue failed with exit code $1 at: $rk_before" >&2
  exit {PROLOGUE_FAILED}
}}
trap 'rk_before=$rk_command rk_command=$BASH_COMMAND' DEBUG
trap 'rk_check "$?" "${{#BASH_SOURCE[@]}}"' ERR
eval {shlex.quote(chr(10).join(lines))}
trap - DEBUG ERR
set +eu
rk_stage=ours"""


_HEAD = f"""\
# A Jupyter kernel as a batch job; made by remote_kernels.
if [ -n "${{1:-}}" ]; then  # the end of our input is the sign to end: the agent's alone
  exec {{rk_input}}<&0 </dev/null
else
  exec {{rk_input}}</dev/null
fi
unset XDG_RUNTIME_DIR  # names a directory of the login node
rk_dir= rk_stage=ours
rk_say() {{ echo "remote_kernels: $*" >&2; }}
rk_clean() {{
  local code=$?
  trap - ERR EXIT
  if [ "$rk_stage" = prologue ] && [ "$code" -lt 128 ]; then
    [ "$code" -eq {PROLOGUE_FAILED} ] || rk_say "the prologue ended the script ($code)"
    code={PROLOGUE_FAILED}
  fi
  [ -z "$rk_dir" ] || rm -rf -- "$rk_dir"
  exit "$code"
}}
trap rk_clean EXIT
trap 'exit 143' TERM ${{rk_ends:-}}
trap 'exit 130' INT
trap 'exit 129' HUP
if [ "${{rk_restarted:-0}}" != 0 ]; then
  rk_say "the scheduler started this job again; its kernel was lost"
  exit {RESTARTED}
fi"""

# The directory is a few seconds old, and NFS may take some to show it.
_CHECK_RECORD = f"""\
for rk_try in 1 2 3; do
  [ -d "$rk_record" ] && break
  sleep 1
done
if ! [ -d "$rk_record" ] || ! [ -w "$rk_record" ]; then
  rk_say "the state directory is not shared with this node, $(uname -n):" \\
    "$rk_record is not there or cannot be written"
  exit {STATE_DIR_MISSING}
fi"""

_SHORTEN_BASE = f"""\
rk_length() {{ local LC_ALL=C; echo "${{#1}}"; }}
if [ "$(rk_length "$rk_base")" -gt {_LONGEST_BASE} ] || ! [ -w "$rk_base" ] ||
  rk_others "$rk_base"; then
  rk_base=/tmp
fi
"""

# Whoever may rename what we make there could run what he likes as this user.
_OTHERS = """\
rk_others() {
  local mode group
  read -r mode group < <(stat -L -c '%a %G' -- "$1")
  if [ -O "$1" ] && [ "$group" = "$(id -un)" ]; then  # a group of his own
    (((8#${mode:-0} & 8#1002) == 8#0002))
  else
    (((8#${mode:-0} & 8#1022) != 0 && (8#${mode:-0} & 8#1000) == 0))
  fi
}
"""

# A base that others can write to was named by the site or the user: it is as he says,
# unless somebody could use it.
_CHECK_BASE = f"""\
if rk_others "$rk_base"; then
  rk_say "others can write to $rk_base on $(uname -n), and exchange what is made there:" \\
    "$(stat -L -c 'owner %U, group %G, mode %a' -- "$rk_base")"
  exit {NO_NODE_DIR}
fi
"""

_MAKE_NODE_DIR = f"""\
rk_dir=$(mktemp -d -- "${{rk_base%/}}/rk-XXXXXXXX") || {{
  rk_say "no private directory can be made on $(uname -n) in $rk_base"
  exit {NO_NODE_DIR}
}}"""

_FIND_PYTHON = f"""\
rk_python= rk_tried=
rk_ask='import sys, zlib; print("%d.%d" % sys.version_info[:2])
sys.exit(sys.version_info < ({_OLDEST.replace(".", ", ")}))'
for rk_one in "${{rk_pythons[@]}}"; do
  if ! rk_path=$(command -v -- "$rk_one"); then
    rk_why="not found"
  elif rk_why=$("$rk_path" -I -S -c "$rk_ask" 2>&1); then
    rk_python=$rk_path
    break
  fi
  rk_tried="$rk_tried
  $rk_one: $rk_why"
done
if [ -z "$rk_python" ]; then
  rk_say "no Python {_OLDEST} or later on $(uname -n). Tried:$rk_tried"
  exit {NO_PYTHON}
fi"""

_UNPACK = f"""\
rk_unpack() {{
  # An ACL of the directory above may be stronger than umask.
  (umask 077 && base64 -d > "$rk_dir/agent.pyz") && chmod 600 "$rk_dir/agent.pyz" &&
    return
  rk_say "the agent cannot be written to $rk_dir"
  exit {NO_NODE_DIR}
}}
rk_unpack <<'rk_end_of_agent'"""

# Not exec: who is left when the agent is killed must clean up. bash runs a trap only
# while it waits, so signals pass at once.
_RUN = """\
"$rk_python" -I -S "$rk_dir/agent.pyz" run --record "$rk_record" \\
  --node-dir "$rk_dir" ${1:+--node "$1"} <&"$rk_input" &
rk_agent=$!
for rk_signal in TERM INT HUP USR1 USR2; do
  trap "rk_trapped=$rk_signal; kill -$rk_signal $rk_agent 2>/dev/null" "$rk_signal"
done
rk_code=0 rk_trapped=1 rk_told=0
while [ "$rk_trapped" ]; do
  case " TERM ${rk_ends:-} " in *" $rk_trapped "*) rk_told=143 ;; esac
  rk_trapped=
  wait "$rk_agent"  # a signal ends it early; 127: its code has been told before
  rk_waited=$?
  [ "$rk_waited" = 127 ] || rk_code=$rk_waited
done
# It was killed: its kernels are not to stay. What took the place of what a cleaner of
# /tmp removed may be somebody else's.
if [ "$rk_code" -gt 128 ] && [ -O "$rk_dir" ] && [ -O "$rk_dir/agent.pyz" ]; then
  "$rk_python" -I -S "$rk_dir/agent.pyz" tidy "$rk_dir"
fi
[ "$rk_code" != 0 ] || rk_code=$rk_told  # that it did not end on its own
exit "$rk_code"
"""
