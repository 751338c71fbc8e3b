"""Which trace a request belongs to: X-Ray's before W3C's, and nothing where somebody wrote something else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.headers import Headers
from gatehouse.tracing import current_trace, trace_id

ROOT = "1-67891233-abcdef012345678912345678"
SELF = "1-67891234-12456789abcdef012345678"
W3C = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{W3C}-00f067aa0ba902b7-01"


def traced(xray: str = "", w3c: str = "") -> str:
    fields = (("x-amzn-trace-id", xray), ("traceparent", w3c))
    return trace_id(Headers(tuple(pair for pair in fields if pair[1])))


@pytest.mark.parametrize(
    "header",
    [
        f"Root={ROOT}",
        f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1",
        f"Self={SELF};Root={ROOT}",  # as a load balancer hands it on
        f"Self={SELF}; Root={ROOT}; CalledFrom=app",
        f"Sampled=?;Root={ROOT};Lineage=1:a87bd80c:0",
        f"root={ROOT}",
        f"  Root={ROOT};",
    ],
)
def test_the_trace_of_x_ray_is_its_root(header: str) -> None:
    assert traced(header) == ROOT
    assert current_trace({"_X_AMZN_TRACE_ID": header}) == ROOT


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Root=",
        ROOT,
        f"Self={ROOT}",
        f"Parent={ROOT};Sampled=1",
        f"NotRoot={ROOT}",
        f"Root={ROOT}0",
        f"Root={ROOT[:-1]}",
        f"Root={ROOT}x;Parent=1",
        f"Root=2{ROOT[1:]}",
        f"Root={ROOT[:-1]}g",
        f"Root={ROOT},Root={ROOT}",
        'Root="1-67891233-abcdef012345678912345678"',
        "Root=1-67891233-abcdef01234567891234567\u0661",
    ],
)
def test_what_is_no_trace_of_x_ray_is_none(header: str) -> None:
    assert traced(header) == current_trace({"_X_AMZN_TRACE_ID": header}) == ""


@pytest.mark.parametrize("header", [PARENT, PARENT[:-2] + "00", f"01{PARENT[2:]}-what-comes-in-later-versions"])
def test_the_trace_of_w3c_is_the_second_part(header: str) -> None:
    assert traced(w3c=header) == W3C


@pytest.mark.parametrize(
    "header",
    [
        "00",
        W3C,
        f"00-{W3C}",
        PARENT.upper(),
        PARENT[:-1],
        f"{PARENT}0",
        f" {PARENT}",
        f"{PARENT}\n",
        f"{PARENT},{PARENT}",
        f"0-{PARENT[3:]}",
        PARENT.replace("-", "_"),
        f"ff{PARENT[2:]}",
        PARENT.replace(W3C, "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
    ],
)
def test_what_is_no_trace_of_w3c_is_none(header: str) -> None:
    assert traced(w3c=header) == ""


def test_x_rays_trace_counts_where_there_are_two() -> None:
    assert traced(f"Root={ROOT}", PARENT) == ROOT
    assert traced("Root=nonsense", PARENT) == W3C


def test_a_request_and_an_invocation_without_any_have_none() -> None:
    assert traced() == current_trace({}) == ""


def test_each_invocation_has_its_own_trace() -> None:
    others = [f"{ROOT[:-1]}{last}" for last in "0123"]
    assert [current_trace({"_X_AMZN_TRACE_ID": f"Root={one}"}) for one in (*others, *others)] == others * 2


PARTS = st.sampled_from(["Root=", "Self=", ROOT, PARENT, W3C, ";", ",", " ", "-", "00-", "g", "\n", "\u0661"])


@given(st.text(max_size=50) | st.lists(PARTS, max_size=6).map("".join))
def test_whatever_is_sent_a_trace_is_an_id_or_nothing(header: str) -> None:
    for found in (traced(header), traced(w3c=header), current_trace({"_X_AMZN_TRACE_ID": header})):
        assert found == "" or (len(found) in {32, 35} and set(found) <= set("0123456789abcdefABCDEF-"))


@pytest.mark.parametrize(
    "unit",
    ["; ", ";", " ", "\t", "Root=", ";Root=1-", f"Root={ROOT}x", f";  Root={ROOT}g", "00-", f"00-{W3C}-", "0"],
)
def test_a_long_header_takes_no_longer_than_it_is(unit: str) -> None:
    header = unit * (400_000 // len(unit))  # what takes the square of its length takes minutes for that
    started = time.process_time()
    traced(f"{header}!", f"{PARENT}{header}\n")
    current_trace({"_X_AMZN_TRACE_ID": header})
    assert time.process_time() - started < 1
