"""An agent that stands still: what its kernel says meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from login.conftest import START_TIMEOUT, running

# The kernel stops its own agent, says much or little, and lets it go on. The agent is
# to have missed its time by seconds; then its word is to reach this cell.
CELL = """
import os, signal, time
from IPython.display import display
agent = os.getppid()
os.kill(agent, signal.SIGSTOP)
try:
    for number in range({count}):
        display({{"text/plain": str(number)}}, raw=True)
    time.sleep(3.5)
finally:
    os.kill(agent, signal.SIGCONT)
time.sleep(2)
"""


@pytest.mark.asyncio
@pytest.mark.parametrize(("count", "is_lost"), [(200, False), (3000, True)])
async def test_what_may_be_lost_is_told(count: int, is_lost: bool) -> None:
    """Only where the kernel said more than its socket keeps; else all of it comes."""
    shown: list[int] = []
    told: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "display_data":
            shown.append(int(content["data"]["text/plain"]))
        elif message["msg_type"] == "stream":
            told.append(content["text"])

    async with running("t-local") as (_, client):
        for code in (CELL.format(count=count), "pass"):  # at the latest in the next one
            await client.execute_interactive(
                code, output_hook=hook, timeout=START_TIMEOUT
            )

    assert is_lost == (shown != [*range(count)])
    assert is_lost == any("output may be missing here" in text for text in told), told
