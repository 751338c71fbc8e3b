"""Visitors get tokens of the gateway's own making: the same from every process, and nothing in them of the address."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import token_ids
from gatehouse.credentials.anonymous import anonymous
from gatehouse.errors import AuthUnavailableError
from gatehouse.keys import KeyRing
from gatehouse.tokens import LATEST
from gatehouse.visitors import MARGIN_S, REMEMBERED, MintedVisitors, Visit
from tests.unit.fakes import NOW, OTHER_SECRET, SECRET, FakeClock, FakeRing, a_call, key, ring, run
from tests.unit.private_keys import private

HOUR = 3600


def visitors(
    keys: KeyRing | FakeRing | None = None,
    clock: FakeClock | None = None,
    *,
    project: str = "crow",
    ttl_s: float = HOUR,
) -> MintedVisitors:
    held = keys if isinstance(keys, FakeRing) else FakeRing(keys or ring())
    return MintedVisitors(project, "gateway.example", held, ttl_s, clock or FakeClock())


def visit(made: MintedVisitors, address: str = "192.0.2.7") -> Visit:
    return run(made(a_call(client_ip=address)))


# --------------------------------------------------------------------------------------------------- what is in them


def test_a_visitors_token_says_that_it_is_one_and_for_whom_and_until_when() -> None:
    made = visit(visitors())
    claims = jwt.decode(
        made.token, SECRET, algorithms=["HS256"], audience="crow/anonymous", issuer="gateway.example",
        options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip
    assert claims == made.claims
    assert claims == {
        "iss": "gateway.example", "aud": "crow/anonymous", "sub": made.subject, "jti": claims["jti"],
        "iat": claims["iat"], "exp": claims["iat"] + HOUR + MARGIN_S, "scopes": ["anonymous"], "anonymous": True,
    }  # fmt: skip
    assert claims["iat"] <= NOW < claims["iat"] + HOUR
    assert made.subject.startswith("anonymous:")
    assert len(base64.urlsafe_b64decode(made.subject.removeprefix("anonymous:") + "==")) == 16


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_a_visitors_token_is_signed_with_the_current_key_whatever_its_kind(algorithm: str) -> None:
    made = visit(visitors(ring(private(algorithm, "k9"), key())))
    assert jwt.get_unverified_header(made.token) == {"alg": algorithm, "typ": "JWT", "kid": "k9"}


def test_every_process_makes_the_same_token() -> None:
    assert visit(visitors()) == visit(visitors(clock=FakeClock(visit(visitors()).claims["iat"])))


def test_a_caller_with_nothing_to_show_is_a_visitor_and_no_user() -> None:
    identity = run(anonymous(visitors())(a_call()))
    assert identity is not None
    assert (identity.kind, identity.user, identity.organization, identity.email) == ("anonymous", "", "", "")
    assert identity.scopes == {"anonymous"}
    assert identity.subject == identity.claims["sub"]
    assert identity.token.count(".") == 2
    assert identity.token_id == ""  # nothing of ours is revoked by it
    assert identity.token not in repr(identity)


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8:1:2::77", "::ffff:192.0.2.7", "", "unix"])
def test_nothing_of_the_address_is_in_a_token(address: str) -> None:
    made = visit(visitors(), address)
    said = json.dumps(made.claims)
    for text in {address, "192.0.2.7", "2001:db8", "192", "2001"} - {""}:
        assert text not in said.replace(str(made.claims["iat"]), "").replace(str(made.claims["exp"]), "").replace(
            made.subject, ""
        ).replace(made.claims["jti"], "")


def test_who_has_the_claims_of_a_token_cannot_tell_the_address_without_the_key() -> None:
    one, other = visit(visitors(ring(key(secret=SECRET)))), visit(visitors(ring(key(secret=OTHER_SECRET))))
    assert one.subject != other.subject
    assert one.claims["jti"] != other.claims["jti"]


def test_the_id_of_a_visitors_token_is_not_one_that_can_be_revoked_or_taken_for_anothers() -> None:
    jti = visit(visitors()).claims["jti"]
    assert token_ids.SessionTokenId.read(jti) is None
    assert re.fullmatch(token_ids.FORM, jti) is None  # the API and the command line take no other ids


# -------------------------------------------------------------------------------------------------------- who is one


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:DB8:1:2:0::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("2001:db8:1:2::1", "2001:db8:1:1:ffff:ffff:ffff:ffff", False),
        ("", "no address", True),
        ("", "192.0.2.7", False),
    ],
)
def test_a_visitor_is_an_ipv4_address_or_an_ipv6_network_of_64_bits(one: str, other: str, same: bool) -> None:
    made = visitors()
    assert (visit(made, one).subject == visit(made, other).subject) is same


@given(st.ip_addresses(v=4).map(str), st.sampled_from(["crow", "crow2", "Crow", "c"]))
def test_two_projects_never_share_a_subject(address: str, project: str) -> None:
    # With windows of a second both are in the same one, so that it is not their times that tell them apart.
    one, other = (visit(visitors(project=name, ttl_s=1), address) for name in (project, f"{project}x"))
    assert one.claims["iat"] == other.claims["iat"]
    assert one.subject != other.subject
    assert one.claims["jti"] != other.claims["jti"]
    assert one.claims["aud"] != other.claims["aud"]


def test_a_project_whose_name_ends_like_an_address_begins_is_another_one() -> None:
    assert visit(visitors(project="p1"), "92.0.2.7").subject != visit(visitors(project="p"), "192.0.2.7").subject


# ------------------------------------------------------------------------------------------------------------ windows


@given(
    st.ip_addresses().map(str),
    st.floats(min_value=NOW, max_value=NOW + 10**8),
    st.sampled_from([60.0, 90.5, 3600.0, 86_400.0]),
)
def test_every_moment_is_in_one_window_and_the_token_outlives_it(address: str, now: float, ttl_s: float) -> None:
    claims = visit(visitors(clock=FakeClock(now), ttl_s=ttl_s), address).claims
    assert claims["iat"] <= now < claims["iat"] + int(ttl_s)
    assert claims["exp"] == claims["iat"] + int(ttl_s) + MARGIN_S < LATEST


@pytest.mark.parametrize(
    ("after_s", "same"), [(-0.5, False), (0, True), (0.5, True), (HOUR - 1, True), (HOUR - 0.001, True), (HOUR, False)]
)
def test_a_visitor_keeps_a_subject_for_one_window(after_s: float, same: bool) -> None:
    clock = FakeClock()
    made = visitors(clock=clock)
    first = visit(made)
    clock.now = first.claims["iat"] + after_s
    later = visit(made)
    assert (later == first) is same
    assert later == visit(visitors(clock=clock))  # what is remembered is what would be made
    if not same:
        assert later.subject != first.subject


def test_a_clock_that_is_set_back_gets_the_token_of_that_time_again() -> None:
    clock = FakeClock()
    made = visitors(clock=clock)
    first = visit(made)
    clock.now += 2 * HOUR
    assert visit(made) != first
    clock.now -= 2 * HOUR
    assert visit(made) == first
    assert visit(made).claims["iat"] <= clock.now


def test_the_windows_of_addresses_do_not_all_end_at_one_moment() -> None:
    made = visitors()
    starts = [visit(made, f"192.0.2.{last}").claims["iat"] for last in range(200)]
    assert len(set(starts)) > 150
    # Spread over the whole window: of 200 addresses about 50 begin in each quarter of an hour.
    quarters = [sum(NOW - HOUR + n * 900 < start <= NOW - HOUR + (n + 1) * 900 for start in starts) for n in range(4)]
    assert sum(quarters) == 200
    assert min(quarters) > 20


# ------------------------------------------------------------------------------------------------- what is remembered


class Counting(MintedVisitors):
    """Counts what was signed."""

    signed = 0

    def _make(self, *args: Any) -> Any:
        self.signed += 1
        return super()._make(*args)


def counting(keys: FakeRing | None = None) -> Counting:
    return Counting("crow", "gateway.example", keys or FakeRing(ring()), HOUR, FakeClock())


def test_a_visitor_who_comes_again_costs_no_signature() -> None:
    made = counting()
    assert visit(made) is visit(made, "::ffff:192.0.2.7")
    assert made.signed == 1


def test_addresses_without_end_do_not_fill_the_memory_and_those_that_came_last_stay() -> None:
    made = counting()
    for number in range(REMEMBERED):
        visit(made, f"2001:db8:{number:x}::1")
    visit(made, "2001:db8:0::1")  # used again, so it is not the oldest
    visit(made, "192.0.2.1")
    assert len(made._made) == REMEMBERED
    signed = made.signed
    visit(made, "2001:db8:0::1")
    assert made.signed == signed
    visit(made, "2001:db8:1::1")
    assert made.signed == signed + 1


def test_a_rotated_ring_signs_visitors_anew() -> None:
    keys = FakeRing(ring())
    made = visitors(keys)
    first = visit(made)
    keys.keys = ring(key("k2", OTHER_SECRET), key())
    assert jwt.get_unverified_header(visit(made).token)["kid"] == "k2"
    keys.keys = ring()
    assert visit(made) == first


def test_without_a_key_there_are_no_visitors() -> None:
    class Empty(FakeRing):
        async def current(self) -> KeyRing:
            raise AuthUnavailableError

    with pytest.raises(AuthUnavailableError):
        run(anonymous(visitors(Empty(ring())))(a_call()))
