"""Kernels to measure, ours and those that ours are measured against.

Each is started by jupyter_client, as nbclient or a notebook server does, and asked over
its own sockets, so that all pay for the same client.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

PATIENCE = 60  # seconds for anything
IPYKERNEL = [sys.executable, "-m", "ipykernel_launcher", "-f"]
PROVISIONER = "remote-kernels"
CARRIERS = ("ssh", "srun")
FORWARDED_TO = "127.82.75.1"  # whose ports are free, whatever this host's others are
FORWARDED = {"ssh -N -L": ["-N"], "ssh -L, session": ["sleep", "1d"]}  # ssh(1)'s words


def say(facts: dict[str, Any]) -> None:
    """A line for whoever runs the program."""
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


def options(what: str) -> dict[str, Any]:
    """Options of a kernelspec here, for a KERNEL or a CROWD of them; by host.py."""
    found: dict[str, Any] = json.loads(os.environ[f"BENCH_{what}"])
    return found


class Asked:
    """A kernel's client. It reads no more of a message than whose answer it is."""

    def __init__(self, client: BlockingKernelClient, *, ready: bool = True) -> None:
        self._client = client
        client.start_channels(stdin=False, hb=False)
        self._shell = client.shell_channel.socket
        self._control = client.control_channel.socket
        self.iopub = client.iopub_channel.socket
        if ready:
            client.wait_for_ready(timeout=PATIENCE)

    def send(self, socket: zmq.Socket[bytes], kind: str, content: Any = None) -> bytes:
        """Returns the msg_id."""
        msg = self._client.session.msg(kind, content or {})
        self._client.session.send(socket, msg)
        return str(msg["header"]["msg_id"]).encode()

    def receive(self, socket: zmq.Socket[bytes], asked: bytes) -> list[bytes]:
        """The next frames that answer it."""
        while True:
            if not socket.poll(PATIENCE * 1000):
                msg = f"no answer within {PATIENCE} s"
                raise TimeoutError(msg)
            parts: list[bytes] = socket.recv_multipart()
            if any(asked in part for part in parts[2:5]):
                return parts

    def listen(self) -> None:
        """Until the kernel is heard: a subscription may come after a request."""
        while not self.iopub.poll(50):
            self.send(self._shell, "kernel_info_request")

    def info(self, control: bool = False) -> float:
        """Seconds of a kernel_info round trip."""
        socket = self._control if control else self._shell
        begun = time.perf_counter()
        self.receive(socket, self.send(socket, "kernel_info_request"))
        return time.perf_counter() - begun

    def begin(self, code: str) -> bytes:
        """Run a cell; returns at once, with its msg_id."""
        content = {"code": code, "silent": False, "store_history": False}
        content |= {"user_expressions": {}, "allow_stdin": False}
        return self.send(self._shell, "execute_request", content)

    def execute(self, code: str = "pass") -> float:
        """Seconds until both its reply and its "idle" are there."""
        begun = time.perf_counter()
        asked = self.begin(code)
        for _ in self.outputs(asked):
            pass
        self.receive(self._shell, asked)
        return time.perf_counter() - begun

    def outputs(self, asked: bytes) -> Iterator[list[bytes]]:
        """What a cell publishes, up to its "idle"."""
        while True:
            parts = self.receive(self.iopub, asked)
            if b'"execution_state": "idle"' in parts[-1]:
                return
            yield parts

    def drain(self) -> None:
        """Throw away what nobody waited for."""
        while self.iopub.poll(50):
            self.iopub.recv_multipart()

    def close(self) -> None:
        self._client.stop_channels()


