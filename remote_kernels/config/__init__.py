"""The kernelspec's `config` as one frozen `Settings`.

Rules: parsed once, at the door (`parse`); an unknown key is an error with a
suggestion; all problems are told in one `ConfigError`; nothing is read from the disk
here, but PATH is looked at where `scheduler` is "auto". The keys are in `options.py`
and in the tables of the drivers. Called by kernel/, the command line and
the provisioner.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from remote_kernels.errors import ConfigError
from remote_kernels.options import PORTABLE, Option
from remote_kernels.scheduler.driver import Driver, OtherNodes
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.here import detected
from remote_kernels.scheduler.job import JobRequest

from .options import OPTIONS as OPTIONS

AUTO = "auto"


@dataclass(frozen=True)
class Settings:
    """What one kernelspec asks for. The fields are documented in `OPTIONS`.

    `options` are the driver's own, under its own names.
    """

    allocation: str | None = None
    keep: float = 300.0
    node: str | None = None
    visible_gpus: str | None = None
    scheduler: str = "auto"
    carrier: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    python: str | None = None
    prologue: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    env_keep: tuple[str, ...] = ()
    transport: str = "auto"
    state_dir: str | None = None
    runtime_dir: str | None = None
    node_dir: str | None = None
    address: str | None = None
    start_timeout: float = 300.0
    queue_timeout: float | None = None
    poll_interval: float = 2.0
    dead_after: float = 15.0
    silence: float = 3600.0
    spool: int = 512
    hold: int = 64
    usage: float | None = None
    warn_before: tuple[float, ...] = (600.0, 120.0)

    @property
    def driver(self) -> Driver:
        """The batch system that is meant: where none is named, the one that is here."""
        return _driver(self.scheduler)

    def with_option(self, name: str, value: Any) -> Settings:
        """Return them with another value of an option of the driver's."""
        return replace(self, options={**self.options, name: value})


def parse(config: Mapping[str, object]) -> Settings:
    """Return the settings of a kernelspec's config.

    Parameters
    ----------
    config : mapping
        What kernel.json has there, as JSON values.

    Raises
    ------
    ConfigError
        With all problems in one text.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    options: dict[str, Any] = {}
    scheduler = config.get("scheduler")
    driver = _driver(scheduler)
    meant = _meant(driver, scheduler)
    for option, value in _known(config, driver, problems):
        if meant is not None and not _has(meant, option, value):
            problems.append(meant.lacking(option))
            continue
        try:
            found = option.kind.read(value)
        except ConfigError as error:
            problems.append(_wrong(option, value, str(error)))
        else:
            (values if option in OPTIONS else options)[option.name] = found
    options = {name: value for name, value in options.items() if value is not False}
    problems += _contradictions(values, config, driver)
    for each in _owners(driver, options):
        problems += each.contradictions({**values, **options})
    if problems:
        raise ConfigError(_told(problems))
    return Settings(options=options, **values)


def every_option(driver: Driver | None = None) -> tuple[Option, ...]:
    """Return what may be in a config: ours, then the driver's (or all drivers') own.

    Where two have an option of one name, that of the driver comes first.
    """
    order = sorted(DRIVERS.values(), key=lambda each: each is not driver)
    found = {option.name: option for option in OPTIONS}
    for each in order if driver is None else order[:1]:
        for option in each.options:
            found.setdefault(option.name, option)
    return tuple(found.values())


def portable_options() -> tuple[Option, ...]:
    """Return what all batch systems can be asked for, under the names that all share."""
    like = {option.portable: option for option in reversed(every_option())}
    return tuple(
        replace(like[name], name=name, short="", portable="", help=text)
        for name, text in PORTABLE.items()
    )


def batch_systems() -> tuple[str, ...]:
    """Return what the batch systems are called that we know, here or not."""
    return tuple(name for name, each in DRIVERS.items() if not each.is_fallback)


def batch_system(scheduler: object) -> Driver | None:
    """Return the one that is named, or else the one that is here; None if none is."""
    return _meant(_driver(scheduler), scheduler)


def own_names(config: Mapping[str, object], scheduler: object) -> dict[str, object]:
    """Return a config with the batch system's own names for its options.

    Parameters
    ----------
    config : mapping
        What may have names that all batch systems share, and "-" or "_" in names.
    scheduler : object
        Which batch system is meant, as a config says it.

    Raises
    ------
    ConfigError
        An option is there under two names.
    """
    table = _table(_driver(scheduler))
    found: dict[str, object] = {}
    for name, value in config.items():
        option = table.get(_key(name))
        own = option.name if option is not None else name
        if own in found:
            raise ConfigError(_twice(own))
        found[own] = value
    return found


def _twice(name: str) -> str:
    return f"option '{name}' is given twice"


def over(config: Mapping[str, object], options: Mapping[str, object]) -> dict[str, Any]:
    """Return a kernelspec's config with other options over it, however either is named."""
    scheduler = options.get("scheduler", config.get("scheduler"))
    return {**own_names(config, scheduler), **own_names(options, scheduler)}


