"""`make lab`: JupyterLab on the cluster's login host, until Ctrl-C.

The cluster is brought up where it is not, and then taken down again at the end. What
the user makes stays in the directory. Usage: serve_lab.py [DIRECTORY]
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from on_cluster.lab import lab
from testbed.api import Cluster

HOME = "/home/alice/lab"


def serve(cluster: Cluster, home: str) -> None:
    """Run Lab and say where it is."""
    with lab(cluster, home) as running:
        print(f"\nJupyterLab runs on login1, as alice. Open\n\n  {running.url}\n")
        print("and pick Python (Compute Node). Ctrl-C ends it.", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        print("\nending", flush=True)


def main() -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):  # a shell's `&` has SIGINT ignored
        signal.signal(signum, signal.default_int_handler)
    cluster = Cluster(say=print)
    ours = not cluster.is_up()
    try:
        cluster.up(owner=os.getpid())
        serve(cluster, sys.argv[1] if len(sys.argv) > 1 else HOME)
    except KeyboardInterrupt:
        print("\nended before it was there")
    finally:
        if ours:
            cluster.down()


main()
