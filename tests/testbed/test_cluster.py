"""The cluster is what its README says, and leaves nothing behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from testbed import machine
from testbed.api import Cluster
from testbed.hosts import MARK, wait_for
from testbed.layout import ClusterError

pytestmark = pytest.mark.cluster
CONFINED = pytest.mark.skipif(not machine.has_cgroup_v1(), reason="needs cgroup v1")
SSH = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=3"]
DENIED = "Access denied by pam_slurm_adopt: you have no active jobs on this node"
EAT = 'python3 -c "bytearray(300 << 20)"'


def state(cluster: Cluster, job: str) -> str:
    """State and reason of a job, ended or not."""
    show = ["squeue", "--noheader", "--states=all", "--format=%T %r", "--job", job]
    return cluster.run("ctl", "root", show).stdout.strip()


def is_running(cluster: Cluster, job: str) -> bool:
    """Whether the job has started and not ended."""
    return state(cluster, job).startswith("RUNNING")


def submit(cluster: Cluster, user: str, *options: str) -> str:
    """Submit a batch job on the login host; its id."""
    sbatch = ["sbatch", "--parsable", "--output=/dev/null", *options]
    return cluster.run("login1", user, sbatch).stdout.strip()


@contextmanager
def job(cluster: Cluster, user: str, *options: str) -> Iterator[str]:
    """A running job, cancelled and gone at the end."""
    number = submit(cluster, user, *options, "--wrap=sleep 300")
    try:
        wait_for("the job", partial(is_running, cluster, number), 20)
        yield number
    finally:
        cluster.run("ctl", "root", ["scancel", number], check=False)
        gone = lambda: number not in [row.id for row in cluster.jobs()]
        wait_for("the end of the job", gone, 20)


def ssh(
    cluster: Cluster, user: str, host: str, *command: str
) -> subprocess.CompletedProcess[str]:
    """What the user gets from ssh on the login host."""
    return cluster.run("login1", user, [*SSH, host, *command], check=False)


def test_srun_runs_on_a_compute_node(cluster: Cluster) -> None:
    """A job of alice's runs under her name on a compute host."""
    command = ["srun", "sh", "-c", "echo $(id -un) $(hostname)"]
    done = cluster.run("login1", "alice", [*command])
    assert done.stdout.strip() in ("alice c1", "alice c2")


@CONFINED
def test_ssh_to_a_node_needs_a_job_there(cluster: Cluster) -> None:
    """Without a job ssh is refused with pam_slurm_adopt's words; nobody else enters."""
    refused = ssh(cluster, "alice", "c2", "hostname")
    assert (255, True) == (refused.returncode, DENIED in refused.stderr)
    with job(cluster, "alice", "--nodelist=c2") as number:
        adopted = ssh(cluster, "alice", "c2", "cat", "/proc/self/cgroup")
        assert f"job_{number}/step_extern" in adopted.stdout
        assert DENIED in ssh(cluster, "bob", "c2", "hostname").stderr


@CONFINED
def test_too_much_memory_ends_as_out_of_memory(cluster: Cluster) -> None:
    """A job over its memory is killed, and its state says why."""
    number = submit(cluster, "alice", "--mem=50", f"--wrap={EAT}")
    expected = "OUT_OF_MEMORY OutOfMemory"
    wait_for(expected, lambda: state(cluster, number) == expected, 30)


def test_a_gpu_is_the_job_s(cluster: Cluster) -> None:
    """A job that asks for a fake GPU runs on c2 and is told which GPU it has."""
    script = "echo $(hostname) $CUDA_VISIBLE_DEVICES"
    command = ["srun", "--gres=gpu:1", "sh", "-c", script]
    assert "c2 0\n" == cluster.run("login1", "alice", command).stdout


def jobs_running(cluster: Cluster, user: str) -> int:
    """How many jobs of that user run."""
    found = [row for row in cluster.jobs() if row.user == user]
    return sum(row.state == "RUNNING" for row in found)


def test_a_class_has_room(cluster: Cluster) -> None:
    """The partition `class` runs a job of each student and more, all at once."""
    options = ("--partition=class", "--array=1-50", "--wrap=sleep 300")
    number = submit(cluster, "student30", *options)
    try:
        wait_for("50 jobs", lambda: 50 == jobs_running(cluster, "student30"), 30)
    finally:
        cluster.run("ctl", "root", ["scancel", number])
    gone = lambda: "student30" not in [row.user for row in cluster.jobs()]
    wait_for("the end of the jobs", gone, 60)


