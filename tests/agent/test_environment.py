"""agent.environment: which variables a kernel's process begins with."""

from __future__ import annotations

from remote_kernels.agent.environment import environment

JOB = {"PATH": "/module/bin:/bin", "SLURM_JOB_ID": "7", "XDG_RUNTIME_DIR": "/run/u"}


def test_lines_of_a_kernelspec_are_filled_in_in_the_job() -> None:
    """From what the kernel would have without them; what nobody knows, stays."""
    lines = {
        "PATH": "/mine:${PATH}",
        "WHERE": "$SLURM_JOB_ID of ${PATH}",
        "SAID": "${GREETING}",
        "ODD": "$$5 ${NOBODY} $ ${",
    }

    found = environment({"env": {"GREETING": "hello"}, "env_lines": lines}, JOB)

    assert found == {
        "PATH": "/mine:/module/bin:/bin",
        "SLURM_JOB_ID": "7",
        "GREETING": "hello",
        "WHERE": "7 of /module/bin:/bin",
        "SAID": "hello",
        "ODD": "$5 ${NOBODY} $ ${",
    }


def test_a_kernelspec_has_the_last_word() -> None:
    """Over the job and over this start, as with a local kernel; and it means the node."""
    lines = {"PATH": "/mine", "XDG_RUNTIME_DIR": "/run/node"}

    found = environment({"env": {"PATH": "/start"}, "env_lines": lines}, JOB)

    assert ("/mine", "/run/node") == (found["PATH"], found["XDG_RUNTIME_DIR"])
