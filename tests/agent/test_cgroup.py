"""agent.cgroup: what the control groups' files say.

The trees are as Slurm 22.05 (version 1) and 23.11 (version 2) make them.
"""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from remote_kernels.agent import cgroup, small_files

GIB = 1024**3
NONE = 2**63 - resource.getpagesize()  # v1's limit where there is none
JOB_V1 = "/slurm/uid_1000/job_7"
JOB_V2 = "/system.slice/slurmstepd.scope/job_7"
V1 = f"""12:cpu,cpuacct:{JOB_V1}/step_batch
4:memory:{JOB_V1}/step_batch/task_0
1:name=systemd:/system.slice/slurmd.service
0::/system.slice/slurmd.service
"""
V2 = f"0::{JOB_V2}/step_batch/user/task_0\n"


class Tree:
    """A root with the files of /proc and /sys."""

    def __init__(self, root: Path, groups: str) -> None:
        self.root = str(root)
        self._top = root / "sys/fs/cgroup"
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text(groups)

    def write(self, group: str, **files: object) -> None:
        """Files of a group; `__` stands for the dot in their names."""
        directory = self._top / group.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (directory / name.replace("__", ".")).write_text(f"{content}\n")

    def memory_v1(self, group: str, used: int, limit: int, cache: int = 0) -> None:
        """`limit` is what holds for the group: its own, or of one above."""
        stat = f"cache 9\ninactive_file 5\nhierarchical_memory_limit {limit}\n"
        self.write(
            f"memory{group}",
            memory__usage_in_bytes=used,
            memory__stat=f"{stat}total_inactive_file {cache}",
        )

    def memory_v2(self, group: str, used: int, limit: object, cache: int = 0) -> None:
        self.write(
            group,
            memory__current=used,
            memory__max=limit,
            memory__stat=f"anon 9\ninactive_file {cache}",
        )


@pytest.fixture
def v1(tmp_path: Path) -> Tree:
    return Tree(tmp_path, V1)


@pytest.fixture
def v2(tmp_path: Path) -> Tree:
    return Tree(tmp_path, V2)


def test_groups_of_version_1(v1: Tree) -> None:
    """A controller has a tree of its own; the innermost group is first."""
    top = f"{v1.root}/sys/fs/cgroup/cpu"
    above = [f"{top}/slurm/uid_1000", f"{top}/slurm", top]

    assert cgroup.groups("cpu", v1.root) == (
        1,
        [f"{top}{JOB_V1}/step_batch", f"{top}{JOB_V1}", *above],
    )


def test_groups_of_version_2(v2: Tree) -> None:
    """All controllers have the same."""
    version, directories = cgroup.groups("memory", v2.root)

    assert (2, cgroup.groups("cpu", v2.root)) == (version, (2, directories))
    assert directories[0] == f"{v2.root}/sys/fs/cgroup{JOB_V2}/step_batch/user/task_0"
    assert directories[-1] == f"{v2.root}/sys/fs/cgroup"


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    """Nothing is limited."""
    assert cgroup.memory(str(tmp_path)) is None
    assert cgroup.cpus(str(tmp_path)) is None


def test_memory_of_version_1(v1: Tree) -> None:
    """The job's, in which each step has the same limit; not what others use."""
    v1.memory_v1("", 90 * GIB, NONE)
    v1.memory_v1("/slurm/uid_1000", 50 * GIB, NONE)
    v1.memory_v1(JOB_V1, 3 * GIB, 4 * GIB)
    v1.memory_v1(f"{JOB_V1}/step_batch", 2 * GIB, 4 * GIB)
    v1.memory_v1(f"{JOB_V1}/step_batch/task_0", GIB, 4 * GIB)

    assert (3 * GIB, 4 * GIB) == cgroup.memory(v1.root)


def test_memory_of_version_2(v2: Tree) -> None:
    """Groups inside need not have a limit, nor the controller at all."""
    v2.memory_v2("/system.slice", 50 * GIB, "max")
    v2.memory_v2(JOB_V2, 3 * GIB, 4 * GIB)
    v2.memory_v2(f"{JOB_V2}/step_batch", 2 * GIB, "max")

    assert (3 * GIB, 4 * GIB) == cgroup.memory(v2.root)


