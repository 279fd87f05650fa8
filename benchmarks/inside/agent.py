"""Memory of an idle agent beside a bare interpreter's: python -m benchmarks.inside.agent.

Both on the kernel's node, read over ssh.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.inside.kernels import bench, say

LOOK = """\
/usr/bin/python3 -I -S -c 'import time; time.sleep(60)' &
sleep 2
for pid in $! $(pgrep -u "$USER" -f agent.pyz | head -n 1); do
  echo $(grep VmRSS /proc/$pid/status) $(grep ^Pss: /proc/$pid/smaps_rollup)
done
kill $!
"""


def main(rounds: int) -> None:
    with bench() as here:
        here.remote("ssh", carrier="ssh")
        for _ in range(rounds):
            with here.kernel("ssh") as kernel:
                kernel.execute()
                asked = kernel.begin("import socket; print(socket.gethostname())")
                (node,) = (p[-1] for p in kernel.outputs(asked) if b'"stream"' in p[3])
                argv = ["ssh", json.loads(node)["text"].strip(), "bash", "-s"]
                told = subprocess.run(
                    argv, check=True, input=LOOK, capture_output=True, text=True
                ).stdout
                bare, ours = (
                    [int(word) * 1024 for word in line.split() if word.isdigit()]
                    for line in told.splitlines()
                )
                found = {"rss": [ours[0], bare[0]], "pss": [ours[1], bare[1]]}
                say(found)


if __name__ == "__main__":
    main(int(sys.argv[1]))
