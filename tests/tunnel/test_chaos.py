"""Both real ends of a tunnel over pipes that break in every way.

What comes out equals what went in, in order, once; and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from remote_kernels.agent.endpoint import Agent
from remote_kernels.agent.supervisor import Kernel
from remote_kernels.errors import TunnelError
from remote_kernels.relay.channel import Channel
from remote_kernels.relay.message_channel import MessageChannel
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire import channels, control, messages, replay
from remote_kernels.wire.codes import Farewell, ProcessState
from remote_kernels.wire.messages import Message
from tunnel.chaos import ChaosCarrier, Clock, Storm, Weather, weathers

SECRET = b"s" * 32
SPEC = {"agent": "a", "secret": SECRET.hex(), "attach": 1e6, "silence": 1e6}
MESSAGES = ("shell", "iopub", "stdin")  # channels of whole messages
RAW = ("hb", "curve")  # channels of bytes
SIZES = (0, 10, 10, 300, 300, 3000, 3000, 20_000, 150_000)
PATIENCE = 1e4  # seconds of the Clock's; a silent pipe takes up to 20

Who = tuple[str, str]  # which end speaks, on what


class Talk:
    """All that was said and heard."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._waiting = 0
        self.said: dict[Who, bytearray] = defaultdict(bytearray)
        self.heard: dict[Who, bytearray] = defaultdict(bytearray)
        self.speakers: dict[Who, Callable[[bytes], None]] = {}  # once both are there
        self.count = 0

    def go_on(self, dice: random.Random) -> None:
        """Some say something within a second."""
        loop = asyncio.get_running_loop()
        for _ in range(dice.randrange(6)):
            self._waiting += 1
            loop.call_later(dice.random(), self._say, dice)

    def _say(self, dice: random.Random) -> None:
        self._waiting -= 1
        if self.speakers:
            self.count += 1
            speak = dice.choice(list(self.speakers.values()))
            speak(b"%d " % self.count + dice.randbytes(dice.choice(SIZES)))
        self._changed()

    def hear(self, who: Who, data: bytes) -> None:
        self.heard[who] += data
        self._changed()

    @property
    def over(self) -> bool:
        """Nothing is under way any more, by its length."""
        lengths = ((len(data), len(self.heard[who])) for who, data in self.said.items())
        return not self._waiting and all(said == heard for said, heard in lengths)

    def wrong(self) -> dict[Who, tuple[int, int, int]]:
        """Where what came out is not what went in: lengths, and where they differ."""
        wrong = {}
        for who in self.said.keys() | self.heard.keys():
            said, heard = self.said[who], self.heard[who]
            if said != heard:
                both = enumerate(zip(said, heard, strict=False))
                at = next((n for n, (a, b) in both if a != b), -1)
                wrong[who] = (len(said), len(heard), at)
        return wrong

    # Whole messages, bytes, and control messages, to and from these

    def messages(
        self, end: str, target: str, join: Callable[..., MessageChannel]
    ) -> None:
        """One end of a channel of messages; `join` makes it."""
        ours, theirs = _ends(end, target)
        channel = join(lambda m: self.hear(theirs, _encode(m)), lambda: None)

        def speak(data: bytes) -> None:
            number = self.count if end == "agent" else 0
            encoded = messages.encode([data[:3], b"", data[3:]], number, number % 3)
            self.said[ours] += encoded
            channel.send(encoded)

        self.speakers[ours] = speak

    async def stream(
        self,
        end: str,
        target: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """One end of a channel of bytes, until the other end closes."""
        ours, theirs = _ends(end, target)

        def speak(data: bytes) -> None:
            self.said[ours] += data
            writer.write(data)

        self.speakers[ours] = speak
        while data := await reader.read(1 << 16):
            self.hear(theirs, data)
        writer.close()
        await writer.wait_closed()

    def control(
        self, tunnel: Tunnel, tell: Callable[[control.KernelState], None]
    ) -> None:
        def ask(data: bytes) -> None:
            message = control.Delivered("k", "shell", self.count, len(data))
            self.said["login", "control"] += control.encode(message)
            tunnel.send(message)

        def report(data: bytes) -> None:
            text = data[:3000].hex()
            state = control.KernelState(
                "k", self.count, ProcessState.RUNNING, output=text
            )
            self.said["agent", "control"] += control.encode(state)
            tell(state)

        self.speakers["login", "control"] = ask
        self.speakers["agent", "control"] = report


def _ends(end: str, target: str) -> tuple[Who, Who]:
    return (end, target), ("login" if end == "agent" else "agent", target)


def _encode(message: Message) -> bytes:
    return messages.encode(message.parts, message.number, message.lost)


class Speaker:
    """Stands where the agent has a Kernel, its buffer and its sockets."""

    id, pid, alive = "k", 0, True
    sessions: Sequence[int] = ()

    def __init__(self, talk: Talk, directory: Path) -> None:
        self.talk = talk
        self.buffer = self.sockets = self
        self._directory = directory
        self.record = str(directory)

    def watch(self, tell: Callable[[control.KernelState], None]) -> None:
        self.tell = tell

    def state(self) -> control.KernelState:
        """A session begins."""
        state = control.KernelState("k", 0, ProcessState.RUNNING)
        self.talk.said["agent", "control"][:] = control.encode(state)
        return state

    def __contains__(self, target: str) -> bool:
        return target in MESSAGES

    def attach(self, target: str, channel: Channel) -> None:
        self.talk.messages("agent", target, partial(MessageChannel, channel))

    def address(self, target: str) -> str:
        return str(self._directory / f"kernel-{target}")

    def delivered(self, target: str, through: int, forget: int) -> None:
        message = control.Delivered("k", target, through, forget)
        self.talk.hear(("login", "control"), control.encode(message))

    async def end(self) -> None:
        pass


async def through(weather: list[Weather], directory: Path) -> tuple[int, int, int]:
    """A session from its first contact to its orderly end; cuts, bytes, messages."""
    loop = asyncio.get_running_loop()
    settled = asyncio.Event()

    def changed() -> None:
        if storm.calm and len(storm.pipes) == 1 and talk.over:
            settled.set()

    talk = Talk(changed)
    storm = Storm(weather, directory / "agent", talk.go_on, changed)
    speaker = Speaker(talk, directory)
    kernels = [
        await asyncio.start_unix_server(
            partial(talk.stream, "agent", target), speaker.address(target)
        )
        for target in RAW
    ]
    listening = asyncio.Event()
    agent = Agent(SPEC, {"k": cast(Kernel, speaker)}, str(directory))
    running = loop.create_task(agent.run(str(storm.agent), listening.set, []))
    await listening.wait()

    def heard(message: control.Message) -> None:
        talk.hear(("agent", "control"), control.encode(message))

    carriers = [ChaosCarrier("one", storm), ChaosCarrier("two", storm)]
    tunnel = Tunnel(carriers, SECRET, heard)
    opened = False
    while not opened:
        with contextlib.suppress(TunnelError):
            await tunnel.open()
            opened = True
    for target in MESSAGES:
        channel = tunnel.channel("k", target)
        talk.messages("login", target, partial(MessageChannel, channel))
    talk.control(tunnel, speaker.tell)
    streams = []
    for target in RAW:
        path = directory / f"login-{target}"
        await tunnel.listen(path, "k", target)
        stream = await asyncio.open_unix_connection(path)
        streams.append(
            (loop.create_task(talk.stream("login", target, *stream)), stream)
        )

    await asyncio.wait([loop.create_task(settled.wait())], timeout=PATIENCE)
    wrong = talk.wrong()
    assert {} == wrong, wrong
    assert settled.is_set(), (storm.calm, storm.pipes, tunnel, tunnel.ended)

    for task, (_, writer) in streams:
        writer.write_eof()
        await asyncio.wait_for(task, PATIENCE)
    talk.said["agent", "control"] += control.encode(control.Stopping())
    tunnel.send(control.Stop())
    await asyncio.wait_for(running, PATIENCE)
    ended = await asyncio.wait_for(asyncio.shield(tunnel.ended), PATIENCE)
    await tunnel.close()
    for kernel in kernels:
        kernel.close()
    assert ended.code is Farewell.ENDING
    assert {} == talk.wrong()
    return storm.cuts, storm.bytes, talk.count


def examples(
    count: int, least: int, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, int, int]:
    """Play so many; of all of them: cuts, bytes carried, messages."""
    # So that channels run out of credit, and sessions out of what may be unacknowledged.
    monkeypatch.setattr(channels, "WINDOW", 100_000)
    monkeypatch.setattr(replay, "MAX_UNACKED", 400_000)
    totals = []

    @settings(
        max_examples=count,
        deadline=None,
        phases=(Phase.reuse, Phase.generate),  # to shrink storms takes minutes
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(weathers(least))
    def play(storm: list[Weather]) -> None:
        totals.append(Clock().run(through(storm, directory)))

    play()
    cuts, carried, said = (sum(column) for column in zip(*totals, strict=True))
    return cuts, carried, said


def test_what_comes_out_equals_what_went_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the weather: in order, once, nothing lost, nothing left behind."""
    cuts, _, _ = examples(40, 25, tmp_path, monkeypatch)

    assert cuts > 500


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_ten_thousand_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, counted."""
    begin = time.monotonic()

    cuts, carried, said = examples(350, 40, tmp_path, monkeypatch)

    seconds = time.monotonic() - begin
    print(f"\n{cuts} cuts, {carried} bytes, {said} messages, {seconds:.0f} s")
    assert cuts >= 10_000
