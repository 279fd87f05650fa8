"""`remote-kernels forward`: make ports of a kernel's node reachable from here.

The server that has the kernel forwards them through its session with the kernel. This
program asks it to, and asks it to stop when it ends. Called by `main`.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from remote_kernels.bounded import first_of
from remote_kernels.cli import endless, kernelspec, servers
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.say import say
from remote_kernels.cli.servers import Server
from remote_kernels.errors import JobError, PortError, RecordError, ServerError
from remote_kernels.kernel.finding import LIVE, find, waits
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.ports import LARGEST_PORT
from remote_kernels.kernel.runtime import Runtime

LOOK = 5.0  # seconds between two looks whether the ports are still forwarded
_TCP = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9._:-]*):)?([0-9]{1,5})")


def _port(text: str) -> dict[str, Any]:
    """Return 8787, HOST:8787, or a Unix socket's path, as the REST API takes it."""
    if text.startswith("/"):
        return {"socket": text}
    found = _TCP.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= LARGEST_PORT:
        msg = f"{text!r} is not a port, HOST:PORT, or an absolute path."
        raise click.BadParameter(msg, param_hint="PORT")
    host = {"host": found[1]} if found[1] else {}
    return {"port": int(found[2]), **host}


@click.command()
@click.argument("kernel", shell_complete=running_kernels)
@click.argument("ports", metavar="PORT...", nargs=-1, required=True)
@click.option(
    "--port",
    "local_ports",
    metavar="LOCAL",
    multiple=True,
    type=click.IntRange(0, LARGEST_PORT),
    help="Also at this port of 127.0.0.1; 0: any that is free. Any user of this host "
    "can connect to it. For several PORTs, give it once for each.",
)
@click.option(
    "--socket",
    "paths",
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Put a link to the Unix socket there; only you can connect to it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def forward(
    kernel: str,
    ports: Sequence[str],
    local_ports: Sequence[int],
    paths: Sequence[Path],
    as_json: bool,
) -> None:
    """Bring ports of a kernel's node here: dashboards, debuggers.

    KERNEL is a kernel's ID or the beginning of it, its job's ID, or the name or path
    of its notebook. PORT is a port of its node, HOST:PORT of another one, or the path
    of a Unix socket there. It is forwarded to a Unix socket that only you can connect
    to, until Ctrl-C. Where the notebook server has jupyter-server-proxy, a browser that
    is logged in there can use it, too.

    \b
    remote-kernels forward 4711 8787               # Dask
    remote-kernels forward 4711 6006 8787          # TensorBoard, too
    remote-kernels forward 4711 5678 --port 5678   # debugpy, for an editor here
    remote-kernels forward 4711 c13:8787           # of another node of the job
    """
    for name, given in (("--port", local_ports), ("--socket", paths)):
        if given and len(given) != len(ports):
            msg = f"Give {name} once for each PORT: {len(ports)}, not {len(given)}."
            raise click.UsageError(msg)
    wanted = [
        {**_port(port), **({"local_port": local_ports[n]} if local_ports else {})}
        for n, port in enumerate(ports)
    ]
    sys.exit(asyncio.run(_forward(kernel, wanted, paths, as_json)))


@dataclass
class _Forwarded:
    """The ports that a server was asked to forward, until it is asked to stop."""

    server: Server
    kernel_id: str
    ports: list[dict[str, Any]] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)

    def path(self, *parts: str) -> str:
        return "/".join(["kernels", quote(self.kernel_id, safe=""), "ports", *parts])

    async def open(self, wanted: Sequence[dict[str, Any]]) -> None:
        """Ask for each port. Raises PortError and ServerError."""
        for body in wanted:
            status, port = await servers.request(self.server, "POST", self.path(), body)
            if status != HTTPStatus.CREATED:
                raise PortError(self._refusal(status, port))
            self.ports.append(port)

    def _refusal(self, status: int, answer: Any) -> str:
        if isinstance(answer, dict) and answer.get("message"):
            return str(answer["message"])
        return f"The server ({self.server}) answered {status}."

    def link(self, paths: Sequence[Path]) -> None:
        """Make the links that were asked for. Raises PortError."""
        for port, path in zip(self.ports, paths, strict=False):
            try:
                path.symlink_to(port["local_socket"])
            except OSError as exc:
                msg = f"Cannot make the link {path}: {exc.strerror}. Choose another."
                raise PortError(msg) from exc
            self.links.append(path)

    async def over(self) -> str:
        """Wait until a port is no longer forwarded, and return why."""
        while True:
            await asyncio.sleep(LOOK)
            for port in self.ports:
                try:
                    status, answer = await servers.request(
                        self.server, "GET", self.path(str(port["id"]))
                    )
                except ServerError as exc:
                    return str(exc)
                if status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                    return self._refusal(status, answer)

    async def close(self) -> None:
        for path in self.links:
            path.unlink(missing_ok=True)
        for port in self.ports:
            try:
                where = self.path(str(port["id"]))
                await servers.request(self.server, "DELETE", where)
            except ServerError as exc:  # it is gone, and they with it
                say(str(exc), err=True)
                return


