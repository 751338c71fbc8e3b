"""`providers` and `organization` in project files: what each kind takes, and what routes may ask of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatehouse.projects import Project, load
from gatehouse.projects.model import (
    PROVIDERS,
    AnonymousProvider,
    ApiKeyProvider,
    JwksProvider,
    Organization,
    SessionProvider,
)
from gatehouse.projects.provider_rules import in_the_open
from gatehouse.projects.schema import keys_of
from local import variables
from tests.unit.fakes import ROOT
from tests.unit.project_files import ROUTE, TOKENS, a_file, loaded, problems, said

JWKS = {"type": "jwks", "issuer": "https://iss.test", "audience": "app", "jwks_url": "https://iss.test/certs"}
SESSION = {"type": "session", "cookie": "sid", "url": "http://auth.test/get-session"}
KEY = {"type": "api_key", "prefix": "k_", "url": "http://auth.test/verify"}
VISITORS = {"type": "anonymous"}
WHERE = {"session": "http://org.test/o/{organization}", "api_key": "http://user.test/u/{user}"}
SHIPPED = ROOT / "layers/config/projects"


def a_door(providers: Mapping[str, Any], accept: list[str] | None = None, **changes: Any) -> str:
    """A file whose one route takes *accept*: all *providers*, if left out."""
    route = {"auth": "required", "accept": list(providers) if accept is None else accept, **changes.pop("route", {})}
    return a_file(route=route, providers=dict(providers), **changes)


def of(folder: Path, provider: Mapping[str, Any]) -> Any:
    return loaded(folder, a_file(providers={"p": provider})).providers["p"]


# ----------------------------------------------------------------------------------------------- what each kind takes


def test_a_provider_says_the_least_and_the_rest_has_defaults(tmp_path: Path) -> None:
    assert of(tmp_path, JWKS) == JwksProvider(
        type="jwks", issuer="https://iss.test", audience=("app",), jwks_url="https://iss.test/certs",
        headers=(), cookie="", require=(), service_logins={}, cache=3600.0, retry=(0.2, 0.5),
    )  # fmt: skip
    assert of(tmp_path, SESSION) == SessionProvider(
        type="session", cookie="sid", url="http://auth.test/get-session", set_headers={}, cache=30.0
    )
    assert of(tmp_path, KEY) == ApiKeyProvider(
        type="api_key", prefix="k_", url="http://auth.test/verify", headers=("x-api-key",), bearer=False,
        set_headers={}, cache=30.0,
    )  # fmt: skip
    assert of(tmp_path, VISITORS) == AnonymousProvider(
        type="anonymous", ttl=3600.0, url="", token_url="", set_headers={}
    )


def test_organizations_are_asked_for_where_the_file_says_and_kept_for_five_minutes(tmp_path: Path) -> None:
    assert loaded(tmp_path, a_file(organization=WHERE)).organization == Organization(
        session=WHERE["session"], api_key=WHERE["api_key"], membership="", headers={}, cache=300.0
    )


@pytest.mark.parametrize(
    ("provider", "needed"),
    [
        (JWKS, ("issuer", "audience", "jwks_url")),
        (SESSION, ("cookie", "url")),
        (KEY, ("prefix", "url")),
        (VISITORS, ()),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) else None,
)
def test_what_a_kind_cannot_do_without_is_missed_by_name(
    tmp_path: Path, provider: dict[str, str], needed: tuple[str, ...]
) -> None:
    for name in provider.keys() - {"type"}:
        left = {key: value for key, value in provider.items() if key != name}
        if name in needed:
            assert f"providers.p.{name}: this key is missing" in said(tmp_path, a_file(providers={"p": left}))
    assert set(needed) == provider.keys() - {"type"}


@pytest.mark.parametrize("provider", [JWKS, SESSION, KEY, VISITORS], ids=lambda one: one["type"])
def test_a_key_of_another_kind_is_unknown_and_has_its_line(tmp_path: Path, provider: dict[str, str]) -> None:
    every = {name for model in PROVIDERS.values() for name in keys_of(model)}
    wrong = sorted(every - set(keys_of(PROVIDERS[provider["type"]])))
    text = a_file(providers={"p": {**provider, **dict.fromkeys(wrong, "x")}})
    lines = text.splitlines()
    found = {problem.message: lines[problem.line - 1].strip() for problem in problems(tmp_path, text)}
    for name in wrong:
        (line,) = [line for message, line in found.items() if message.startswith(f"providers.p.{name}: unknown key")]
        assert line == f"{name}: x"


@pytest.mark.parametrize(
    ("provider", "wrong", "meant"),
    [
        (JWKS, "jwks_uri", "jwks_url"), (JWKS, "issuers", "issuer"), (SESSION, "cookies", "cookie"),
        (SESSION, "chache", "cache"), (KEY, "prefixes", "prefix"), (KEY, "header", "headers"), (VISITORS, "tll", "ttl"),
        (SESSION, "audience", ""), (VISITORS, "prefix", ""),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named_with_the_one_of_its_kind_that_was_meant(
    tmp_path: Path, provider: dict[str, str], wrong: str, meant: str
) -> None:
    text = a_file(providers={"p": {**provider, wrong: "x"}})
    (problem,) = [one for one in problems(tmp_path, text) if "unknown key" in one.message]
    advice = f" (did you mean '{meant}'?)" if meant else ""
    assert problem.message == f"providers.p.{wrong}: unknown key{advice}"
    assert text.splitlines()[problem.line - 1].strip() == f"{wrong}: x"


@pytest.mark.parametrize(
    "changes",
    [
        {"providers": {"s": {**SESSION, "chache": "5s"}}}, {"organization": {**WHERE, "session": "nonsense"}},
        {"organization": {**WHERE, "cahce": "5m"}}, {"organization": "x"}, {"route": {"accept": "s"}},
    ],
    ids=str,
)  # fmt: skip
def test_one_mistake_is_one_finding_and_what_follows_from_it_is_not_said(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    route = {"auth": "required", "accept": ["s"], "organization": "required", **changes.pop("route", {})}
    text = a_file(**{"providers": {"s": SESSION}, "organization": WHERE, "route": route, **changes})
    assert len(problems(tmp_path, text)) == 1


def test_a_mistake_elsewhere_hides_none_about_organizations(tmp_path: Path) -> None:
    text = a_door({"s": SESSION}, route={"organization": "required", "timeout": "soon"})
    assert "say where organisations are asked for" in said(tmp_path, text)


@pytest.mark.parametrize(
    ("provider", "what"),
    [
        ({**JWKS, "headers": "x"}, "headers: expected a list"), ({**JWKS, "headers": ["a b"]}, "the name of a header"),
        ({**JWKS, "cookie": "a b"}, "the name of a cookie"), ({**JWKS, "require": "email"}, "require: expected a list"),
        ({**JWKS, "audience": []}, "audience: expected a list of at least 1"),
        ({**JWKS, "audience": ["a", 5]}, "a text"),
        ({**JWKS, "audience": ["a", "a"]}, "no item twice"), ({**JWKS, "audience": 5}, "audience: expected a text"),
        ({**JWKS, "audience": ""}, "audience: expected a text"), ({**JWKS, "issuer": ["x"]}, "issuer: expected a text"),
        ({**JWKS, "service_logins": ["x"]}, "expected a mapping"), ({**JWKS, "service_logins": {"a": 5}}, "a text"),
        ({**JWKS, "retry": "5s"}, "retry: expected a list"), ({**JWKS, "retry": ["0s"]}, "is not a duration"),
        ({**SESSION, "cookie": ""}, "cookie: expected a text"), ({**SESSION, "cookie": "a;b"}, "the name of a cookie"),
        ({**SESSION, "cookie": "__Secure-sid"}, "without __Secure-"),
        ({**SESSION, "cookie": "a=b"}, "name of a cookie"),
        ({**SESSION, "cookie": "c" * 129}, "the name of a cookie"),
        ({**SESSION, "cookie": "é"}, "the name of a cookie"),
        ({**KEY, "prefix": ""}, "prefix: expected a text"), ({**KEY, "prefix": "k "}, "the beginning of keys"),
        ({**KEY, "prefix": "k" * 65}, "the beginning of keys"), ({**KEY, "prefix": "k=\n"}, "the beginning of keys"),
        ({**KEY, "bearer": "yes"}, "true or false"), ({**KEY, "headers": ["x-a", "x-a"]}, "no item twice"),
        ({**VISITORS, "type": "Anonymous"}, "expected a provider with a type"),
    ],
)  # fmt: skip
def test_a_provider_that_is_wrong_is_refused_in_words(tmp_path: Path, provider: dict[str, Any], what: str) -> None:
    assert what in said(tmp_path, a_file(providers={"p": provider}))


@pytest.mark.parametrize(
    ("provider", "name", "value"),
    [
        (SESSION, "cookie", "c" * 128), (SESSION, "cookie", "__Host-sid"),
        (SESSION, "cookie", "better-auth.session_token"),
        (KEY, "prefix", "k" * 64), (KEY, "prefix", "A~z.9_-"),
    ],
)  # fmt: skip
def test_a_name_of_the_greatest_length_or_with_the_rarest_letters_is_taken(
    tmp_path: Path, provider: dict[str, str], name: str, value: str
) -> None:
    assert getattr(of(tmp_path, {**provider, name: value}), name) == value


@pytest.mark.parametrize(("given", "taken"), [("a", ("a",)), (["a"], ("a",)), (["a", "b"], ("a", "b"))])
def test_an_audience_is_one_or_several(tmp_path: Path, given: Any, taken: tuple[str, ...]) -> None:
    assert of(tmp_path, {**JWKS, "audience": given}).audience == taken


@pytest.mark.parametrize(
    ("provider", "name", "text", "seconds"),
    [
        (SESSION, "cache", "0s", 0.0), (SESSION, "cache", "1ms", 0.001), (SESSION, "cache", "1h", 3600.0),
        (SESSION, "cache", "60m", 3600.0), (SESSION, "cache", "3601s", None), (SESSION, "cache", "3600001ms", None),
        (SESSION, "cache", "1d", None), (SESSION, "cache", "-1s", None), (SESSION, "cache", "0m", None),
        (SESSION, "cache", 30, None),
        (KEY, "cache", "0s", 0.0), (KEY, "cache", "1h", 3600.0), (KEY, "cache", "61m", None),
        (JWKS, "cache", "5m", 300.0), (JWKS, "cache", "299s", None), (JWKS, "cache", "299999ms", None),
        (JWKS, "cache", "24h", 86_400.0), (JWKS, "cache", "86401s", None), (JWKS, "cache", "0s", None),
        (VISITORS, "ttl", "1m", 60.0), (VISITORS, "ttl", "59s", None), (VISITORS, "ttl", "59999ms", None),
        (VISITORS, "ttl", "24h", 86_400.0), (VISITORS, "ttl", "1441m", None), (VISITORS, "ttl", "0s", None),
    ],
)  # fmt: skip
def test_a_duration_has_its_bounds(
    tmp_path: Path, provider: dict[str, str], name: str, text: Any, seconds: float | None
) -> None:
    changed = {**provider, name: text}
    if seconds is None:
        assert f"providers.p.{name}: " in said(tmp_path, a_file(providers={"p": changed}))
    else:
        assert getattr(of(tmp_path, changed), name) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0.0), ("1h", 3600.0), ("3601s", None)])
def test_an_organization_is_kept_for_an_hour_at_most(tmp_path: Path, text: str, seconds: float | None) -> None:
    whole = a_file(organization={**WHERE, "cache": text})
    if seconds is None:
        assert "organization.cache: expected a duration" in said(tmp_path, whole)
    else:
        kept = loaded(tmp_path, whole).organization
        assert kept is not None
        assert kept.cache == seconds


# ---------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "address",
    [
        "http://auth.test/get-session", "https://auth.test:8443/a/b/", "http://auth.test/", "http://[::1]:80/x",
        "http://127.0.0.1:3001/x?disableRefresh=true", "https://auth.test/x?a=b&c=%20d",
        "https://auth.test/a%20b/c;d=e",
    ],
)  # fmt: skip
def test_an_address_that_is_asked_is_whole_and_may_have_a_query(tmp_path: Path, address: str) -> None:
    assert of(tmp_path, {**SESSION, "url": address}).url == address


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("auth.test/x", "is not an address"), ("ftp://auth.test/x", "is not an address"),
        ("//auth.test/x", "is not an address"), ("http:///x", "is not an address"),
        ("http://:80/x", "is not an address"),
        ("http://auth.test:0/x", "is not an address"), ("http://auth.test:99999/x", "is not an address"),
        ("http://au th.test/x", "is not an address"), ("http://auth.test/x y", "is not an address"),
        ("http://auth.tést/x", "is not an address"), ("file:///etc/passwd", "is not an address"),
        ("lambda:auth", "is not an address"), ("http://auth.test\\x/y", "is not an address"),
        ("http://auth.test", "has no path"), ("http://auth.test?x=1", "has no path"),
        ("http://auth.test/x#y", "no credentials, query or fragment"), ("http://u@auth.test/x", "no credentials"),
        ("http://auth.test/x?y#z", "the query of an address"),
        ("http://auth.test/x?a={user}", "the query of an address"),
        ("http://auth.test/x?a=b?c", "the query of an address"),
        ("http://auth.test/x?a=b c", "the query of an address"),
        ("http://auth.test/x?a=\r\nb", "the query of an address"),
        ("http://auth.test/{user}", "has a path that no address can have"), ("http://auth.test/%zz", "path that no"),
        ("http://auth.test/a\\b", "path that no"), ("http://auth.test/a\0b", "path that no"),
        ("http://auth.test/a\r\nb", "is not an address"), ('http://auth.test/"', "path that no"),
        (5, "expected a text"), ("", "expected a text"), (["http://auth.test/x"], "expected a text"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("provider", "name"),
    [(JWKS, "jwks_url"), (SESSION, "url"), (KEY, "url"), (VISITORS, "url"), (VISITORS, "token_url")],
)
def test_what_is_no_such_address_is_refused(
    tmp_path: Path, provider: dict[str, str], name: str, address: Any, what: str
) -> None:
    text = said(tmp_path, a_file(providers={"p": {**provider, name: address}}))
    assert what in text
    assert f"providers.p.{name}: " in text


@pytest.mark.parametrize("address", ["http://ada:s3cr3t-pass@auth.test/x", "https://auth.test/x?key=s3cr3t-pass#f"])
def test_credentials_in_an_address_are_refused_without_showing_them(tmp_path: Path, address: str) -> None:
    assert "s3cr3t-pass" not in said(tmp_path, a_file(providers={"p": {**SESSION, "url": address}}))


@pytest.mark.parametrize(
    ("name", "place"), [("session", "{organization}"), ("api_key", "{user}"), ("membership", "{user}")]
)
@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("http://s.test/by-id/%s", ""), ("http://s.test/%s/x", ""), ("http://s.test/x-%s", ""),
        ("https://s.test/find?id=%s", ""), ("https://s.test/find?id=%s&deep=1", ""), ("http://s.test/%s/%s", ""),
        ("http://s.test/{organization}/of/{user}", ""),
        ("http://s.test/by-id", "in its path or query"), ("http://s.test/by-id/{id}", "in its path or query"),
        ("http://s.test", "in its path or query"), ("http://%s.test/x", "in its path or query"),
        ("http://%s.test/%s", "is not an address"), ("http://s.test:%s/%s", "is not an address"),
        ("http://%s@s.test/%s", "no credentials, query or fragment"), ("%s://s.test/%s", "is not an address"),
        ("http://s.test?id=%s", "in its path or query"), ("http://s.test/%s#x", "no credentials, query or fragment"),
        ("http://s.test/%s/{other}", "path that no address can have"), ("http://s.test/{%s}", "path that no address"),
        ("http://s.test/%s/{}", "path that no address"), ("http://s.test/%s?x={other}", "the query of an address"),
    ],
)  # fmt: skip
def test_an_id_stands_in_the_path_or_the_query_and_never_chooses_the_host(
    tmp_path: Path, name: str, place: str, template: str, what: str
) -> None:
    whole = a_file(organization={**WHERE, name: template.replace("%s", place)})
    if what:
        assert what in said(tmp_path, whole)
    else:
        assert getattr(loaded(tmp_path, whole).organization, name) == template.replace("%s", place)


# ---------------------------------------------------------------------------------------------------- plain http keys


PLAIN = a_file(providers={"p": {**JWKS, "jwks_url": "http://iss.test/certs"}})


@pytest.mark.parametrize("environment", ["", "prod", "dev", "staging", "LOCAL", "local "])
def test_keys_over_plain_http_are_refused_with_their_line(tmp_path: Path, environment: str) -> None:
    (problem,) = problems(tmp_path, PLAIN, {"ENVIRONMENT": environment} if environment else {})
    assert PLAIN.splitlines()[problem.line - 1].strip() == "jwks_url: http://iss.test/certs"
    assert "write https:// (http:// counts only where ENVIRONMENT is local)" in problem.message


def test_keys_over_plain_http_are_for_somebodys_own_machine(tmp_path: Path) -> None:
    assert loaded(tmp_path, PLAIN, {"ENVIRONMENT": "local"}).providers


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("https://iss.test/c", False), ("HTTPS://iss.test/c", False), ("HTTP://iss.test/c", True),
        ("http://127.0.0.1:1/c", True), ("http://localhost/c", True), (None, False),
    ],
)  # fmt: skip
def test_only_the_keys_of_issuers_need_https(url: str | None, refused: bool) -> None:
    provider = JwksProvider(type="jwks", issuer="http://iss.test", audience=("a",), jwks_url=url)
    others = {
        "s": SessionProvider(type="session", cookie="c", url="http://auth.test/x"),
        "k": ApiKeyProvider(type="api_key", prefix="k", url="http://auth.test/x"),
        "v": AnonymousProvider(type="anonymous", url="http://auth.test/x"),
    }
    project = Project(project="x", providers={**others, "p": provider}, routes=())
    assert [where for where, _ in in_the_open(project, {})] == ([("providers", "p", "jwks_url")] if refused else [])


# ------------------------------------------------------------------------------------------- variables that are unset


UNSET = {
    "jwks": ({**JWKS, "issuer": "${I}", "audience": "${A}", "jwks_url": "${I}/certs"}, ["issuer", "audience",
    "jwks_url"]),
    "one of two audiences": ({**JWKS, "audience": ["app", "${A}"]}, ["audience"]),
    "both audiences": ({**JWKS, "audience": ["${A}", "${B}"]}, ["audience"]),
    "session": ({**SESSION, "url": "${U}/get-session"}, ["url"]),
    "api_key": ({**KEY, "url": "${U}/verify"}, ["url"]),
    "anonymous": ({**VISITORS, "url": "${U}/in", "token_url": "${U}/token"}, ["url", "token_url"]),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSET)
@pytest.mark.parametrize(
    "changes", [{"accept": []}, {"route": {"upstream": "${NOPE}"}}], ids=["unasked", "no upstream"]
)
def test_an_unset_variable_is_no_mistake_while_nobody_can_need_it(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    provider, missing = UNSET[name]
    text = a_door({"p": provider}, **changes) if "route" in changes else a_file(providers={"p": provider})
    made = loaded(tmp_path, text).providers["p"]
    assert [getattr(made, key) for key in missing] == [None] * len(missing)


@pytest.mark.parametrize("name", UNSET)
@pytest.mark.parametrize("auth", ["required", "optional"])
def test_an_unset_variable_is_one_as_soon_as_a_route_with_an_upstream_accepts_its_provider(
    tmp_path: Path, name: str, auth: str
) -> None:
    provider, missing = UNSET[name]
    text = a_door({"p": provider}, route={"auth": auth})
    found = problems(tmp_path, text)
    assert len(found) == len(missing)
    for key in missing:
        beginning = f"providers.p.{key}: is needed by the route 'A': set "
        (problem,) = (one for one in found if one.message.startswith(beginning))
        names = re.findall(r"\$\{(\w+)\}", str(provider[key]))
        assert problem.message.endswith(" and ".join(names))
        assert text.splitlines()[problem.line - 1].strip().startswith(f"{key}:")


def test_an_empty_variable_is_an_unset_one(tmp_path: Path) -> None:
    text = a_door({"p": UNSET["session"][0]})
    assert "providers.p.url: is needed by the route 'A': set U" in said(tmp_path, text, {"U": ""})
    assert loaded(tmp_path, text, {"U": "http://auth.test"}).providers["p"] == SessionProvider(**SESSION)


@pytest.mark.parametrize("name", ["cookie", "cache", "type", "prefix"])
def test_what_is_no_address_and_no_name_of_an_issuer_must_be_set(tmp_path: Path, name: str) -> None:
    assert "the environment has no NOPE; set it" in said(tmp_path, a_file(providers={"p": {**KEY, name: "${NOPE}"}}))


@pytest.mark.parametrize("name", ["url", "token_url"])
def test_an_address_that_is_left_empty_is_not_one_whose_variable_is_unset(tmp_path: Path, name: str) -> None:
    text = a_file(providers={"p": {**VISITORS, name: None}})
    assert f"{name}: write an address, or a variable that may be unset: ${{NAME}}" in said(tmp_path, text)


@pytest.mark.parametrize(
    ("accept", "unset", "says"),
    [
        (["s"], "session", "organization.session"), (["s"], "membership", "organization.membership"),
        (["s"], "api_key", ""),
        (["k"], "api_key", "organization.api_key"), (["k"], "session", ""), (["k"], "membership", ""),
        (["s", "k"], "api_key", "organization.api_key"), (["k", "s"], "session", "organization.session"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("policy", ["required", "optional"])
def test_an_organization_needs_an_address_for_each_kind_of_credential_that_is_accepted(
    tmp_path: Path, accept: list[str], unset: str, says: str, policy: str
) -> None:
    place = "{organization}" if unset == "session" else "{user}"
    where = {**WHERE, unset: f"${{NOPE}}/x/{place}"}
    text = a_door({"s": SESSION, "k": KEY}, accept, route={"organization": policy}, organization=where)
    if says:
        assert f"{says}: is needed by the route 'A': set NOPE" in said(tmp_path, text)
    else:
        assert loaded(tmp_path, text)
    no_upstream = text.replace("upstream: http://a.test", "upstream: ${NOPE}")
    assert loaded(tmp_path, no_upstream)
    assert loaded(tmp_path, text.replace(f"organization: {policy}", "organization: none"))


# ------------------------------------------------------------------------------------------------ names, and headers


def test_a_provider_cannot_take_the_name_of_our_own_tokens(tmp_path: Path) -> None:
    text = a_file(providers={"gateway": SESSION})
    (problem,) = problems(tmp_path, text)
    assert problem.message.startswith("'gateway' means the gateway's own tokens")
    assert text.splitlines()[problem.line - 1].strip() == "gateway:"


@pytest.mark.parametrize("name", ["", "a b", "é", "x" * 65, "a.b"])
def test_a_provider_needs_a_name_that_can_be_said(tmp_path: Path, name: str) -> None:
    assert "expected a" in said(tmp_path, a_file(providers={name: SESSION}))


@pytest.mark.parametrize(
    "name",
    ["Cookie", "host", "Content-Length", "content_type", "Connection", "TE", "transfer-encoding", "X-Request-ID"],
)
@pytest.mark.parametrize(
    ("provider", "what"), [(JWKS, "holds no token"), (KEY, "is not a header for API keys")], ids=["jwks", "api_key"]
)
def test_a_header_that_means_something_else_holds_no_credential(
    tmp_path: Path, name: str, provider: dict[str, Any], what: str
) -> None:
    text = said(tmp_path, a_file(providers={"p": {**provider, "headers": ["x-mine", name]}}))
    assert f"'{name}' {what}" in text
    assert "'x-mine'" not in text


def test_an_api_key_in_authorization_is_a_bearer(tmp_path: Path) -> None:
    text = said(tmp_path, a_file(providers={"p": {**KEY, "headers": ["Authorization"]}}))
    assert "for Authorization say bearer: true" in text
    assert of(tmp_path, {**KEY, "headers": [], "bearer": True}).headers == ()
    assert of(tmp_path, {**JWKS, "headers": ["Authorization"]}).headers == ("Authorization",)


def test_an_api_key_has_to_be_somewhere(tmp_path: Path) -> None:
    assert "needs a header to be in, or bearer: true" in said(tmp_path, a_file(providers={"p": {**KEY, "headers": []}}))


def test_a_second_question_about_visitors_needs_a_first(tmp_path: Path) -> None:
    second = {**VISITORS, "token_url": "http://auth.test/token"}
    assert "is asked after 'url' was: say that, too" in said(tmp_path, a_file(providers={"p": second}))
    assert of(tmp_path, {**second, "url": "http://auth.test/in"}).token_url == "http://auth.test/token"


TOLD = [
    ("providers.p.set_headers", SESSION), ("providers.p.set_headers", KEY),
    ("providers.p.set_headers", {**VISITORS, "url": "http://auth.test/in"}), ("organization.headers", None),
]  # fmt: skip


def telling(provider: dict[str, str] | None, headers: Any) -> str:
    if provider is None:
        return a_file(organization={**WHERE, "headers": headers})
    return a_file(providers={"p": {**provider, "set_headers": headers}})


@pytest.mark.parametrize(("where", "provider"), TOLD)
def test_a_service_is_told_texts_and_secrets(tmp_path: Path, where: str, provider: dict[str, str] | None) -> None:
    headers = {
        "X-Key": "${secret:KEY}",
        "Authorization": "Bearer ${secret:A}-${secret:B}",
        "X-Meta": {"k": "${secret:A}"},
    }
    project = loaded(tmp_path, telling(provider, headers))
    told = project.providers["p"].set_headers if provider else project.organization.headers  # type: ignore[union-attr]
    assert told == headers


@pytest.mark.parametrize(("where", "provider"), TOLD)
@pytest.mark.parametrize(
    "value",
    [
        "${identity.user}", "${identity.token}", "${claims.sub}", "${request.id}", "${secret:KEY}-${identity.kind}",
        {"user": "${identity.user}"}, {"n": 1, "c": "${claims.a.b}"},
    ],
    ids=str,
)  # fmt: skip
def test_a_service_that_is_asked_who_calls_is_not_told_who_calls(
    tmp_path: Path, where: str, provider: dict[str, str] | None, value: Any
) -> None:
    text = telling(provider, {"X-Good": "yes", "X-Who": value})
    (problem,) = problems(tmp_path, text)
    assert problem.message.startswith("X-Who: nobody knows yet who is calling, so '${")
    assert text.splitlines()[problem.line - 1].strip().startswith("X-Who:")


@pytest.mark.parametrize(("where", "provider"), TOLD)
@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({"Host": "x"}, "Host: is said by the gateway itself"), ({"cookie": "a=b"}, "cookie: is said by the gateway"),
        ({"x_request_id": "x"}, "is said by the gateway itself"),
        ({"Connection": "x"}, "is said by the gateway itself"),
        ({"X-A": "${identity.usr}"}, "did you mean '${identity.user}'?"),
        ({"X-A": "${secret:A-B}"}, "name of a secret"),
        ({"X-A": "${secret:A}", "x_a": "b"}, "'X-A' and 'x_a' are one header to many servers"),
        ({"X-A": "a\nb"}, "cannot hold a line break"), ({"a b": "x"}, "the name of a header"), ({"X-A": 5}, "a text"),
        (["X-A"], "expected a mapping"),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_service_cannot_be_told_is_refused(
    tmp_path: Path, where: str, provider: dict[str, str] | None, headers: Any, what: str
) -> None:
    assert what in said(tmp_path, telling(provider, headers))


@pytest.mark.parametrize(
    ("audience", "good"),
    [("app", True), ("anonymous", True), ("x/anonymous/y", True), ("x/anonymous", False), ("/anonymous", False)],
)
def test_no_tokens_of_ours_have_the_audience_of_visitors(tmp_path: Path, audience: str, good: bool) -> None:
    text = a_file(tokens={**TOKENS, "audience": audience})
    if good:
        assert loaded(tmp_path, text)
    else:
        (problem,) = problems(tmp_path, text)
        assert "is that of visitors; choose another" in problem.message
        assert text.splitlines()[problem.line - 1].strip() == f"audience: {audience}"


# -------------------------------------------------------------------------------------- what a route accepts together


ALL = {
    "s": SESSION, "v": VISITORS, "v2": VISITORS,
    "k": {**KEY, "bearer": True}, "other": {**KEY, "prefix": "o_", "headers": [], "bearer": True},
    "long": {**KEY, "prefix": "k_live_", "headers": [], "bearer": True}, "header": {**KEY, "prefix": "h_"},
    "twin": {**KEY, "headers": [], "bearer": True}, "sly": {**KEY, "prefix": "s_", "headers": ["X_API.Key"]},
    "j": JWKS, "j2": {**JWKS, "headers": ["authorization"]}, "own": {**JWKS, "headers": ["x-token"], "cookie": "tok"},
    "jar": {**JWKS, "cookie": "tok"}, "s2": {**SESSION, "url": "http://other.test/x"},
    "tok": {**SESSION, "cookie": "tok"},
    "late": {**JWKS, "headers": ["x-late", "x-api-key"]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "what"),
    [
        (["gateway", "j"], "'gateway' and 'j' both read Authorization; keep one"),
        (["j", "gateway"], "'j' and 'gateway' both read Authorization; keep one"),
        (["j2", "gateway"], "'j2' and 'gateway' both read Authorization"),
        (["j", "j2"], "'j' and 'j2' both read Authorization"),
        (["gateway", "k"], "'gateway' and 'k' both read Authorization; put the one with a prefix first"),
        (["k", "gateway"], ""), (["k", "j"], ""), (["j", "k"], "put the one with a prefix first"),
        (["k", "other"], ""), (["other", "k"], ""),
        (["k", "long"], "'k' and 'long' both read Authorization; put the one with the longer prefix first"),
        (["long", "k"], ""),
        (["k", "twin"], "'k' and 'twin' both read Authorization; keep one"),
        (["k", "gateway", "other"], "'gateway' and 'other' both read Authorization"),
        (["k", "other", "gateway"], ""), (["other", "k", "j"], ""),
        (["other", "gateway", "j"], "'gateway' and 'j' both read Authorization"),
        (["k", "header"], "'k' and 'header' both read the header x-api-key; keep one"),
        (["header", "sly"], "'header' and 'sly' both read the header x-api-key; keep one"),
        (["header", "late"], "'header' and 'late' both read the header x-api-key"),
        (["late", "header"], "'late' and 'header' both read the header x-api-key"),
        (["header", "gateway"], ""), (["header", "other"], ""),
        (["s", "s2"], "'s' and 's2' both read the cookie sid; keep one"),
        (["tok", "own"], "'tok' and 'own' both read the cookie tok"),
        (["own", "jar"], "'own' and 'jar' both read the cookie tok"), (["s", "own", "gateway"], ""),
        (["jar", "gateway"], ""), (["s", "tok", "k", "gateway", "v"], ""),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("auth", ["required", "optional"])
def test_two_credentials_are_not_read_from_one_place(tmp_path: Path, accept: list[str], what: str, auth: str) -> None:
    text = a_door(ALL, accept, route={"auth": auth})
    if what:
        assert what in said(tmp_path, text)
    else:
        assert loaded(tmp_path, text).routes[0].accept == tuple(accept)


@pytest.mark.parametrize(
    ("accept", "what"),
    [
        (["v"], ""), (["s", "v"], ""), (["s", "k", "gateway", "v"], ""),
        (["v", "s"], "'v' takes everybody: put it last"), (["s", "v", "k"], "'v' takes everybody: put it last"),
        (["v", "v2"], "'v' takes everybody, so 'v2' is never asked; keep one of them"),
        (["v", "s", "v2"], "so 'v2' is never asked"), (["v", "v"], "expected no item twice"),
    ],
    ids=str,
)  # fmt: skip
def test_visitors_come_last_and_once(tmp_path: Path, accept: list[str], what: str) -> None:
    text = a_door(ALL, accept)
    if what:
        assert what in said(tmp_path, text)
    else:
        assert loaded(tmp_path, text).routes[0].accept == tuple(accept)


@pytest.mark.parametrize("accept", [["v"], ["s"], ["s", "v"], ["gateway"]])
def test_who_is_accepted_where_nobody_looks_is_one_mistake(tmp_path: Path, accept: list[str]) -> None:
    (problem,) = problems(tmp_path, a_door(ALL, accept, route={"auth": "none"}))
    assert "nobody looks at credentials where auth is none" in problem.message


@pytest.mark.parametrize("name", ["x", "S", "Gateway", "anonymous"])
def test_only_what_there_is_can_be_accepted(tmp_path: Path, name: str) -> None:
    assert f"there is no provider '{name}'" in said(tmp_path, a_door(ALL, ["s", name]))


# ------------------------------------------------------------------------------------------- organisations and public


@pytest.mark.parametrize(
    ("providers", "route", "where", "what"),
    [
        ({"s": SESSION}, {"organization": "required"}, None, "say where organisations are asked for"),
        ({"s": SESSION}, {"organization": "optional"}, None, "say where organisations are asked for"),
        ({"s": SESSION}, {"organization": "required"}, WHERE, ""),
        ({"k": KEY}, {"organization": "optional"}, WHERE, ""),
        ({"j": JWKS}, {"organization": "required"}, WHERE, "sessions and API keys alone name organisations"),
        ({"v": VISITORS}, {"organization": "optional"}, WHERE, "sessions and API keys alone name organisations"),
        ({"j": JWKS, "k": KEY}, {"organization": "required"}, WHERE, ""),
        ({"s": SESSION}, {"organization": "none"}, None, ""), ({"j": JWKS}, {}, WHERE, ""),
        ({"s": SESSION}, {"organization": "always"}, WHERE, "expected one of required, optional, none"),
        ({"s": SESSION}, {"organization": "required"}, {"session": WHERE["session"]}, ""),
        (
            {"k": KEY}, {"organization": "required"}, {"session": WHERE["session"]},
            "organization.api_key: is needed by the route 'A': add it",
        ),
        ({"s": SESSION}, {"organization": "required"}, {}, "session: is needed by the route 'A': add it"),
    ],
)  # fmt: skip
def test_a_route_can_ask_for_an_organization_only_where_one_can_be_found(
    tmp_path: Path, providers: dict[str, Any], route: dict[str, str], where: dict[str, str] | None, what: str
) -> None:
    text = a_door(providers, route=route, organization=where)
    if what:
        assert what in said(tmp_path, text)
    else:
        assert loaded(tmp_path, text)


def test_nobody_has_an_organization_where_nobody_looks(tmp_path: Path) -> None:
    text = a_file(route={"organization": "required"}, organization=WHERE)
    (problem,) = problems(tmp_path, text)
    assert "nobody looks at who is calling where auth is none: leave 'organization' out" in problem.message


@pytest.mark.parametrize(
    ("entry", "taken"),
    [
        ("GET /health", ("GET", "/health")), ("POST /a/b-c_d.e~f", ("POST", "/a/b-c_d.e~f")), ("HEAD /", ("HEAD", "/")),
        ("get /health", None), ("GET health", None), ("GET  /health", None), ("GET /health ", None), (" GET /h", None),
        ("GET /health/", None), ("GET //health", None), ("GET /a//b", None), ("GET /*", None), ("GET /{version}", None),
        ("GET /.", None), ("GET /..", None), ("GET /a/../b", None), ("GET /a/.", None), ("GET /%68ealth", None),
        ("GET /health?x=1", None), ("GET /health#x", None), ("GET /health;x", None), ("* /health", None),
        ("TRACE /health", None), ("/health", None), ("GET", None), ("GET ", None), ("GET /health\n", None), ("", None),
        (5, None), (["GET", "/health"], None), ("GET /...", ("GET", "/...")),
        ("GET /.well-known", ("GET", "/.well-known")),
    ],
)  # fmt: skip
def test_a_public_request_is_one_method_and_one_exact_path(
    tmp_path: Path, entry: Any, taken: tuple[str, str] | None
) -> None:
    text = a_door({"s": SESSION}, route={"public": [entry]})
    if taken is None:
        assert "routes.0.public.0: expected a" in said(tmp_path, text)
    else:
        assert loaded(tmp_path, text).routes[0].public == (taken,)


@given(st.text(alphabet="/.%a?#;{}* \\", min_size=1, max_size=8))
@example("/a/.a")
def test_no_public_path_can_mean_another_one(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    folder = tmp_path_factory.mktemp("public", numbered=True)
    segments = path.split("/")[1:]
    plain = path == "/" or (path[0] == "/" and all(re.fullmatch(r"[.a]+", one) for one in segments))
    plain = plain and not {".", ".."}.intersection(segments)
    text = a_door({"s": SESSION}, route={"public": [f"GET {path}"]})
    if plain:
        assert loaded(folder, text).routes[0].public == (("GET", path),)
    else:
        assert "public" in said(folder, text)


def test_everything_is_public_where_nobody_looks(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, a_file(route={"public": ["GET /health"]}))
    assert "everything is public where auth is none: leave 'public' out" in problem.message


def test_what_is_public_is_said_once(tmp_path: Path) -> None:
    assert "no item twice" in said(tmp_path, a_door({"s": SESSION}, route={"public": ["GET /h", "GET /h"]}))


def test_a_route_where_nobody_looks_takes_nothing_about_callers_from_the_defaults(tmp_path: Path) -> None:
    defaults = {
        "auth": "required", "accept": ["k", "gateway"], "claims": {"a": "b"}, "revocation": "strict",
        "organization": "required", "public": ["GET /health"], "strip_prefix": False,
    }  # fmt: skip
    bare = {"name": "A", "path": "/a", "upstream": "http://a.test"}
    routes = [{**bare, "auth": "none"}, {**bare, "name": "B", "path": "/b"}]
    text = a_file(defaults=defaults, routes=routes, providers={"k": {**KEY, "bearer": True}}, organization=WHERE)
    open_, shut = loaded(tmp_path, text).routes
    assert (open_.accept, open_.claims, open_.revocation, open_.organization, open_.public, open_.strip_prefix) == (
        (), {}, "normal", "none", (), False,
    )  # fmt: skip
    assert (shut.accept, shut.claims, shut.revocation, shut.organization, shut.public) == (
        ("k", "gateway"), {"a": ("b",)}, "strict", "required", (("GET", "/health"),),
    )  # fmt: skip


def test_a_mistake_among_the_defaults_is_found_there(tmp_path: Path) -> None:
    routes = [{key: value for key, value in ROUTE.items() if key != "auth"}]
    text = a_file(defaults={"accept": ["v", "s"], "organization": "required"}, routes=routes, providers=ALL)
    lines = text.splitlines()
    found = {problem.message: lines[problem.line - 1].strip() for problem in problems(tmp_path, text)}
    assert found["'v' takes everybody: put it last"] == "accept:"
    assert [line for message, line in found.items() if "say where organisations" in message] == [
        "organization: required"
    ]


# ------------------------------------------------------------------------------------------------- the files that ship


EVERYTHING = {
    **dict.fromkeys(variables.addresses(SHIPPED), "https://service.test"),
    **dict.fromkeys(set(variables.unset(SHIPPED, {})) - variables.addresses(SHIPPED), "text"),
}
UPSTREAMS = {name for name in EVERYTHING if name.endswith("_SERVICE_URL") and name != "AUTH_SERVICE_URL"}


def shipped(name: str, environ: Mapping[str, str]) -> Project:
    return next(project for project in load(SHIPPED, environ).all if project.project == name)


def test_crow_has_its_fifteen_services() -> None:
    crow = shipped("crow", {})
    assert len(crow.routes) == len({route.name for route in crow.routes}) == 15
    assert [route.name for route in crow.routes if route.auth == "none"] == ["auth"]
    assert [route.name for route in crow.routes if "anonymous" in route.accept] == ["chat", "interactions"]
    assert all(("GET", "/health") in route.public and ("GET", "/ready") in route.public for route in crow.routes[1:])
    assert [route.name for route in crow.routes if ("POST", "/webhook") in route.public] == ["billing"]


@pytest.mark.parametrize("name", ["crow", "ai-proxy"])
def test_a_shipped_file_stands_with_nothing_set_and_with_everything(name: str) -> None:
    assert not any(route.upstream for route in shipped(name, {}).routes)
    whole = shipped(name, EVERYTHING)
    assert all(route.upstream for route in whole.routes)
    for accepted in {name for route in whole.routes for name in route.accept}:
        provider = whole.providers[accepted]
        assert all(getattr(provider, key) is not None for key in keys_of(type(provider)))


def test_what_crow_needs_besides_its_upstreams_is_named(tmp_path: Path) -> None:
    text = (SHIPPED / "crow.yaml").read_text(encoding="utf-8")
    found = said(tmp_path, text, dict.fromkeys(UPSTREAMS - {"ORG_SERVICE_URL"}, "http://service.test"))
    assert "providers.session.url: is needed by the route 'users': set AUTH_SERVICE_URL" in found
    assert "providers.api_key.url: is needed by the route 'users': set AUTH_SERVICE_URL" in found
    assert "organization.session: is needed by the route 'users': set ORG_SERVICE_URL" in found
    assert found.count("AUTH_SERVICE_URL") == 2  # once for each of them, and not for every route
    assert "organization.api_key" not in found  # its address is an upstream, too


def test_what_the_ai_proxy_needs_besides_its_upstream_is_named(tmp_path: Path) -> None:
    text = (SHIPPED / "ai-proxy.yaml").read_text(encoding="utf-8")
    found = said(tmp_path, text, {"CF_AI_GATEWAY_URL": "https://ai.test"})
    for key, variable in (("issuer", "CF_ACCESS_URL"), ("audience", "CF_ACCESS_AUD"), ("jwks_url", "CF_ACCESS_URL")):
        assert f"providers.access.{key}: is needed by the route 'AI': set {variable}" in found


@pytest.mark.parametrize("environ", [{}, EVERYTHING], ids=["nothing set", "everything set"])
def test_the_command_that_checks_them_finds_nothing_wrong(environ: dict[str, str]) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "gatehouse", "check", "layers/config/projects"],
        cwd=ROOT, env={**kept, "PYTHONPATH": "layers/gatehouse", **environ},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} >= {"crow", "ai-proxy", "metacogna"}


@pytest.mark.parametrize(
    "base", ["http://auth.test", "http://auth.test/", "http://auth.test/base", "http://auth.test/base//"]
)
def test_an_address_whose_variable_ends_with_a_slash_has_one_slash_there(tmp_path: Path, base: str) -> None:
    """An upstream may end with one, too; a service that is asked for //get-session answers something else."""
    text = """\
project: demo
providers:
  session: {type: session, cookie: s, url: "${BASE}/get-session?a=b"}
organization: {session: "${BASE}/o/{organization}"}
routes: [{name: A, path: /a, upstream: "http://a.test", accept: [session]}]
"""
    project = loaded(tmp_path, text, {"BASE": base})
    url = project.providers["session"].url
    assert url == f"{base.rstrip('/')}/get-session?a=b"
    assert project.organization is not None
    assert project.organization.session == f"{base.rstrip('/')}/o/{{organization}}"
