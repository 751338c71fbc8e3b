"""What services say of organisations and of who belongs to them, read out of their answers.

An organisation has two ids: the one that the auth service gave it, which credentials name, and its own, which the
services behind the gateway know it by. Names and slugs are never compared: anybody can choose those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gatehouse.auth_answers import UnclearAnswerError

_ID = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")
"""1 to 256 printable characters of ASCII: what a header can carry unchanged."""
_UNSAID = object()
_MOST_LAYERS = 4
_AUTH_IDS = ("authId", "auth_id", "authOrganizationId", "auth_organization_id", "betterAuthOrgId")
_OWN_IDS = ("organizationId", "organization_id")
_USER_AUTH_IDS = ("authId", "auth_id", "authUserId", "auth_user_id", "betterAuthUserId")
_MEMBER_IDS = ("userId", "user_id", "id", "authId", "auth_id")
_LISTS = ("organizations", "memberships")


def organization_of(document: Any, asked: str, user: str) -> str | None:
    """Return the own id of the organisation that *document* tells of; None if there is none, or not for *user*.

    Args:
        document: the answer: an object with an `id`, perhaps within `data` or `organization`; `null` if there is none.
        asked: the auth service's id of the organisation that was asked for.
        user: the auth service's id of the user. Where the answer lists `members`, they must be one.

    Raises:
        UnclearAnswerError: it is something else, or about another organisation.
    """
    layers = _layers(document, ("data", "organization"), ends=("id",))
    for layer in layers:
        _check_about(layer, asked, _AUTH_IDS)
    if not layers or not all(_may_have_member(layer, user) for layer in layers):
        return None
    return checked_id(layers[-1].get("id"))


def membership_of(document: Any, asked: str, user: str) -> str | None:
    """Return the own id of the organisation *asked* if the user that *document* tells of is in it, else None.

    Args:
        document: the answer: a user with `organizations` or `memberships` (ids, or objects that have one) or with an
            `organizationId`, perhaps within `data` or `user`; `null` if there is no such user.
        asked: the id of the organisation, its own or the auth service's.
        user: the auth service's id of the user who was asked for.

    Raises:
        UnclearAnswerError: it is something else, or about another user.
    """
    layers = _layers(document, ("data", "user"), ends=("id", "organization", *_LISTS, *_OWN_IDS))
    for layer in layers:
        _check_about(layer, user, _USER_AUTH_IDS)
    for own, names in _memberships(layers[-1]) if layers else ():
        if asked in names:
            return checked_id(own)
    return None


def checked_id(value: Any) -> str:
    """Return *value*, an organisation's own id, as text.

    Raises:
        UnclearAnswerError: it is none.
    """
    text = _text(value)
    if not _ID.fullmatch(text):
        raise UnclearAnswerError("no id of 1 to 256 printable characters")
    return text


def _layers(document: Any, wrappers: tuple[str, ...], ends: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """Return the objects that *document* is, from the outermost to the one that has one of *ends*; none for `null`."""
    layers: list[Mapping[str, Any]] = []
    found = document
    while found is not None:
        if not isinstance(found, dict) or len(layers) == _MOST_LAYERS:
            raise UnclearAnswerError("not an object")
        if found.get("success", True) is not True:
            raise UnclearAnswerError("no success")
        layers.append(found)
        inner = next((name for name in wrappers if name in found), None)
        if any(name in found for name in ends):
            return layers
        if inner is None:
            raise UnclearAnswerError("not what was asked for")
        found = found[inner]
    return []


def _check_about(said: Mapping[str, Any], asked: str, names: tuple[str, ...]) -> None:
    if any(said.get(name) is not None and _text(said[name]) != asked for name in names):
        raise UnclearAnswerError("about something else than was asked for")


def _may_have_member(organization: Mapping[str, Any], user: str) -> bool:
    """Say whether *user* is a member of *organization*, or it does not list its members. `null` lists none."""
    members = organization.get("members", _UNSAID)
    if members is _UNSAID:
        return True
    if not isinstance(members, list | None):
        raise UnclearAnswerError("members are no list")
    return any(user in _names(member) for member in members or ())


def _names(member: Any) -> set[str]:
    values = [member.get(name) for name in _MEMBER_IDS] if isinstance(member, dict) else [member]
    return {_text(value) for value in values} - {""}


def _memberships(user: Mapping[str, Any]) -> Iterator[tuple[Any, set[str]]]:
    """Yield the own id of every organisation that *user* is in, and all ids that it has."""
    for name in _LISTS:
        listed = user.get(name)
        for item in listed if isinstance(listed, list) else ():
            yield _membership(item)
    # Of the user's own members only these: `id` and `authId` are the user's.
    single = {name: user.get(name) for name in (*_OWN_IDS, *_AUTH_IDS[2:], "organization")}
    yield _membership(single)


def _membership(item: Any) -> tuple[Any, set[str]]:
    if not isinstance(item, dict):
        return item, {_text(item)} - {""}
    nested = item.get("organization")
    inner = nested if isinstance(nested, dict) else {}
    # An `id` beside an `organizationId`, or around an `organization`, is the membership's and not the organisation's.
    own = [inner.get("id"), *(item.get(name) for name in _OWN_IDS), *([] if inner else [item.get("id")])]
    known = [value for value in own if _text(value)][:1]
    others = [one.get(name) for one in (item, inner) for name in (*_OWN_IDS, *_AUTH_IDS)]
    return next(iter(known), None), {_text(value) for value in (*known, *others)} - {""}


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
