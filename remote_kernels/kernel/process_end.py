"""Why a kernel's process ended or does not answer, in words. Pure.

Called by connection.py.
"""

from __future__ import annotations

import signal

from remote_kernels.records import without_notice
from remote_kernels.wire.codes import Cause, ProcessState
from remote_kernels.wire.control import KernelState

from . import lacking


def death(state: KernelState, node: str) -> str:
    """Return what is said in the cell that the process died of.

    "" where there is nothing to say: it ended as it was meant to, or with its job, which
    has its own end.
    """
    if state.cause is Cause.ENDED:
        return ""
    if state.cause is Cause.OUT_OF_MEMORY:
        how = (
            "was killed because the job used more memory than it asked for. Ask "
            "for more 'memory' in the kernelspec"
        )
    elif state.signum:
        how = f"was ended by signal {state.signum} ({_signal_name(state.signum)})"
    elif state.exit_code:
        how = f"ended with exit code {state.exit_code}"
    else:
        return ""
    return f"The kernel's process on {node} {how}. Its job goes on."


def not_started(state: KernelState, node: str, spec_name: str) -> str:
    """Return why a process is not there that was expected, and what helps.

    Parameters
    ----------
    state:
        The agent's word: it has failed, or is over.
    node:
        Where it should run.
    spec_name:
        Its kernelspec's name; "" where it is not known.
    """
    if state.state is not ProcessState.FAILED:
        code = f"signal {state.signum}" if state.signum else f"code {state.exit_code}"
        output = without_notice(state.output) or "(nothing)"
        return (
            f"The kernel ended on {node} before it was ready, with exit {code}. "
            f"It wrote:\n{output}{lacking.advice(state.exit_code, output, spec_name)}"
        )
    text = f"The kernel could not be started on {node}: {state.detail}"
    if state.cause is Cause.HIDDEN:
        return f"{text}\n{lacking.hidden(state.lacks, spec_name)}"
    if state.cause is Cause.NO_LOOPBACK:
        return (
            f"{text}\nThe node has no 127.0.0.1: tell the site's staff that its "
            "interface lo is down ('ip addr show lo' there). Without it, take "
            "'transport' (--transport) out: Unix sockets need no such address."
        )
    if state.cause is Cause.NO_PROGRAM:
        return (
            f"{text}\nIs that program there, on the compute node? `python` in the "
            "kernelspec's argv must be one that the node can see.\n"
            + lacking.not_loaded(spec_name)
        )
    return text


def not_listening(node: str, seconds: float, logs: str) -> str:
    """Return what is said of a process that is there, and opens not all its sockets."""
    text = (
        f"The kernel did not listen on all its sockets within {seconds:g} s "
        f"on {node}. Where imports take long, as from a slow file "
        "system, set 'start_timeout' higher; else start its command by hand "
        f"on that node, to see what it waits for.\n{logs}"
    )
    return text.rstrip()


def stood_still(node: str, seconds: float) -> str:
    """Return what is said when the agent did not run for so long."""
    return (
        f"The kernel's agent on {node} stood still for {seconds:.0f} s. The kernel said "
        "more meanwhile than its own socket surely keeps: some output may be missing "
        "here."
    )


def _signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return "unknown"
