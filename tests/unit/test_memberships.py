"""What is read out of the answers of services that know organisations, and what is not believed of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.auth_answers import UnclearAnswerError
from gatehouse.memberships import membership_of, organization_of

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "data", "user", "organization", "organizations", "members", "authId", "success"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)

# ------------------------------------------------------------------------------------------- one that a session named


@pytest.mark.parametrize(
    ("document", "own"),
    [
        ({"id": "own-1"}, "own-1"),
        ({"id": 7}, "7"),
        ({"id": "o" * 256}, "o" * 256),
        ({"id": "own 1"}, "own 1"),
        ({"data": {"id": "own-1"}}, "own-1"),
        ({"organization": {"id": "own-1"}}, "own-1"),
        ({"success": True, "data": {"id": "own-1"}}, "own-1"),
        ({"success": True, "data": {"organization": {"id": "own-1"}}}, "own-1"),
        ({"id": "own-1", "data": {"id": "other"}}, "own-1"),
        ({"id": "own-1", "authId": "org-1"}, "own-1"),
        ({"id": "own-1", "authId": None}, "own-1"),
        ({"id": "own-1", "members": None}, None),
        ({"id": "own-1", "betterAuthOrgId": "org-1", "auth_id": "org-1"}, "own-1"),
        (None, None),
        ({"data": None}, None),
        ({"success": True, "organization": None}, None),
    ],
)
def test_an_organization_is_an_object_with_an_id_perhaps_within_another(document: Any, own: str | None) -> None:
    assert organization_of(document, "org-1", "u1") == own


@pytest.mark.parametrize(
    "document",
    [
        [],
        [{"id": "own-1"}],
        "own-1",
        7,
        True,
        {},
        {"error": "who knows"},
        {"id": None},
        {"id": ""},
        {"id": True},
        {"id": 1.5},
        {"id": ["own-1"]},
        {"id": "o" * 257},
        {"id": " own-1"},
        {"id": "own-1 "},
        {"id": "own\r\n1"},
        {"id": "own-1\n"},
        {"id": "\x7f"},
        {"id": "größe"},
        {"data": "own-1"},
        {"data": []},
        {"success": False, "id": "own-1"},
        {"success": False, "data": {"id": "own-1"}},
        {"success": "yes", "id": "own-1"},
        {"data": {"data": {"data": {"data": {"id": "own-1"}}}}},
    ],
)
def test_what_is_no_organization_decides_nothing(document: Any) -> None:
    with pytest.raises(UnclearAnswerError):
        organization_of(document, "org-1", "u1")


@pytest.mark.parametrize("name", ["authId", "auth_id", "authOrganizationId", "auth_organization_id", "betterAuthOrgId"])
@pytest.mark.parametrize("value", ["org-2", "ORG-1", "", 1, ["org-1"], True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_answer_about_another_organization_is_not_believed(name: str, value: Any, wrapped: bool) -> None:
    document = {"data": {"id": "own-1"}, name: value} if wrapped else {"id": "own-1", name: value}
    with pytest.raises(UnclearAnswerError, match="something else"):
        organization_of(document, "org-1", "u1")


@pytest.mark.parametrize(
    ("members", "belongs"),
    [
        (["u1"], True),
        (["u2", "u1"], True),
        ([{"userId": "u1", "id": "m1"}], True),
        ([{"user_id": "u1"}], True),
        ([{"id": "u1"}], True),
        ([{"authId": "u1", "id": "x"}], True),
        ([{"auth_id": "u1"}], True),
        ([None, 3, [], {"userId": "u1"}], True),
        ([], False),
        (["u2"], False),
        (["U1"], False),
        ([["u1"]], False),
        ([{"userId": "u2"}], False),
        ([{"name": "u1"}], False),
        ([{"email": "u1"}], False),
        ([""], False),
    ],
)
@pytest.mark.parametrize("outside", [False, True])
def test_who_is_not_among_the_members_that_are_listed_does_not_belong(
    members: Any, belongs: bool, outside: bool
) -> None:
    inner = {"id": "own-1"}
    document = {"organization": inner, "members": members} if outside else {"data": {**inner, "members": members}}
    assert organization_of(document, "org-1", "u1") == ("own-1" if belongs else None)


def test_nobody_in_particular_is_not_a_member() -> None:
    assert organization_of({"id": "own-1", "members": ["", None, {"userId": ""}]}, "org-1", "") is None


def test_a_number_is_a_member_by_its_digits() -> None:
    assert organization_of({"id": 5, "members": [17, True]}, "5", "17") == "5"
    assert organization_of({"id": 5, "members": [True]}, "5", "True") is None


# --------------------------------------------------------------------------------------------- one that a key names


@pytest.mark.parametrize(
    ("user", "own"),
    [
        ({"organizations": ["org-1"]}, "org-1"),
        ({"organizations": ["x", "org-1"]}, "org-1"),
        ({"organizations": [{"id": "own-1", "authId": "org-1"}]}, "own-1"),
        ({"organizations": [{"id": "own-1", "auth_id": "org-1"}]}, "own-1"),
        ({"organizations": [{"id": "own-1", "betterAuthOrgId": "org-1"}]}, "own-1"),
        ({"organizations": [{"id": "org-1", "authId": "a-9"}]}, "org-1"),
        ({"organizations": [{"id": 4, "authId": "org-1"}]}, "4"),
        ({"memberships": [{"id": "m1", "organizationId": "org-1"}]}, "org-1"),
        ({"memberships": [{"id": "m1", "organization_id": "org-1"}]}, "org-1"),
        ({"memberships": [{"id": "m1", "organizationId": "own-1", "authOrganizationId": "org-1"}]}, "own-1"),
        ({"memberships": [{"id": "m1", "organization": {"id": "own-1", "authId": "org-1"}}]}, "own-1"),
        ({"memberships": [{"id": "m1", "organizationId": "org-1", "organization": {"id": "own-1"}}]}, "own-1"),
        ({"memberships": [{"id": "m1", "organizationId": "org-1", "organization": {"name": "Acme"}}]}, "org-1"),
        ({"organizations": [], "memberships": ["org-1"]}, "org-1"),
        ({"organizationId": "org-1"}, "org-1"),
        ({"organization_id": "org-1"}, "org-1"),
        ({"organizationId": "own-1", "authOrganizationId": "org-1"}, "own-1"),
        ({"organizationId": "own-1", "auth_organization_id": "org-1"}, "own-1"),
        ({"organization": {"id": "own-1", "authId": "org-1"}}, "own-1"),
    ],
)
@pytest.mark.parametrize("wrap", ["", "data", "user"])
def test_a_key_works_for_an_organization_that_its_user_is_in(user: dict[str, Any], own: str, wrap: str) -> None:
    document = {"id": "user-own", "authId": "u1", **user}
    assert membership_of({wrap: document} if wrap else document, "org-1", "u1") == own


@pytest.mark.parametrize(
    "user",
    [
        {},
        {"organizations": []},
        {"organizations": None, "memberships": "org-1"},
        {"organizations": {"org-1": {}}},
        {"organizations": ["org-2", None, 5, True, [], ["org-1"], {}]},
        {"organizations": [{"id": "own-2", "authId": "org-2", "name": "org-1", "slug": "org-1"}]},
        {"memberships": [{"id": "org-1", "organizationId": "org-2"}]},
        {"memberships": [{"id": "org-1", "organization": {"id": "own-2", "authId": "org-2"}}]},
        {"memberships": [{"id": "org-1", "organization": {"authId": "org-2"}}]},
        {"memberships": [{"id": "m1", "userId": "org-1", "role": "org-1"}]},
        {"organizationId": "org-2", "authOrganizationId": "ORG-1"},
        {"organizationId": ["org-1"]},
        {"activeOrganizationId": "org-1"},
        {"email": "org-1", "organization": "org-1"},
    ],
)
def test_a_key_does_not_work_for_an_organization_that_its_user_is_not_in(user: dict[str, Any]) -> None:
    assert membership_of({"id": "user-own", "authId": "u1", **user}, "org-1", "u1") is None


@pytest.mark.parametrize("mine", ["user-own", "u1"])
def test_the_ids_of_a_user_are_not_those_of_an_organization(mine: str) -> None:
    assert membership_of({"id": "user-own", "authId": "u1", "organizations": ["o"]}, mine, "u1") is None


@pytest.mark.parametrize("document", [None, {"data": None}, {"success": True, "user": None}])
def test_a_user_whom_the_service_does_not_know_is_in_no_organization(document: Any) -> None:
    assert membership_of(document, "org-1", "u1") is None


@pytest.mark.parametrize(
    "document",
    [
        [],
        ["org-1"],
        "org-1",
        {},
        {"error": "who knows"},
        {"success": False, "organizations": ["org-1"]},
        {"authId": "u2", "organizations": ["org-1"]},
        {"id": "user-own", "auth_id": "u2", "organizations": ["org-1"]},
        {"betterAuthUserId": "u2", "data": {"id": "x", "organizations": ["org-1"]}},
        {"organizations": [{"authId": "org-1"}]},
        {"memberships": [{"id": "m1", "organization": {"authId": "org-1"}}]},
        {"organizations": [{"id": "own\n1", "authId": "org-1"}]},
        {"organizations": [{"id": "o" * 257, "authId": "org-1"}]},
    ],
)
def test_what_is_no_user_or_another_one_decides_nothing(document: Any) -> None:
    with pytest.raises(UnclearAnswerError):
        membership_of(document, "org-1", "u1")


# ------------------------------------------------------------------------------------------------------- whatever comes


@given(ANYTHING)
def test_whatever_a_service_says_comes_out_as_an_id_or_nothing_or_as_unclear(document: Any) -> None:
    for read in (organization_of, membership_of):
        try:
            own = read(document, "org-1", "u1")
        except UnclearAnswerError:
            continue
        assert own is None or (0 < len(own) <= 256 and own.isascii() and own.isprintable())


@pytest.mark.parametrize("members", [12, {}, {"items": []}, "u1", True])
def test_members_that_are_no_list_decide_nothing(members: Any) -> None:
    with pytest.raises(UnclearAnswerError):
        organization_of({"id": "own-1", "members": members}, "org-1", "u1")
