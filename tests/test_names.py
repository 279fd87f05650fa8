"""Names: one says what is meant, wherever it stands."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import remote_kernels

ROOT = Path(remote_kernels.__file__).parent


def test_no_two_classes_of_one_name() -> None:
    """So that each can be looked for."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))

    twice = {name: where for name, where in places.items() if len(where) > 1}

    assert {} == twice
