"""scheduler.slurm.site: what `install` doubts after one look at the cluster."""

from __future__ import annotations

import pytest

from remote_kernels.scheduler.job import Completed, JobRequest
from remote_kernels.scheduler.slurm.driver import Slurm
from scheduler.captured import VERSIONS, captured

Options = dict[str, str | int | bool]


def doubts(options: Options, *args: str, done: Completed | None = None) -> list[str]:
    request = JobRequest("", "", {**options, "sbatch_args": args})
    query = Slurm().doubts(request)
    assert query is not None
    return query.parse(done or captured("sinfo-site"))


@pytest.mark.parametrize("version", VERSIONS)
def test_each_slurm_tells_the_same(version: str) -> None:
    """Of the same nodes."""
    assert captured("sinfo-site").stdout == captured("sinfo-site", version).stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"partition": "nosuch"}, "no partition 'nosuch' on this cluster. There are: "),
        ({"partition": "debg"}, "did you mean 'debug'?"),
        ({"partition": "long,nosuch"}, "no partition 'nosuch'"),
        (
            {"time": 61},
            "time 61 is over the limit of partition debug, which is 1:00:00",
        ),
        ({"time": "UNLIMITED"}, "time UNLIMITED is over the limit"),
        ({"partition": "long", "time": "7-00:00:01"}, "which is 7-00:00:00"),
        ({"time": "2:00:00", "qos": "long"}, "unless its QOS lifts that"),
        ({"partition": "gpu,debug", "time": "1-0"}, "partition debug and gpu"),
        ({"mem": "100G"}, "has 102400 MB of memory; the largest has 4000"),
        ({"mem-per-cpu": "2G", "cpus-per-task": 4}, "has 8192 MB of memory"),
        ({"cpus-per-task": 9}, "has 9 CPUs; the largest has 8"),
        ({"nodes": 3}, "partition debug has 2 nodes, not 3"),
        ({"gres": "gpu:3"}, "has 3 of 'gpu'; the most is 2"),
        ({"gpus": "4", "nodes": 1}, "has 4 of 'gpu'; the most is 2"),
        ({"gpus": "5"}, "together do not have 5 of 'gpu'; the most is 2"),
        ({"nodes": "3-4"}, "partition debug has 2 nodes, not 3"),
        ({"nodes": "3,4:2"}, "partition debug has 2 nodes, not 3"),
        ({"nodes": "1k"}, "partition debug has 2 nodes, not 1024"),
        ({"gpus": "a100:1"}, "has 1 of 'gpu:a100'; none has any"),
        ({"gres": "gpu:1,fpga"}, "has 1 of 'fpga'; none has any"),
        ({"constraint": "gpu&skylake"}, "the feature 'skylake'. There are: gpu"),
    ],
)
def test_what_no_partition_can_give(options: Options, words: str) -> None:
    """With what there is, and a command that shows it."""
    (doubt,) = doubts(options)

    assert words in doubt
    assert "There are" in doubt or "`sinfo -" in doubt


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"partition": "debug", "time": 60, "mem": "4000M", "cpus-per-task": 8},
        {"partition": "debug,long", "time": "2-0"},
        {"partition": "long", "time": "7-0"},
        {"time": "2:00:00", "reservation": "course"},
        {"mem": 0},
        {"mem": "3G", "partition": "long"},
        {"nodes": 2, "gpus": 2},
        {"nodes": "1-2", "gpus": 2, "gres": "gpu:1"},
        {"nodes": "2-4:2"},
        {"nodes": "2,4"},
        {"nodes": "many"},
        {"cpus-per-task": "?", "mem-per-cpu": "2G"},
        {"gres": "gpu:2", "constraint": "[gpu*1]"},
        {"partition": "gpu", "gres": "gpu", "gpus": 2},
    ],
)
def test_what_can_be_had(options: Options) -> None:
    """Nothing is said."""
    assert [] == doubts(options)


@pytest.mark.parametrize("arg", ["-pother", "--partition=x", "-M", "--clusters=big"])
def test_arguments_that_send_it_elsewhere(arg: str) -> None:
    """Nothing is known of there."""
    assert [] == doubts({"time": 9999}, arg)


@pytest.mark.parametrize(
    "done",
    [
        Completed(("sinfo",), 0, "open*|1:0:0|4000|\u00b2|1|(null)|(null)\n", ""),
        Completed(("sinfo",), 1, "", "slurm_load_partitions: Access denied"),
        Completed(("sinfo",), 0, "", ""),  # PrivateData: none may be seen
        Completed(("sinfo",), 0, "a wrapper's banner\n", ""),
        Completed(("sinfo",), 0, "open|infinite|n/a|n/a|n/a|(null)|(null)\n", ""),
    ],
)
def test_a_site_that_tells_nothing(done: Completed) -> None:
    """What is not known is not doubted."""
    assert [] == doubts({"partition": "nosuch", "time": 9999}, done=done)


def test_a_partition_without_a_limit() -> None:
    """Everything is below that."""
    done = Completed(
        ("sinfo",), 0, "CLUSTER: big\nall*|infinite|512000|64|9|(null)|(null)\n", ""
    )

    assert [] == doubts({"time": "30-0"}, done=done)
    assert [] != doubts({"mem": "1T"}, done=done)


@pytest.mark.parametrize(
    ("options", "doubted"),
    [
        ({"gres": "gpu:v100:2"}, False),
        ({"gres": "gpu:v100:3"}, True),
        ({"gpus": "a100:4"}, False),
        ({"gpus": 28}, False),
        ({"gpus": 29}, True),
        ({"gpus": 4, "nodes": 1}, False),
        ({"gpus": 7, "nodes": 1}, True),
        ({"gpus": "a100:2,v100:1"}, False),
        ({"gpus": "a100:2,h100:1"}, True),
        ({"gres": "shard:16,gpu:a100"}, False),
        ({"gres": "gpu:h100"}, True),
        ({"gres": "nvme:2K"}, True),
        ({"gres": "nvme:1K"}, False),
        ({"constraint": "[rack1*2&rack2*4]"}, False),
        ({"constraint": "rack1|rack3"}, True),
        ({"constraint": "GPU_SKU:V100_PCIE&32core"}, False),
        ({"constraint": "(80gb|!ib),[32core*2]"}, False),
        ({"constraint": "[64core*2]"}, True),
        ({"constraint": "80GB"}, True),
    ],
)
def test_resources_of_several_kinds(options: Options, doubted: bool) -> None:
    """As nodes of two kinds have them."""
    rows = [
        "gpu*|infinite|512000|64|4|gpu:a100:4(S:0-1),shard:16(S:0,1)|rack1,ib",
        "gpu*|infinite|512000|64|2|gpu:v100:2,gpu:p100:4,nvme:1K|rack2,GPU_SKU:V100_PCIE,32core,80gb",
    ]
    done = Completed(("sinfo",), 0, "\n".join(rows), "")

    assert doubted == bool(doubts(options, done=done))