def test_an_outer_limit_is_tighter(v2: Tree) -> None:
    """It is the one that kills; all that is below fills it."""
    v2.memory_v2("/system.slice", 7 * GIB, 8 * GIB)
    v2.memory_v2(JOB_V2, 3 * GIB, 9 * GIB)

    assert (7 * GIB, 8 * GIB) == cgroup.memory(v2.root)


def test_an_inner_limit_is_tighter(v2: Tree) -> None:
    """A step may have less than its job."""
    v2.memory_v2(JOB_V2, 3 * GIB, 9 * GIB)
    v2.memory_v2(f"{JOB_V2}/step_batch", GIB, 2 * GIB)

    assert (GIB, 2 * GIB) == cgroup.memory(v2.root)


def test_a_limit_above_what_can_be_seen(v1: Tree) -> None:
    """In a container the groups above are hidden, and their limits hold."""
    v1.memory_v1("", 2 * GIB, 4 * GIB)

    assert (2 * GIB, 4 * GIB) == cgroup.memory(v1.root)


def test_no_limit_in_version_1(v1: Tree) -> None:
    """A number near 2**63 is none, whatever the page size."""
    v1.memory_v1(JOB_V1, 3 * GIB, NONE)
    v1.memory_v1(f"{JOB_V1}/step_batch", GIB, 2**63 - 65536)

    assert cgroup.memory(v1.root) is None


def test_no_limit_in_version_2(v2: Tree) -> None:
    """`max` is none."""
    v2.memory_v2(JOB_V2, 3 * GIB, "max")

    assert cgroup.memory(v2.root) is None


def test_page_cache_is_not_use_in_version_1(v1: Tree) -> None:
    """Who has read a large file has his memory still; that of steps counts, too."""
    v1.memory_v1(JOB_V1, 3 * GIB, 4 * GIB, cache=2 * GIB)

    assert (GIB, 4 * GIB) == cgroup.memory(v1.root)


def test_page_cache_is_not_use_in_version_2(v2: Tree) -> None:
    """The two figures are not of the same moment: never below nothing."""
    v2.memory_v2(JOB_V2, 3 * GIB, 4 * GIB, cache=2 * GIB)
    assert (GIB, 4 * GIB) == cgroup.memory(v2.root)

    v2.memory_v2(JOB_V2, 3 * GIB, 4 * GIB, cache=3 * GIB + 1)
    assert (0, 4 * GIB) == cgroup.memory(v2.root)


def test_cpu_quotas_of_version_1(v1: Tree) -> None:
    """The tightest; a quota of -1 is none."""
    v1.write("cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000)
    assert cgroup.cpus(v1.root) is None

    v1.write("cpu/slurm", cpu__cfs_quota_us=800_000, cpu__cfs_period_us=100_000)
    assert 8 == cgroup.cpus(v1.root)

    v1.write(f"cpu{JOB_V1}", cpu__cfs_quota_us=150_000, cpu__cfs_period_us=50_000)
    assert 3 == cgroup.cpus(v1.root)


def test_cpu_quotas_of_version_2(v2: Tree) -> None:
    """The tightest; half a CPU is one."""
    v2.write(JOB_V2, cpu__max="max 100000")
    assert cgroup.cpus(v2.root) is None

    v2.write(JOB_V2, cpu__max="250000 100000")
    assert 3 == cgroup.cpus(v2.root)

    v2.write("/system.slice", cpu__max="50000 100000")
    assert 1 == cgroup.cpus(v2.root)


def test_a_table_of_names_and_numbers(tmp_path: Path) -> None:
    """What is not such a line is left out."""
    (tmp_path / "stat").write_text("oom_kill 3\nhuge max\none two 3\n\n")

    assert {"oom_kill": 3} == small_files.table_in(str(tmp_path / "stat"))
    assert {} == small_files.table_in(str(tmp_path / "none"))
