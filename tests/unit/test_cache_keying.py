"""Whose answers are whose: what makes two requests share a place, and what keeps them apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gatehouse.caching.keying import PASSING, Key, gone_key, key_of, variant_of
from gatehouse.caching.rules import ORGANIZATION, PUBLIC, SUBJECT, CacheRules, rules_of
from gatehouse.call import Call, Identity, Reply
from gatehouse.headers import Headers, Pair
from gatehouse.paths import loosely
from gatehouse.stages.cache import cache as cache_stage
from gatehouse.stages.forward import Target, seen, sent
from gatehouse.templates import parse
from tests.unit.caching_fakes import RULES, Origin, Process, somebody
from tests.unit.fakes import a_call, ok, run
from tests.unit.project_files import TOKENS, a_file, loaded

BYS = (PUBLIC, ORGANIZATION, SUBJECT)
HOST: Pair = ("host", "api.test")
PUBLICLY: Pair = ("cache-control", "public")
SHARED: Pair = ("cache-control", "s-maxage=60")


def key(call: Call, by: str = SUBJECT, **changes: Any) -> Key:
    return key_of(replace(RULES, by=by, **changes), call)


def place(by: str = SUBJECT, identity: Identity | None = None, *headers: Pair, **changes: Any) -> str:
    """The place of the answer to one and the same request, but for who asks, and what *changes* say of the rules."""
    return key(a_call("/a/x", "GET", HOST, *headers, identity=identity), by, **changes).place


# ----------------------------------------------------------------------------------------------- what was asked for

REQUESTS = {
    "as it is": (RULES, {}),
    "another project": (replace(RULES, project="q"), {}),
    "another route": (replace(RULES, route="q"), {}),
    "another upstream": (replace(RULES, source="q"), {}),
    "another scheme": (RULES, {"scheme": "http"}),
    "another host": (RULES, {"headers": Headers((("host", "api2.test"),))}),
    "another port": (RULES, {"headers": Headers((("host", "api.test:8443"),))}),
    "no host": (RULES, {"headers": Headers()}),
    "another path": (RULES, {"path": "/a/y"}),
    "another case": (RULES, {"path": "/a/X"}),
    "a slash more": (RULES, {"path": "/a/x/"}),
    "an escape": (RULES, {"path": "/a/%78"}),
    "a query": (RULES, {"query": "a=1"}),
    "another query": (RULES, {"query": "a=2"}),
    "parts of a query in another order": (RULES, {"query": "b=2&a=1"}),
    "and in this one": (RULES, {"query": "a=1&b=2"}),
    "what looks like path and query": (RULES, {"path": "/a/x?a=1"}),
    "somebody with a password": (RULES, {"headers": Headers((HOST, ("authorization", "Basic YQ==")))}),
}


def test_whatever_differs_of_a_request_has_a_place_of_its_own() -> None:
    call = a_call("/a/x", "GET", HOST)
    places = {name: key_of(rules, replace(call, **changes)).place for name, (rules, changes) in REQUESTS.items()}
    assert [(one, other) for one, other in combinations(places, 2) if places[one] == places[other]] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "HEAD"},
        {"client_ip": "198.51.100.9"},
        {"request_id": "another"},
        {"deadline": 5.0},
        {"headers": Headers((("host", "API.test"),))},
        {"headers": Headers((HOST, ("accept", "a/b"), ("user-agent", "x"), ("x-request-id", "y")))},
        {"headers": Headers((HOST, ("cookie", "a=1")))},  # stays at the gateway
    ],
)
def test_what_decides_nothing_about_the_answer_decides_nothing_about_its_place(changes: dict[str, Any]) -> None:
    call = a_call("/a/x", "GET", HOST)
    assert key(replace(call, **changes)) == key(call)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PARTS = ("project", "route", "source", "scheme", "host", "path", "query")
PART = st.fixed_dictionaries(dict.fromkeys(PARTS, st.one_of(st.sampled_from(["", "a", "ab", '"', "a,b"]), TEXT)))


def placed(parts: dict[str, str], by: str, identity: Identity | None) -> str:
    rules = replace(RULES, by=by, **{name: parts[name] for name in PARTS[:3]})
    call = a_call(parts["path"], "GET", ("host", parts["host"]), identity=identity)
    return key_of(rules, replace(call, query=parts["query"], scheme=parts["scheme"])).place


WHO = st.builds(
    somebody,
    st.sampled_from(["ada", "eve", "", "public"]),
    st.sampled_from(["", "o1", "o2", "ada"]),
    user=st.sampled_from(["", "u1"]),
    email=st.sampled_from(["", "a@b"]),
    scopes=st.frozensets(st.sampled_from(["admin", "guest"])),
    claims=st.dictionaries(st.sampled_from(["route", "tier", "iat"]), st.sampled_from(["a", "b", 1, None]), max_size=2),
)


@given(PART, PART, st.sampled_from(BYS), st.one_of(st.none(), WHO))
def test_two_requests_share_a_place_only_if_nothing_differs(
    one: dict[str, str], other: dict[str, str], by: str, identity: Identity | None
) -> None:
    same = {**one, "host": one["host"].lower()} == {**other, "host": other["host"].lower()}
    assert (placed(one, by, identity) == placed(other, by, identity)) is same


# ------------------------------------------------------------------------------------------------------ who is asking


def known(identity: Identity) -> tuple[object, ...]:
    """All that an upstream may be told of a caller, but for what differs from token to token."""
    claims = {name: value for name, value in identity.claims.items() if name not in PASSING}
    ours = (identity.kind, identity.subject, identity.user, identity.organization, identity.email)
    return (*ours, identity.scopes, claims)


@given(WHO, WHO)
def test_by_subject_two_callers_share_only_if_nothing_is_known_that_differs(one: Identity, other: Identity) -> None:
    assert (place(SUBJECT, one) == place(SUBJECT, other)) is (known(one) == known(other))


@given(WHO, WHO)
def test_by_organization_two_callers_share_only_within_one(one: Identity, other: Identity) -> None:
    shared = place(ORGANIZATION, one) == place(ORGANIZATION, other)
    assert shared is ((one.organization == other.organization != "") or known(one) == known(other))


@given(WHO, WHO)
def test_public_answers_are_shared_by_all_callers_and_not_with_nobody(one: Identity, other: Identity) -> None:
    assert place(PUBLIC, one) == place(PUBLIC, other) != place(PUBLIC, None)


@given(WHO)
def test_nobody_shares_with_somebody(who: Identity) -> None:
    for by, other in ((by, other) for by in BYS for other in BYS):
        assert place(by, who) != place(other, None)


@given(WHO)
def test_what_is_kept_by_one_rule_is_not_found_by_another(who: Identity) -> None:
    assume(who.organization)
    assert len({place(by, who) for by in BYS}) == 3


@given(WHO, st.dictionaries(st.sampled_from(sorted(PASSING)), st.integers()))
def test_another_token_of_the_same_caller_finds_what_the_first_one_left(who: Identity, claims: dict[str, int]) -> None:
    left = {name: value for name, value in who.claims.items() if name not in PASSING}
    other = replace(who, claims={**left, **claims}, token="another", token_id="another")
    for by in BYS:
        assert place(by, who) == place(by, other)


@pytest.mark.parametrize("name", sorted(PASSING))
def test_unless_the_upstream_is_told_what_differs(name: str) -> None:
    one, other = somebody(claims={name: 1}), somebody(claims={name: 2})
    assert place(SUBJECT, one) == place(SUBJECT, other)
    assert place(SUBJECT, one, told=frozenset({name})) != place(SUBJECT, other, told=frozenset({name}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "api_key"), ("subject", "eve"), ("user", "u"), ("organization", "o"), ("email", "e@x"),
        ("scopes", frozenset({"admin"})), ("claims", {"tier": {"a": [1, 2]}}), ("claims", {"tier": None}),
    ],
)  # fmt: skip
def test_all_that_is_known_of_a_caller_counts(name: str, value: object) -> None:
    assert place(SUBJECT, somebody()) != place(SUBJECT, replace(somebody(), **{name: value}))


def test_the_order_of_claims_and_scopes_counts_for_nothing() -> None:
    one = somebody(claims={"a": {"x": 1, "y": 2}, "b": 2}, scopes=frozenset("abc"))
    other = somebody(claims={"b": 2, "a": {"y": 2, "x": 1}}, scopes=frozenset("cba"))
    assert place(SUBJECT, one) == place(SUBJECT, other)


def test_callers_without_an_organization_share_with_nobody_but_themselves() -> None:
    ada, eve = somebody("ada"), somebody("eve")
    assert place(ORGANIZATION, ada) != place(ORGANIZATION, eve)
    assert place(ORGANIZATION, ada) == place(ORGANIZATION, somebody("ada"))
    assert place(ORGANIZATION, ada) != place(ORGANIZATION, somebody("ada", "ada"))


def test_a_visitor_is_a_caller_like_any_other() -> None:
    one, other = (Identity(kind="anonymous", subject=name) for name in ("v1", "v2"))
    assert place(SUBJECT, one) != place(SUBJECT, other)
    assert place(ORGANIZATION, one) != place(ORGANIZATION, other)
    assert key(a_call(identity=one), PUBLIC).explicitly


# ---------------------------------------------------------------------------------- cookies, and what is public

COOKIE: Pair = ("cookie", "a=1")


@pytest.mark.parametrize(
    ("by", "identity", "headers", "passes", "explicitly"),
    [
        (PUBLIC, None, (), False, False),
        (PUBLIC, somebody(), (), False, True),
        (PUBLIC, None, (COOKIE,), True, True),
        (PUBLIC, None, (COOKIE,), False, False),
        (PUBLIC, None, (), True, False),
        (PUBLIC, None, (("authorization", "Basic YQ=="),), False, True),
        (SUBJECT, None, (), False, False),
        (SUBJECT, None, (COOKIE,), True, True),
        (SUBJECT, somebody(), (COOKIE,), True, False),
        (SUBJECT, somebody(), (("authorization", "Bearer x"),), False, False),
        (ORGANIZATION, somebody("ada", "o1"), (), False, False),
        (ORGANIZATION, somebody("ada", "o1"), (COOKIE,), True, False),
        (ORGANIZATION, somebody("ada"), (), False, False),
    ],
)
def test_what_was_made_for_somebody_and_is_for_others_has_to_say_so(
    by: str, identity: Identity | None, headers: tuple[Pair, ...], passes: bool, explicitly: bool
) -> None:
    call = a_call("/a/x", "GET", HOST, *headers, identity=identity)
    assert key(call, by, cookies=passes).explicitly is explicitly


SAY_WHO = (
    "x-api-key", "x-auth-token", "private-token", "x-session-id", "ocp-apim-subscription-key", "x-access-token",
    "x-amz-security-token", "api_key", "apikey", "x-auth", "x.auth.token", "x-gitlab-token", "x-csrftoken", "jwt",
    "x-tenant", "x-user", "x-account-id", "x-hub-signature", "x-session-token", "authorization",
)  # fmt: skip
SAY_NOTHING = (
    "user-agent", "sec-fetch-user", "sec-fetch-site", "sec-websocket-key", "accept", "accept-language", "referer",
    "x-request-id", "x-monkey", "x-author", "x-user-id", "x-forwarded-user", "keep-alive", "if-none-match",
)  # fmt: skip
"""The gateway says some of them itself, and passes on none of those that came."""


@pytest.mark.parametrize("by", BYS)
@pytest.mark.parametrize("name", SAY_WHO)
def test_what_looks_like_a_credential_makes_that_the_answer_is_for_others_only_if_it_says_so(
    name: str, by: str
) -> None:
    anybody, somebodys = key(a_call("/a/x", "GET", HOST), by), key(a_call("/a/x", "GET", HOST, (name, "s3cret")), by)
    assert (anybody.explicitly, somebodys.explicitly) == (False, True)
    assert somebodys.place != anybody.place


@pytest.mark.parametrize("by", BYS)
@pytest.mark.parametrize("name", SAY_NOTHING)
def test_what_every_browser_says_or_stays_at_the_gateway_does_not(name: str, by: str) -> None:
    assert key(a_call("/a/x", "GET", HOST, (name, "x")), by) == key(a_call("/a/x", "GET", HOST), by)


@pytest.mark.parametrize("name", SAY_WHO)
@pytest.mark.parametrize(
    ("says", "kept"), [((), False), ((("cache-control", "max-age=60"),), False), ((PUBLICLY,), True), ((SHARED,), True)]
)
def test_so_nobody_gets_what_was_made_for_such_a_credential(name: str, says: tuple[Pair, ...], kept: bool) -> None:
    here = Process(origin=Origin(ok(b"for ada", *says), ok(b"for nobody", *says), ok(b"for eve", *says)))
    assert here.ask("/a/x", (name, "ada")).body == b"for ada"
    assert here.ask("/a/x").body == b"for nobody"
    assert here.ask("/a/x", (name, "eve")).body == (b"for ada" if kept else b"for eve")


def test_who_sends_cookies_does_not_get_what_was_made_for_nobody() -> None:
    assert place(PUBLIC, None, COOKIE, cookies=True) != place(PUBLIC, None, cookies=True)
    assert place(PUBLIC, None, COOKIE, cookies=True) == place(PUBLIC, None, ("cookie", "b=2"), cookies=True)


def test_cookies_make_the_answer_to_a_member_his_own() -> None:
    one, other = somebody("ada", "o1"), somebody("eve", "o1")
    assert place(ORGANIZATION, one, cookies=True) == place(ORGANIZATION, other, cookies=True)
    assert place(ORGANIZATION, one, COOKIE, cookies=True) != place(ORGANIZATION, other, COOKIE, cookies=True)
    assert place(ORGANIZATION, one, COOKIE, cookies=True) != place(ORGANIZATION, one, cookies=True)


def test_other_cookies_of_the_same_caller_are_another_request() -> None:
    ada, other = somebody("ada", "o1"), ("cookie", "b=2")
    for by in (SUBJECT, ORGANIZATION):
        assert place(by, ada, COOKIE, cookies=True) == place(by, ada, COOKIE, cookies=True)
        assert place(by, ada, COOKIE, cookies=True) != place(by, ada, other, cookies=True)
        assert place(by, ada, COOKIE, cookies=True) != place(by, ada, COOKIE, other, cookies=True)
        assert place(by, ada, COOKIE, cookies=False) == place(by, ada, other, cookies=False)
    assert place(SUBJECT, ada, COOKIE, cookies=True) != place(SUBJECT, ada, cookies=True)


@pytest.mark.parametrize(("by", "organization"), [(PUBLIC, ""), (ORGANIZATION, "o1"), (SUBJECT, "o1")])
def test_a_purge_of_an_organization_finds_what_is_kept_for_its_members(by: str, organization: str) -> None:
    assert key(a_call(identity=somebody("ada", "o1")), by).organization == organization
    assert not key(a_call(), by).organization


SEGMENT = st.text("abAB;%41é", min_size=1, max_size=4)


@given(TEXT, SEGMENT, TEXT, SEGMENT)
def test_a_change_is_one_of_a_project_and_a_path(project: str, path: str, other: str, elsewhere: str) -> None:
    same = (project, loosely(f"/{path}")) == (other, loosely(f"/{elsewhere}"))
    assert (gone_key(project, f"/{path}") == gone_key(other, f"/{elsewhere}")) is same


@pytest.mark.parametrize(("path", "same"), [("/a/%78", True), ("/A/x", True), ("/a/x;b", True), ("/a/y", False)])
def test_a_change_is_one_of_the_path_however_an_upstream_might_read_it(path: str, same: bool) -> None:
    assert (gone_key("p", path) == gone_key("p", "/a/x")) is same


@given(PART, PART, WHO)
def test_a_change_is_noted_where_every_request_for_its_path_looks(
    one: dict[str, str], other: dict[str, str], who: Identity
) -> None:
    def gone(parts: dict[str, str], identity: Identity | None, by: str) -> str:
        rules = replace(RULES, project="p", route=parts["route"], by=by)
        call = a_call("/a/x", "GET", ("host", parts["host"]), query=parts["query"], identity=identity)
        return key_of(rules, call).gone

    assert gone(one, who, SUBJECT) == gone(other, None, PUBLIC) == gone_key("p", "/a/x")


# ----------------------------------------------------------------------------------------------------------- variants


def variant(names: tuple[str, ...], *pairs: Pair) -> str:
    return variant_of(names, Headers(pairs).get_all)


VALUE = st.text('abc,;=/*" ', max_size=8)
FIELD = st.lists(VALUE, max_size=3)


@given(st.sampled_from(["accept", "x-a"]), FIELD, FIELD)
def test_two_requests_select_one_variant_only_if_they_say_the_same(name: str, one: list[str], other: list[str]) -> None:
    def meaning(lines: list[str]) -> object:
        if name == "x-a":
            return ", ".join(line.strip() for line in lines) if lines else None
        if not lines:
            return None
        return [part.strip() for line in lines for part in line.split(",") if part.strip()]

    def selected(lines: list[str]) -> str:
        return variant((name,), *((name, line) for line in lines))

    assert (selected(one) == selected(other)) is (meaning(one) == meaning(other))


@given(st.lists(st.text("abc;=/", min_size=1, max_size=4), min_size=1, max_size=5), st.data())
def test_spaces_and_lines_count_for_nothing_in_a_list(parts: list[str], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(parts)))
    spread = (("accept", " ,\t".join(parts[:cut]) + " "), ("accept", " , ".join(parts[cut:])))
    assert variant(("accept",), *spread) == variant(("accept",), ("accept", ",".join(parts)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((("accept", "a"),), (("accept", "b"),)),
        ((("accept", "a, b"),), (("accept", "b, a"),)),
        ((("accept", "a"),), (("accept", "A"),)),
        ((("accept", "a"),), (("accept", "a"), ("x-a", "1"))),
        ((("x-a", ""),), ()),
        ((("accept", "a"), ("x-a", "b")), (("accept", "b"), ("x-a", "a"))),
        ((("x-a", "a,b"),), (("x-a", "a, b"),)),  # of a field that nobody knows, everything counts
    ],
)
def test_what_says_something_else_selects_another_variant(one: tuple[Pair, ...], other: tuple[Pair, ...]) -> None:
    names = ("accept", "x-a")
    assert variant(names, *one) != variant(names, *other)
    assert variant(names, *one) == variant(names, *one, ("x-b", "not named"))


@pytest.mark.parametrize("name", ["accept-encoding", "accept", "accept-language", "x-a"])
def test_a_field_that_says_nothing_is_not_one_that_is_missing(name: str) -> None:
    missing, empty = variant((name,)), variant((name,), (name, ""))
    assert missing != empty == variant((name,), (name, "  "))


def test_what_a_field_holds_of_the_caller_counts_also_beside_a_secret() -> None:
    parts = {"key": "${secret:K}", "user": "${identity.user}"}
    target = Target(route="r", address="http://up", stripped=0, timeout_s=5.0, set_headers=(("x-who", parse(parts)),))
    here = Process()

    async def upstream(call: Call) -> Reply:
        return ok(dict(sent(target, call, {"K": "s3cret"}))["x-who"].encode(), ("vary", "X-Who"))

    stage = cache_stage(replace(RULES, by=ORGANIZATION), here.cache, lambda call: seen(target, call))
    for name in ("ada", "eve", "ada"):
        reply = run(stage(a_call("/a/x", identity=somebody(name, "o1", user=name)), upstream))
        assert isinstance(reply.body, bytes)
        assert f'"user":"{name}"'.encode() in reply.body.replace(b" ", b"")
    assert "hit" in reply.headers.get("cache-status")
    assert "s3cret" not in str(seen(target, a_call(identity=somebody())))


def test_where_vary_names_nothing_there_is_one_variant() -> None:
    assert variant((), ("accept", "a")) == variant(()) == ""
    assert variant(("accept",)) != ""


# -------------------------------------------------------------------------------------------------- from project files


def rules_in(folder: Path, **route: Any) -> CacheRules:
    text = a_file(
        route={"path": "/a/b", "auth": "optional", "accept": ["gateway"], "cache": {"ttl": "60s"}, **route},
        tokens=TOKENS,
    )
    project = loaded(folder, text)
    return rules_of(project.routes[0], "/a/b", project)


def test_the_rules_of_a_route_are_what_its_file_says(tmp_path: Path) -> None:
    cache = {"ttl": "60s", "by": "public", "stale_if_error": "5m", "stale_while_revalidate": "30s"}
    rules = rules_in(tmp_path, cache=cache)
    assert (rules.project, rules.route, rules.by, rules.above, rules.keeps) == ("demo", "A", "public", 2, True)
    keeping = rules.keeping
    assert (keeping.ttl_s, keeping.stale_if_error_s, keeping.stale_while_revalidate_s) == (60.0, 300.0, 30.0)


@pytest.mark.parametrize(
    "route", [{"upstream": "http://b.test"}, {"strip_prefix": False}, {"set_headers": {"X-A": "1"}}]
)
def test_answers_from_elsewhere_or_to_something_else_are_others(tmp_path: Path, route: dict[str, Any]) -> None:
    assert rules_in(tmp_path / "1").source != rules_in(tmp_path / "2", **route).source
    assert rules_in(tmp_path / "3", **route).source == rules_in(tmp_path / "4", **route).source


@pytest.mark.parametrize("cookies", [True, False, None])
def test_cookies_count_where_they_go_upstream(tmp_path: Path, cookies: bool | None) -> None:
    rules = rules_in(tmp_path, **({"cookies": cookies} if cookies is not None else {}))
    assert rules.cookies is (cookies is not False)


def test_claims_that_the_upstream_is_told_make_an_answer_another(tmp_path: Path) -> None:
    told = {"X-Job": "${claims.jti}", "X-Meta": {"at": "${claims.auth_time}"}, "X-Who": "${identity.subject}"}
    rules = rules_in(tmp_path, set_headers=told)
    assert rules.told == {"jti", "auth_time"}
    for name, apart in (("jti", True), ("auth_time", True), ("iat", False)):
        places = {key_of(rules, a_call(identity=somebody(claims={name: value}))).place for value in (1, 2)}
        assert (len(places) == 2) is apart
