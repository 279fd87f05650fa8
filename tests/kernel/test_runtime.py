"""kernel.runtime: what kernels of one process share, and those of another do not."""

from __future__ import annotations

import ast
from pathlib import Path

import remote_kernels
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.scheduler.drivers import DRIVERS

SLURM, LOCAL = DRIVERS["slurm"], DRIVERS["local"]
PACKAGE = Path(remote_kernels.__file__).parent
# What modules keep by themselves, each with its reason.
DRIVER_FILES = [f"scheduler/{name}/__init__.py" for name in DRIVERS]
KEPT = {
    "bundle.py": {"agent_pyz"},  # the same in each process
    "config/schema.py": {"_validator"},  # what the same table always means
    "forked.py": {"_KEPT"},  # a child's; nothing of it may be collected
    "front/jupyter_message.py": {"_parent"},  # what the same bytes always mean
    "harmless.py": {"_ONE_RECORD"},  # holds nothing
    "jupyter/process.py": {"process"},  # the one place of the doors
    "magics/__init__.py": {"_loaded"},  # a shell's, in the kernel's own process
    "records/trouble.py": {"_TOLD"},  # only makes the log shorter
    **{file: {"DRIVER"} for file in DRIVER_FILES},  # which hold nothing
    "scheduler/here.py": {"_chosen"},  # of the host, which all kernels share
    "shapes.py": {"_REQUIRED"},  # holds nothing
}


def test_all_kernels_of_a_process_share_a_queue() -> None:
    """One for each scheduler."""
    runtime = Runtime()

    assert runtime.jobs(SLURM) is runtime.jobs(SLURM)
    assert runtime.jobs(SLURM) is not runtime.jobs(LOCAL)


def test_each_runtime_has_a_queue_of_its_own() -> None:
    """Programs that run notebooks may have one event loop after the other."""
    assert Runtime().jobs(SLURM) is not Runtime().jobs(SLURM)


def test_the_scheduler_is_asked_as_seldom_as_anybody_wants() -> None:
    """Whoever came first, and whoever has no wish."""
    runtime = Runtime()
    for interval in (5.0, 30.0, 10.0):
        runtime.jobs(SLURM, interval)

    assert 30.0 == runtime.jobs(SLURM).poll_interval


def test_one_at_a_time_in_a_directory(tmp_path: Path) -> None:
    """The lock is the same while somebody has it, and another one's elsewhere."""
    runtime = Runtime()
    turn = runtime.turn(tmp_path)

    assert turn is runtime.turn(tmp_path)
    assert turn is not runtime.turn(tmp_path / "other")
    assert turn is not Runtime().turn(tmp_path)


def kept_by(path: Path) -> set[str]:
    """Names of a module for what can change: empty containers, objects, and caches."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and _can_change(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(map(ast.unparse, targets))
        elif isinstance(node, ast.FunctionDef) and any(
            "cache" in ast.unparse(decorator) for decorator in node.decorator_list
        ):
            found.add(node.name)
    return found


def _can_change(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and not value.args + value.keywords:
        name = ast.unparse(value.func).split("[")[0].split(".")[-1].lstrip("_")
        return name[0].isupper() or name in ("dict", "list", "object", "set")
    return isinstance(value, (ast.Dict, ast.List)) and ast.unparse(value) in (
        "{}",
        "[]",
    )


def test_no_module_keeps_what_kernels_share() -> None:
    """That is in the runtime which they are handed."""
    found = {path: kept_by(path) for path in PACKAGE.rglob("*.py")}

    assert KEPT == {str(p.relative_to(PACKAGE)): k for p, k in found.items() if k}
