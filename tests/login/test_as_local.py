"""The kernel's process is the user's: it begins as a local kernel's does.

The same command is started by jupyter_client's own provisioner and by ours, in each
way that there is; what it finds when it begins, it writes down.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cli.live import done
from jupyter_client.asynchronous.client import AsyncKernelClient

from login.conftest import Running, run, running
from login.specs import ARGV, CONFIG, write_spec
from login.test_running import id_of

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]
cluster = pytest.mark.cluster

NAME = "t-as-local"
UMASK = 0o002
FILES = 900  # a limit of open files that nobody else has

# dash changes none of this, as long as it starts nothing; Python would.
PROBE = """\
#!/bin/sh
cd "${0%/*}" && mkdir -p begin && cd begin || exit 1
for name in status limits stat oom_score_adj coredump_filter; do
  while read -r line; do echo "$line"; done </proc/$$/$name >$name
done
(ls -l /proc/$$/fd) >fds
cd "$OLDPWD"
exec "$@"
"""

WAYS: dict[str, dict[str, Any]] = {
    "local": {"scheduler": "local"},
    "batch": CONFIG,
    "salloc": {**CONFIG, "start": "salloc"},
    "step": {"scheduler": "slurm", "jobid": "auto"},
    "node": {**CONFIG, "allocation": "as-local", "nodes": 2, "node": 1, "keep": 1},
}
SLURM = pytest.mark.only("slurm", "others have no such way to begin a kernel")
every_way = pytest.mark.parametrize(
    "way",
    [
        "local",
        *(pytest.param(way, marks=cluster) for way in ("batch", "node")),
        *(pytest.param(way, marks=[cluster, SLURM]) for way in ("salloc", "step")),
    ],
)

# Fields of /proc/PID/status and other files in which a kernel of ours differs from a
# local one, and why that is so.
OF_EACH_PROCESS = (
    *("Pid", "Tgid", "NSpid", "NStgid", "NSpgid", "NSsid", "PPid", "FDSize"),
    *("State", "Vm.*", "Rss.*", "Hugetlb.*", ".*ctxt_switches", "SigQ"),
)
DIFFERS = {
    "fd 0": "a local kernel reads from a pipe that is closed, ours from /dev/null: "
    "both find the end at once",
    "fd 1": "a local kernel writes where its server does; ours into kernel.log",
    "fd 2": "as fd 1",
    "fd, leash": "a pipe which nobody reads: no kernel outlives its agent (leash.py)",
}
DIFFERS_IN_A_JOB = {
    **DIFFERS,
    "Cpus_allowed": "the job's CPUs, which the scheduler gave it",
    "Cpus_allowed_list": "as Cpus_allowed",
    "Max resident set": "Slurm sets it to the job's memory; Linux does not look at it",
}


@pytest.fixture(autouse=True)
def begins() -> Iterator[None]:
    """What a server's process may have: a umask and a limit; and no signal ignored."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if (
            signal.getsignal(number) is signal.SIG_IGN
        ):  # it was started in the background
            signal.signal(number, signal.SIG_DFL)
    before = os.umask(UMASK)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    os.umask(before)


@pytest.fixture
def config(jupyter: Path, way: str) -> Iterator[dict[str, Any]]:
    """For a kernel of that way, with the job that it needs."""
    with ExitStack() as stack:
        if way == "step":
            argv = ["salloc", "--no-shell", "--time=10", "--job-name=mine"]
            told = subprocess.run(argv, check=True, stderr=subprocess.PIPE, text=True)
            (number,) = re.findall(r"Granted job allocation (\d+)", told.stderr)
            stack.callback(subprocess.run, ["scancel", number], check=True)
        yield {**WAYS[way], "state_dir": str(jupyter / "state")}


# --- the umask ----------------------------------------------------------------------

MAKES = """
import os, subprocess, tempfile
def made(directory):
    with open(f"{directory}/file", "w"): pass
    os.mkdir(f"{directory}/below")
    subprocess.run(["touch", f"{directory}/childs"], check=True)
    names = ("file", "below", "childs")
    return [oct(os.stat(f"{directory}/{n}").st_mode & 0o7777) for n in names]
with tempfile.TemporaryDirectory(dir=os.path.expanduser("~")) as directory:
    os.chmod(directory, 0o2775)
    print(*made(directory))
"""
FOR_THE_GROUP = "0o664 0o2775 0o664"
INSIDE = "echo $(umask) $(sed -n 's/SigIgn:.//p' /proc/$$/status)"


@pytest.mark.parametrize("way", ["local", pytest.param("batch", marks=cluster)])
async def test_a_prologue_s_own_umask_wins(config: dict[str, Any]) -> None:
    """As a start-up file's does in a shell."""
    write_spec(NAME, {**config, "prologue": ["umask 027"]})
    async with running(NAME) as (_, client):
        assert "0o640 0o2750 0o640" == await run(client, MAKES)


