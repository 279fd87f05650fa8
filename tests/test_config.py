"""config: one frozen Settings, or one error with all that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote_kernels.config import OPTIONS, Settings, parse
from remote_kernels.errors import ConfigError
from remote_kernels.options import Option
from remote_kernels.scheduler.drivers import DRIVERS, detected


def test_nothing_given_is_all_defaults() -> None:
    """An empty config is a good one."""
    assert Settings() == parse({})


def test_scheduler_options_keep_slurm_s_names() -> None:
    """Underscores are taken, too."""
    settings = parse({"partition": "gpu", "cpus_per_task": 4, "exclusive": True})

    assert {"partition": "gpu", "cpus-per-task": 4, "exclusive": True} == dict(
        settings.options
    )


@pytest.mark.parametrize("option", [*OPTIONS], ids=lambda o: o.name)
def test_every_example_in_the_table_is_accepted(option: Option) -> None:
    """The documentation is right."""
    shared = {"allocation": "team"} if option.name == "node" else {}
    parse({**shared, option.name: option.example})


@pytest.mark.parametrize(
    ("scheduler", "option"),
    [(name, option) for name, driver in DRIVERS.items() for option in driver.options],
    ids=lambda value: value.name if isinstance(value, Option) else value,
)
def test_so_is_every_example_of_a_batch_system(scheduler: str, option: Option) -> None:
    """Under its own name, and under that for all batch systems."""
    own = parse({"scheduler": scheduler, option.name: option.example})
    assert option.name in own.options
    if option.portable:
        assert own == parse({"scheduler": scheduler, option.portable: option.example})


def test_one_option_under_two_names() -> None:
    """Which of them is meant cannot be known."""
    with pytest.raises(ConfigError, match="'cpus-per-task' is given twice"):
        parse({"scheduler": "slurm", "cores": 4, "cpus-per-task": 2})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"partion": "debug"}, "did you mean 'partition'?"),
        ({"nodes": [1]}, "option 'nodes' is [1] (a list); expected"),
        ({"time": "soon"}, "option 'time'"),
        ({"mem": "lots"}, "option 'mem'"),
        ({"cpus-per-task": 0}, "option 'cpus-per-task'"),
        ({"scheduler": "pbs"}, "option 'scheduler'"),
        ({"sbatch_args": ["--array=1-3"]}, "--array"),
        ({"sbatch_args": ["--wrap", "x"]}, "--wrap"),
        ({"start_timeout": -1}, "option 'start_timeout'"),
        ({"allocation": "../x"}, "option 'allocation'"),
        ({"allocation": "team", "jobid": 7}, "exclude each other"),
        ({"jobid": "auto", "time": 5}, "with 'jobid' the kernel runs in a job"),
        ({"node": 1}, "give 'allocation', too"),
        ({"node": "../x", "allocation": "team"}, "option 'node'"),
        ({"visible_gpus": "0-1"}, "option 'visible_gpus'"),
        ({"visible_gpus": -1}, "option 'visible_gpus'"),
        ({"visible_gpus": True}, "option 'visible_gpus'"),
        ({"usage": 0.9}, "option 'usage' is 0.9 (a number); expected"),
        ({"usage": "0"}, "a number of seconds, at least 1"),
        ({"state_dir": "relative/path"}, "option 'state_dir'"),
        ({"mem": "1G", "mem-per-cpu": "1G"}, "mem-per-cpu"),
        ({"time": True}, "option 'time'"),
    ],
)
def test_bad_input_is_refused(config: dict[str, object], words: str) -> None:
    """What was given, and what is expected."""
    with pytest.raises(ConfigError) as caught:
        parse(config)

    assert words in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    """Not one after the other."""
    with pytest.raises(ConfigError) as caught:
        parse({"partion": "debug", "nodes": [1]})

    assert "partion" in str(caught.value)
    assert "nodes" in str(caught.value)


def test_use_is_measured_only_when_asked_for() -> None:
    """Once a second at most."""
    assert parse({}).usage is None
    assert [1.0, 60.0] == [parse({"usage": n}).usage for n in (1, "60")]


@pytest.mark.parametrize(
    "time",
    [30, "30", "30:00", "1:30:00", "1-12", "1-12:30", "1-12:30:00", "UNLIMITED"],
)
def test_every_time_format_of_slurm(time: object) -> None:
    """sbatch(1), --time."""
    assert "time" in parse({"time": time}).options


def test_auto_is_slurm_where_sbatch_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the local scheduler."""
    (tmp_path / "sbatch").touch(0o755)

    for path, name in ((tmp_path, "slurm"), ("/nowhere", "local")):
        monkeypatch.setenv("PATH", str(path))
        assert name == detected().name
