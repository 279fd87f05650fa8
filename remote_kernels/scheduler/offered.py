"""How a sentence ends that a site has not what was named: what is close, what there is.

Pure; called by the `site.py` of each batch system.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

SHOWN = 12  # names, unless told otherwise


def instead(name: str, there: Sequence[str], most: int = SHOWN) -> str:
    """Return the end of such a sentence, with so many of the names at most."""
    close = difflib.get_close_matches(name, there, 1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    shown = ", ".join(there[:most]) + (", ..." if len(there) > most else "")
    return f"{hint} There are: {shown}"
