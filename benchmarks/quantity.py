"""Numbers for people: three digits or so, and a unit that suits them.

Times and bytes are scaled (`0.004 s` is `4.00 ms`), also where they are per something
(`B/s`); other units stay as they are. Called by results.py and by all of report/.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# Sizes of units, the largest first, and from how many of one it is used: people say
# 0.15 s, but 150 MB.
_FAMILIES = (
    (0.1, {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}),
    (1.0, {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1.0}),
    (1.0, {"GiB": 2.0**30, "MiB": 2.0**20, "KiB": 2.0**10}),
)


def quantity(
    value: float, unit: str, *, signed: bool = False, exact: bool = False
) -> str:
    """One number with its unit.

    Parameters
    ----------
    value:
        The number, in `unit`.
    unit:
        Such as "s", "MB/s" or "messages/s"; "" for none.
    signed:
        Show a plus, too.
    exact:
        It was chosen, not measured: no digits are cut, and no zeros added.
    """
    (number,), suited = quantities([value], unit, signed=signed, exact=exact)
    return f"{number} {suited}" if suited else number


def quantities(
    values: Sequence[float], unit: str, *, signed: bool = False, exact: bool = False
) -> tuple[list[str], str]:
    """Numbers of one scale and as many decimals, and the unit of all of them."""
    largest = max(map(abs, values))
    factor, suited = suited_unit(largest, unit)
    scaled = [value * factor for value in values]
    decimals = _decimals(scaled)
    numbers = [_exact(v) if exact else _fixed(v, decimals) for v in scaled]
    if signed:
        pairs = zip(scaled, numbers, strict=True)
        numbers = [f"+{text}" if value > 0 else text for value, text in pairs]
    return numbers, suited


def suited_unit(value: float, unit: str) -> tuple[float, str]:
    """What to multiply numbers as large as this with, and their unit after that."""
    head, slash, per = unit.partition("/")
    for enough, sizes in _FAMILIES:
        if head in sizes:
            size = sizes[head]
            # Times 1 + 1e-9: 1e6 * 1e-6 may be a little less than one.
            fits = [n for n in sizes if value * size * (1 + 1e-9) >= enough * sizes[n]]
            name = fits[0] if fits else list(sizes)[-1]
            if value == 0:
                name = head
            return size / sizes[name], f"{name}{slash}{per}"
    return 1.0, unit


def _decimals(values: Sequence[float]) -> int:
    """So many that the largest has three digits; none if all are whole."""
    largest = max(map(abs, values))
    if largest == 0 or all(value == round(value) for value in values):
        return 0
    rounded = float(f"{largest:.2e}")  # 9.996 is 10.0, not 10.00
    return max(0, 2 - math.floor(math.log10(rounded)))


def _fixed(value: float, decimals: int) -> str:
    if decimals > 6:
        return f"{value:.2e}"
    text = f"{value:,.{decimals}f}".replace(",", " ")
    return text.lstrip("-") if not text.strip("-0.") else text  # never -0.00


def _exact(value: float) -> str:
    rounded = round(value, 9)  # 0.0015 * 1000 is not quite 1.5
    return f"{rounded:,.9f}".replace(",", " ").rstrip("0").rstrip(".")
