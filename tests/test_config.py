"""config: one frozen Settings, or one error with all that is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from remote_kernels.config import (
    OPTIONS,
    Settings,
    batch_systems,
    every_option,
    parse,
    portable_options,
)
from remote_kernels.errors import ConfigError
from remote_kernels.options import Option
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.here import detected


def test_nothing_given_is_all_defaults() -> None:
    """An empty config is a good one."""
    assert Settings() == parse({})


def test_scheduler_options_keep_slurm_s_names() -> None:
    """Underscores are taken, too."""
    asked = {"partition": "gpu", "cpus_per_task": 4, "exclusive": True}
    settings = parse({"scheduler": "slurm", **asked})

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


@pytest.mark.parametrize("value", ["2h", "90m", "2:00:00"])
@pytest.mark.parametrize("scheduler", batch_systems())
def test_times_that_all_understand(scheduler: str, value: str) -> None:
    """With their units, as a number alone is minutes here and seconds there."""
    (name,) = parse({"scheduler": scheduler, "time": value}).options
    (option,) = (each for each in DRIVERS[scheduler].options if each.name == name)
    assert "time" == option.portable


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"partion": "debug"}, "did you mean 'partition'?"),
        ({"nodes": [1]}, "option 'nodes' is [1] (a list); expected"),
        ({"time": "soon"}, "option 'time'"),
        ({"mem": "lots"}, "option 'mem'"),
        ({"cpus-per-task": 0}, "option 'cpus-per-task'"),
        ({"scheduler": "loadleveler"}, "option 'scheduler'"),
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
        ({"usage": -0.9}, "option 'usage' is -0.9 (a number); expected"),
        ({"usage": ""}, "a number of seconds, or 0 for never"),
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


@pytest.mark.parametrize(
    ("scheduler", "config", "words"),
    [
        (
            "gridengine",
            {"jobid": 7},
            "Grid Engine cannot start a kernel in a job that is",
        ),
        ("pbs", {"jobid": "auto"}, "'allocation' lets several kernels share one job"),
        ("local", {"jobid": 7}, "would run on this machine itself"),
        ("oar", {"start": "salloc"}, "OAR has one way to ask for a job; leave it out"),
        ("lsf", {"gres": "gpu:1"}, "GPUs are 'gpus' on any batch system"),
        ("gridengine", {"partition": "x"}, "Grid Engine has 'q' for that"),
        ("slurm", {"h_rt": "1:00:00"}, "Slurm has 'time' for that"),
        ("gridengine", {"reservation": "x"}, "has 'ar' for that, for example \"ar\": "),
        ("lsf", {"exclusive": True}, "LSF has 'x' for that"),
        ("slurm", {"checkpoint": 60}, "Slurm has 'signal' for that"),
        ("pbs", {"reservation": "x"}, "a reservation of PBS's is a queue"),
        ("htcondor", {"queue": "x"}, "HTCondor has no queues"),
        ("htcondor", {"partition": "x"}, "HTCondor has no queues"),
        ("htcondor", {"nodes": 2}, "'nodes' can only be 1"),
        ("flux", {"memory": "4G"}, "option 'memory': Flux has no option for memory"),
        ("local", {"memory": "4G"}, "option 'memory': its job would run on this"),
        ("torque", {"qos": "x"}, "Torque has no such option; what else qsub takes"),
        ("torque", {"qos": []}, "Torque has no such option; what else qsub takes"),
        ("gridengine", {"dependency": "x"}, '"qsub_args": ["-hold_jid", '),
        ("gridengine", {"license": 1}, '"qsub_args": ["-license", "..."]'),
        ("htcondor", {"license": 1}, '"submit_commands": ["license = ..."]'),
        ("slurm", {"license": 1}, '"sbatch_args": ["--license=..."]'),
        (
            "pbs",
            {"allocation": "a", "node": 1},
            "PBS Professional starts no kernel on a",
        ),
    ],
)
def test_what_a_batch_system_lacks_is_said(
    scheduler: str, config: dict[str, object], words: str
) -> None:
    """What it cannot do, and what to do instead."""
    with pytest.raises(ConfigError) as caught:
        parse({"scheduler": scheduler, **config})

    assert words in str(caught.value)


@pytest.mark.parametrize("scheduler", DRIVERS)
def test_nothing_of_another_batch_system_is_dropped(scheduler: str) -> None:
    """Nor of what all can be asked for."""
    driver = DRIVERS[scheduler]
    has = {name for own in driver.options for name in (own.name, own.portable)}
    asked = {o.name: o.example for o in (*every_option(), *portable_options())}
    if scheduler == "htcondor":
        asked["nodes"] = 2  # it could not have more than one
    for name in {*asked} - has - {option.name for option in OPTIONS}:
        with pytest.raises(ConfigError, match=f"option '{name}': "):
            parse({"scheduler": scheduler, name: asked[name]})


@pytest.mark.parametrize("scheduler", DRIVERS)
def test_what_to_do_instead_is_taken(scheduler: str) -> None:
    """All that a text says for kernel.json, as it is written there."""
    decoder = json.JSONDecoder()
    for text in DRIVERS[scheduler].lacks.values():
        for found in re.finditer(r'"(\w+)": (?=[\["])', text):
            value, _ = decoder.raw_decode(text, found.end())
            parse({"scheduler": scheduler, found[1]: value})


def test_what_is_off_is_not_asked_for() -> None:
    """A kernelspec may serve several batch systems."""
    assert {} == parse({"scheduler": "gridengine", "exclusive": False}).options
    assert {} == parse({"scheduler": "htcondor", "jobid": None}).options
    assert {"nodes": 1} == parse({"scheduler": "htcondor", "nodes": 1}).options


def test_all_problems_are_told_at_once() -> None:
    """Not one after the other."""
    with pytest.raises(ConfigError) as caught:
        parse({"partion": "debug", "nodes": [1]})

    assert "partion" in str(caught.value)
    assert "nodes" in str(caught.value)


def test_how_often_use_is_measured() -> None:
    """Once a second at most, or never; unsaid, it depends on who looks."""
    assert parse({}).usage is None
    expected = {1: 1.0, "60": 60.0, 0.2: 1.0, 0: 0.0, "0": 0.0, "0.0": 0.0}
    assert [*expected.values()] == [parse({"usage": n}).usage for n in expected]


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
