"""`make lab`: JupyterLab on the cluster's login host, until Ctrl-C."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster.api import Cluster
from on_cluster.lab import lab

HOME = "/home/alice/lab"


def main() -> None:
    cluster = Cluster(say=print)
    ours = not cluster.is_up()
    cluster.up()
    try:
        with lab(cluster, HOME) as url:
            print(f"\nJupyterLab runs on login1, as alice. Open\n\n  {url}\n")
            print("and pick Python (Compute Node). Ctrl-C ends it.", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        print("\nending")
    finally:
        if ours:
            cluster.down()


main()