class Bench:
    """Where kernels are started, with a Jupyter of its own.

    Parameters
    ----------
    directory:
        A private directory on file systems that the nodes share.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._specs = directory / "data" / "kernels"
        os.environ["JUPYTER_DATA_DIR"] = str(directory / "data")
        os.environ["JUPYTER_RUNTIME_DIR"] = str(directory / "runtime")
        os.environ["IPYTHONDIR"] = str(directory / "ipython")
        (directory / "runtime").mkdir(mode=0o700)
        self.spec("local", None)

    def spec(self, name: str, config: dict[str, Any] | None) -> None:
        """A kernelspec; without `config` one of a local kernel."""
        spec: dict[str, Any] = {
            "argv": [*IPYKERNEL, "{connection_file}"],
            "display_name": name,
            "env": {"IPYTHONDIR": os.environ["IPYTHONDIR"]},
            "language": "python",
        }
        if config is not None:
            provisioner = {"provisioner_name": PROVISIONER, "config": config}
            spec["metadata"] = {"kernel_provisioner": provisioner}
        path = self._specs / name
        path.mkdir(parents=True)
        (path / "kernel.json").write_text(json.dumps(spec))

    def remote(self, name: str, **config: Any) -> None:
        """A kernelspec of ours, small and short."""
        given = {"state_dir": str(self.directory / "state"), **options("KERNEL")}
        self.spec(name, {**given, **config})

    @contextmanager
    def manager(self, spec: str) -> Iterator[KernelManager]:
        """One that is not started yet; shut down at the end."""
        manager = KernelManager(kernel_name=spec, transport="ipc")
        with tempfile.TemporaryDirectory(prefix="b-") as short:
            manager.ip = f"{short}/k"
            manager.connection_file = f"{short}/k.json"
            try:
                yield manager
            finally:
                if manager.has_kernel:
                    manager.shutdown_kernel(now=True)

    @contextmanager
    def kernel(self, spec: str) -> Iterator[Asked]:
        """One that is ready."""
        with self.manager(spec) as manager:
            manager.start_kernel()
            asked = Asked(manager.blocking_client())
            try:
                yield asked
            finally:
                asked.close()

    @contextmanager
    def any(self, name: str) -> Iterator[Asked]:
        """A kernel by one of the names that the figures use."""
        if name in FORWARDED:
            with self.forwarded(*FORWARDED[name]) as asked:
                yield asked
            return
        if name in CARRIERS:
            self.remote(name, carrier=name)
        with self.kernel(name) as asked:
            yield asked

    @contextmanager
    def forwarded(self, *command: str) -> Iterator[Asked]:
        """A kernel in a job, its TCP ports forwarded by ssh(1), as peers do it.

        Parameters
        ----------
        command:
            Options of ssh: -N, or a command to run, so that there is a session channel.
        """
        place = Path(tempfile.mkdtemp(dir=self.directory))
        file = place / "k.json"
        script = f"#!/bin/sh\nhostname >{place}/node\nexec {' '.join(IPYKERNEL)} {file}"
        argv = ["sbatch", "--parsable", "--mem=2000", f"--output={place}/log"]
        job = subprocess.run(
            argv, input=script, check=True, capture_output=True, text=True
        ).stdout.strip()
        ssh = None
        try:
            info = wait_for(lambda: json.loads(file.read_text()))
            node = (place / "node").read_text().strip()
            names = (
                "shell_port",
                "iopub_port",
                "stdin_port",
                "control_port",
                "hb_port",
            )
            info["ip"] = FORWARDED_TO
            ports = [
                f"-L{FORWARDED_TO}:{info[name]}:127.0.0.1:{info[name]}"
                for name in names
            ]
            options = ["-oExitOnForwardFailure=yes", "-oBatchMode=yes"]
            ssh = subprocess.Popen(
                ["ssh", *options, *ports, *_ordered(node, command)],
                stdin=subprocess.DEVNULL,
            )
            client = BlockingKernelClient()
            client.load_connection_info(info)
            asked = Asked(client)
            try:
                yield asked
            finally:
                asked.close()
        finally:
            subprocess.run(["scancel", job], check=True)
            if ssh is not None:
                ssh.terminate()
                ssh.wait(PATIENCE)
            shutil.rmtree(place)


def _ordered(node: str, command: tuple[str, ...]) -> list[str]:
    return [*command, node] if command[0].startswith("-") else [node, *command]


def wait_for(read: Any) -> Any:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return read()
        except (OSError, ValueError):
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench in the user's home, removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=Path.home()))
    try:
        yield Bench(directory)
    finally:
        shutil.rmtree(directory)