async def _forward(
    kernel: str, wanted: Sequence[dict[str, Any]], paths: Sequence[Path], as_json: bool
) -> int:
    found = await find(Runtime(), kernelspec.state_dirs(), kernel, LIVE)
    forwarded = _Forwarded(_server(found), found.kernel_id)
    ended = endless.signalled()
    try:
        await forwarded.open(wanted)
        forwarded.link(paths)
        _tell(found, forwarded, as_json)
        return await _hold(ended, forwarded)
    finally:
        await forwarded.close()


def _server(found: Recorded) -> Server:
    """Return the server that has the kernel. Raises JobError and RecordError."""
    view = found.model()
    if view.state == "waiting":
        raise JobError(waits(found, view))
    server = servers.that_has(view)
    if server is None:
        msg = (
            f"No notebook server on this host has kernel {view.kernel_id}; it was last "
            f"used by process {view.pid} on {view.host}.\nIf that runs, do this on "
            f"{view.host}; else start a notebook server here, which brings the kernel "
            "back."
        )
        raise RecordError(msg)
    return server


async def _hold(ended: asyncio.Event, forwarded: _Forwarded) -> int:
    """Wait for a signal, or for the end of the forwarding. Returns the exit code."""
    over = await first_of(forwarded.over(), ended.wait())
    if over is True:
        return 0
    forwarded.ports.clear()
    say(f"No longer forwarded: {over}", err=True)
    return 1


# --- what is told -------------------------------------------------------------------


def _tell(found: Recorded, forwarded: _Forwarded, as_json: bool) -> None:
    if as_json:
        shown = [{**port, "url": _url(forwarded, port)} for port in forwarded.ports]
        click.echo(json.dumps(shown))
        return
    for n, port in enumerate(forwarded.ports):
        link = forwarded.links[n] if forwarded.links else None
        say("\n".join(_lines(found, forwarded, port, link)))
    say("Until Ctrl-C.", err=True)


def _lines(
    found: Recorded, forwarded: _Forwarded, port: dict[str, Any], link: Path | None
) -> list[str]:
    """Return the ways to reach a port, each with who can use it."""
    what = port["socket"] or f"port {port['port']}"
    where = port["host"] or port["node"]
    lines = [f"{what} on {where}, of kernel {found.kernel_id[:8]}:"]
    url, path = _url(forwarded, port), port["local_socket"]
    if url:
        lines.append(f"  {url}  (in a browser that is logged in to the server)")
    lines.append(f"  {link or path}  (a Unix socket that only you can use)")
    if port["local_port"]:
        lines.append(
            f"  127.0.0.1:{port['local_port']}  (any user of this host can connect to "
            "it)"
        )
    local = port["local_port"] or port["port"] or 8000
    lines.append(
        f"  from a laptop: ssh -N -L {local}:{path} {socket.gethostname()}, then "
        f"localhost:{local}"
    )
    if port["listening"] is False:
        lines.append(f"  Not yet: {port['trouble']}. Each connection tries again.")
    if not url and port["port"]:
        lines.append(
            "  (With jupyter-server-proxy in the server's environment it would have a "
            "URL, too.)"
        )
    return lines


def _url(forwarded: _Forwarded, port: dict[str, Any]) -> str | None:
    """Return the address of the port's page; None if the server proxies none."""
    server = forwarded.server
    path = port["url"]
    if not path:
        return None
    return server.url.rstrip("/") + "/" + str(path)[len(server.base_url) :]
