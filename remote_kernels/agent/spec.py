"""What a kernel's spec must be, where the login end sends another one for a restart.

Called by supervisor.py.
"""

from __future__ import annotations

from typing import Any


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _argv(value: Any) -> bool:
    return (
        isinstance(value, list)
        and value != []
        and all(isinstance(v, str) for v in value)
    )


def _connection(value: Any) -> bool:
    return _texts(value) and {"transport", "key", "signature_scheme"} <= value.keys()


def _text(value: Any) -> bool:
    return value is None or isinstance(value, str)


_REQUIRED = {"argv": _argv, "connection": _connection}
_OPTIONAL = {"env": _texts, "env_lines": _texts, "cwd": _text, "gpus": _text}


def wrong_with(spec: dict[str, Any]) -> str:
    """Return what in a kernel's spec is missing or of another kind; "" if nothing is."""
    wrong = [name for name, fits in _REQUIRED.items() if not fits(spec.get(name))]
    wrong += [k for k, fits in _OPTIONAL.items() if k in spec and not fits(spec[k])]
    return f"its spec has no right {wrong[0]}" if wrong else ""
