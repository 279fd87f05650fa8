"""Which cell a request is for: said by pages, and put where kernels repeat it.

JupyterLab names the cell in the request's metadata (`cellId`). A kernel repeats the
header of a request in all that it says of it, but not the metadata. So where pages fill
in their cells by themselves, the front puts the name into the header, under CELL: a
server that comes later knows by the kernel's words alone whose they are.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence

from jupyter_client.session import DELIM

from .jupyter_message import RUN, Head, Header

CELL = "cell"
LONGEST = 256  # characters of a cell's name; notebooks have at most 64
Sign = Callable[[Sequence[bytes]], bytes]


def cell_in(header: Header) -> str:
    """Return the cell that a marked request is for; "" if it is for none."""
    return _name(header.get(CELL)) if header.get("msg_type") == RUN else ""


def _name(found: object) -> str:
    return found if isinstance(found, str) and len(found) <= LONGEST else ""


def cell_of(request: Head) -> str:
    """Return the cell that a request says it is for; "" if it says none."""
    if request.type != RUN:
        return ""
    return cell_in(request.header) or _name(request.metadata().get("cellId"))


def marked(request: Head, parts: list[bytes], sign: Sign) -> list[bytes]:
    """Return a request with its cell's name in the header.

    It is returned as it is where it names no cell, has the name there already, or does
    not prove that its sender has the connection's key.

    Parameters
    ----------
    request:
        Its head.
    parts:
        Its frames.
    sign:
        Returns the signature of such frames.
    """
    cell = cell_of(request)
    if not cell or CELL in request.header:
        return parts
    at = parts.index(DELIM) + 1
    signature, header, *signed = parts[at : at + 5]
    if not hmac.compare_digest(signature, sign([header, *signed])):
        return parts
    header = json.dumps({**request.header, CELL: cell}).encode()
    return [*parts[:at], sign([header, *signed]), header, *signed, *parts[at + 5 :]]
