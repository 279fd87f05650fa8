"""One kernel as `doctor` tries it: over one carrier, measured, ended afterwards.

It takes the same way as a notebook server. A stage that fails raises `Problem`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import queue
import signal
import statistics
import time
import uuid
from collections.abc import Awaitable, Mapping
from typing import Any, NoReturn, TypeVar

from jupyter_client.asynchronous.client import AsyncKernelClient

from remote_kernels.bounded import first_of
from remote_kernels.config import Settings
from remote_kernels.kernel import Launch, RemoteKernel, site
from remote_kernels.kernel.runtime import Runtime

OK, WARNING, FAILED = "ok", "warning", "failed"
SAMPLES = 50  # round trips
BULK = 20_000_000  # bytes
TIMEOUT = 60.0  # seconds for one answer of the kernel
_INTERRUPTED = (
    "What is around the kernel (--command-prefix, or a wrapper in the kernelspec's "
    "argv) must survive SIGINT, as the kernel itself does: let it pass the signal on, "
    "or `exec` the kernel."
)

T = TypeVar("T")


class Problem(Exception):
    """A stage failed, or did not go quite right. `advice` says what to do."""

    def __init__(self, text: str, advice: str = "", state: str = FAILED) -> None:
        super().__init__(text)
        self.advice = advice
        self.state = state


class Trial:
    """One kernel over one carrier; its job ends with it."""

    def __init__(
        self,
        runtime: Runtime,
        settings: Settings,
        carrier: str,
        argv: tuple[str, ...],
    ) -> None:
        settings = dataclasses.replace(settings, carrier=carrier)
        self._cautions = site.cautions(settings, carrier)
        kernel_id = str(uuid.uuid4())
        self._kernel = RemoteKernel(kernel_id, settings, "doctor", runtime=runtime)
        self._launch = Launch(argv, key=uuid.uuid4().hex.encode())
        self._client = AsyncKernelClient()

    async def run(self) -> str:
        """Start, measure, restart and end the kernel. Returns what was measured."""
        try:
            return await self._measure()
        finally:
            self._client.stop_channels()
            await self._kernel.release()

    async def _measure(self) -> str:
        began = time.monotonic()
        info = await self._kernel.start(self._launch)
        self._client.load_connection_info(info)  # type: ignore[arg-type]
        self._client.start_channels()
        await self._ready()
        start = time.monotonic() - began
        trips = await self._round_trips()
        python = await self._is_python()
        more = await self._cells() if python else "no cell was run: it is not Python"
        restart = await self._restart()
        status = self._kernel.status
        told = (
            f"job {status.job_id} on {status.node}: started in {start:.2f} s, "
            f"round trip {statistics.median(trips) * 1e3:.1f} ms "
            f"(worst of {SAMPLES}: {max(trips) * 1e3:.1f} ms), {more}, "
            f"restart in the job {restart:.2f} s"
        )
        return "; ".join([told, *self._cautions])

    async def _is_python(self) -> bool:
        reply = await self._answered(self._info(), "asked what it is")
        language = reply["content"].get("language_info", {}).get("name")
        return bool(language == "python")

    async def _cells(self) -> str:
        rate = await self._answered(self._throughput(), "printing much")
        await self._answered(self._interrupt(), "interrupted", _INTERRUPTED)
        return f"{rate:.0f} MB/s, interrupt works"

    async def _info(self) -> dict[str, Any]:
        reply: dict[str, Any] = await self._client.kernel_info(
            reply=True, timeout=TIMEOUT
        )
        return reply

    async def _answered(self, work: Awaitable[T], doing: str, advice: str = "") -> T:
        """Return the result of some work of the kernel's.

        Raises Problem if the kernel dies in the meantime, or does not answer.
        """

        async def death() -> NoReturn:
            code = await self._kernel.status.wait()
            msg = f"the kernel ended (exit code {code}) while {doing}"
            raise Problem(msg, advice)

        try:
            return await first_of(work, death())
        except (asyncio.TimeoutError, TimeoutError, queue.Empty) as exc:
            msg = f"the kernel gave no answer within {TIMEOUT:g} s while {doing}"
            raise Problem(msg, advice) from exc

    async def _ready(self) -> None:
        try:
            await self._client.wait_for_ready(timeout=TIMEOUT)
        except RuntimeError as exc:
            msg = f"the kernel does not answer: {exc}"
            raise Problem(msg) from exc

    async def _round_trips(self) -> list[float]:
        trips = []
        for _ in range(SAMPLES):
            began = time.monotonic()
            await self._answered(self._info(), "asked what it is")
            trips.append(time.monotonic() - began)
        return trips

    async def _throughput(self) -> float:
        began = time.monotonic()
        code = f"display({{'text/plain': 'x' * {BULK}}}, raw=True)"
        await self._client.execute_interactive(
            code, output_hook=lambda message: None, timeout=TIMEOUT
        )
        return BULK / 1e6 / (time.monotonic() - began)

    async def _interrupt(self) -> None:
        def busy(message: Mapping[str, Any]) -> None:
            if message["msg_type"] == "stream":
                self._kernel.signal(signal.SIGINT)

        reply = await self._client.execute_interactive(
            "print('busy', flush=True)\nwhile True: pass",
            output_hook=busy,
            timeout=TIMEOUT,
        )
        if reply["content"].get("ename") != "KeyboardInterrupt":
            msg = f"an interrupted cell ended with {reply['content']}"
            raise Problem(msg)

    async def _restart(self) -> float:
        began = time.monotonic()
        await self._kernel.restart(self._launch)
        await self._ready()
        return time.monotonic() - began
