"""config.schema: what it takes and what the readers take is the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from remote_kernels.config import OPTIONS, every_option, parse, schema
from remote_kernels.config.schema import SIMPLE, refuses
from remote_kernels.errors import ConfigError
from remote_kernels.options import LONGEST, PORTABLE, Option, as_seconds
from remote_kernels.scheduler.drivers import DRIVERS

# Whose words JSON Schema cannot judge: they may undo what we say, or end our script.
ARGUMENTS = {option.name for option in every_option() if option.name.endswith("_args")}
ARGUMENTS |= {"submit_commands"}
TABLE = [
    pytest.param(option, id=f"{name}-{option.name}")
    for name, table in {
        "ours": OPTIONS,
        **{name: driver.options for name, driver in DRIVERS.items()},
    }.items()
    for option in table
]
CHARACTERS = "0123456789 :-,;@=+./~${}[]()*!?|&%'\"\\smhdkgtKMGTBbiUS\n\té"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(-1e12, 1e12)
    | st.text(CHARACTERS, max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def near(option: Option) -> st.SearchStrategy[Any]:
    """Values that are an example, but for a few characters."""
    words = option.example if isinstance(option.example, list) else [option.example]
    words = [str(word) for word in words]
    words += [
        "2h",
        "90m",
        "1:00:00",
        "1-12:00:00",
        "4G",
        "0",
        "30",
        "1",
        "auto",
        "user",
    ]

    @st.composite
    def changed(draw: st.DrawFn) -> str:
        text: str = draw(st.sampled_from(words))
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(text)))
            more = draw(st.text(CHARACTERS, max_size=2))
            text = text[:at] + more + text[at + draw(st.integers(0, 1)) :]
        return text

    return changed() | st.lists(changed(), max_size=3)


def reads(option: Option, value: object) -> bool:
    try:
        option.kind.read(value)
    except ConfigError:
        return False
    return True


def is_excepted(option: Option, value: object) -> bool:
    """What only one of both can judge."""
    texts = [str(each) for each in (value if isinstance(value, list) else [value])]
    if any(text.strip() != text.strip(" ") for text in texts):
        return True  # Python's blanks are more; `$` is also before a last line break
    try:
        return as_seconds(value) >= LONGEST / 10  # 30 years
    except ConfigError:
        return option.name in ARGUMENTS and isinstance(value, list)


@pytest.mark.parametrize("option", TABLE)
def test_the_schema_and_the_reader_agree(option: Option) -> None:
    """On any value, but for further arguments, blanks, and what lasts for ages."""

    @settings(max_examples=40, suppress_health_check=[*HealthCheck], deadline=None)
    @given(value=near(option) | JSON)
    @example(value=option.example)
    def agree(value: object) -> None:
        plain = option.kind.plain(value)
        assume(plain is not None and not is_excepted(option, plain))
        assert reads(option, plain) is not refuses(option.kind, plain), repr(plain)

    agree()


@pytest.mark.parametrize("option", TABLE)
def test_numbers_at_the_bounds(option: Option) -> None:
    """One below, at and above each that the schema names."""
    schema = option.kind.schema
    schema = {**schema, **schema.get("items", {})}
    found = [
        schema[key]
        for key in ("minimum", "exclusiveMinimum", "maximum")
        if key in schema
    ]
    for value in [bound + step for bound in found for step in (-1, 0, 1)]:
        for one in (value, [value]):
            assert reads(option, one) is not refuses(option.kind, one), repr(one)


@pytest.mark.parametrize("option", TABLE)
def test_what_fits_the_pattern_is_read(option: Option) -> None:
    """A form in a page that has only the schema asks for nothing that is refused."""
    pattern = option.kind.schema.get("pattern")
    if pattern is None:
        return

    @settings(max_examples=15, suppress_health_check=[*HealthCheck], deadline=None)
    @given(value=st.from_regex(pattern))
    def read(value: str) -> None:
        assume(not is_excepted(option, value))
        assert reads(option, value), repr(value)

    read()


@pytest.mark.parametrize("name", DRIVERS)
def test_a_batch_system_s_schema(name: str) -> None:
    """It is one, takes all examples, and names the options that most need."""
    driver = DRIVERS[name]
    made = schema(driver)
    table = (*driver.options, *OPTIONS)
    portable = {own.portable: own for own in driver.options if own.portable}

    Draft202012Validator.check_schema(made)
    assert {option.name for option in table} | portable.keys() == {*made["properties"]}
    assert [n for n in SIMPLE if n in portable] == made["x-simple"]
    for option_name, found in made["properties"].items():
        assert {"title", "description", "type", "examples"} <= {*found}, option_name
        assert Draft202012Validator(found).is_valid(found["examples"][0]), option_name
        assert Draft202012Validator(found).is_valid(
            found.get("default", found["examples"][0])
        )
    for shared, own in portable.items():
        if shared != own.name:
            assert own.name == made["properties"][shared]["x-option"]
            assert shared == made["properties"][own.name]["x-portable"]
            both = {shared: own.example, own.name: own.example}
            assert not Draft202012Validator(made).is_valid(both)
    assert not Draft202012Validator(made).is_valid({"nosuch": 1})
    execute = {n for n, found in made["properties"].items() if "x-execute" in found}
    assert {option.name for option in table if not option.is_plain} == execute


def test_the_order_of_a_form() -> None:
    """What all batch systems can be asked for, then what is this one's own, then ours."""
    names = [*schema(DRIVERS["slurm"])["properties"]]

    assert [*PORTABLE] == names[: len(PORTABLE)]
    assert "partition" == names[len(PORTABLE)]
    assert "warn_before" == names[-1]


def test_the_defaults_are_the_kernelspec_s() -> None:
    """Under all of an option's names; ours where it says nothing."""
    made = schema(DRIVERS["slurm"], {"cores": 4, "mem": "8G", "time": None})
    found = {
        n: one["default"] for n, one in made["properties"].items() if "default" in one
    }

    assert (4, 4) == (found["cores"], found["cpus-per-task"])
    assert ("8G", "8G") == (found["memory"], found["mem"])
    assert "time" not in found
    assert (3600.0, [600.0, 120.0]) == (found["silence"], found["warn_before"])


@pytest.mark.parametrize(
    ("given", "meant"),
    [("4", 4), (" 4 ", 4), (4.0, 4), ("4.5", "4.5"), (True, True), ("x", "x")],
)
def test_a_number_as_text(given: object, meant: object) -> None:
    """Counts where only a number can be meant, as in a shell or an address."""
    option = next(o for o in DRIVERS["slurm"].options if o.name == "cpus-per-task")

    plain = option.kind.plain(given)

    assert (type(meant), meant) == (type(plain), plain)
    assert (meant == 4) is not refuses(option.kind, plain)


def test_what_only_the_schema_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is refused at all doors, in the same words."""
    monkeypatch.setattr("remote_kernels.config.refuses", lambda kind, value: value == 7)

    with pytest.raises(ConfigError, match="option 'nodes' is 7"):
        parse({"scheduler": "slurm", "nodes": 7})


def test_the_library_is_loaded_with_the_first_value() -> None:
    """It takes a tenth of a second, for which no completion in a shell is to wait."""
    code = "import sys, remote_kernels.cli.main; print('jsonschema' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )

    assert "False" == said.stdout.strip()
