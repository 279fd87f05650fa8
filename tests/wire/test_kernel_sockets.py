"""wire.kernel_sockets: names and paths as Jupyter has them."""

from __future__ import annotations

from jupyter_client.asynchronous.client import AsyncKernelClient

from remote_kernels.wire import kernel_sockets


def test_jupyter_finds_the_sockets() -> None:
    """By the fields of a connection file, at our paths."""
    client = AsyncKernelClient(transport="ipc", ip="/tmp/k")
    for name, port in kernel_sockets.port_fields(kernel_sockets.NUMBERS).items():
        setattr(client, name, port)

    expected = [client._make_url(name) for name in kernel_sockets.SOCKETS]
    paths = [kernel_sockets.path("/tmp/k", name) for name in kernel_sockets.SOCKETS]
    assert expected == [f"ipc://{path}" for path in paths]


def test_the_agent_keeps_all_but_heartbeats() -> None:
    """A beat that comes late is no beat."""
    assert {*kernel_sockets.SOCKETS} - {"hb"} == {*kernel_sockets.KEPT}
