"""What a route asks of a credential beyond being good."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.call import Call, Identity, Reply
from gatehouse.claims import lookup, unmet
from gatehouse.errors import ForbiddenError, render
from gatehouse.stages.claims import claims
from tests.unit.fakes import a_call, body_of, ok, run

RULES = {"project": ("captionacc",), "service": ("prefect", "api")}
GOOD = {"project": "captionacc", "service": "api"}


def saying(kind: str = "gateway", **said: Any) -> Identity:
    return Identity(kind=kind, subject="s", claims=said)


async def answer(_: Call) -> Reply:
    return ok()


def asked(identity: Identity | None, call: Call | None = None) -> Reply:
    return run(claims(RULES)(call or a_call(identity=identity), answer))


@pytest.mark.parametrize("service", ["prefect", "api", ["api"], ["other", "prefect"], ["api", 5, None]])
@pytest.mark.parametrize("kind", ["gateway", "jwks", "session"])
def test_a_credential_of_any_kind_that_says_what_is_asked_passes(kind: str, service: Any) -> None:
    assert asked(saying(kind, project="captionacc", service=service, more="x")).status == 200


@pytest.mark.parametrize(
    "said",
    [
        {}, {"project": "captionacc"}, {"service": "api"}, {"project": "other", "service": "api"},
        {**GOOD, "service": "API"}, {**GOOD, "service": "api "}, {**GOOD, "service": "apix"}, {**GOOD, "service": ""},
        {**GOOD, "service": None}, {**GOOD, "service": True}, {**GOOD, "service": []}, {**GOOD, "service": ["ap"]},
        {**GOOD, "service": [["api"]]}, {**GOOD, "service": {"api": "api"}}, {**GOOD, "service": "prefect,api"},
        {**GOOD, "project": ["other"]}, {**GOOD, "project": "captionacc\n"},
    ],
)  # fmt: skip
def test_a_credential_that_does_not_say_all_of_it_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ForbiddenError):
        asked(saying(**said))


def test_nobody_in_particular_says_nothing() -> None:
    with pytest.raises(ForbiddenError):
        asked(None)


@pytest.mark.parametrize("allowed", ["5", "true", "True", "null", "1.0"])
@pytest.mark.parametrize("said", [5, True, None, 1.0, [5], {"5": "5"}])
def test_texts_alone_are_compared(allowed: str, said: Any) -> None:
    assert unmet({"x": (allowed,)}, {"x": said}) == ("x",)


def test_the_refusal_names_nothing_of_the_token_and_the_log_only_the_claims_that_were_asked_for() -> None:
    call = a_call(identity=saying(project="captionacc", service="hidden-value"))
    with pytest.raises(ForbiddenError) as caught:
        asked(None, call)
    assert call.notes == {"unmetClaims": ("service",)}
    reply = render(caught.value, call)
    body = body_of(reply)
    assert (reply.status, body["code"]) == (403, "FORBIDDEN")
    assert "hidden-value" not in str(reply)
    assert "prefect" not in str(reply)
    assert 'error="insufficient_scope"' in reply.headers.get("www-authenticate")


def test_without_rules_everybody_passes() -> None:
    assert unmet({}, {}) == ()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a", {"b": {"c": 1}, "b.c": 2}), ("a.b", {"c": 1}), ("a.b.c", 1), ("x.y", "whole"), ("x", {"y": "part"}),
        ("a.z", None), ("z", None), ("a.b.c.d", None), ("list.0", None), ("text.upper", None), ("", None), (".", None),
        ("a.", None), ("https://x.test/role", "chef"), ("a.b.c.keys", None),
    ],
)  # fmt: skip
def test_dots_lead_into_objects_where_no_claim_is_called_so_as_a_whole(name: str, found: Any) -> None:
    said = {
        "a": {"b": {"c": 1}, "b.c": 2},
        "x": {"y": "part"},
        "x.y": "whole",
        "list": ["a"],
        "text": "t",
        "https://x.test/role": "chef",
    }
    assert lookup(said, name) == found


@given(
    st.dictionaries(st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=4)), st.text()
)
def test_any_claim_is_looked_up_without_failing(said: dict[str, Any], name: str) -> None:
    assert lookup(said, name) == said.get(name) or name not in said
    assert unmet({name: ("x",)}, said) in {(), (name,)}
