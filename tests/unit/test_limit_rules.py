"""Limits in project files: what they may be, and which of them a route may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatehouse.counting import limits_of
from gatehouse.gcra import Rate
from tests.unit.project_files import TOKENS, a_file, loaded, said

BYS = ("ip", "subject", "organization", "key")
LIMITS = {f"by-{by}": {"requests": 5, "per": "1m", "by": by} for by in BYS}
PROVIDERS = {
    "s": {"type": "session", "cookie": "sid", "url": "http://auth.test/s"},
    "k": {"type": "api_key", "prefix": "k_", "url": "http://auth.test/k"},
}
ORGANIZATION = {f"{name}": "http://org.test/{organization}/{user}" for name in ("session", "api_key", "membership")}


def with_limits(limits: dict[str, Any] = LIMITS, **route: Any) -> str:
    return a_file(limits=limits, route=route, providers=PROVIDERS, organization=ORGANIZATION, tokens=TOKENS)


def test_one_name_and_several_are_limits_of_a_route_in_its_order(tmp_path: Path) -> None:
    limits = {"fast": {"requests": 10, "per": "1s", "shadow": True}, "slow": {"requests": 100, "per": "1m", "burst": 7}}
    project = loaded(tmp_path, with_limits(limits, limit=["slow", "fast"]))
    slow, fast = limits_of(project.routes[0], project, "ip")
    assert (slow.name, slow.project, slow.by, slow.shadow) == ("slow", "demo", "ip", False)
    assert (slow.rate, fast.rate, fast.shadow) == (Rate(100, 60, 7), Rate(10, 1, 10), True)
    assert loaded(tmp_path, with_limits(limits, limit="fast")).routes[0].limit == ("fast",)


def test_without_a_burst_all_requests_of_a_limit_may_come_at_once(tmp_path: Path) -> None:
    """As in the gateways before: a hundred in a minute were a hundred whenever they came."""
    project = loaded(tmp_path, with_limits({"x": {"requests": 100, "per": "1m"}}, limit="x"))
    assert limits_of(project.routes[0], project, "ip")[0].rate.burst == 100


def test_a_route_may_have_none_of_the_default_ones(tmp_path: Path) -> None:
    text = a_file(limits=LIMITS, defaults={"limit": "by-ip"}, route={"limit": []})
    assert loaded(tmp_path, text).routes[0].limit == ()
    assert loaded(tmp_path, a_file(limits=LIMITS, defaults={"limit": "by-ip"})).routes[0].limit == ("by-ip",)


@pytest.mark.parametrize(
    ("limit", "what"),
    [
        ({"requests": 0, "per": "1m"}, "whole number above zero"),
        ({"requests": 1_000_001, "per": "1m"}, "from 1 to 1000000"),
        ({"requests": 1_000_000, "per": "1m"}, None),
        ({"requests": 1, "per": "1m", "burst": 0}, "whole number above zero"),
        ({"requests": 1, "per": "1m", "burst": 1_000_001}, "from 1 to 1000000"),
        ({"requests": 1, "per": "31d"}, None), ({"requests": 1, "per": "32d"}, "from 1ms to 31d"),
        ({"requests": 1, "per": "1ms"}, None), ({"requests": 1, "per": "0s"}, "is not a duration"),
        ({"requests": 1, "per": 60}, "a duration needs a unit: write 60s"),
        ({"requests": 1}, "per: this key is missing"),
        ({"requests": 1, "per": "1m", "by": "header"}, "expected one of ip, subject, organization, key"),
        ({"requests": 1, "per": "1m", "shadow": "yes"}, "true or false"),
        ({"requests": 1, "per": "1m", "brust": 2}, "unknown key (did you mean 'burst'?)"),
        ("100/1m", "expected a mapping"),
    ],
)  # fmt: skip
def test_a_limit_is_what_can_be_counted(tmp_path: Path, limit: Any, what: str | None) -> None:
    text = with_limits({"x": limit}, limit="x")
    if what is None:
        assert loaded(tmp_path, text).limits
    else:
        assert what in said(tmp_path, text)


def test_the_name_of_a_limit_is_one_that_answers_can_say(tmp_path: Path) -> None:
    assert "a name of letters" in said(tmp_path, with_limits({'a"b': {"requests": 1, "per": "1m"}}))


ALL: dict[str, Any] = {"auth": "required", "accept": ["s", "k", "gateway"], "organization": "required"}


@pytest.mark.parametrize(
    ("route", "limit", "what"),
    [
        ({}, "by-pi", "there is no limit 'by-pi' (did you mean 'by-ip'?)"),
        ({}, "zzz", "there is no limit 'zzz' (add it to 'limits' at the top of the file)"),
        ({}, ["by-ip", "by-ip"], "'by-ip' is named twice"),
        ({}, "by-ip", None), (ALL, list(LIMITS), None),
        ({}, "by-subject", "where auth is none"), ({}, "by-organization", "where auth is none"),
        ({}, "by-key", "where auth is none"),
        ({"auth": "optional", "accept": ["s"]}, "by-subject", None),
        ({"auth": "required", "accept": ["s"]}, "by-organization", "say organization: required or optional"),
        ({"auth": "required", "accept": ["s"], "organization": "optional"}, "by-organization", None),
        ({"auth": "required", "accept": ["s"]}, "by-key", "accept a provider of type api_key, or 'gateway'"),
        ({"auth": "required", "accept": ["k"]}, "by-key", None),
        ({"auth": "required", "accept": ["gateway"]}, "by-key", None),
    ],
)  # fmt: skip
def test_a_route_names_limits_that_it_can_count_by(
    tmp_path: Path, route: dict[str, Any], limit: Any, what: str | None
) -> None:
    text = with_limits(**route, limit=limit)
    if what is None:
        assert loaded(tmp_path, text).routes[0].limit
    else:
        assert what in said(tmp_path, text)


def test_a_mistake_in_one_limit_does_not_make_its_routes_name_nothing(tmp_path: Path) -> None:
    text = said(tmp_path, with_limits({"x": {"requests": 0, "per": "1m"}}, limit="x"))
    assert "limits.x.requests" in text
    assert "there is no limit" not in text


def test_a_mistake_says_on_which_line_it_is(tmp_path: Path) -> None:
    lines = with_limits(limit="by-pi").splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if "by-pi" in text]
    assert said(tmp_path, "\n".join(lines)).startswith(f"{line}: there is no limit")
