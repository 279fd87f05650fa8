"""The magics in a real kernel: interrupts, and warnings while a cell runs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from magics.commands import Commands, is_alive, wait_until
from magics.test_remote_kernel import JOB, ends

Notebook = tuple[KernelManager, BlockingKernelClient]
Heard = Callable[[str], None]


@pytest.fixture
def notebook(
    commands: Commands, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Notebook]:
    """A kernel that believes to be in a job of five minutes."""
    ends(commands, time.time() + 302)
    monkeypatch.setenv("SLURM_JOB_ID", JOB)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager, client = start_new_kernel(kernel_name="python3")
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.context.destroy(linger=0)


def run(
    client: BlockingKernelClient, code: str, heard: Heard = lambda text: None
) -> tuple[str, str]:
    """Run a cell; how it ended, and all that it said."""
    said: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        content = message["content"]
        said.append(content.get("text") or "\n".join(content.get("traceback", [])))
        heard("".join(said))

    reply = client.execute_interactive(code, output_hook=hook, timeout=60)
    return reply["content"]["status"], "".join(said)


def test_interrupt(notebook: Notebook, commands: Commands) -> None:
    """It ends the command and what that started, and the kernel goes on."""
    manager, client = notebook
    commands.make("srun", "sleep 600 & echo $$ $!; wait")
    pressed: list[str] = []

    def press(said: str) -> None:
        if said.endswith("\n") and not pressed:
            pressed.append(said)
            manager.interrupt_kernel()

    assert "ok" == run(client, "%load_ext remote_kernels")[0]
    status, said = run(client, "%srun hostname", press)

    assert "error" == status
    assert "KeyboardInterrupt" in said
    pids = [int(word) for word in pressed[0].split()]
    wait_until("their end", lambda: not any(map(is_alive, pids)))
    assert ("ok", "42\n") == run(client, "print(6 * 7)")


def test_a_failure_is_plain(notebook: Notebook, commands: Commands) -> None:
    """The cell fails, and shows what was said instead of our code."""
    _, client = notebook
    commands.make("squeue", "echo bad words >&2; exit 3")

    run(client, "%load_ext remote_kernels")
    status, said = run(client, "%squeue")

    assert "error" == status
    assert "stderr: bad words" in said
    assert "slurm.py" not in said


def test_a_warning_while_a_cell_runs(notebook: Notebook, commands: Commands) -> None:
    """It is in the output of that cell, at once, not in the one that asked for it."""
    _, client = notebook
    wait = (
        "import sys, threading\n"
        "warned = threading.Event()\n"
        "write = sys.stderr.write\n"
        "def seen(text):\n"
        "    write(text)\n"
        "    if 'left' in text: warned.set()\n"
        "sys.stderr.write = seen\n"
        "print(warned.wait(30))"
    )

    run(client, "%load_ext remote_kernels")
    ends(commands, time.time() + 304)  # not earlier: the kernel may be slow to start
    status, said = run(client, "%remote_kernel --warn 5m")
    assert ("ok", True) == (status, "A warning comes 5 min before" in said)
    status, said = run(client, wait)

    assert re.search(r"(5 min|4 min 5\d s) left: this kernel's job", said)
    assert "True\n" in said


def test_the_kernel_ends_with_its_timer(notebook: Notebook) -> None:
    """A warning that is still to come holds nothing up."""
    _, client = notebook
    run(client, "%load_ext remote_kernels")
    run(client, "%remote_kernel --warn 1m")
    _, pid = run(client, "import os; print(os.getpid())")

    client.shutdown()

    wait_until("the kernel's end", lambda: not is_alive(int(pid)), 30)
