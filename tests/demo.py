"""A small notebook through a kernel of ours; prints where each cell ran, and when.

Read from standard input by `make demo`: python - KERNEL <tests/demo.py
"""

from __future__ import annotations

import logging
import socket
import sys
import time

import nbformat
from nbclient import NotebookClient

from remote_kernels.jupyter.provisioner import RemoteKernelProvisioner

WHERE = """
import os, socket
print(f"host {socket.gethostname()}, job {os.environ.get('RK_JOB_ID', '(none)')}, "
      f"process {os.getpid()}")
"""
CELLS = [
    WHERE,
    "total = sum(n * n for n in range(1_000_000)); print(total)",
    "import os; print(len(os.sched_getaffinity(0)), 'cores')",
    WHERE + "print(f'still here: {total}')",
]


def main(kernel_name: str) -> None:
    logging.basicConfig(format="%(message)s")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS]
    client = NotebookClient(notebook, kernel_name=kernel_name)
    print(f"the notebook runs on {socket.gethostname()}, its kernel is {kernel_name}")
    began = time.time()
    with client.setup_kernel():
        ready = time.time()
        assert client.km is not None
        provisioner = client.km.provisioner
        assert isinstance(provisioner, RemoteKernelProvisioner)
        kernel = provisioner.remote_kernel
        assert kernel is not None
        carrier = kernel.status.carrier
        for number, cell in enumerate(notebook.cells):
            at = time.time()
            client.execute_cell(cell, number)
            text = "".join(output.get("text", "") for output in cell.outputs)
            indented = text.strip().replace("\n", "\n      ")
            print(f"  [{number + 1}] {time.time() - at:5.2f} s  {indented}")
        ending = time.time()
    print(f"carrier: {carrier}; seconds from the start of the kernel:")
    for stage, at in kernel.status.times.items():
        print(f"  {at - began:6.2f}  {stage}")
    print(f"  {ready - began:6.2f}  kernel_info answered")
    print(f"  {time.time() - ending:6.2f}  to shut down (its own length)")


main(sys.argv[1])
