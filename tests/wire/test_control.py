"""wire.control: a message comes out as it went in."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_kernels.wire import control
from remote_kernels.wire.codes import Cause, Farewell, ProcessState, RefusalCode
from remote_kernels.wire.frames import RemoteProtocolError

number = st.integers(0, 2**63)
percent = st.floats(0, 1e6)
gpu = st.fixed_dictionaries(
    {
        "index": number,
        "name": st.text(),
        "utilization": st.none() | st.integers(0, 100),
        "memory": st.none() | number,
        "memory_total": st.none() | number,
    }
)
usage = st.builds(
    control.Usage,
    kernel=st.text(),
    cpu_percent=st.none() | percent,
    cpus=number,
    memory=number,
    memory_limit=st.none() | number,
    gpus=st.lists(gpu, max_size=3),
)
spec: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text(), st.text() | st.lists(st.text()) | st.none()
)
message = st.one_of(
    st.builds(control.StartKernel, kernel=st.text(), spec=spec),
    st.builds(control.Signal, signum=number),
    st.builds(control.Delivered, through=number, forget=number),
    st.builds(control.Stop),
    st.builds(
        control.KernelState,
        incarnation=number,
        state=st.sampled_from(ProcessState),
        cause=st.sampled_from(Cause),
        pid=number,
        exit_code=st.none() | number,
        signum=st.none() | number,
    ),
    st.builds(control.Stalled, seconds=st.floats(0, 1e6)),
    st.builds(control.Stopping),
    usage,
)


@given(message)
def test_what_comes_out_equals_what_went_in(sent: control.Message) -> None:
    """Of each kind."""
    assert sent == control.decode(control.encode(sent))


@given(usage)
def test_a_sample_as_it_is_on_the_wire(sent: control.Usage) -> None:
    """Flat, as SPEC.md says."""
    assert {"type": "usage", **asdict(sent)} == json.loads(control.encode(sent))


@given(usage)
def test_a_sample_for_a_peer_that_does_not_know_it(sent: control.Usage) -> None:
    """It learns the name, and nothing breaks."""
    payload = control.encode(sent).replace(b'"usage"', b'"usage of later"', 1)

    assert control.Unknown("usage of later") == control.decode(payload)


def test_a_code_of_a_later_version() -> None:
    """It is unknown, and no error; a state that is unknown is not an end."""
    payload = b'{"type": "kernel", "kernel": "k", "incarnation": 1, "state": "dozes"}'
    state = control.decode(payload.replace(b"}", b', "cause": "the moon"}'))

    assert (
        control.KernelState("k", 1, ProcessState.UNKNOWN, cause=Cause.UNKNOWN) == state
    )
    assert not ProcessState.UNKNOWN.is_over
    assert (RefusalCode("a"), Farewell("b")) == (RefusalCode.UNKNOWN, Farewell.UNKNOWN)


def test_every_code_is_in_the_specification() -> None:
    """As it is on the wire."""
    text = (Path(control.__file__).parent / "SPEC.md").read_text()
    codes = [
        code for kind in (ProcessState, Cause, RefusalCode, Farewell) for code in kind
    ]

    assert [] == [code for code in codes if code and f"`{code}`" not in text]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type": ["stop"]}',
        b'{"type": "usage", "kernel": "k"}',
        b'{"type": "start"}',
        b'{"type": "start", "kernel": "k", "spec": []}',
        b'{"type": "signal", "kernel": "k", "signum": "9"}',
        b'{"type": "kernel", "kernel": "k", "incarnation": 1, "state": 3}',
        b'{"type": "signal", "kernel": "k", "signum": true}',
        b'{"type": "signal", "kernel": "k", "signum": 9' + b"0" * 5000 + b"}",
        b'{"type": "start", "kernel": "k", "spec": {"a":' + b"[" * 9000 + b"]" * 9000,
        b'{"type": "kernel", "kernel": "\\ud800", "incarnation": 1, "state": "s"}',
    ],
)
def test_a_message_that_is_none(payload: bytes) -> None:
    """The pipe must be closed."""
    with pytest.raises(RemoteProtocolError, match="a control message"):
        control.decode(payload)