def _driver(scheduler: object) -> Driver:
    return (isinstance(scheduler, str) and DRIVERS.get(scheduler)) or detected()


def _meant(driver: Driver, scheduler: object) -> Driver | None:
    """Return the driver, unless it only stands in as no batch system is here."""
    return driver if scheduler == driver.name or not driver.is_fallback else None


def _owners(driver: Driver, options: Mapping[str, Any]) -> list[Driver]:
    """Whose words about these options count: where it has none, whoever has them."""
    if not driver.is_fallback:
        return [driver]
    return [
        each
        for each in DRIVERS.values()
        if any(option.name in options for option in each.options)
    ]


def _table(driver: Driver) -> dict[str, Option]:
    """Return the options by key.

    Another batch system's are known, too, so that it can be said whose they are.
    """
    every = (*portable_options(), *every_option(), *driver.options, *OPTIONS)
    keys = {_key(option.name): option for option in every}
    portable = {_key(own.portable): own for own in driver.options if own.portable}
    return {**keys, **portable}


def _key(name: str) -> str:
    return name.replace("-", "_")


def _known(
    config: Mapping[str, object], driver: Driver, problems: list[str]
) -> Iterator[tuple[Option, object]]:
    """Yield the options that are given, in the table's words; null means not given."""
    seen: set[str] = set()
    table = _table(driver)
    for key, value in config.items():
        option = table.get(_key(key))
        if option is None:
            problems.append(_unknown(key, driver))
        elif option.name in seen:
            problems.append(_twice(option.name))
        elif value is not None:
            seen.add(option.name)
            yield option, value


def _has(driver: Driver, option: Option, value: object) -> bool:
    """Return whether a batch system can be asked for that; what is off is not asked."""
    if option in OPTIONS or value is False:
        return True
    try:
        driver.check(JobRequest("", "", {option.name: value}))
    except ConfigError:
        return False
    return True


def _unknown(key: str, driver: Driver) -> str:
    if key in driver.lacks:
        return f"option '{key}': {driver.lacks[key]}"
    names = [option.name for option in every_option()]
    names += [option.portable for option in driver.options if option.portable]
    text = f"unknown option '{key}' in the kernelspec's config"
    close = difflib.get_close_matches(key.strip("-").replace("_", "-"), names, 1)
    close = close or difflib.get_close_matches(key.replace("-", "_"), names, 1)
    if close:
        return f"{text}; did you mean '{close[0]}'?"
    asked = [driver] if not driver.is_fallback else [*DRIVERS.values()]
    further = [each.further_text(key.strip("-")) for each in asked]
    return "; ".join([text, *filter(None, further)])


def _wrong(option: Option, value: object, reason: str) -> str:
    """Say what is wrong with a value; the name that all share may be the one given."""
    name = option.portable or option.name
    said = f"option '{option.name}'"
    said += f" ('{name}')" if name != option.name else ""
    if reason:
        return f"{said}: {reason}"
    example = json.dumps({name: option.example})[1:-1]
    return (
        f"{said} is {_shown(value)}; expected {option.kind.expected}, "
        f"for example {example}"
    )


def _shown(value: object) -> str:
    kinds = {str: "text", bool: "a boolean", list: "a list", dict: "an object"}
    kind = kinds.get(type(value), "a number")
    text = json.dumps(value, default=repr)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"


def _contradictions(
    values: Mapping[str, Any], config: Mapping[str, object], driver: Driver
) -> Iterator[str]:
    if "node" in values and config.get("allocation") is None:
        yield "option 'node' is about a shared job: give 'allocation', too"
    further = isinstance(driver, OtherNodes) or driver.is_fallback
    if not further and values.get("node", "0").strip("0").isdigit():
        yield (
            f"option 'node': {driver.title} starts no kernel on a further node of its "
            "job; leave it out"
        )
    carrier = values.get("carrier", AUTO)
    if values.get("scheduler", AUTO) != AUTO and carrier != AUTO:
        yield from filter(None, [no_carrier(carrier, driver)])


def no_carrier(carrier: str, driver: Driver) -> str:
    """Return why that carrier does not reach the driver's jobs; "" if it does."""
    if carrier in (AUTO, *driver.carriers):
        return ""
    return (
        f"carrier '{carrier}' does not reach jobs of scheduler '{driver.name}'; choose "
        f"one of {', '.join((AUTO, *driver.carriers))}"
    )


def _told(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return f"{len(problems)} problems in the kernelspec's config:{lines}"
