"""front.cells: the state that clients see while a cell of one that is away is running."""

from __future__ import annotations

from front.world import Agent, Kernel, Scene, timeless
from remote_kernels.wire.zmtp import SUBSCRIBE_ALL


@timeless
async def test_the_others_see_when_an_away_client_s_cell_has_ended(
    scene: Scene, agent: Agent, kernel: Kernel
) -> None:
    """Those who were told that the kernel is busy."""
    _, cell, server = scene.away()
    server.clients.subscribed(b"\1")

    kernel.idle(cell)
    kernel.print(cell, "from a thread")
    agent.flow()

    assert ["busy", "idle"] == server.kinds()


@timeless
async def test_whoever_comes_while_an_away_client_s_cell_runs(scene: Scene) -> None:
    """Is told that the kernel is busy."""
    _, _, server = scene.away()

    server.clients.subscribed(SUBSCRIBE_ALL[:1])

    assert ["busy"] == server.kinds()