def test_impossible_requests_wait_with_their_reason(cluster: Cluster) -> None:
    """More time than the partition gives is accepted, and never starts."""
    number = submit(cluster, "alice", "--time=600", "--wrap=true")
    expected = "PENDING PartitionTimeLimit"
    wait_for(expected, lambda: state(cluster, number) == expected, 20)
    cluster.run("login1", "alice", ["scancel", number])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_command_itself(
    cluster: Cluster, number: signal.Signals
) -> None:
    """Popen's process is the command: signals reach it, its end is Popen's."""
    process = cluster.popen("login1", "alice", ["sleep", "300"])
    wait_for("the command", lambda: sleeping(cluster, "login1"), 60)
    process.send_signal(number)
    assert -number == process.wait(60)


def sleeping(cluster: Cluster, host: str) -> list[int]:
    """Alice's sleep commands, by the host's own numbers."""
    mine = cluster.processes(host, "alice")
    return [found.inner for found in mine if found.cmdline[0] == "sleep"]


def test_the_command_line_passes_signals_on(cluster: Cluster) -> None:
    """A signal to `python3 tests/testbed run` reaches the command on the host."""
    program = [sys.executable, str(Path(__file__).parent), "run", "login1", "alice"]
    with subprocess.Popen([*program, "--", "sleep", "300"]) as process:
        wait_for("the command", lambda: sleeping(cluster, "login1"), 60)
        process.terminate()
        assert 128 + signal.SIGTERM == process.wait(60)
    assert [] == sleeping(cluster, "login1")


