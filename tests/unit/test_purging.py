"""What a purge may be asked for with; nobody is told that something is gone which was never meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.caching.purging import MOST_ORGANIZATION, MOST_PATH, PurgeOrder, order
from gatehouse.errors import BadPathError, GatewayError, InvalidProjectError, InvalidRequestError, InvalidRouteError
from gatehouse.paths import canonical
from gatehouse.projects import Project, load
from gatehouse.routes import split
from tests.unit.fakes import write

SHOP = """
project: shop
providers: {keys: {type: api_key, prefix: k_, url: "http://auth.test/verify"}}
organization: {api_key: "http://users.test/{user}"}
defaults: {upstream: "http://shop.test", accept: [keys], cache: {ttl: 1m, by: organization}, organization: required}
routes:
  - {name: goods, paths: ["/api/v{version}/goods", /goods]}
  - {name: photos, path: /goods/photos, cache: {ttl: 1h, by: public}}
  - {name: carts, path: /goods/carts, cache: false}
  - {name: mine, path: /mine, cache: {ttl: 1m}, organization: none}
"""
GUEST = """
project: guest-of-the-shop
routes: [{name: goods, path: /goods/lent, upstream: "http://lent.test", auth: none, cache: {ttl: 1m, by: public}}]
"""
PLAIN = 'project: plain\nroutes: [{name: A, path: /a, upstream: "http://a.test", auth: none}]\n'


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, ...]:
    folder = tmp_path_factory.mktemp("projects")
    for name, text in (("a", SHOP), ("b", GUEST), ("c", PLAIN)):
        write(folder, text, f"{name}.yaml")
    return load(folder, {}).all


def refused(kind: type[GatewayError], projects: tuple[Project, ...], /, **asked: str | None) -> str:
    with pytest.raises(GatewayError) as caught:
        order(projects, **{"project": "shop", **asked})
    assert type(caught.value) is kind
    assert caught.value.status == 400
    return str(caught.value)


def test_nothing_but_the_project_means_everything_of_it(projects: tuple[Project, ...]) -> None:
    assert order(projects, project="shop") == PurgeOrder(project="shop")


def test_what_is_said_together_is_kept_together(projects: tuple[Project, ...]) -> None:
    asked = order(projects, project="shop", route="goods", path="/goods/7", organization="o-1")
    assert asked == PurgeOrder(project="shop", route="goods", path="/goods/7", organization="o-1")
    assert asked.view(3) == {
        "project": "shop",
        "route": "goods",
        "path": "/goods/7",
        "organization": "o-1",
        "generation": 3,
        "effectiveWithinSeconds": 5,
    }


def test_what_was_not_said_is_shown_as_nothing(projects: tuple[Project, ...]) -> None:
    view = order(projects, project="shop").view(1)
    assert [view[name] for name in ("route", "path", "organization")] == [None, None, None]


# ----------------------------------------------------------------------------------------------- projects and routes


@pytest.mark.parametrize("project", [None, "", "shops", "Shop", "shop "])
def test_a_project_that_there_is_not_is_answered_with_those_that_there_are(
    projects: tuple[Project, ...], project: str | None
) -> None:
    message = refused(InvalidProjectError, projects, project=project)
    assert message.endswith("There is: shop, guest-of-the-shop, plain.")
    assert ("Name the project" in message) is (not project)


def test_a_project_that_keeps_nothing_is_answered_with_those_that_do(projects: tuple[Project, ...]) -> None:
    assert refused(InvalidProjectError, projects, project="plain") == (
        "There is nothing to purge: no route of the project 'plain' has a 'cache' in the project file. "
        "Projects that have one: shop, guest-of-the-shop."
    )


def test_where_no_project_keeps_anything_that_is_said(projects: tuple[Project, ...]) -> None:
    assert refused(InvalidProjectError, projects[2:], project="plain").endswith("No project has one.")


@pytest.mark.parametrize("route", ["", "carts", "Goods", "nope", "plain"])
def test_a_route_that_keeps_nothing_is_answered_with_those_that_do(projects: tuple[Project, ...], route: str) -> None:
    assert "goods, photos, mine." in refused(InvalidRouteError, projects, route=route)


# ------------------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/goods", "/goods"),
        ("/goods/", "/goods/"),
        ("/goods/7", "/goods/7"),
        ("/goods/*", "/goods/*"),
        ("/goods/7/*", "/goods/7/*"),
        ("/goods/photos/x", "/goods/photos/x"),
        ("/goods/caf\u00e9", "/goods/caf%C3%A9"),
        ("/goods/caf%c3%a9", "/goods/caf%c3%a9"),
        ("/goods/a b", "/goods/a%20b"),
        ("/api/v1/goods", "/api/v1/goods"),
        ("/api/v12/goods/7", "/api/v12/goods/7"),
        ("/api/v1/*", "/api/v1/*"),
        ("/api/*", "/api/*"),
        ("/*", "/*"),
        ("/goods/" + "a" * (MOST_PATH - 7), "/goods/" + "a" * (MOST_PATH - 7)),
    ],
)
def test_a_path_of_a_route_that_keeps_answers_is_taken_as_the_gateway_reads_it(
    projects: tuple[Project, ...], asked: str, path: str
) -> None:
    assert order(projects, project="shop", path=asked).path == path


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1",
        "/api",
        "/good",
        "/goodsy",
        "/Goods",
        "/api/vx/goods",
        "/api/vx/*",
        "/api/v1/good/*",
        "/api/v1/goods-x/*",
        "/goods/carts",
        "/goods/carts/7",
        "/goods/carts/*",
        "/goods/lent",
        "/goods/lent/*",
        "/a",
        "/a/*",
        "/nowhere/*",
    ],
)
def test_a_path_under_which_nothing_is_kept_is_answered_with_those_under_which_something_is(
    projects: tuple[Project, ...], path: str
) -> None:
    message = refused(InvalidRequestError, projects, path=path)
    assert "/api/v{version}/goods, /goods, /goods/photos, /mine ({version} is a number)." in message


def test_a_path_must_be_of_the_route_that_is_named_with_it(projects: tuple[Project, ...]) -> None:
    assert order(projects, project="shop", route="photos", path="/goods/photos/7").route == "photos"
    assert order(projects, project="shop", route="photos", path="/goods/*").path == "/goods/*"
    message = refused(InvalidRequestError, projects, route="photos", path="/goods/7")
    assert message.endswith("lies under: /goods/photos.")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "goods",
        "https://x.test/goods",
        "/goods//7",
        "/goods/../mine",
        "/goods/%2e%2e",
        "/goods/%2F",
        "/goods/%",
        "/goods/#7",
        "/goods/\x00",
        "//*",
        "/goods//*",
        "/goods/\udcff",
    ],
)
def test_a_path_that_the_gateway_would_not_serve_is_refused_as_there(projects: tuple[Project, ...], path: str) -> None:
    with pytest.raises(BadPathError) as served:
        canonical(path)
    assert refused(BadPathError, projects, path=path) == str(served.value)


@pytest.mark.parametrize(
    "path", ["/goods/*/7", "/goods/x*", "*", "/goods/**", "/goods*", "/*/*", "/goods/*?a=1", "/goods?a=1"]
)
def test_a_path_that_is_meant_as_another_pattern_is_told_what_can_be_said(
    projects: tuple[Project, ...], path: str
) -> None:
    kind = InvalidRequestError if path.startswith("/") else BadPathError
    message = refused(kind, projects, path=path)
    assert ("query" in message) is ("?" in path)


def test_a_path_that_is_too_long_is_told_of_shorter_ones(projects: tuple[Project, ...]) -> None:
    assert "with '/*'" in refused(InvalidRequestError, projects, path="/goods/" + "a" * (MOST_PATH - 6))
    assert "with '/*'" in refused(InvalidRequestError, projects, path="/goods/" + "\u00e9" * (MOST_PATH // 6))


@given(st.text(alphabet=st.sampled_from("/abc*%2.;?é\x00 ") | st.characters(), max_size=24))
def test_whatever_path_is_said_is_taken_in_its_canonical_form_or_refused(
    projects: tuple[Project, ...], text: str
) -> None:
    for raw in (text, f"/goods/{text}", f"/goods/{text}/*"):
        try:
            path = order(projects, project="shop", path=raw).path
        except (InvalidRequestError, BadPathError):
            continue
        assert path == canonical(path) == canonical(raw)
        assert path == "/*" or split(path)[0] in {"goods", "api", "mine"}


# ----------------------------------------------------------------------------------------------------- organisations


@pytest.mark.parametrize(
    "organization", ["o", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "x" * MOST_ORGANIZATION, "Zoë & Co"]
)
def test_an_organization_is_any_id(projects: tuple[Project, ...], organization: str) -> None:
    assert order(projects, project="shop", organization=organization).organization == organization


@pytest.mark.parametrize(
    "organization", ["", "x" * (MOST_ORGANIZATION + 1), "a\nb", "a\x00", "\x7f", "\u2028", "\udcff"]
)
def test_what_cannot_be_the_id_of_an_organization_is_refused(projects: tuple[Project, ...], organization: str) -> None:
    assert "1 to 256" in refused(InvalidRequestError, projects, organization=organization)


@pytest.mark.parametrize(
    "asked",
    [
        {"project": "guest-of-the-shop"},
        {"route": "photos"},
        {"route": "mine"},
    ],
)
def test_an_organization_is_refused_where_nothing_is_kept_for_one(
    projects: tuple[Project, ...], asked: dict[str, str]
) -> None:
    assert "leave 'organization' out" in refused(InvalidRequestError, projects, organization="o-1", **asked)


def test_a_path_with_an_organization_must_be_where_answers_are_kept_for_organizations(
    projects: tuple[Project, ...],
) -> None:
    assert order(projects, project="shop", path="/goods/7", organization="o-1").organization == "o-1"
    for path in ("/goods/photos/7", "/mine"):
        message = refused(InvalidRequestError, projects, path=path, organization="o-1")
        assert "lies under: /api/v{version}/goods, /goods (" in message
