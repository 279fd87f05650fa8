"""front.inbox: what an agent does not say."""

from __future__ import annotations

import pytest

from front.conftest import Serve
from front.world import Agent, timeless
from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.messages import Message

WRONG = {
    "not the next": [Message(1, [b"a", b"b"], 0, 0, 5), Message(1, [b"cd"], 0, 1, 2)],
    "too long": [Message(1, [b"a", b"b"], 0, 0, 1), Message(1, [b"cd"], 0, 1, 0)],
    "two frames": [Message(1, [b"b"], 0, 0, 2), Message(1, [b"c", b"d"], 0, 1, 0)],
    "no begin": [Message(1, [b"cd"], 0, 1, 0)],
    "no frame": [Message(1, [], 0, 0, 7)],
    "no first message": [Message(0, [b"[" * 900])],
    "no position": [Message(0, [b'{"delivered": "1"}'])],
    "nothing": [Message(0, [])],
}


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG.keys())
def test_what_an_agent_does_not_say(
    agent: Agent, serve: Serve, said: list[Message]
) -> None:
    """It is a protocol error, for which the channel is given up."""

    @timeless
    async def say() -> None:
        serve()
        *before, last = said
        for one in before:
            agent.say("iopub", one)
        with pytest.raises(ProtocolError):
            agent.say("iopub", last)

    say()
