"""Each object of kernel/ writes its own attributes, and those of no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import remote_kernels.kernel

FILES = sorted(Path(remote_kernels.kernel.__file__).parent.glob("*.py"))


def foreign_writes(tree: ast.AST) -> Iterator[str]:
    """Assignments to an attribute of anything but `self`."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        for target in (one for outer in targets for one in ast.walk(outer)):
            if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store):
                owner = ast.unparse(target.value)
                if owner != "self":
                    yield f"{target.lineno}: {owner}.{target.attr}"


# Not of ours: the standard library's Popen, of a child that is not this process's.
ALLOWED = {"watchdog.py": ["shell.returncode"]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nobody_writes_anothers_attributes(file: Path) -> None:
    """`KernelStatus` above all, whose state only its table moves."""
    found = [
        write
        for write in foreign_writes(ast.parse(file.read_text()))
        if write.partition(": ")[2] not in ALLOWED.get(file.name, [])
    ]

    assert [] == found
