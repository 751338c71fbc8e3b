"""Project files: what they may say, and that every mistake is found at once, with its file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.errors import InvalidRequestError
from gatehouse.projects import Problem, ProjectFileError, Projects, health_urls, load
from gatehouse.projects.load import MOST_BYTES
from gatehouse.projects.model import EXPOSED, Cors
from gatehouse.routes import pattern
from tests.unit.fakes import metacogna, the_metacogna, write
from tests.unit.project_files import ROUTE, TOKENS, a_file, loaded, problems, said

# ----------------------------------------------------------------------------------------------- files that are right


def test_the_files_that_ship_with_the_gateway_are_right() -> None:
    assert "metacogna" in {project.project for project in metacogna().all}


def test_metacogna_is_what_it_was() -> None:
    project = the_metacogna()
    assert project.cors == Cors(
        origins=("*",),
        headers=("Authorization", "Content-Type"),
        methods=("GET", "POST", "PUT", "DELETE", "OPTIONS"),
        max_age=86_400.0,
    )
    assert project.tokens
    assert (project.tokens.issuer, project.tokens.audience, project.tokens.ttl) == (
        "gateway.metacogna.ai",
        "metacogna-clients",
        3600,
    )
    assert [(r.name, r.patterns, r.auth, r.strip_prefix) for r in project.routes] == [
        ("BUILD", ("/build",), "required", True),
        ("KV", ("/kv",), "optional", True),
        ("CORE", ("/core",), "optional", True),
    ]


def test_a_route_is_safe_unless_it_says_otherwise(tmp_path: Path) -> None:
    route = loaded(tmp_path, a_file(tokens=TOKENS, route={"auth": "required"})).routes[0]
    text = a_file(tokens=TOKENS).replace("  auth: none\n", "")
    assert loaded(tmp_path, text).routes[0] == route
    assert (route.auth, route.accept, route.strip_prefix, route.timeout) == ("required", ("gateway",), True, 25.0)
    assert route.methods == ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def test_cors_has_the_defaults_that_browsers_need(tmp_path: Path) -> None:
    cors = loaded(tmp_path, a_file(cors={"origins": ["https://app.test"]})).cors
    assert cors
    assert (cors.credentials, cors.max_age, cors.expose) == (False, 86_400.0, EXPOSED)


def test_defaults_stand_under_every_route_and_a_route_can_say_otherwise(tmp_path: Path) -> None:
    routes = [{**ROUTE, "timeout": "2s"}, {**ROUTE, "name": "B", "path": "/b"}]
    project = loaded(tmp_path, a_file(defaults={"timeout": "5s", "strip_prefix": False}, routes=routes))
    assert [(route.timeout, route.strip_prefix) for route in project.routes] == [(2.0, False), (5.0, False)]


def test_a_route_may_have_several_paths(tmp_path: Path) -> None:
    text = a_file(route={"path": None, "paths": ["/a", "/api/v{version}/a"]}).replace("  path: null\n", "")
    assert loaded(tmp_path, text).routes[0].patterns == ("/a", "/api/v{version}/a")


def test_a_loaded_project_cannot_be_changed() -> None:
    project = the_metacogna()
    for value, name in ((project, "project"), (project.routes[0], "auth"), (project.cors, "origins")):
        with pytest.raises(AttributeError):
            setattr(value, name, "other")


def test_yml_files_are_read_too_and_others_are_not(tmp_path: Path) -> None:
    write(tmp_path, a_file(), "a.yml")
    write(tmp_path, "not: [a project", "notes.txt")
    assert [project.project for project in load(tmp_path, {}).all] == ["demo"]


# ------------------------------------------------------------------------------------------------------- ${NAME}


def test_names_are_filled_from_the_environment(tmp_path: Path) -> None:
    text = a_file(route={"upstream": "http://${HOST}:${PORT}/v1"})
    assert loaded(tmp_path, text, {"HOST": "h", "PORT": "8"}).routes[0].upstream == "http://h:8/v1"


@pytest.mark.parametrize("environ", [{}, {"HOST": ""}, {"PORT": "8"}])
def test_an_unset_upstream_does_not_stop_the_gateway(tmp_path: Path, environ: dict[str, str]) -> None:
    assert loaded(tmp_path, a_file(route={"upstream": "http://${HOST}:${PORT}"}), environ).routes[0].upstream is None


def test_an_unset_upstream_among_the_defaults_does_not_stop_it_either(tmp_path: Path) -> None:
    text = a_file(defaults={"upstream": "${NOPE}"}).replace("  upstream: http://a.test\n", "")
    assert loaded(tmp_path, text).routes[0].upstream is None


def test_any_other_name_that_is_not_set_is_a_mistake(tmp_path: Path) -> None:
    text = a_file(tokens={**TOKENS, "issuer": "${WHO}-${ELSE}"})
    assert "the environment has no WHO and no ELSE; set it" in said(tmp_path, text)


@pytest.mark.parametrize("name", ["", " ", "a b", "1A", "A-B", "A:B", "a.b"])
def test_what_is_not_a_name_is_a_mistake(tmp_path: Path, name: str) -> None:
    assert "is not a variable" in said(tmp_path, a_file(route={"upstream": f"http://${{{name}}}"}))


def test_a_filled_value_is_not_filled_again(tmp_path: Path) -> None:
    environ = {"ISSUER": "${OTHER}", "OTHER": "x"}
    tokens = loaded(tmp_path, a_file(tokens={**TOKENS, "issuer": "${ISSUER}"}), environ).tokens
    assert tokens
    assert tokens.issuer == "${OTHER}"


@pytest.mark.parametrize("name", ["secret:KEY", "identity.user", "claims.project", "request.id"])
@pytest.mark.parametrize("where", ["issuer", "upstream"])
def test_what_nothing_fills_yet_is_refused_and_never_taken_literally(tmp_path: Path, name: str, where: str) -> None:
    """`issuer: ${secret:X}` would otherwise make the well-known text '${secret:X}' the issuer."""
    text = f"http://${{{name}}}"
    file = a_file(tokens={**TOKENS, "issuer": text}) if where == "issuer" else a_file(route={"upstream": text})
    assert name in said(tmp_path, file)


# --------------------------------------------------------------------------------------- every mistake, all at once


def test_every_mistake_of_every_file_is_found_at_once_with_its_line(tmp_path: Path) -> None:
    write(
        tmp_path,
        """\
