"""The job's program: `agent.pyz run` is the agent, `agent.pyz connect` reaches it.

Standard library only, Python 3.9. `run` starts the kernel before it imports what it
needs to talk about it: an interpreter's start hides the other's. Exit codes: 0 the
agent was told to end, 98 it could not do its work (the job's log says why).

    run --record DIR --node-dir DIR [--node NODE]
                   DIR: the job's record; a private directory here; NODE: see sharing.py
    connect SOCKET                     standard input and output to the agent's socket
    inside WHAT DIR KERNEL ...         what a person does in the job (see inside.py)
    tidy DIR                           after an agent that was killed (see node_dir.py)
"""

from __future__ import annotations

import signal
import sys

FAILED = 98


def _run(record: str, node_dir: str, node: str) -> int:
    from remote_kernels.agent import job_facts
    from remote_kernels.agent.node_dir import NodeDir
    from remote_kernels.agent.record import read
    from remote_kernels.agent.supervisor import Kernel
    from remote_kernels.relay.private import check

    check(node_dir)
    place = NodeDir(node_dir)
    place.hold()
    spec = read(record, "spec.json")
    kernels = {
        id: Kernel(id, kernel, node_dir, record)
        for id, kernel in spec["kernels"].items()
    }
    # A SIGTERM before the event loop is up must not leave the kernel behind, nor a
    # warning end the agent.
    early: list[int] = []
    for signum in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signum, lambda *_: None)
    for signum in job_facts.ends():
        signal.signal(signum, lambda number, _: early.append(number))
    # bash (5.2) ignores it in what it starts with `&`, and so would the kernel.
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    for kernel in kernels.values():
        kernel.spawn()

    # asyncio does without, and nothing here needs it: 1.2 MB, and 5 ms.
    sys.modules["ssl"] = None  # type: ignore[assignment] # import raises ImportError
    from remote_kernels.agent.endpoint import serve

    return serve(spec, kernels, record, place, node, early)


def main(argv: list[str]) -> int:
    """Run what the arguments ask for; return the exit code."""
    if len(argv) in (5, 7) and argv[0] == "run":
        options = dict(zip(argv[1::2], argv[2::2]))
        try:
            node = options.get("--node", "")
            return _run(options["--record"], options["--node-dir"], node)
        except Exception:  # noqa: BLE001 - the last resort of a process of its own
            import traceback

            traceback.print_exc()
            return FAILED
    if len(argv) == 2 and argv[0] == "connect":
        from remote_kernels.agent.connect import connect

        return connect(argv[1])
    if len(argv) >= 5 and argv[0] == "inside":
        from remote_kernels.agent.inside import run

        return run(argv[1:])
    if len(argv) == 2 and argv[0] == "tidy":
        from remote_kernels.agent.node_dir import tidy

        tidy(argv[1])
        return 0
    sys.stderr.write(__doc__ or "")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
