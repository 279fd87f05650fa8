"""Where a Python program is, told by py-spy, which need not be in it. Used by inside.py.

py-spy reads the program's memory from outside: the program runs no line for it, so it
may hang in whatever it likes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from . import processes
from .node_dir import kernel_pid
from .processes import Process
from .small_files import number_in

PATIENCE = 30.0  # seconds for one process; one in an NFS server's hands never stops
_DENIED = "Permission Denied"  # py-spy 0.4


def stack(node_dir: str, kernel: str, options: dict[str, Any]) -> dict[str, Any]:
    """Look at a kernel by py-spy.

    options:
        `all` (all of its Python processes), `locals`, `native`, `json`; `spies`: where
        py-spy may be besides the kernel's own directories.

    The answer has `pid` (the kernel's process, 0 without one) and its `command`,
    `tried` (where py-spy was looked for), `spy`, `ptrace_scope`, and `processes`: each
    with pid, parent, command, and `text` or `threads`, or an `error`.
    """
    there = processes.every()
    pid = kernel_pid(node_dir, kernel, there)
    pythons = [p for p in processes.below([pid], there) if _is_python(p)]
    tried = places(pid, pythons, options["spies"])
    spy = next((path for path in tried if _is_program(path)), "")
    wanted = pythons if options["all"] else pythons[:1]
    return {
        "node": os.uname().nodename,
        "pid": pid,
        "command": " ".join(processes.argv(pid)),
        "tried": tried,
        "spy": spy,
        "ptrace_scope": ptrace_scope(),
        "processes": [
            {**_facts(there[p]), **(_dump(spy, p, options) if spy else {})}
            for p in wanted
        ],
    }


def _facts(process: Process) -> dict[str, Any]:
    command = " ".join(processes.argv(process.pid)) or process.name
    return {"pid": process.pid, "parent": process.parent, "command": command}


def places(pid: int, pythons: Sequence[int], others: Sequence[str]) -> list[str]:
    """Return where py-spy may be: beside the kernel's Python, on its PATH, at `others`."""
    env = processes.environ(pid)
    beside = [
        os.path.dirname(words[0]) for p in pythons if (words := processes.argv(p))
    ]
    roots = [env[name] for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if name in env]
    directories = [d for d in beside if d] + [os.path.join(r, "bin") for r in roots]
    found = [os.path.join(d, "py-spy") for d in directories]
    on_path = shutil.which("py-spy", path=env.get("PATH") or os.environ.get("PATH"))
    return list(dict.fromkeys([*found, *([on_path] if on_path else []), *others]))


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _is_python(pid: int) -> bool:
    """By its program's name, or by what it has loaded."""
    try:
        if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("python"):
            return True
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            return any("/libpython" in line for line in file)
    except PermissionError:  # py-spy will say so
        words = processes.argv(pid)
        return bool(words) and "python" in os.path.basename(words[0])
    except OSError:
        return False


def ptrace_scope() -> int | None:
    """Return the node's kernel.yama.ptrace_scope; None without Yama."""
    return number_in("/proc/sys/kernel/yama/ptrace_scope")


def _dump(spy: str, pid: int, options: dict[str, Any]) -> dict[str, Any]:
    """Read a process; one that cannot be stopped as it runs, which may mix its frames."""
    argv = [spy, "dump", "--pid", str(pid)]
    for name in ("locals", "json"):
        argv += [f"--{name}"] if options[name] else []
    native = ["--native"] if options["native"] else []
    try:
        try:
            done = _run([*argv, *native])
        except subprocess.TimeoutExpired:
            done = _run([*argv, "--nonblocking"])
    except subprocess.TimeoutExpired:
        return {"error": f"py-spy did not end within {PATIENCE:g} s"}
    except OSError as exc:
        return {"error": f"{spy} cannot be started: {exc.strerror}"}
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        return {"error": said, "denied": _DENIED in said or "EPERM" in said}
    if options["json"]:
        return {"threads": json.loads(done.stdout)}
    return {"text": done.stdout}


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE,
        check=False,
    )
