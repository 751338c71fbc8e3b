"""A token is believed when everything about it is beyond doubt, and refused in one way when it is not."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import jose
from gatehouse.call import Identity
from gatehouse.errors import AuthUnavailableError, GatewayError, InvalidTokenError
from gatehouse.keys import KeyRing
from gatehouse.tokens import LATEST, LEEWAY_S, LONGEST_S, REMEMBERED, Issuer, TokenVerifier, mint
from tests.unit.fakes import METACOGNA, NOW, OTHER_SECRET, SECRET, FakeClock, FakeRing, key, ring, run

CLAIMS: dict[str, Any] = {
    "iss": METACOGNA.issuer,
    "aud": METACOGNA.audience,
    "sub": "ada",
    "projectId": "ada",
    "route": "AUTH",
    "scopes": ["admin"],
    "environment": "production",
    "issuedBy": METACOGNA.issuer,
    "iat": NOW,
    "exp": NOW + 3600,
    "jti": "0123456789abcdef",
}
JOSE_HEADER = {"alg": "HS256", "typ": "JWT", "kid": "k1"}
GONE = object()


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: bytes, claims: bytes, secret: str = SECRET) -> str:
    """A token with exactly these bytes, and a signature that is right."""
    first = f"{part(header)}.{part(claims)}"
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{first}.{part(algorithm.sign(first.encode(), secret.encode()))}"


def changed(base: dict[str, Any], changes: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in {**base, **changes}.items() if value is not GONE}).encode()


def token(secret: str = SECRET, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    return signed(changed(JOSE_HEADER, header or {}), changed(CLAIMS, claims), secret)


def verifier(keys: KeyRing | None = None, clock: FakeClock | None = None) -> TokenVerifier:
    return TokenVerifier(FakeRing(keys or ring()), METACOGNA, clock or FakeClock())


def believed(text: str, keys: KeyRing | None = None, clock: FakeClock | None = None) -> bool:
    """Whether *text* is believed; anything but an identity or a refusal of ours fails the test."""
    try:
        identity = run(verifier(keys, clock).verify(text))
    except InvalidTokenError:
        return False
    return isinstance(identity, Identity)


# ------------------------------------------------------------------------------------------------- what is believed


def test_a_minted_token_is_believed_and_says_who_is_calling() -> None:
    text = mint(
        ring(), METACOGNA, {"sub": "ada", "projectId": "ada", "scopes": ["admin"]}, ttl_s=3600, now=NOW + 0.9
    ).token
    identity = run(verifier().verify(text))
    assert (identity.kind, identity.subject, identity.user) == ("gateway", "ada", "ada")
    assert identity.scopes == {"admin"}
    assert identity.token == text
    assert (identity.claims["iat"], identity.claims["exp"]) == (NOW, NOW + 3600)


def test_claims_that_are_handed_in_never_replace_who_issued_a_token_to_whom_and_until_when() -> None:
    wanted = {"sub": "ada", "iss": "evil", "aud": "evil", "exp": LATEST, "iat": 0}
    claims = run(verifier().verify(mint(ring(), METACOGNA, wanted, ttl_s=60, now=NOW).token)).claims
    assert (claims["iss"], claims["aud"], claims["exp"]) == (METACOGNA.issuer, METACOGNA.audience, NOW + 60)
    assert claims["iat"] == NOW


def test_every_minted_token_has_an_id_of_its_own() -> None:
    made = {jwt.decode(mint(ring(), METACOGNA, {}, ttl_s=60, now=NOW).token, options={"verify_signature": False})["jti"]
            for _ in range(50)}  # fmt: skip
    assert len(made) == 50


def test_a_token_does_not_show_in_the_text_of_an_identity() -> None:
    text = token()
    assert text not in repr(run(verifier().verify(text)))


def test_an_audience_among_several_is_ours() -> None:
    assert believed(token(aud=["others", METACOGNA.audience]))


# ---------------------------------------------------------------------------------------------- every small change


@pytest.mark.parametrize("place", range(3))
def test_a_token_with_any_one_character_changed_is_refused(place: int) -> None:
    text = token()
    parts = text.split(".")
    for at, char in enumerate(parts[place]):
        for other in ("A", "B", "_", "=", ".", "é", "\udc80"):
            if other != char:
                tampered = [*parts]
                tampered[place] = parts[place][:at] + other + parts[place][at + 1 :]
                assert not believed(".".join(tampered)), (place, at, other)


def test_a_token_with_any_one_bit_changed_is_refused() -> None:
    raw = [base64.urlsafe_b64decode(piece + "==") for piece in token().split(".")]
    for place, data in enumerate(raw):
        for bit in range(len(data) * 8):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            assert not believed(
                ".".join(part(bytes(flipped) if at == place else whole) for at, whole in enumerate(raw))
            )


@pytest.mark.parametrize("change",
    [lambda t: t + "=", lambda t: t + "==", lambda t: t + "A", lambda t: t[:-1], lambda t: " " + t,
    lambda t: t + " ", lambda t: t + "\n", lambda t: t + ".", lambda t: "." + t, lambda t: t + ".x",
    lambda t: t.upper(),
    lambda t: t.rpartition(".")[0] + ".", lambda t: t.rpartition(".")[0], lambda t: t.replace(".", ".."),
    lambda t: t.replace(".", ".\n"), lambda t: t + "\udc80", lambda t: "\ufeff" + t, lambda t: t + "é",
    lambda t: ""])  # fmt: skip
def test_another_spelling_of_a_good_token_is_refused(change: Any) -> None:
    """PyJWT takes the padded form and junk in base64: a list of revoked texts could be walked past."""
    assert believed(token())
    assert not believed(change(token()))


def test_the_unused_bits_of_the_last_character_must_be_zero() -> None:
    text = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [text[:-1] + char for char in alphabet if char != text[-1]]
    assert not any(believed(twin) for twin in twins)


# -------------------------------------------------------------------------------------------------- the JOSE header


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"}, {"alg": "None"}, {"alg": "HS512"}, {"alg": "HS384"}, {"alg": "RS256"}, {"alg": "hs256"},
        {"alg": ""}, {"alg": None}, {"alg": ["HS256"]}, {"alg": GONE}, {"alg": 256},
        {"typ": GONE}, {"typ": "at+jwt"}, {"typ": "JWE"}, {"typ": ""}, {"typ": None}, {"typ": ["JWT"]},
        {"kid": GONE}, {"kid": ""}, {"kid": None}, {"kid": 1}, {"kid": "k2"}, {"kid": ["k1"]}, {"kid": "K1"},
        {"kid": "k" * 65}, {"kid": "../../dev/null"},
        {"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"cty": "JWT"}, {"zip": "DEF"}, {"jku": "https://evil.test"},
        {"x5u": "https://evil.test"}, {"x5c": []}, {"jwk": {"kty": "oct", "k": part(SECRET.encode())}}, {"extra": 1},
        {"": ""},
    ],
)  # fmt: skip
def test_a_header_that_is_not_exactly_ours_is_refused(header: dict[str, Any]) -> None:
    assert not believed(token(header=header))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "Jwt"])
def test_the_type_is_jwt_in_any_case(typ: str) -> None:
    assert believed(token(header={"typ": typ}))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "none"])
def test_the_key_says_which_algorithm_and_never_the_token(algorithm: str) -> None:
    secret = SECRET + OTHER_SECRET  # long enough for all of them
    text = jwt.encode(CLAIMS, secret if algorithm != "none" else "", algorithm=algorithm, headers={"kid": "k1"})
    assert believed(text, ring(key("k1", secret))) == (algorithm == "HS256")


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none","alg":"HS256","typ":"JWT","kid":"k1"}',
        b'{"alg":"HS256","typ":"JWT","kid":"k2","kid":"k1"}',
        b'\xef\xbb\xbf{"alg":"HS256","typ":"JWT","kid":"k1"}',
        '{"alg":"HS256","typ":"JWT","kid":"k1"}'.encode("utf-16"),
        b'{"alg":"HS256","typ":"JWT","kid":"\xff"}',
        b'{"alg":"HS256","typ":"JWT","kid":"k1"} x',
        b'{"alg":"HS256","typ":"JWT","kid":"k1"',
        b'["HS256"]', b'"HS256"', b"null", b"0", b"{}", b"\x00",
        b'{"alg":"HS256","typ":"JWT","kid":"k1","n":NaN}',
        b'{"alg":' + b"[" * 3000 + b"]" * 3000 + b"}",
    ],
)  # fmt: skip
def test_a_header_that_two_readers_could_read_differently_is_refused(header: bytes) -> None:
    assert not believed(signed(header, changed(CLAIMS, {})))


# -------------------------------------------------------------------------------------------------------- the claims


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat", "jti", "sub"])
@pytest.mark.parametrize("value", [GONE, None, "", [], {}, True, [""], 1.5])
def test_a_registered_claim_that_is_missing_or_of_another_type_is_refused(name: str, value: object) -> None:
    assert not believed(token(**{name: value}))


@pytest.mark.parametrize(
    "value", ["evil", METACOGNA.issuer + "/", METACOGNA.issuer.upper(), [METACOGNA.issuer], "metacogna-clients"]
)
def test_another_issuer_is_refused(value: object) -> None:
    assert not believed(token(iss=value))


@pytest.mark.parametrize(
    "value",
    ["evil", ["evil"], "metacogna-client", "METACOGNA-CLIENTS", ["metacogna-clients", 1], {"metacogna-clients": 1}],
)
def test_another_audience_is_refused(value: object) -> None:
    assert not believed(token(aud=value))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1800003600", 1.8e9, -1, LATEST, 10**400, True, None, [], "soon", float(NOW)])
def test_a_time_that_is_not_a_whole_number_of_seconds_is_refused(name: str, value: object) -> None:
    assert not believed(token(**{name: value}))


@pytest.mark.parametrize("number", ["1e308", "1e999", "NaN", "Infinity", "-Infinity", "9" * 5000, "1.8e9", "-0.0"])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_numbers_at_the_edge_of_json_are_refused(name: str, number: str) -> None:
    claims = changed(CLAIMS, {name: "@"}).replace(b'"@"', number.encode())
    assert not believed(signed(changed(JOSE_HEADER, {}), claims))


@pytest.mark.parametrize("name", ["sub", "jti", "route", "projectId", "project", "environment", "issuedBy"])
@pytest.mark.parametrize("value", ["", 1, True, ["AUTH"], {"AUTH": 1}, "\ud800", None])
def test_a_claim_that_decides_something_must_be_a_text(name: str, value: object) -> None:
    assert not believed(token(**{name: value}))


@pytest.mark.parametrize("value", ["admin", [1], [""], [["admin"]], {"admin": 1}, None, [None], 0])
def test_scopes_must_be_a_list_of_texts(value: object) -> None:
    assert not believed(token(scopes=value))


@pytest.mark.parametrize(
    "claims",
    [
        changed(CLAIMS, {})[:-1] + b',"sub":"root"}',
        changed(CLAIMS, {})[:-1] + b',"exp":1900000000}',
        changed(CLAIMS, {})[:-1] + b',"x":{"a":1,"a":2}}',
        b"\xef\xbb\xbf" + changed(CLAIMS, {}),
        changed(CLAIMS, {}).decode().encode("utf-16"),
        changed(CLAIMS, {})[:-1] + b',"x":NaN}',
        b"[]", b"null", b'"text"', b"{", b"", b"\xff",
    ],
)  # fmt: skip
def test_claims_that_two_readers_could_read_differently_are_refused(claims: bytes) -> None:
    assert not believed(signed(changed(JOSE_HEADER, {}), claims))


@pytest.mark.parametrize("depth", [100, 900, 920, 940, 950, 960, 970, 980, 990, 1000, 2500])
def test_no_depth_of_nesting_in_a_signed_token_is_anything_but_an_answer(depth: int) -> None:
    nested = changed(CLAIMS, {})[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
    believed(signed(changed(JOSE_HEADER, {}), nested))


# --------------------------------------------------------------------------------------------------------- the times


@pytest.mark.parametrize(
    ("after_s", "good"), [(-1, True), (0, True), (LEEWAY_S - 1, True), (LEEWAY_S, False), (LEEWAY_S + 1, False)]
)
def test_a_token_is_good_until_its_end_and_thirty_seconds(after_s: int, good: bool) -> None:
    assert believed(token(exp=NOW, iat=NOW - 60), clock=FakeClock(NOW + after_s)) == good


@pytest.mark.parametrize("name", ["iat", "nbf"])
@pytest.mark.parametrize(
    ("before_s", "good"), [(-1, True), (0, True), (LEEWAY_S - 1, True), (LEEWAY_S, True), (LEEWAY_S + 1, False)]
)
def test_a_token_is_good_from_thirty_seconds_before_its_beginning(name: str, before_s: int, good: bool) -> None:
    assert believed(token(**{name: NOW}), clock=FakeClock(NOW - before_s)) == good


@pytest.mark.parametrize(
    ("length_s", "good"), [(-1, False), (0, False), (1, True), (LONGEST_S, True), (LONGEST_S + 1, False)]
)
def test_a_token_lives_between_a_second_and_a_year(length_s: int, good: bool) -> None:
    assert believed(token(iat=NOW, exp=NOW + length_s)) == good


@pytest.mark.parametrize(("after_s", "good"), [(LEEWAY_S - 1, True), (LEEWAY_S, False), (LEEWAY_S + 1, False)])
def test_a_remembered_token_expires_when_a_new_one_would(after_s: int, good: bool) -> None:
    clock = FakeClock()
    text, seen = token(exp=NOW + 60), verifier(clock=clock)
    run(seen.verify(text))
    clock.now = NOW + 60 + after_s
    if good:
        assert run(seen.verify(text)).subject == "ada"
    else:
        with pytest.raises(InvalidTokenError):
            run(seen.verify(text))


# ------------------------------------------------------------------------------------------------------ keys and rings


def test_a_token_signed_with_another_secret_is_refused() -> None:
    assert not believed(token(OTHER_SECRET))


def test_each_token_is_checked_with_the_key_it_names_and_no_other() -> None:
    both = ring(key("k1"), key("k2", OTHER_SECRET))
    assert believed(token(OTHER_SECRET, header={"kid": "k2"}), both)
    assert not believed(token(OTHER_SECRET, header={"kid": "k1"}), both)
    assert not believed(token(SECRET, header={"kid": "k2"}), both)


def test_a_token_without_a_kid_is_checked_with_the_legacy_key_only() -> None:
    old = ring(key("k1"), key("old", OTHER_SECRET, legacy=True))
    assert believed(token(OTHER_SECRET, header={"kid": GONE}), old)
    assert not believed(token(SECRET, header={"kid": GONE}), old)
    assert not believed(token(SECRET, header={"kid": GONE}), ring(key("k1")))


@pytest.mark.parametrize("name", ["jti", "sub"])
def test_only_under_a_legacy_key_may_an_id_be_missing(name: str) -> None:
    legacy = ring(key("k1", legacy=True))
    assert believed(token(header={"kid": GONE, "typ": GONE}, **{name: GONE}), legacy)
    assert not believed(token(**{name: GONE}), ring(key("k1")))


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat"])
def test_under_a_legacy_key_too_a_token_says_whose_it_is_and_until_when(name: str) -> None:
    assert not believed(token(header={"kid": GONE}, **{name: GONE}), ring(key("k1", legacy=True)))


def test_the_subject_of_an_old_token_is_its_project_or_its_id() -> None:
    legacy = verifier(ring(key("k1", legacy=True)))
    assert run(legacy.verify(token(sub=GONE))).subject == "ada"
    assert run(legacy.verify(token(sub=GONE, projectId=GONE))).subject == CLAIMS["jti"]


def test_a_remembered_token_is_checked_again_once_the_ring_has_changed() -> None:
    """A key that was taken out because it leaked must not live on in memory."""
    keys = FakeRing(ring(key("k1")))
    seen = TokenVerifier(keys, METACOGNA, FakeClock())
    run(seen.verify(token()))
    keys.keys = ring(key("k2", OTHER_SECRET))
    with pytest.raises(InvalidTokenError):
        run(seen.verify(token()))


def test_a_remembered_token_is_not_read_again() -> None:
    keys = FakeRing(ring())
    seen = TokenVerifier(keys, METACOGNA, FakeClock())
    first, second = run(seen.verify(token())), run(seen.verify(token()))
    assert first is second
    assert keys.asked == ["k1"]


def test_a_refused_token_is_not_remembered_as_good() -> None:
    seen = verifier()
    for _ in range(2):
        with pytest.raises(InvalidTokenError):
            run(seen.verify(token(aud="evil")))


def test_the_memory_for_tokens_has_an_end_and_forgets_the_oldest() -> None:
    keys = FakeRing(ring())
    seen = TokenVerifier(keys, METACOGNA, FakeClock())

    async def many() -> None:
        for number in range(REMEMBERED + 1):
            await seen.verify(token(jti=f"id-{number}"))
        keys.asked.clear()
        await seen.verify(token(jti="id-1"))
        assert keys.asked == []
        await seen.verify(token(jti="id-0"))
        assert keys.asked == ["k1"]

    run(many())


def test_without_keys_nobody_is_believed_and_nobody_is_called_a_liar() -> None:
    class NoRing(FakeRing):
        async def current(self) -> KeyRing:
            raise AuthUnavailableError

    with pytest.raises(AuthUnavailableError):
        run(TokenVerifier(NoRing(ring()), METACOGNA, FakeClock()).verify(token()))


def test_the_same_keys_with_another_issuer_believe_nothing_of_ours() -> None:
    other = TokenVerifier(FakeRing(ring()), Issuer(issuer="other", audience=METACOGNA.audience), FakeClock())
    with pytest.raises(InvalidTokenError):
        run(other.verify(token()))


# ---------------------------------------------------------------------------------------------------- whatever comes


@pytest.mark.parametrize(
    ("size", "good"), [(jose.MOST_BYTES - 1, True), (jose.MOST_BYTES, True), (jose.MOST_BYTES + 1, False)]
)
def test_a_token_has_at_most_eight_kilobytes(size: int, good: bool) -> None:
    sizes = {len(made): made for made in (token(x="x" * pad, header={"kid": kid})
             for kid in ("k1", "k12", "k123") for pad in range(5700, 5860))}  # fmt: skip
    keys = ring(key("k1"), key("k12"), key("k123"))
    assert believed(sizes[size], keys) == good


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
parameters = st.dictionaries(
    st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x"]),
    json_values | st.sampled_from(["HS256", "none", "JWT", "k1"]),
    max_size=6,
)


@given(parameters)
def test_no_header_but_ours_verifies_even_with_a_right_signature(header: dict[str, Any]) -> None:
    ours = header.keys() == JOSE_HEADER.keys() and all(
        str(header[name]).lower() == JOSE_HEADER[name].lower() for name in header
    )
    assert believed(signed(json.dumps(header).encode(), changed(CLAIMS, {}))) in {False, ours}


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "x"]), json_values, max_size=8))
def test_any_claims_under_a_right_signature_are_answered_by_us(changes: dict[str, Any]) -> None:
    believed(token(**changes))
    believed(token(header={"kid": GONE}, **changes), ring(key(legacy=True)))


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[\w-]{0,9}\.[\w-]{0,9}\.[\w-]{0,9}")))
def test_any_text_in_place_of_a_token_is_refused_by_us(text: str) -> None:
    assert not believed(text)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_any_three_parts_in_place_of_a_token_are_refused_by_us(one: bytes, two: bytes, three: bytes) -> None:
    with pytest.raises(GatewayError):
        run(verifier().verify(f"{part(one)}.{part(two)}.{part(three)}"))


# ---------------------------------------------------------------------------------- tokens that name nobody


CAPTIONACC = Issuer(issuer="gatehouse", audience="captionacc", projects=frozenset({"captionacc"}))
NAMELESS = {"jti": "j", "sub": "s", "project": "captionacc", "service": "prefect", "iat": NOW, "exp": NOW + 60}


@pytest.mark.parametrize(
    ("legacy", "issuer", "changes", "good"),
    [
        (True, CAPTIONACC, {}, True),
        (False, CAPTIONACC, {}, False),
        (False, CAPTIONACC, {"iss": "gatehouse"}, False),
        (False, CAPTIONACC, {"aud": "captionacc"}, False),
        (False, CAPTIONACC, {"iss": "gatehouse", "aud": "captionacc"}, True),
        (True, CAPTIONACC, {"iss": "gatehouse"}, True),
        (True, CAPTIONACC, {"iss": "somebody"}, False),
        (True, CAPTIONACC, {"aud": ["another"]}, False),
        (True, CAPTIONACC, {"project": "another"}, False),
        (True, replace(CAPTIONACC, projects=frozenset()), {}, False),
        (True, replace(CAPTIONACC, projects=frozenset({"another"})), {}, False),
    ],
)
def test_only_the_legacy_key_signs_for_nobody_and_only_where_the_route_asks_for_the_project(
    legacy: bool, issuer: Issuer, changes: dict[str, Any], good: bool
) -> None:
    text = jose.compact({**NAMELESS, **changes}, key(legacy=legacy))
    believer = TokenVerifier(FakeRing(ring(key(legacy=legacy))), issuer, FakeClock())
    if good:
        assert run(believer.verify(text)).subject == "s"
    else:
        with pytest.raises(InvalidTokenError):
            run(believer.verify(text))
