"""Debuggers that speak Jupyter's own protocol: pdb by input, debugpy by debug_request.

What JupyterLab shows of them is in `on_cluster/test_debugger.py`.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from cli.live import TIMEOUT
from jupyter_client.asynchronous.client import AsyncKernelClient

from login.conftest import START_TIMEOUT, running
from login.specs import EVERY_CARRIER

every_carrier = pytest.mark.parametrize("kernel", EVERY_CARRIER)

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
DIVIDE = """\
def divide(apples, people):
    return apples / people
divide(3, 0)"""
# debugpy, which ipykernel (7) imports, has made breakpoint() stop for a frontend only.
STOP = """\
import pdb, sys
sys.breakpointhook = pdb.set_trace
def eat(apples):
    breakpoint()
    return apples - 1
print('left', eat(3))"""


async def debug(client: AsyncKernelClient, code: str, *typed: str) -> str:
    """What a cell shows while that is typed at pdb's prompts, one line at each."""
    shown: list[str] = []
    lines = list(typed)

    def hear(message: dict[str, Any]) -> None:
        shown.append(message["content"].get("text", ""))

    async def answer(message: dict[str, Any]) -> None:
        shown.append(message["content"]["prompt"])
        client.input(lines.pop(0))

    await client.execute_interactive(
        code,
        allow_stdin=True,
        stdin_hook=answer,
        output_hook=hear,
        timeout=START_TIMEOUT,
    )
    assert [] == lines, "".join(shown)
    return _COLOURS.sub("", "".join(shown))


@every_carrier
@pytest.mark.asyncio
async def test_post_mortem(kernel: str) -> None:
    """%debug: in the frame where it broke, and in its caller's."""
    async with running(kernel) as (_, client):
        await client.execute_interactive(DIVIDE, output_hook=lambda _: None)
        shown = await debug(client, "%debug", "p 'people', people", "up", "q")
    assert "ipdb> " in shown
    assert "('people', 0)" in shown
    assert "return apples / people" in shown
    assert "divide(3, 0)" in shown


@every_carrier
@pytest.mark.asyncio
async def test_breakpoint(kernel: str) -> None:
    """It stops there; a variable is changed, and the cell goes on with that."""
    async with running(kernel) as (_, client):
        shown = await debug(client, STOP, "!apples = 701", "p 'now', apples", "c")
    assert "('now', 701)" in shown
    assert "left 700" in shown


# --- debug_request ------------------------------------------------------------------

ADD = """\
def add(apples, pears):
    fruit = apples + pears
    return fruit
print('total', add(3, 4))"""


class Debugger:
    """What a frontend asks of a kernel's debugger."""

    def __init__(self, client: AsyncKernelClient) -> None:
        self._client = client
        self._count = 0

    async def attach(self) -> None:
        facts = {"clientID": "t", "adapterID": "", "pathFormat": "path"}
        await self.ask("initialize", **facts)
        await self.ask("attach")

    async def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """The answer's body, which must be good."""
        self._count += 1
        request = {"type": "request", "command": what, "seq": self._count}
        content = {**request, "arguments": arguments}
        sent = self._client.session.msg("debug_request", content)
        self._client.control_channel.send(sent)
        while True:
            reply = await self._client.get_control_msg(timeout=TIMEOUT)
            if reply["parent_header"].get("msg_id") == sent["header"]["msg_id"]:
                assert reply["content"].get("success"), reply["content"]
                return dict(reply["content"].get("body") or {})

    async def hears(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """Until a message of that kind with that content is published."""
        while True:
            message = await self._client.get_iopub_msg(timeout=TIMEOUT)
            content: dict[str, Any] = message["content"]
            if message["msg_type"] == kind and wanted.items() <= content.items():
                return content

    async def prints(self, text: str) -> None:
        """Until that has been printed: a slow kernel sends even a line in parts."""
        printed = ""
        while text not in printed:
            printed += (await self.hears("stream", name="stdout"))["text"]


@every_carrier
@pytest.mark.asyncio
async def test_a_variable_is_set(kernel: str) -> None:
    """A breakpoint in a cell, one step, setVariable; the cell goes on with the value."""
    async with running(kernel) as (_, client):
        debugger = Debugger(client)
        await debugger.attach()
        source = {"path": (await debugger.ask("dumpCell", code=ADD))["sourcePath"]}
        await debugger.ask("setBreakpoints", source=source, breakpoints=[{"line": 2}])
        await debugger.ask("configurationDone")
        client.execute(ADD)

        thread = (await debugger.hears("debug_event", event="stopped"))["body"]
        await debugger.ask("next", threadId=thread["threadId"])
        await debugger.hears("debug_event", event="stopped")
        trace = await debugger.ask("stackTrace", threadId=thread["threadId"])
        scopes = await debugger.ask("scopes", frameId=trace["stackFrames"][0]["id"])
        place = scopes["scopes"][0]["variablesReference"]
        found = await debugger.ask("variables", variablesReference=place)
        changed = {"name": "fruit", "value": "700", "variablesReference": place}
        await debugger.ask("setVariable", **changed)
        await debugger.ask("continue", threadId=thread["threadId"])
        await debugger.prints("total 700")
        await debugger.ask("disconnect", restart=False, terminateDebuggee=False)

    assert ["add", "<module>"] == [frame["name"] for frame in trace["stackFrames"]]
    values = {row["name"]: row["value"] for row in found["variables"]}
    assert ("3", "7") == (values["apples"], values["fruit"])


@every_carrier
@pytest.mark.asyncio
async def test_breakpoint_is_for_the_frontend(kernel: str) -> None:
    """Without a hook of the user's it stops where the debugger is on, and only there."""
    async with running(kernel) as (_, client):
        shown = await debug(client, "breakpoint(); print('passed by')")
        debugger = Debugger(client)
        await debugger.attach()
        await debugger.ask("configurationDone")
        client.execute("breakpoint()\nprint('went on')")
        thread = (await debugger.hears("debug_event", event="stopped"))["body"]
        await debugger.ask("continue", threadId=thread["threadId"])
        await debugger.prints("went on")
        await debugger.ask("disconnect", restart=False, terminateDebuggee=False)
    assert "passed by\n" == shown
