"""What a job inherits from the job of the kernel that submits it."""

from __future__ import annotations

import os
import subprocess
import sys

from remote_kernels.magics.environment import at_birth, for_submission
from remote_kernels.scheduler.slurm.driver import is_of_the_job

BORN = {
    "PATH": "/bin",
    "SLURM_CONF": "/etc/slurm.conf",
    "SLURM_CLUSTERS": "a",
    "SLURM_CLUSTER_NAME": "a",
    "SLURM_JOB_ID": "1",
    "SLURM_CPU_BIND": "quiet,mask_cpu:0x1",
    "SLURMD_NODENAME": "c1",
    "SBATCH_MEM_PER_NODE": "1",
    "SRUN_CPUS_PER_TASK": "1",
    "SALLOC_NOSHELL": "1",
    "PMI_RANK": "0",
    "PMIX_RANK": "0",
    "CUDA_VISIBLE_DEVICES": "0",
    "XDG_RUNTIME_DIR": "/run/user/1",
}


def test_nothing_of_the_enclosing_job() -> None:
    """Its variables stay behind; those that a site sets for all do not."""
    kept = ["PATH", "SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CLUSTER_NAME"]

    assert {name: BORN[name] for name in kept} == for_submission(
        BORN, BORN, is_of_the_job
    )


def test_what_a_cell_has_set() -> None:
    """It is meant, whatever its name."""
    now = {**BORN, "SBATCH_ACCOUNT": "physics", "CUDA_VISIBLE_DEVICES": "1"}

    found = for_submission(now, BORN, is_of_the_job)

    assert ("physics", "1") == (found["SBATCH_ACCOUNT"], found["CUDA_VISIBLE_DEVICES"])


def test_plots_of_a_script() -> None:
    """ipykernel's way to draw into a notebook is not passed on, another one is."""
    inline = "module://matplotlib_inline.backend_inline"

    assert {} == for_submission({"MPLBACKEND": inline}, {}, is_of_the_job)
    assert {"MPLBACKEND": "agg"} == for_submission(
        {"MPLBACKEND": "agg"}, {}, is_of_the_job
    )


def test_the_environment_at_birth() -> None:
    """What was set later is not in it."""
    code = (
        "import os; from remote_kernels.magics.environment import at_birth\n"
        "os.environ['RK_BORN'] = 'later'; print(at_birth()['RK_BORN'])"
    )
    env = {**os.environ, "RK_BORN": "a=b"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, check=True
    )

    assert b"a=b\n" == said.stdout
    assert "PATH" in at_birth()