async def test_what_is_ours_is_private(jupyter: Path) -> None:
    """Each file by a mode of its own, under a umask that hides nothing."""
    os.umask(0)
    state = jupyter / "state"
    write_spec("t-open", {"scheduler": "local", "state_dir": str(state)})
    async with running("t-open") as found:
        record = state / "kernels" / id_of(found)
        node = Path(json.loads((record / "agent.json").read_text())["pyz"]).parent
        modes = {
            path: stat.S_IMODE(path.stat().st_mode)
            for top in (node, record)
            for path in (top, *top.rglob("*"))
            # The kernel's own sockets are as it makes them: the directory hides them.
            if path.name == "agent" or not path.is_socket()
        }
    names = {"agent", "agent.pyz", "agent.json", "spec.json", "job.log", "kernel.log"}
    assert names <= {path.name for path in modes}
    assert [] == [f"{mode:o} {path}" for path, mode in modes.items() if mode & 0o077]


# --- all the rest -------------------------------------------------------------------


def begun(directory: Path) -> dict[str, str]:
    """What the probe found, each under a name of its own; without what no two share."""
    found = {}
    for line in (directory / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        found[name] = value.strip()
    for line in (directory / "limits").read_text().splitlines()[1:]:
        name, *values = re.split(r"\s{2,}", line.strip())
        found[name] = " ".join(values)
    for name in ("oom_score_adj", "coredump_filter"):
        found[name] = (directory / name).read_text().strip()
    pid = found["Pid"]
    fields = (directory / "stat").read_text().rpartition(")")[2].split()
    found["leads its group"] = str(fields[2] == pid)
    found["leads its session"] = str(fields[3] == pid)
    found["terminal"] = fields[4]
    found["priority, nice"] = " ".join(fields[15:17])
    found["realtime priority, policy"] = " ".join(fields[37:39])
    for line in (directory / "fds").read_text().splitlines()[1:]:
        name, target = re.findall(r"(\d+) -> (.*)", line)[0]
        if int(name) > 2 and target.startswith("pipe:") and "fd, leash" not in found:
            found["fd, leash"] = "pipe"
        elif target != str(directory.with_name("probe")):
            found[f"fd {name}"] = re.sub(r"\[\d+\]", "", target)
    return {
        name: value
        for name, value in found.items()
        if not re.fullmatch("|".join(OF_EACH_PROCESS), name)
    }


@asynccontextmanager
async def probed(
    config: dict[str, Any], jupyter: Path, **more: Any
) -> AsyncIterator[tuple[dict[str, str], Running]]:
    """A kernel so configured, and what its process found when it began."""
    with tempfile.TemporaryDirectory(dir=jupyter) as directory:
        probe = Path(directory) / "probe"
        probe.write_text(PROBE)
        write_spec(NAME, config, ["sh", str(probe), *ARGV], **more)
        async with running(NAME) as found:
            yield begun(probe.with_name("begin")), found


@every_way
async def test_a_kernel_begins_as_a_local_one(
    config: dict[str, Any], jupyter: Path, way: str
) -> None:
    """The state of its process, limits, descriptors: each difference has its reason.

    A colleague can read what a cell writes; after a restart, and by exec, too.
    """
    plain = {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}
    async with probed(config, jupyter) as (ours, found):
        manager, client = found
        made = await run(client, MAKES)
        inside = done("exec", id_of(found), "--", "sh", "-c", INSIDE)
        await manager.restart_kernel()
        await client.wait_for_ready(timeout=60)
        made_later = await run(client, MAKES)
    async with probed(config, jupyter, metadata=plain) as (local, _):
        pass

    names = {*local, *ours} - {*(DIFFERS if way == "local" else DIFFERS_IN_A_JOB)}
    assert {"SigIgn", "SigBlk", "SigCgt", "Umask", "Max open files"} <= names
    assert [
        f"{name}: {ours.get(name)}, but locally {local.get(name)}"
        for name in sorted(names)
        if ours.get(name) != local.get(name)
    ] == []
    assert FOR_THE_GROUP == made == made_later
    assert f"0002 {local['SigIgn']}\n" == inside.stdout, inside.stderr


# --- the environment ----------------------------------------------------------------


@pytest.mark.parametrize("way", ["local", pytest.param("batch", marks=cluster)])
async def test_a_kernelspec_s_env_is_filled_in_in_the_job(
    config: dict[str, Any], way: str
) -> None:
    """A prologue's PATH stays beside that of the kernelspec."""
    env = {"PATH": "/opt/mine:${PATH}", "JOB": "<${RK_JOB_ID}>"}
    prologue = ["export PATH=/opt/module:$PATH"]
    write_spec(NAME, {**config, "prologue": prologue}, env=env)
    async with running(NAME) as (_, client):
        path, job, real = await printed(client, "PATH", "JOB", "RK_JOB_ID")
    assert path.startswith("/opt/mine:/opt/module:/")
    assert job == (f"<{real}>" if way == "batch" else "<${RK_JOB_ID}>")


async def printed(client: AsyncKernelClient, *names: str) -> list[str]:
    """These variables of a kernel."""
    code = f"import os; print(*(os.environ.get(n, '-') for n in {names!r}), sep='\\n')"
    return (await run(client, code)).split("\n")