project: one
cors:
  origins: [HTTP://Bad.example]
  max_age: soon
routes:
  - name: A
    path: a
    upstream: ftp://x
    auth: maybe
  - name: B
    pth: /b
    upstream: http://b.test
    timeout: 0s
""",
        "one.yaml",
    )
    write(tmp_path, "project: [two]\nrouts: []\n", "two.yaml")
    with pytest.raises(ProjectFileError) as caught:
        load(tmp_path, {})
    places = {(Path(problem.file).name, problem.line) for problem in caught.value.problems}
    assert places >= {("one.yaml", line) for line in (3, 4, 7, 8, 9, 11, 13)} | {("two.yaml", line) for line in (1, 2)}
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    assert f"{tmp_path / 'one.yaml'}:9: routes.0.auth: expected one of required, optional, none" in str(caught.value)


def test_a_mistake_in_the_defaults_is_found_where_it_was_made(tmp_path: Path) -> None:
    route = "{name: A, path: /a, upstream: 'http://a', auth: none}"
    text = f"project: demo\ndefaults:\n  timeout: never\nroutes:\n  - {route}\n"
    assert said(tmp_path, text).startswith("3: ")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("upsteam", "upstream"),
        ("method", "methods"),
        ("strip_prefx", "strip_prefix"),
        ("Auth", "auth"),
        ("time_out", "timeout"),
    ],
)
def test_an_unknown_key_of_a_route_is_refused_with_the_one_that_was_meant(
    tmp_path: Path, wrong: str, meant: str
) -> None:
    assert f"routes.0.{wrong}: unknown key (did you mean '{meant}'?)" in said(tmp_path, a_file(route={wrong: "x"}))


@pytest.mark.parametrize(
    ("section", "wrong", "meant"),
    [
        ("cors", "orgins", "origins"),
        ("cors", "maxage", "max_age"),
        ("tokens", "audiences", "audience"),
        ("tokens", "issuers", "issuer"),
    ],
)
def test_an_unknown_key_of_a_section_is_refused_with_the_one_that_was_meant(
    tmp_path: Path, section: str, wrong: str, meant: str
) -> None:
    sections = {"cors": {"origins": ["*"]}, "tokens": TOKENS}
    text = a_file(**{section: {**sections[section], wrong: "x"}})
    assert f"{section}.{wrong}: unknown key (did you mean '{meant}'?)" in said(tmp_path, text)


def test_an_unknown_key_of_the_file_is_refused_and_one_like_no_other_gets_no_advice(tmp_path: Path) -> None:
    assert "token: unknown key (did you mean 'tokens'?)" in said(tmp_path, a_file(token={}))
    assert said(tmp_path, a_file(zzzzz=1)).endswith("zzzzz: unknown key")


@pytest.mark.parametrize(
    "name", ["build", "build:live", "build:$LATEST", "arn:aws:lambda:eu-central-1:123456789012:function:build:7"]
)
def test_an_upstream_may_be_a_lambda_function(tmp_path: Path, name: str) -> None:
    (route,) = loaded(tmp_path, a_file(route={"upstream": f"lambda:{name}"})).routes
    assert route.upstream == f"lambda://{name}"


def test_a_functions_name_may_be_a_variable_and_is_no_upstream_where_that_is_not_set(tmp_path: Path) -> None:
    text = a_file(route={"upstream": "lambda:${BUILD_FUNCTION}"})
    assert loaded(tmp_path, text, {"BUILD_FUNCTION": "build:live"}).routes[0].upstream == "lambda://build:live"
    assert loaded(tmp_path, text).routes[0].upstream is None


@pytest.mark.parametrize("name", ["", "//build", "build/base", "a b", "build:", "build:a:b", "build?a", "a" * 65])
def test_what_is_no_functions_name_is_told_how_to_write_one(tmp_path: Path, name: str) -> None:
    assert "write lambda:name" in said(tmp_path, a_file(route={"upstream": f"lambda:{name}"}))


def test_a_service_that_is_asked_about_callers_is_no_function(tmp_path: Path) -> None:
    provider = {"type": "session", "cookie": "sid", "url": "lambda:auth/get-session"}
    assert "is not an address" in said(tmp_path, a_file(providers={"session": provider}))


def test_what_the_four_original_systems_need_is_understood(tmp_path: Path) -> None:
    text = """\
project: crow
limits: {standard: {requests: 100, per: 1m, by: ip}}
providers:
  session:   {type: session, cookie: better-auth.session_token, url: "${AUTH_SERVICE_URL}/get-session"}
  api_key:   {type: api_key, prefix: crow_, headers: [x-api-key, apikey], bearer: true, url: "${AUTH_SERVICE_URL}/v"}
  anonymous: {type: anonymous, ttl: 1h}
  access:    {type: jwks, issuer: "https://t.test", audience: aud, jwks_url: "https://t.test/certs", require: [email],
              retry: [5s, 10s]}
organization: {session: "${AUTH_SERVICE_URL}/o/{organization}", api_key: "${AUTH_SERVICE_URL}/u/{user}",
               headers: {X-API-Key: "${secret:KEY}"}}
defaults: {strip_prefix: false, limit: standard, accept: [session, api_key], organization: required,
           set_headers: {X-User-Id: "${identity.user}", X-Meta: {user_id: "${identity.email}", n: 1}},
           public: ["GET /health"]}
routes:
  - {name: products, paths: ["/api/v{version}/products"], upstream: "${P}", cache: {ttl: 60s, by: organization}}
  - {name: chat, path: "/api/v{version}/chat", upstream: "${P}", streaming: {idle: 5s}, limit: [standard],
     claims: {service: [a, b]}}
"""
    project = loaded(tmp_path, text, {"AUTH_SERVICE_URL": "http://auth.test"})
    assert [route.name for route in project.routes] == ["products", "chat"]


@pytest.mark.parametrize("provider", [{}, {"type": "magic"}, {"type": ["jwks"]}, "jwks", None, {"type": "jwks"}])
def test_a_provider_needs_a_type_and_what_its_type_needs(tmp_path: Path, provider: Any) -> None:
    text = said(tmp_path, a_file(providers={"x": provider}))
    assert "one of jwks, session, api_key, anonymous" in text or "this key is missing" in text


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"project": None}, "project: this key is missing"),
        ({"project": ""}, "project: expected a text"),
        ({"project": "a b"}, "project: expected a name"),
        ({"project": 5}, "project: expected a text"),
        ({"project": True}, "project: expected a text"),
        ({"routes": None}, "routes: this key is missing"),
        ({"routes": []}, "routes: expected a list of at least 1"),
        ({"routes": {}}, "routes: expected a list"),
        ({"routes": ["x"]}, "routes.0: expected a mapping"),
        ({"routes": [ROUTE, {**ROUTE, "path": "/b"}]}, "another route of this file is called 'A'"),
        ({"routes": [ROUTE, {**ROUTE, "name": "B"}]}, "has the path /a, which 'A' of demo has already"),
        ({"cors": {}}, "cors.origins: this key is missing"),
        ({"cors": {"origins": []}}, "at least 1"),
        ({"cors": {"origins": ["https://a.test/"]}}, "expected an origin"),
        ({"cors": {"origins": ["null"]}}, "expected an origin"),
        ({"cors": {"origins": ["https://a.test", "https://a.test"]}}, "no item twice"),
        ({"cors": {"origins": ["*", "https://a.test"]}}, "'*' is every origin"),
        ({"cors": {"origins": ["*"], "credentials": True}}, "every web page act as the user"),
        ({"cors": {"origins": ["*"], "credentials": "yes"}}, "true or false"),
        ({"cors": {"origins": ["*"], "max_age": "500ms"}}, "between 1s and 365d"),
        ({"cors": {"origins": ["*"], "headers": ["a b"]}}, "the name of a header"),
        ({"tokens": {**TOKENS, "guest_routes": ["AUTH"]}}, "'AUTH' is elevated: a guest would be let into every route"),
        ({"tokens": {**TOKENS, "guest_routes": ["NOPE"]}}, "no route of this file is called 'NOPE'"),
        ({"tokens": {**TOKENS, "login_route": "NOPE"}}, "neither a route of this file nor elevated"),
        ({"tokens": {"issuer": "i", "audience": "a"}}, "say which route logins get"),
        ({"tokens": {**TOKENS, "ttl": "366d"}}, "between 1s and 365d"),
        ({"tokens": {**TOKENS, "ttl": "999ms"}}, "between 1s and 365d"),
        ({"tokens": {**TOKENS, "issuer": ""}}, "tokens.issuer: expected a text"),
        ({"tokens": "x"}, "expected a mapping"),
        ({"defaults": {"name": "X"}}, "'name' differs from route to route"),
        ({"defaults": {"path": "/x"}}, "'path' differs from route to route"),
        ({"defaults": []}, "defaults"),
        ({"defaults": {"nope": 1}}, "unknown key"),
        ({"limits": {"x": {"requests": 0, "per": "1m"}}}, "whole number above zero"),
        ({"limits": {"x": {"requests": True, "per": "1m"}}}, "whole number above zero"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_in_words(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    assert what in said(tmp_path, a_file(**changes))


@pytest.mark.parametrize(
    ("route", "what"),
    [
        ({"path": "/build/"}, "expected a path"), ({"path": "build"}, "expected a path"),
        ({"path": "/a//b"}, "expected a path"),
        ({"path": "/a/../b"}, "expected a path"), ({"path": "/."}, "expected a path"),
        ({"path": "/a%20b"}, "expected a path"),
        ({"path": "/a?b"}, "expected a path"), ({"path": "/{other}"}, "expected a path"),
        ({"path": "/a\n"}, "expected a path"),
        ({"path": "/a;b"}, "expected a path"), ({"path": "/é"}, "expected a path"), ({"path": 5}, "expected a text"),
        ({"paths": ["/b"]}, "needs either 'path' or 'paths'"),
        ({"path": "/auth"}, "'/auth' belongs to the gateway itself"),
        ({"path": "/auth/x"}, "belongs to the gateway itself"),
        ({"path": "/.well-known/x"}, "belongs to the gateway itself"),
        ({"path": "/ping"}, "belongs to the gateway itself"), ({"path": "/metrics"}, "belongs to the gateway itself"),
        ({"auth": "required"}, "needs 'accept' (who may call), or 'auth: none' if anyone may"),
        ({"auth": "optional"}, "needs 'accept'"), ({"auth": "Required"}, "expected one of required, optional, none"),
        ({"auth": None}, "expected one of"),
        ({"auth": "required", "accept": ["session"]}, "there is no provider 'session'"), ({"accept": []}, "at least 1"),
        ({"methods": []}, "at least 1"), ({"methods": ["get"]}, "expected one of GET"),
        ({"methods": ["TRACE"]}, "expected one of GET"),
        ({"methods": ["CONNECT"]}, "expected one of GET"), ({"methods": ["GET", "GET"]}, "no item twice"),
        ({"timeout": "0s"}, "is not a duration"), ({"timeout": 5}, "a duration needs a unit: write 5s"),
        ({"strip_prefix": "no"}, "true or false"),
        ({"strip_prefix": 0}, "true or false"),
    ],
)  # fmt: skip
def test_a_route_that_is_wrong_is_refused_in_words(tmp_path: Path, route: dict[str, Any], what: str) -> None:
    assert what in said(tmp_path, a_file(route=route))


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_a_header_to_set_cannot_hold_a_line_break(tmp_path: Path, value: str) -> None:
    assert "a header cannot hold a line break" in said(tmp_path, a_file(route={"set_headers": {"X-A": value}}))


def test_a_route_needs_a_path(tmp_path: Path) -> None:
    text = a_file().replace("  path: /a\n", "")
    assert "needs either 'path' or 'paths'" in said(tmp_path, text)


def test_a_route_needs_an_upstream(tmp_path: Path) -> None:
    assert "routes.0.upstream: this key is missing" in said(
        tmp_path, a_file().replace("  upstream: http://a.test\n", "")
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://a.test",
        "https://a.test:8443/base",
        "http://10.0.0.1:80",
        "http://[::1]:8080",
        "http://build_service:80/",
    ],
)
def test_an_upstream_is_an_address(tmp_path: Path, address: str) -> None:
    assert loaded(tmp_path, a_file(route={"upstream": address})).routes[0].upstream == address.rstrip("/")


@pytest.mark.parametrize("address", [
    "", "a.test", "//a.test", "ftp://a.test", "http://", "http:///x", "http://a.test:99999", "http://a.test:0", "http://a.test:x",
    "http://user:pw@a.test", "http://a@b.test", "http://a.test?x=1", "http://a.test/?", "http://a.test#x", "http://a.test/#",
    "http://a b.test", "http://a.test/\tx", "http://a.test\r\nX: y", "http://é.test", "file:///etc/passwd", "http://[::1",
    "http://${HOST", "http://$HOST", "http://a.test\\@b.test", "http://a.test%2f.b.test", "http://a,b.test",
    "HTTPS//a.test",
])  # fmt: skip
def test_what_is_not_a_plain_address_is_refused(tmp_path: Path, address: str) -> None:
    """Where requests go is decided by configuration alone, and read in one way."""
    assert "routes.0.upstream" in said(tmp_path, a_file(route={"upstream": address}))


def test_credentials_in_an_upstream_are_refused_without_showing_them(tmp_path: Path) -> None:
    assert "s3cret" not in said(tmp_path, a_file(route={"upstream": "http://user:s3cret@a.test"}))


# -------------------------------------------------------------------------------------------------------- the form


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file: expected a mapping"), ("[]", "expected a mapping"), ("just text", "expected a mapping"),
        ("null", "expected a mapping"),
        ("a: [", "is not YAML"), ("a: b: c", "is not YAML"), ("\t", "is not YAML"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("--- 1\n--- 2\n", "is not YAML"), ("*x", "is not YAML"), ("a: \x00", "is not YAML"),
        ("a: !!int x", "is not YAML"),
        ("project: a\nproject: b\n", "2: 'project' is said twice"), ("1: a\n", "a key must be a text"),
        ("[a]: b\n", "a key must be a text"),
        ("on: a\n", "a key must be a text"), ("<<: {a: 1}\n", "a key must be a text"),
        ("a: " + "[" * 40 + "]" * 40, "is nested too deeply"), ("a: &x [*x]", "is nested too deeply"),
        ("project: demo\nroutes: 2026-01-01\n", "expected a list"),
    ],
)  # fmt: skip
def test_what_is_not_plain_yaml_is_refused_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    assert what in said(tmp_path, text)


def test_a_file_that_unfolds_without_end_is_refused_at_once(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert "too" in said(tmp_path, bomb)


def test_a_file_that_is_too_long_or_no_text_is_refused(tmp_path: Path) -> None:
    write(tmp_path, a_file() + "#" * MOST_BYTES, "long.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ProjectFileError) as caught:
        load(tmp_path, {})
    text = str(caught.value)
    assert f"long.yaml:1: is larger than {MOST_BYTES} bytes" in text
    assert "binary.yaml:1: cannot be read as UTF-8 text" in text
    assert "folder.yaml:1: cannot be read as UTF-8 text" in text


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_project_files_is_a_mistake(tmp_path: Path, there: bool) -> None:
    with pytest.raises(ProjectFileError, match="no project file"):
        load(tmp_path if there else tmp_path / "nowhere", {})


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["/a", "http://a", "60s",
        "${X}"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["project", "routes", "defaults", "cors", "tokens", "name", "path", "upstream",
        "origins", "auth"]), inner),
    max_leaves=12,
))  # fmt: skip
def test_any_document_is_a_project_or_a_list_of_problems(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    folder = write(tmp_path_factory.getbasetemp() / "any", yaml.safe_dump(value))
    found: list[Problem] = []
    try:
        load(folder, {})
    except ProjectFileError as error:
        found = error.problems or [Problem("", 0, "an error without problems")]
    assert all(problem.line >= 1 and problem.message for problem in found)


# -------------------------------------------------------------------------------------------------- between files


def two(tmp_path: Path, second: str) -> str:
    write(tmp_path, a_file(tokens=TOKENS), "1.yaml")
    write(tmp_path, second, "2.yaml")
    with pytest.raises(ProjectFileError) as caught:
        load(tmp_path, {})
    return str(caught.value)


def test_two_projects_may_not_share_a_name_a_path_or_an_issuer(tmp_path: Path) -> None:
    text = two(tmp_path, a_file(tokens={**TOKENS, "ttl": "5m"}))
    assert "2.yaml:1: another file is already the project 'demo'" in text
    assert "has the path /a, which 'A' of demo has already" in text
    assert "tokens of one would open the other" in text


def test_two_paths_that_match_the_same_requests_are_one(tmp_path: Path) -> None:
    write(tmp_path, a_file(route={"path": "/v{version}/a"}), "1.yaml")
    write(tmp_path, a_file(project="other", route={"path": "/v{version}/a"}), "2.yaml")
    with pytest.raises(ProjectFileError, match="has already"):
        load(tmp_path, {})


def issuers(tmp_path: Path, *names: str) -> Projects:
    for name in names:
        tokens = {**TOKENS, "issuer": name}
        write(tmp_path, a_file(project=name, tokens=tokens, route={"path": f"/{name}"}), f"{name}.yaml")
    write(tmp_path, a_file(project="open", route={"path": "/open"}), "open.yaml")
    return load(tmp_path, {})


def test_a_login_is_for_the_only_project_with_tokens(tmp_path: Path) -> None:
    assert issuers(tmp_path, "one").issuing()[0].project == "one"
    assert issuers(tmp_path, "one").issuing("one")[0].project == "one"


def test_a_login_names_its_project_where_there_are_several(tmp_path: Path) -> None:
    projects = issuers(tmp_path, "one", "two")
    project, tokens = projects.issuing("two")
    assert (project.project, tokens.issuer) == ("two", "two")
    for wrong in (None, "", "open", "three"):
        with pytest.raises(InvalidRequestError, match="with the key 'project'"):
            projects.issuing(wrong)


def test_where_no_project_has_tokens_nobody_logs_in(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="with the key 'project'"):
        issuers(tmp_path).issuing()


def test_every_policy_of_every_project_is_known(tmp_path: Path) -> None:
    write(tmp_path, a_file(cors={"origins": ["*"]}), "1.yaml")
    write(tmp_path, a_file(project="other", route={"path": "/b"}), "2.yaml")
    assert [cors.origins for cors in load(tmp_path, {}).cors] == [("*",)]


# ------------------------------------------------------------------------------- one mistake does not hide another

HIDING = """\
project: demo
tokens: {issuer: i, audience: a, elevated: [ROOT], guest_routes: [ROOT], ttl: never}
cors: {origins: ["*"], credentials: true, max_age: 5}
defaults: {timeout: banana, limti: 1}
routes:
  - {name: A, path: /auth/a, upstream: "ftp://x"}
  - {name: A, path: /b, upstream: "http://u", auth: none, accept: [gateway], streaming: true}
  - {name: C, path: /c, upstream: }
  - {path: /d, upstream: "http://u", timeout: 5s}
"""


def test_a_mistake_of_form_does_not_hide_mistakes_of_sense(tmp_path: Path) -> None:
    text = said(tmp_path, HIDING)
    for expected in (
        "2: tokens.ttl: 'never' is not a duration",
        "2: 'ROOT' is elevated",
        "3: cors.max_age: a duration needs a unit: write 5s",
        "3: credentials need a list of origins",
        "4: defaults.timeout: 'banana' is not a duration",
        "4: defaults.limti: unknown key (did you mean 'limit'?)",
        "6: routes.0.upstream: 'ftp://x' is not an address",
        "6: '/auth' belongs to the gateway itself",
        "7: another route of this file is called 'A'",
        "7: nobody looks at credentials where auth is none",
        "8: upstream: write an address",
        "9: routes.3.name: this key is missing",
    ):
        assert expected in text


def test_what_was_only_taken_out_is_not_reported_as_missing(tmp_path: Path) -> None:
    text = said(tmp_path, HIDING)
    for wrong in ("needs either", "needs 'accept'", "no provider", "no route of this file", "there is none"):
        assert wrong not in text


@pytest.mark.parametrize(
    ("one", "other", "tie"),
    [
        ("/a", "/a", True), ("/a", "/b", False), ("/a", "/a/b", False), ("/v{version}", "/v{version}", True),
        ("/v{version}/1", "/v1/{version}", True), ("/v{version}", "/v1", False), ("/{version}", "/v{version}", False),
        ("/v{version}/a", "/v{version}/b", False), ("/", "/", True),
    ],
)  # fmt: skip
def test_two_paths_that_nothing_tells_apart_are_refused(one: str, other: str, tie: bool) -> None:
    assert pattern(one).ties_with(pattern(other)) is tie
    assert pattern(other).ties_with(pattern(one)) is tie


def test_one_file_may_be_the_default_of_logins_and_no_two(tmp_path: Path) -> None:
    text = (
        "project: {0}\ntokens: {{issuer: {0}, audience: a, elevated: [R], default: true}}\n"
        "routes: [{{name: R, path: /{0}, upstream: 'http://u'}}]\n"
    )
    write(tmp_path, text.format("one"), "one.yaml")
    write(tmp_path, text.format("two").replace(", default: true", ""), "two.yaml")
    assert load(tmp_path, {}).issuing()[0].project == "one"
    assert load(tmp_path, {}).issuing("two")[0].project == "two"
    write(tmp_path, text.format("two"), "two.yaml")
    with pytest.raises(ProjectFileError, match="more than one file says that it is the default"):
        load(tmp_path, {})


# ------------------------------------------------------------------------------------------- files without `tokens`


def test_a_file_without_tokens_accepts_those_of_services(tmp_path: Path) -> None:
    project = loaded(tmp_path, a_file(route={"auth": "required", "accept": ["gateway"]}))
    assert (project.issuer, project.audience) == ("gatehouse", "demo")
    assert project.routes[0].accept == ("gateway",)


def test_a_file_with_tokens_says_whose_they_are(tmp_path: Path) -> None:
    project = loaded(tmp_path, a_file(tokens=TOKENS))
    assert (project.issuer, project.audience) == ("i", "a")


def test_nobody_issues_the_tokens_that_another_file_has_without_saying_so(tmp_path: Path) -> None:
    write(tmp_path, a_file(project="silent"), "1.yaml")
    borrowed = {**TOKENS, "issuer": "gatehouse", "audience": "silent"}
    text = a_file(project="loud", tokens=borrowed, route={"path": "/b"})
    for first, second in (("1.yaml", "2.yaml"), ("1.yaml", "0.yaml")):
        write(tmp_path, text, second)
        with pytest.raises(ProjectFileError, match="tokens of one would open the other") as caught:
            load(tmp_path, {})
        (problem,) = caught.value.problems
        assert Path(problem.file).name == max(first, second)
        (tmp_path / second).unlink()
    write(tmp_path, text.replace("audience: silent", "audience: loud"), "2.yaml")
    assert len(load(tmp_path, {}).all) == 2


def test_two_files_of_one_name_without_tokens_are_one_mistake(tmp_path: Path) -> None:
    write(tmp_path, a_file(), "1.yaml")
    write(tmp_path, a_file(route={"path": "/b"}), "2.yaml")
    with pytest.raises(ProjectFileError) as caught:
        load(tmp_path, {})
    assert [problem.message for problem in caught.value.problems] == ["another file is already the project 'demo'"]


# ---------------------------------------------------------------------------------- claims, revocation and health

ASKING = {"auth": "required", "accept": ["gateway"]}


def test_a_claim_may_be_one_text_or_one_of_several(tmp_path: Path) -> None:
    claims = {"project": "captionacc", "https://x.test/role": ["a", "b"]}
    route = loaded(tmp_path, a_file(route={**ASKING, "claims": claims, "revocation": "strict"})).routes[0]
    assert route.claims == {"project": ("captionacc",), "https://x.test/role": ("a", "b")}
    assert route.revocation == "strict"


@pytest.mark.parametrize("value", [5, True, None, [], [5], ["a", True], [["a"]], "", [""], {"a": "b"}, 1.5])
def test_a_claim_is_held_against_texts_alone(tmp_path: Path, value: Any) -> None:
    text = said(tmp_path, a_file(route={**ASKING, "claims": {"ok": "x", "wrong": value}}))
    assert "routes.0.claims.wrong: expected a text or a list of texts" in text
    assert "claims.ok" not in text


@pytest.mark.parametrize(
    ("route", "what"),
    [
        ({**ASKING, "claims": ["x"]}, "claims: expected a mapping"),
        ({**ASKING, "claims": {"": "x"}}, "expected a text"),
        ({**ASKING, "claims": {"x": ["a", "a"]}}, "expected no item twice"),
        ({**ASKING, "claims": {"x": "${identity.user}"}}, "is not filled here"),
        ({**ASKING, "auth": "optional", "claims": {"x": "y"}}, "say auth: required, or leave them out"),
        ({"claims": {"x": "y"}}, "say auth: required, or leave them out"),
        ({"revocation": "strict"}, "accept 'gateway', or leave 'revocation' out"),
        ({**ASKING, "revocation": "loose"}, "expected one of normal, strict"),
        ({"health": "health"}, "expected a path of the upstream"), ({"health": "/a?b"}, "expected a path of the"),
        ({"health": "/../x"}, "expected a path of the"), ({"health": "//x"}, "expected a path of the"),
        ({"health": "/v{version}"}, "expected a path of the"), ({"health": "http://x/y"}, "expected a path of the"),
    ],
)  # fmt: skip
def test_what_a_route_cannot_ask_is_refused_with_what_to_do(tmp_path: Path, route: dict[str, Any], what: str) -> None:
    assert what in said(tmp_path, a_file(route=route))


def test_a_strict_route_that_takes_no_token_of_ours_is_refused(tmp_path: Path) -> None:
    """Unknown providers apart: what is strict is the look at our own revocations."""
    text = said(tmp_path, a_file(route={"auth": "required", "accept": ["session"], "revocation": "strict"}))
    assert "accept 'gateway', or leave 'revocation' out" in text


def test_what_the_defaults_ask_of_callers_is_not_asked_where_nobody_looks(tmp_path: Path) -> None:
    defaults = {"accept": ["gateway"], "claims": {"project": "x"}, "revocation": "strict"}
    routes = [ROUTE, {**ROUTE, "name": "B", "path": "/b", "auth": "required"}]
    open_, closed = loaded(tmp_path, a_file(defaults=defaults, routes=routes)).routes
    assert (open_.accept, open_.claims, open_.revocation) == ((), {}, "normal")
    assert (closed.accept, closed.claims, closed.revocation) == (("gateway",), {"project": ("x",)}, "strict")


def test_a_route_may_leave_the_default_claims_out(tmp_path: Path) -> None:
    text = a_file(defaults={"claims": {"project": "x"}}, route={**ASKING, "claims": {}})
    assert loaded(tmp_path, text).routes[0].claims == {}


@pytest.mark.parametrize(
    ("upstream", "health", "url"),
    [
        ("http://a.test", "/api/health", "http://a.test/api/health"),
        ("https://a.test:8443/base/", "/", "https://a.test:8443/base/"),
        ("http://a.test", "/health/", "http://a.test/health/"),
    ],
)
def test_a_health_path_lies_under_the_upstream(tmp_path: Path, upstream: str, health: str, url: str) -> None:
    assert health_urls(loaded(tmp_path, a_file(route={"upstream": upstream, "health": health}))) == [("A", url)]


def test_there_is_no_health_to_ask_for_without_a_path_or_an_upstream(tmp_path: Path) -> None:
    routes = [ROUTE, {**ROUTE, "name": "B", "path": "/b", "upstream": "${NOPE}", "health": "/health"}]
    assert health_urls(loaded(tmp_path, a_file(routes=routes))) == []


# ----------------------------------------------------------------------------------------------------- set_headers


def setting(headers: Any, **route: Any) -> str:
    return a_file(route={**ASKING, "set_headers": headers, **route})


def test_headers_to_set_are_texts_and_mappings(tmp_path: Path) -> None:
    headers = {"X-A": "${claims.a} ${request.id}", "Authorization": "fixed", "X-M": {"u": "${identity.user}", "n": 1.5}}
    assert loaded(tmp_path, setting(headers)).routes[0].set_headers == headers


@pytest.mark.parametrize(
    "name",
    [
        "Host", "content-length", "Connection", "Keep-Alive", "TE", "Transfer-Encoding", "Transfer_Encoding", "Upgrade",
        "Trailer", "Proxy-Authorization", "X-Request-Id", "x_request_id", "X.Request.Id", "X-Forwarded-For",
        "X-Forwarded-Anything", "X_Forwarded_Host", "Forwarded", "X-Gateway-Route", "Cookie2", "Set-Cookie", "Expect",
        "X-HTTP-Method-Override", "X-Original-URL", "HTTP2-Settings",
    ],
)  # fmt: skip
def test_what_the_gateway_says_itself_cannot_be_set(tmp_path: Path, name: str) -> None:
    assert f"'{name}' is said by the gateway itself; leave it out" in said(tmp_path, setting({name: "x"}))


@pytest.mark.parametrize("name", ["X-Gateway-Project", "X-Internal-Key", "X-User-Id", "Authorization", "Cookie", "Via"])
def test_what_clients_may_not_say_can_be_set(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, setting({name: "x"})).routes[0].set_headers == {name: "x"}


@pytest.mark.parametrize("other", ["x-user-id", "X_User_Id", "X.User-Id"])
def test_two_spellings_of_one_header_are_a_mistake(tmp_path: Path, other: str) -> None:
    text = said(tmp_path, setting({"X-User-Id": "a", other: "b"}))
    assert f"'X-User-Id' and '{other}' are one header to many servers" in text


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("${identity.emial}", "X-A: '${identity.emial}' is not known (did you mean '${identity.email}'?)"),
        ("${identity.usr}", "did you mean '${identity.user}'?"), ("${identity.}", "is not known"),
        ("${identity.zzzzzzzzzzzz}", "there is claims.… and identity.kind, identity.subject"),
        ("${request.ids}", "did you mean '${request.id}'?"), ("${request.path}", "'${request.path}' is not known"),
        ("${claims.}", "names no claim"), ("${secret:}", "is not the name of a secret"),
        ("${secret:A-B}", "is not the name of a secret"),
        ("${Identity.email}", "is not a variable"), ("${identity.email", "a '${' is not closed"),
        ("${identity.email} ${", "a '${' is not closed"), ("a\x1bb", "cannot hold a control character"),
        ("a\x85b", "cannot hold a control character"), ({"u": "${identity.nope}"}, "is not known"),
        ({"u": "x ${identity.email"}, "is not closed"),
        ({"${identity.user}": "x"}, "names of a mapping are not filled"),
        ({"u": None}, "set_headers.X-A.u: expected a text, a number, true or false"),
        ({"u": {"v": 1}}, "expected a text"),
        ({"u": float("nan")}, "expected a text, a number"), (5, "expected a text"), ([], "expected a text"),
        ("${NOPE}", "the environment has no NOPE"),
    ],
)  # fmt: skip
def test_a_value_that_can_never_be_said_is_refused_with_what_was_meant(tmp_path: Path, value: Any, what: str) -> None:
    assert what in said(tmp_path, setting({"X-A": value}))


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X-\u00e9", "X\n"])
def test_a_header_needs_the_name_of_one(tmp_path: Path, name: str) -> None:
    text = said(tmp_path, setting({name: "x"}))
    assert "expected the name of a header" in text or "expected a text" in text


def test_each_mistake_among_the_headers_has_its_line(tmp_path: Path) -> None:
    text = """\
project: demo
routes:
  - name: A
    path: /a
    upstream: "http://a.test"
    accept: [gateway]
    set_headers:
      X-Right: "${identity.email}"
      X-Wrong: "${identity.emial}"
      Host: elsewhere
      X-Meta:
        user: "${identity.usr}"
"""
    assert [problem.line for problem in problems(tmp_path, text)] == [9, 10, 11]


@pytest.mark.parametrize("value", ["${identity.user}", "${claims.sub}", {"u": "${identity.email}"}])
def test_nobody_is_named_where_nobody_looks(tmp_path: Path, value: Any) -> None:
    text = said(tmp_path, a_file(route={"set_headers": {"X-A": value}}))
    assert "nobody looks at who is calling where auth is none" in text


def test_a_request_id_and_fixed_texts_may_be_set_anywhere(tmp_path: Path) -> None:
    assert loaded(tmp_path, a_file(route={"set_headers": {"X-A": "${request.id}", "X-B": "fixed"}}))


def test_default_headers_may_stand_over_routes_where_nobody_looks(tmp_path: Path) -> None:
    """There they keep clients from saying them."""
    headers = {"X-User": "${identity.user}", "Authorization": "Bearer ${identity.token}"}
    routes = [ROUTE, {**ROUTE, **ASKING, "name": "B", "path": "/b"}]
    for route in loaded(tmp_path, a_file(defaults={"set_headers": headers}, routes=routes)).routes:
        assert route.set_headers == headers


def test_a_default_header_that_is_no_mapping_is_one_mistake_and_no_crash(tmp_path: Path) -> None:
    text = said(tmp_path, a_file(defaults={"set_headers": 5}, route={**ASKING, "set_headers": {"X-A": "${claims.a}"}}))
    assert text == "12: defaults.set_headers: expected a mapping"


def test_a_header_that_would_hold_the_gateways_own_token_is_refused(tmp_path: Path) -> None:
    text = said(tmp_path, setting({"Authorization": "Bearer ${identity.token}"}))
    assert "the gateway's own tokens never leave it, so '${identity.token}' is never filled" in text


@pytest.mark.parametrize("value", ["${X}", "a ${X}", "$${Y}"])
def test_the_environment_cannot_bring_placeholders_along(tmp_path: Path, value: str) -> None:
    environ = {"X": "${identity.email}", "Y": "{identity.email}"}
    assert "the environment cannot hold those" in "".join(
        problem.message for problem in problems(tmp_path, setting({"X-A": value}), environ)
    )


def test_the_environment_is_filled_in_beside_placeholders(tmp_path: Path) -> None:
    route = loaded(tmp_path, setting({"X-A": "${STAGE}/${claims.a}"}), {"STAGE": "dev"}).routes[0]
    assert route.set_headers == {"X-A": "dev/${claims.a}"}


def test_mistakes_of_form_elsewhere_hide_no_header_and_invent_none(tmp_path: Path) -> None:
    headers = {"Host": "x", "Authorization": "${identity.token}"}
    text = said(tmp_path, a_file(tokens=TOKENS, route={**ASKING, "accept": 5, "timeout": "x", "set_headers": headers}))
    assert "'Host' is said by the gateway itself" in text
    assert "never leave it" not in text


# ------------------------------------------------------------------------------------------------------ captionacc


def test_captionacc_is_what_it_was() -> None:
    project = next(project for project in metacogna().all if project.project == "captionacc")
    (route,) = project.routes
    assert (project.issuer, project.audience, project.tokens) == ("gatehouse", "captionacc", None)
    assert (route.patterns, route.upstream) == (("/captionacc/prefect",), "http://prefect.test")
    assert (route.auth, route.accept, route.strip_prefix) == ("required", ("gateway",), True)
    assert route.claims == {"project": ("captionacc",), "service": ("prefect", "api", "orchestrator", "modal", "web")}
    assert route.set_headers == {
        "X-Gateway-Project": "${claims.project}",
        "X-Gateway-Service": "${claims.service}",
        "X-Gateway-JTI": "${claims.jti}",
    }
    assert health_urls(project) == [("prefect", "http://prefect.test/api/health")]
