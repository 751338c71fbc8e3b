"""What the `cache` of a route may be in a project file, and what is said of one that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatehouse.projects.model import Cache
from tests.unit.project_files import TOKENS, a_file, loaded, problems, said

PROVIDERS = {
    "s": {"type": "session", "cookie": "sid", "url": "http://auth.test/s"},
    "k": {"type": "api_key", "prefix": "k_", "url": "http://auth.test/k"},
}
ORGANIZATION = dict.fromkeys(("session", "api_key", "membership"), "http://org.test/{organization}/{user}")
MEMBERS = {"auth": "required", "accept": ["s"], "organization": "required"}
WHOLE = {"ttl": "60s", "by": "public"}
BY_ORGANIZATION = {"ttl": "60s", "by": "organization"}
BY_SUBJECT = {"ttl": "60s"}


def with_cache(cache: Any, **route: Any) -> str:
    """A project file whose route has this cache."""
    return a_file(route={"cache": cache, **route}, providers=PROVIDERS, organization=ORGANIZATION, tokens=TOKENS)


def kept(folder: Path, text: str) -> Cache | None:
    return loaded(folder, text).routes[0].cache


def test_a_cache_says_how_long_and_the_rest_has_defaults(tmp_path: Path) -> None:
    assert kept(tmp_path, with_cache({"ttl": "60s"}, **MEMBERS)) == Cache(
        ttl=60.0, by="subject", stale_if_error=0.0, stale_while_revalidate=0.0
    )
    whole = {"ttl": "7d", "by": "organization", "stale_if_error": "24h", "stale_while_revalidate": "500ms"}
    assert kept(tmp_path, with_cache(whole, **MEMBERS)) == Cache(
        ttl=604_800.0, by="organization", stale_if_error=86_400.0, stale_while_revalidate=0.5
    )


def test_without_it_nothing_is_kept(tmp_path: Path) -> None:
    assert kept(tmp_path, a_file()) is None
    assert kept(tmp_path, with_cache(False)) is None


def test_a_route_can_be_without_what_the_defaults_have(tmp_path: Path) -> None:
    routes = [
        {"name": name, "path": f"/{name}", "upstream": "http://a.test", "auth": "none", **cache}
        for name, cache in {"a": {}, "b": {"cache": False}, "c": {"cache": {"ttl": "1s", "by": "public"}}}.items()
    ]
    project = loaded(tmp_path, a_file(defaults={"cache": WHOLE}, routes=routes))
    caches = {route.name: route.cache for route in project.routes}
    assert caches == {"a": Cache(ttl=60.0, by="public"), "b": None, "c": Cache(ttl=1.0, by="public")}


DAYS_7 = "expected a duration from 0s to 7d"
HOURS_24 = "expected a duration from 0s to 24h"


@pytest.mark.parametrize(
    ("ttl", "seconds", "what"),
    [
        ("0s", 0.0, None), ("1ms", 0.001, None), ("7d", 604_800.0, None), ("168h", 604_800.0, None),
        ("604800s", 604_800.0, None), ("604801s", None, DAYS_7), ("8d", None, DAYS_7), ("0m", None, "like 500ms"),
        ("-1s", None, "like 500ms"), ("60", None, "like 500ms"), (60, None, "60s"), ("", None, ""), (None, None, ""),
        (True, None, ""), (["60s"], None, ""), ("1.5h", None, "like 500ms"),
    ],
)  # fmt: skip
def test_an_answer_counts_as_fresh_for_a_week_at_most(
    tmp_path: Path, ttl: Any, seconds: float | None, what: str | None
) -> None:
    text = with_cache({**WHOLE, "ttl": ttl})
    if what is None:
        cache = kept(tmp_path, text)
        assert cache
        assert cache.ttl == seconds
    else:
        message = said(tmp_path, text)
        assert "routes[0].cache.ttl" in message or "cache.ttl" in message
        assert what in message


@pytest.mark.parametrize("name", ["stale_if_error", "stale_while_revalidate"])
@pytest.mark.parametrize(
    ("length", "seconds"),
    [("0s", 0.0), ("1s", 1.0), ("24h", 86_400.0), ("1d", 86_400.0), ("86401s", None), ("2d", None)],
)
def test_an_answer_is_given_stale_for_a_day_at_most(
    tmp_path: Path, name: str, length: str, seconds: float | None
) -> None:
    text = with_cache({**WHOLE, name: length})
    if seconds is None:
        assert HOURS_24 in said(tmp_path, text)
    else:
        assert getattr(kept(tmp_path, text), name) == seconds


@pytest.mark.parametrize(
    ("cache", "what"),
    [
        ({}, "ttl"),
        ({"by": "public"}, "ttl"),
        (True, "expected a mapping"),
        (None, "expected a mapping"),
        (0, "expected a mapping"),
        ("60s", "expected a mapping"),
        ({"ttl": "60s", "by": "user"}, "expected one of organization, subject, public"),
        ({"ttl": "60s", "by": ["public"]}, "expected one of organization, subject, public"),
        ({**WHOLE, "stale_if_eror": "1h"}, "unknown key (did you mean 'stale_if_error'?)"),
        ({**WHOLE, "tll": "1h"}, "unknown key (did you mean 'ttl'?)"),
        ({**WHOLE, "stale_while_revalidated": "1h"}, "unknown key (did you mean 'stale_while_revalidate'?)"),
        ({**WHOLE, "zzz": "1h"}, "unknown key"),
    ],
)
def test_what_a_cache_cannot_be_is_said_in_words(tmp_path: Path, cache: Any, what: str) -> None:
    assert what in said(tmp_path, with_cache(cache))


def test_all_mistakes_in_the_defaults_are_said_of_them_and_once(tmp_path: Path) -> None:
    cache = {"ttl": "8d", "by": "public", "stale_if_eror": "1h"}
    text = a_file(defaults={"cache": cache})
    found = {problem.message: text.splitlines()[problem.line - 1].strip() for problem in problems(tmp_path, text)}
    assert found == {
        f"defaults.cache.ttl: {DAYS_7}": "ttl: 8d",
        "defaults.cache.stale_if_eror: unknown key (did you mean 'stale_if_error'?)": "stale_if_eror: 1h",
    }


NOBODY_LOOKS = (
    "nobody looks at who is calling where auth is none: say by: public, or say cache: false to be without one"
)
NO_ORGANIZATION = "say organization: required or optional, or by: subject"
NO_GET = "only answers to GET are kept, and without it there is nothing to keep: say cache: false"


@pytest.mark.parametrize(
    ("cache", "route", "what"),
    [
        (WHOLE, {}, ()),
        (BY_SUBJECT, {}, (f"answers are kept by subject, and {NOBODY_LOOKS}",)),
        (BY_ORGANIZATION, {}, (f"answers are kept by organization, and {NOBODY_LOOKS}",)),
        (BY_SUBJECT, {"auth": "optional", "accept": ["s"]}, ()),
        (BY_SUBJECT, {"auth": "required", "accept": ["gateway"]}, ()),
        (WHOLE, {"auth": "required", "accept": ["gateway"]}, ()),
        (BY_ORGANIZATION, MEMBERS, ()),
        (BY_ORGANIZATION, {**MEMBERS, "organization": "optional"}, ()),
        (BY_ORGANIZATION, {"auth": "required", "accept": ["s"]}, (NO_ORGANIZATION,)),
        (BY_ORGANIZATION, {"auth": "optional", "accept": ["gateway"]}, (NO_ORGANIZATION,)),
        (WHOLE, {"methods": ["GET"]}, ()),
        (WHOLE, {"methods": ["HEAD", "POST"]}, (NO_GET,)),
        (BY_SUBJECT, {"methods": ["POST"]}, (NOBODY_LOOKS, NO_GET)),
        (False, {"methods": ["POST"]}, ()),
    ],
)
def test_a_cache_fits_its_route(tmp_path: Path, cache: Any, route: dict[str, Any], what: tuple[str, ...]) -> None:
    text = with_cache(cache, **route)
    if not what:
        assert loaded(tmp_path, text)
        return
    found = [problem.message for problem in problems(tmp_path, text)]
    assert len(found) == len(what)
    assert all(words in message for words, message in zip(what, found, strict=True))


def test_a_mistake_says_on_which_line_it_is(tmp_path: Path) -> None:
    text = with_cache(BY_SUBJECT)
    (problem,) = problems(tmp_path, text)
    assert text.splitlines()[problem.line - 1].strip() == "cache:"


@pytest.mark.parametrize(
    ("cache", "route"),
    [
        (BY_ORGANIZATION, {**MEMBERS, "organization": "requird"}),
        (BY_ORGANIZATION, {**MEMBERS, "auth": "requird"}),
        (BY_SUBJECT, {"auth": "requird", "accept": ["s"]}),
        (WHOLE, {"methods": ["GTE"]}),
    ],
)
def test_a_mistake_elsewhere_in_a_route_is_not_held_against_its_cache(
    tmp_path: Path, cache: Any, route: dict[str, Any]
) -> None:
    assert "kept" not in said(tmp_path, with_cache(cache, **route))
