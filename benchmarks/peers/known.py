"""Who is measured, and what each needs to run on the test cluster.

Where a peer asks for something that a site lacks, `needs` names what we give it. A
peer's releases are fixed where newer ones would be another program. Used by `run`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import run_tool
from benchmarks.peers.seat import Seat

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 20
MEMORY = "1500M"  # 50 MB of output are held several times


@dataclass(frozen=True)
class Peer:
    """One of those that are measured."""

    name: str
    user: str
    packages: tuple[str, ...]
    set_up: Callable[[Seat], None]
    needs: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()  # what its server runs under

    @property
    def distribution(self) -> str:
        """Whose version is shown."""
        return self.name.rpartition(" ")[2]


def ipykernel(seat: Seat, file: str = "{connection_file}") -> list[str]:
    """What to run on the node."""
    return [seat.python, "-m", "ipykernel_launcher", "-f", file]


def provisioned(seat: Seat, name: str, config: dict[str, Any], **more: Any) -> None:
    """A kernelspec that names a provisioner."""
    provisioner = {"provisioner_name": name, "config": config}
    metadata = {"kernel_provisioner": provisioner}
    seat.spec({"argv": ipykernel(seat), "metadata": metadata, **more})


# --- how each is set up -------------------------------------------------------------


def local(seat: Seat) -> None:
    seat.spec({"argv": ipykernel(seat)})


def ours(seat: Seat) -> None:
    config = {"scheduler": "slurm", "mem": MEMORY, "time": f"{MINUTES}:00"}
    provisioned(seat, "remote-kernels", config)


def sshpyk(seat: Seat) -> None:
    seat.keep_job(MEMORY)
    seat.known_hosts()
    lines = [
        "Host node_sshpyk",
        f"  HostName {seat.node}",
        f"  User {seat.user}",
        "  IdentityFile ~/.ssh/id_ed25519",
        "  BatchMode yes",
        "  ControlMaster auto",
        "  ControlPath ~/.ssh/sshpyk_%r@%h_%p",
        "  ControlPersist 10m",
    ]
    seat.ssh_file("config", "\n".join(lines) + "\n")
    config = {
        "ssh": None,
        "ssh_host_alias": "node_sshpyk",
        "remote_python": seat.python,
        "remote_kernel_name": "python3",
        "ssh_config": str(seat.home / ".ssh/config"),
    }
    provisioned(seat, "sshpyk-provisioner", config, interrupt_mode="message")


def juelich(seat: Seat) -> None:
    seat.show_in_libexec("jutil-exe")
    seat.shim("sacct")
    config = {
        "project": "none",
        "partition": "debug",
        "nodes": "1",
        "runtime": MINUTES,
        "kernel_argv": ipykernel(seat),
    }
    provisioned(seat, "slurm-provisioner", config)


def ikernel(seat: Seat) -> None:
    seat.shim("srun")
    seat.known_hosts()
    command = " ".join(ipykernel(seat, "{host_connection_file}"))
    options = ["--interface", "slurm", "--mem", MEMORY, "--time", str(MINUTES)]
    argv = [seat.python, "-m", "ikernel_remote", *options, "--kernel_cmd", command]
    seat.spec({"argv": [*argv, "-f", "{connection_file}"]})


def paderborn(seat: Seat) -> None:
    seat.known_hosts()
    # By another name: ssh refuses a host that is its own jump host.
    seat.ssh_file("config", "Host jump\n  HostName login1\n")
    flags = {"time": MINUTES, "mem": MEMORY, "output": "/dev/null"}
    config = {
        "sbatch_flags": flags,
        "proxyjump": "jump",
        "loginnode": "login1",
        "username": seat.user,
    }
    provisioned(seat, "remote-slurm-provisioner", config)


def slurm_ssh(seat: Seat) -> None:
    seat.keep_job("200M")
    seat.known_hosts()
    kernel = " ".join(ipykernel(seat, "/tmp/kernel-$SLURM_JOB_ID.json"))  # noqa: S108
    wrapper = seat.shim("wrapper.sh")
    seat.write("bin/kernel.sh", f"#!/bin/sh\nexec {kernel}\n", 0o755)
    config = {
        "host": seat.node,
        "username": seat.user,
        "wrapper_cmd": f"bash {wrapper}",
    }
    provisioned(seat, "slurm-ssh-provisioner", config)


def gateway(seat: Seat) -> None:
    seat.keep_job(MEMORY)
    seat.known_hosts()
    install = ["install", "--sys-prefix", "--replace", "--kernel-name=k"]
    hosts = f"--remote-hosts={seat.node}"
    run_tool(seat.environment, "jupyter-ssh-spec", *install, hosts)
    # It names "python", which a node has not.
    made = seat.environment / "share/jupyter/kernels/k/kernel.json"
    body = json.loads(made.read_text())
    body["argv"][0] = seat.python
    made.write_text(json.dumps(body))


# --- all of them --------------------------------------------------------------------

KEEPER = "a job on the node that somebody starts first: no ssh without one; not counted"
HOSTS = "~/.ssh/known_hosts of all hosts"
NO_SLURM = "knows nothing of Slurm: no queue, no job of its own, no limits of its own"

PEERS = (
    Peer("local ipykernel", "student05", ("ipykernel",), local),
    Peer("remote-kernels", "student06", (str(ROOT), "ipykernel"), ours),
    Peer(
        "sshpyk",
        "student07",
        ("sshpyk", "ipykernel"),
        sshpyk,
        needs=(KEEPER, HOSTS, "a dedicated alias with ControlMaster in ~/.ssh/config"),
        remarks=(NO_SLURM,),
    ),
    Peer(
        "jupyter-slurm-provisioner",
        "student08",
        ("jupyter-slurm-provisioner==0.6.0", "ipykernel", "requests", "jupyter-server"),
        juelich,
        needs=(
            "a program that answers for Juelich's jutil-exe",
            "a program that answers for sacct (its calls are squeue's here)",
            "requests and jupyter-server, which it imports but does not ask for",
            "the size of memory from SALLOC_MEM_PER_NODE, as it has no option for it",
        ),
        remarks=("no tunnel: compute nodes must be open to TCP from the login host",),
        env={"SALLOC_MEM_PER_NODE": MEMORY},
    ),
    Peer(
        "ikernel-remote",
        "student09",
        ("ikernel-remote==1.0.2", "ipykernel"),
        ikernel,
        needs=(
            "srun's words of older Slurm, or it waits for 600 s and gives up",
            HOSTS,
        ),
    ),
    Peer(
        "slurm-jupyter-kernel",
        "student05",
        ("slurm-jupyter-kernel==1.9", "ipykernel"),
        paderborn,
        needs=(
            "an ssh-agent",
            "a jump host, here the login host: without one it calls ssh wrongly",
            HOSTS,
        ),
        prefix=("ssh-agent",),
    ),
    Peer(
        "jupyter-slurm-ssh-provisioner",
        "student06",
        ("jupyter-slurm-ssh-provisioner==0.2.0", "ipykernel"),
        slurm_ssh,
        needs=(
            "a script of the user's that submits the job, on the compute node itself",
            KEEPER,
            HOSTS,
        ),
    ),
    Peer(
        "gateway-provisioners",
        "student07",
        ("gateway-provisioners", "ipykernel"),
        gateway,
        needs=(KEEPER, HOSTS, "the path of python in the kernelspec that it makes"),
        remarks=(NO_SLURM,),
    ),
)