def test_a_process_is_killed_by_its_own_number(cluster: Cluster) -> None:
    """`kill` takes the number that the process itself knows."""
    command = ["sh", "-c", "echo $$; exec sleep 300"]
    process = cluster.popen("login1", "alice", command, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        cluster.kill("login1", int(process.stdout.readline()), signal.SIGTERM)
    assert -signal.SIGTERM == process.returncode


def test_the_environment_is_a_login_s(cluster: Cluster) -> None:
    """Nothing of the machine's environment is seen on a host."""
    env = cluster.run("login1", "bob", ["env"], env={"K": "V"}).stdout.splitlines()
    assert sorted(env) == [
        "HOME=/home/bob",
        "K=V",
        "LANG=C.UTF-8",
        "LOGNAME=bob",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "SHELL=/bin/bash",
        "USER=bob",
    ]


def test_home_is_shared_and_tmp_is_private(cluster: Cluster) -> None:
    """A file in /home is on all hosts, one in /tmp on its host alone."""
    cluster.run("login1", "alice", ["touch", "/tmp/here", "there"])
    assert "/tmp/here" in cluster.files("login1", "/tmp")
    assert "/tmp/here" not in cluster.files("ctl", "/tmp")
    assert "/home/alice/there" in cluster.files("ctl", "/home/alice")
    cluster.run("login1", "alice", ["rm", "/tmp/here", "there"])


def test_a_cut_cable_is_silent(cluster: Cluster) -> None:
    """Packets to a cut host get no answer, not even a refusal; mending helps."""
    cluster.cut("ctl")
    try:
        assert "timed out" in ssh(cluster, "alice", "ctl", "hostname").stderr
    finally:
        cluster.mend("ctl")
    assert "ctl\n" == ssh(cluster, "alice", "ctl", "hostname").stdout


def test_the_network_can_be_slow(cluster: Cluster) -> None:
    """A limited cable shows its limit, and none when it is lifted."""
    show = ["tc", "qdisc", "show", "dev", "eth0"]
    cluster.slow("login1", "10mbit")
    assert "rate 10Mbit" in cluster.run("login1", "root", show).stdout
    cluster.fast("login1")
    assert "rate" not in cluster.run("login1", "root", show).stdout


def test_the_controller_can_be_away(cluster: Cluster) -> None:
    """Without slurmctld commands fail with its words, and all is well afterwards."""
    cluster.stop_controller()
    try:
        done = cluster.run("login1", "alice", ["squeue"], check=False)
    finally:
        cluster.start_controller()
    assert "Unable to contact slurm controller" in done.stderr
    assert "" == cluster.run("login1", "alice", ["squeue", "--noheader"]).stdout


def test_a_crash_is_a_node_failure(cluster: Cluster) -> None:
    """A crashed node loses its jobs and its /tmp, and comes back by `boot`."""
    options = ("--nodelist=c2", "--no-requeue", "--wrap=touch /tmp/x; sleep 300")
    number = submit(cluster, "alice", *options)
    wait_for("the job", lambda: "/tmp/x" in cluster.files("c2", "/tmp"), 20)
    cluster.crash("c2")
    try:
        with pytest.raises(ClusterError, match="c2 is down"):
            cluster.run("c2", "alice", ["true"])
    finally:
        cluster.boot("c2")
    assert "NODE_FAIL NodeDown" == state(cluster, number)
    assert [] == cluster.files("c2", "/tmp")
    wait_for("c2", lambda: cluster.nodes()["c2"] == "idle", 20)


def test_a_second_login_host_can_join(cluster: Cluster) -> None:
    """login2 starts beside a running cluster, and knows its jobs."""
    if not cluster.is_running("login2"):
        cluster.up(login2=True)
    with job(cluster, "alice") as number:
        shown = cluster.run("login2", "alice", ["squeue", "--noheader", "--format=%i"])
    assert number in shown.stdout.split()


# A machine in the machine: its /etc is a copy, so that one can do there as apt-get
# does when a package brings a system user.
CLUSTER = [sys.executable, str(Path(__file__).parent)]
USERS_CHANGE = f"""
cp -a /etc /var/tmp/etc && mount --bind /var/tmp/etc /etc
cluster="{shlex.join(CLUSTER)}"
$cluster up >&2
for name in passwd group shadow; do
  cp -p /etc/$name /etc/$name+ && mv /etc/$name+ /etc/$name
done
$cluster run login1 alice -- id -un
$cluster down >&2
"""
BESIDE = f"""
cluster="{shlex.join(CLUSTER)}"
$cluster up >&2
$cluster run login1 alice -- sbatch -o /dev/null --wrap 'sleep 300' >&2
until $cluster run login1 alice -- squeue -ht R | grep -q .; do :; done
echo runs
read line
exit 7
"""


def apart(script: str) -> subprocess.Popen[str]:
    """A shell where no cluster is."""
    argv = [*CLUSTER, "apart", "--", "bash", "-c", script]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_the_machine_s_users_may_change() -> None:
    """Users are known on the hosts when the machine's files of users are replaced."""
    with apart(USERS_CHANGE) as process:
        out, err = process.communicate(timeout=150)
    assert (0, "alice\n") == (process.returncode, out), err


@pytest.mark.parametrize(
    ("end", "code"), [("exit", 7), ("SIGTERM", 137), ("SIGKILL", -9)]
)
def test_a_second_cluster_apart(cluster: Cluster, end: str, code: int) -> None:
    """It has the same addresses and cgroups, and nothing of it outlives its command."""
    before, jobs = inventory(), cluster.jobs()
    with apart(BESIDE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        during = inventory()
        if end != "exit":
            process.send_signal(signal.Signals[end])
        _, err = process.communicate("\n", timeout=30)
    if end == "SIGKILL":
        with apart("true") as the_next:
            the_next.communicate(timeout=30)
    assert ("runs\n", code) == (said, process.returncode), err
    assert (True, jobs) == (during > before, cluster.jobs())
    assert set() == inventory() - before


def inventory() -> set[str]:
    """What a cluster could leave on the machine."""
    found = {f"link {path.name}" for path in Path("/sys/class/net").iterdir()}
    found |= {f"cgroup {path}" for path in machine.CGROUP.glob("*/slurm*")}
    found |= {f"mount {line}" for line in Path("/proc/mounts").read_text().split("\n")}
    found |= {f"file {path}" for path in Path("/var/tmp").iterdir()}
    ours = Path("/proc/self/ns/pid").readlink()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            space = (path / "ns" / "pid").readlink()
            argv = (path / "cmdline").read_text()  # none of a zombie
            if argv and (space != ours or MARK in argv):
                found.add(f"process {path.name}")
        except OSError:
            continue
    return found


def test_down_leaves_nothing(cluster: Cluster) -> None:
    """Processes, links, mounts, cgroups and files are as before, even after a crash."""
    if '"owner": null' in cluster.layout.ready.read_text():
        pytest.skip("this cluster was up before the tests; it stays up")
    cluster.down()
    before = inventory()
    cluster.up()
    for user, node in (("alice", "c1"), ("bob", "c2")):
        number = submit(cluster, user, f"--nodelist={node}", "--wrap=sleep 300")
        wait_for("the job", partial(is_running, cluster, number), 20)
    cluster.crash("c1")
    during = inventory()
    cluster.down()
    after = inventory()
    cluster.up(owner=os.getpid())
    named = {thing for thing in after if thing.startswith(("cgroup", "link rk-"))}
    assert (True, set(), set()) == (during > before, after ^ before, named)
