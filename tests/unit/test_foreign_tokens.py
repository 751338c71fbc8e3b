"""A token of another issuer is believed when a key of that issuer signed it, for us, now; else it is refused."""

from __future__ import annotations

import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gatehouse import jose
from gatehouse.call import Identity
from gatehouse.errors import AuthUnavailableError, ForeignTokenError, InvalidTokenError
from gatehouse.foreign_tokens import REMEMBERED, ForeignTokens
from gatehouse.jwk_set import ForeignKey, Keys, parse
from gatehouse.tokens import LEEWAY_S
from tests.unit.fakes import NOW, FakeClock, run
from tests.unit.issuers import (
    AUDIENCE,
    CLAIMS,
    EC_1,
    ED_1,
    GONE,
    ISSUER,
    KEYS,
    RSA_1,
    RSA_2,
    jwk,
    key_set,
    provider,
    token,
)
from tests.unit.private_keys import decoded, encoded

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
CLIENT = "e367826f93b8d71185e03fe518aff3b4.access"


class FakeKeys:
    """The keys of an issuer, as a test has them; they remember which ids and deadlines they were asked with."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys: Keys = parse(key_set(*keys))
        self.asked: list[tuple[str, float | None]] = []
        self.down = False

    async def key(self, kid: str, deadline: float | None = None) -> ForeignKey | None:
        self.asked.append((kid, deadline))
        if self.down:
            raise AuthUnavailableError
        return self.keys.get(kid)


def tokens(keys: FakeKeys | None = None, clock: FakeClock | None = None, **changes: Any) -> ForeignTokens:
    return ForeignTokens(provider(**changes), keys or FakeKeys(), clock or FakeClock())


def identity(text: str, keys: FakeKeys | None = None, clock: FakeClock | None = None, **changes: Any) -> Identity:
    return run(tokens(keys, clock, **changes).verify(text))


def believed(text: str, keys: FakeKeys | None = None, clock: FakeClock | None = None, **changes: Any) -> bool:
    """Whether *text* is believed; anything but an identity or a refusal with 401 fails the test."""
    try:
        return isinstance(identity(text, keys, clock, **changes), Identity)
    except ForeignTokenError as raised:
        error = raised
    assert (error.status, error.code) == (401, "INVALID_TOKEN")
    assert len(text) < 100 or text not in str(error)
    return False


# ------------------------------------------------------------------------------------------------- what is believed


def test_a_token_says_who_is_calling() -> None:
    text = token()
    assert identity(text) == Identity(
        kind="jwks",
        subject=CLAIMS["sub"],
        user=CLAIMS["sub"],
        email="ada@example.com",
        claims=CLAIMS,
        token=text,
    )


@pytest.mark.parametrize("algorithm", KEYS)
def test_each_kind_of_key_proves_its_tokens(algorithm: str) -> None:
    keys = FakeKeys(*(jwk(key, name) for name, key in KEYS.items()))
    assert believed(token(KEYS[algorithm], algorithm), keys)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSAKey.generate_key(2048), "RS256"),
        (ECKey.generate_key("P-256"), "ES256"),
        (OKPKey.generate_key("Ed25519"), "EdDSA"),
    ],
)
def test_we_take_joserfcs_tokens(key: Any, algorithm: str) -> None:
    text = joserfc_jwt.encode({"alg": algorithm, "kid": "j1"}, CLAIMS, key, [algorithm])
    assert believed(text, FakeKeys({**key.as_dict(private=False), "kid": "j1"}))


def test_of_two_keys_each_proves_its_own_tokens_and_no_other() -> None:
    keys = FakeKeys(jwk(RSA_1, "k1"), jwk(RSA_2, "k2"))
    assert believed(token(RSA_1, "k1"), keys)
    assert believed(token(RSA_2, "k2"), keys)
    assert not believed(token(RSA_1, "k2"), keys)
    assert not believed(token(RSA_2, "k1"), keys)


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, set()),
        ({"scope": "read write"}, {"read", "write"}),
        ({"scope": ""}, set()),
        ({"scope": "  read  "}, {"read"}),
        ({"scp": "read"}, {"read"}),
        ({"scp": ["read", "write"]}, {"read", "write"}),
        ({"scopes": ["admin"]}, {"admin"}),
        ({"scope": "read", "scopes": ["admin"]}, {"read"}),
    ],
)
def test_scopes_stand_where_issuers_put_them(claims: dict[str, Any], scopes: set[str]) -> None:
    assert identity(token(**claims)).scopes == scopes


# ------------------------------------------------------------------------------------------------- one algorithm a key


def pem_of(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[no-any-return]


def by_hand(algorithm: str, signature: Any, kid: str = "k1") -> str:
    header = {"alg": algorithm, "kid": kid}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, CLAIMS))
    return f"{signed}.{encoded(signature(signed.encode()))}"


@pytest.mark.parametrize("secret", ["pem", "der", "n", "jwk"])
def test_a_published_key_is_no_shared_secret(secret: str) -> None:
    """The oldest forgery: the public key, which everybody has, as the secret of HS256."""
    offered = {
        "pem": pem_of(RSA_1),
        "der": RSA_1.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "n": decoded(jwk(RSA_1)["n"]),
        "jwk": json.dumps(jwk(RSA_1)).encode(),
    }[secret]
    assert not believed(by_hand("HS256", lambda data: hmac.digest(offered, data, "sha256")))
    assert not believed(by_hand("RS256", lambda data: hmac.digest(offered, data, "sha256")))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "", "RS512", "PS256", "HS256", "ES256", "EdDSA", "rs256", None, ["RS256"]]
)
def test_the_key_says_which_algorithm_and_not_the_token(algorithm: object) -> None:
    good = RSA_1.sign
    text = by_hand("RS256", lambda data: good(data, padding.PKCS1v15(), SHA256()))
    assert believed(text)
    other = by_hand(algorithm, lambda data: good(data, padding.PKCS1v15(), SHA256()))  # type: ignore[arg-type]
    assert not believed(other)


@pytest.mark.parametrize(
    ("scheme", "digest"),
    [(padding.PSS(padding.MGF1(SHA256()), 32), SHA256()), (padding.PKCS1v15(), SHA1())],
)
def test_rs256_is_one_padding_and_one_digest(scheme: Any, digest: Any) -> None:
    assert not believed(by_hand("RS256", lambda data: RSA_1.sign(data, scheme, digest)))


def test_a_signature_is_as_long_as_its_modulus() -> None:
    def padded(data: bytes) -> bytes:
        return b"\0" + RSA_1.sign(data, padding.PKCS1v15(), SHA256())

    assert not believed(by_hand("RS256", padded))
    assert not believed(by_hand("RS256", lambda _: b"\0"))
    assert not believed(by_hand("RS256", lambda _: b"\0" * 256))
    assert not believed(by_hand("RS256", lambda _: b"\xff" * 256))


def test_an_id_that_is_now_another_kind_of_key_proves_nothing_old() -> None:
    keys = FakeKeys(jwk(RSA_1))
    door = tokens(keys)
    text = token(RSA_1)
    assert run(door.verify(text))
    keys.keys = parse(key_set(jwk(EC_1)))
    with pytest.raises(ForeignTokenError):
        run(door.verify(text))
    assert run(door.verify(token(EC_1)))


@pytest.mark.parametrize("algorithm", KEYS)
@given(position=st.integers(min_value=0, max_value=2047))
def test_one_bit_makes_another_signature(algorithm: str, position: int) -> None:
    signed, _, signature = token(KEYS[algorithm]).rpartition(".")
    changed = bytearray(decoded(signature))
    changed[position // 8 % len(changed)] ^= 1 << position % 8
    assert not believed(f"{signed}.{encoded(bytes(changed))}", FakeKeys(jwk(KEYS[algorithm])))


# ---------------------------------------------------------------------------------------------------- the header


@pytest.mark.parametrize(
    "header",
    [{"typ": "JWT"}, {"typ": "jwt"}, {"typ": "at+jwt"}, {"typ": "application/at+JWT"}, {"x5t": "abc"},
    {"x5t#S256": "abc"}, {"typ": GONE}],
)  # fmt: skip
def test_harmless_parameters_do_no_harm(header: dict[str, Any]) -> None:
    assert believed(foreign(header))


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]}, {"crit": []}, {"jku": ISSUER}, {"jwk": jwk(RSA_1)}, {"x5u": ISSUER}, {"x5c": ["MII"]},
        {"b64": True}, {"b64": False},
        {"zip": "DEF"}, {"cty": "JWT"}, {"nonce": "x"}, {"x": 1}, {"iss": ISSUER},
        {"typ": "JWE"}, {"typ": "logout+jwt"}, {"typ": "dpop+jwt"}, {"typ": ""}, {"typ": 1}, {"typ": ["JWT"]},
        {"kid": ""}, {"kid": 1}, {"kid": None}, {"kid": ["k1"]}, {"kid": "k" * 257}, {"kid": GONE}, {"kid": "k2"},
        {"kid": "k1 "}, {"kid": "K1"},
    ],
)  # fmt: skip
def test_whatever_else_a_header_says_is_refused(header: dict[str, Any]) -> None:
    assert not believed(foreign(header))


def foreign(header: dict[str, Any]) -> str:
    """A token with exactly this header beside alg and kid, signed as it should be."""
    fields = {"alg": "RS256", "kid": "k1", "typ": "JWT", **header}
    parts = ({name: value for name, value in fields.items() if value is not GONE}, CLAIMS)
    signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{encoded(RSA_1.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


def test_a_kid_may_have_256_characters() -> None:
    kid = "k" * 256
    assert believed(token(kid=kid), FakeKeys(jwk(RSA_1, kid)))


@pytest.mark.parametrize("header", [{"x5t": "abc"}, {"typ": "at+jwt"}, {"kid": "k" * 65}])
def test_our_own_tokens_keep_their_narrower_rules(header: dict[str, Any]) -> None:
    with pytest.raises(InvalidTokenError):
        jose.inspect(foreign(header))


def test_a_token_has_one_spelling() -> None:
    text = token()
    first, second, third = text.split(".")
    for other in (
        f"{text}=",
        f"{text}.",
        f" {text}",
        f"{first}.{second}",
        f"{first}..{third}",
        text + "\n",
        "é",
        "\ud800",
        "",
    ):
        assert not believed(other)


@pytest.mark.parametrize(("size", "good"), [(8 * 1024, True), (8 * 1024 + 4, False)])
def test_a_token_has_at_most_8_kib(size: int, good: bool) -> None:
    missing = size - len(token(note=""))
    text = token(note="n" * (missing * 3 // 4))
    assert size - 4 < len(text) <= size
    assert believed(text) == good


# ----------------------------------------------------------------------------------------------------- the claims


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("iss", value) for value in (GONE, None, "", ISSUER + "/", ISSUER.upper(), [ISSUER], 5)),
        *(("aud", value) for value in (GONE, None, "", [], "other", ["other"], AUDIENCE.upper(), AUDIENCE + " ")),
        *(("aud", value) for value in ([[AUDIENCE]], [AUDIENCE, 5], {AUDIENCE: 1})),
        *((name, value) for name in ("exp", "iat", "nbf") for value in (None, True, [], {}, "1800003600")),
        *((name, value) for name in ("exp", "iat", "nbf") for value in (-1, 2**53, 10**400, 1e308, -0.5)),
        *(("exp", value) for value in (GONE, 0)),
        *((name, value) for name in ("sub", "email") for value in (None, 5, ["ada"], {"a": 1}, True)),
        *((name, value) for name in ("sub", "email") for value in ("a\nb", "a\0", "\x7f", "\u2028")),
        *(("sub", value) for value in (GONE, "")),
        *((name, value) for name in ("scope", "scp", "scopes") for value in (None, 5, [5], {"a": 1}, ["a", None])),
    ],
)
def test_a_claim_that_is_missing_or_of_another_type_is_refused(name: str, value: object) -> None:
    assert not believed(token(**{name: value}))


@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE], ["second"], [AUDIENCE, AUDIENCE]])
def test_one_audience_of_ours_is_enough(aud: object) -> None:
    assert believed(token(aud=aud), audience=(AUDIENCE, "second"))


def test_nothing_is_believed_of_a_provider_without_an_issuer_or_an_audience() -> None:
    assert not believed(token(iss=GONE), issuer=None)
    assert not believed(token(iss=""), issuer="")
    assert not believed(token(), audience=None)
    assert not believed(token(aud=[]), audience=())


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"exp": NOW - LEEWAY_S}, False), ({"exp": NOW - LEEWAY_S + 1}, True), ({"exp": NOW - LEEWAY_S + 0.5}, True),
        ({"exp": NOW + 0.25}, True), ({"exp": 2**53 - 1}, True), ({"exp": NOW + 100 * 365 * 86_400}, True),
        ({"iat": NOW + LEEWAY_S}, True), ({"iat": NOW + LEEWAY_S + 1}, False), ({"iat": NOW + LEEWAY_S + 0.5}, False),
        ({"nbf": NOW + LEEWAY_S}, True), ({"nbf": NOW + LEEWAY_S + 1}, False), ({"iat": GONE, "nbf": GONE}, True),
        ({"iat": 0.5}, True),
    ],
)  # fmt: skip
def test_times_have_a_leeway_of_half_a_minute(claims: dict[str, Any], good: bool) -> None:
    assert believed(token(**claims)) == good


@pytest.mark.parametrize(
    "claims", ['"exp":1e999', '"exp":4e9,"x":1e999', '"exp":4e9,"x":["\\ud800"]', '"exp":4e9,"x":-1e999']
)
def test_what_cannot_be_said_again_is_refused(claims: str) -> None:
    rest = json.dumps({name: value for name, value in CLAIMS.items() if name != "exp"})[1:]
    text = jwt.api_jws.encode(f"{{{claims},{rest}".encode(), RSA_1, "RS256", headers={"kid": "k1"})
    assert not believed(text)


@pytest.mark.parametrize("value", [GONE, "", " ", None, 5, ["ada@example.com"], {"a": "b"}])
@pytest.mark.parametrize("name", ["email", "team"])
def test_a_claim_that_is_asked_for_must_be_there_as_a_text(name: str, value: object) -> None:
    assert believed(token(email="ada@example.com", team="a"), require=("email", "team"))
    assert not believed(token(**{"team": "a", "email": "ada@example.com", name: value}), require=("email", "team"))


def test_a_claim_inside_another_can_be_asked_for() -> None:
    assert believed(token(custom={"team": "a"}), require=("custom.team",))
    assert not believed(token(custom={"team": ""}), require=("custom.team",))


@pytest.mark.parametrize(
    ("verified", "email"),
    [(True, "ada@example.com"), ("true", "ada@example.com"), (False, ""), ("false", ""), ([], ""), (None, "")],
)
def test_an_email_that_its_issuer_never_checked_is_nobodys(verified: object, email: str) -> None:
    text = token(email_verified=verified)
    assert identity(text).email == email
    assert believed(text, require=("email",)) == bool(email)


# ------------------------------------------------------------------------------------------------- logins of services


def of_a_service(**changes: Any) -> str:
    return token(**{"sub": "", "common_name": CLIENT, "email": GONE, **changes})


def test_a_services_login_counts_as_the_email_that_it_is_listed_with() -> None:
    caller = identity(of_a_service(), require=("email",), service_logins={CLIENT: "robot@example.com"})
    assert (caller.subject, caller.user, caller.email) == (CLIENT, CLIENT, "robot@example.com")
    assert "email" not in caller.claims


@pytest.mark.parametrize("logins", [{}, {"other": "robot@example.com"}, {CLIENT: ""}, {"": "robot@example.com"}])
@pytest.mark.parametrize("name", [CLIENT, "", GONE])
@pytest.mark.parametrize("sub", ["", GONE])
def test_a_services_login_that_is_not_listed_is_refused(logins: dict[str, str], name: object, sub: object) -> None:
    assert not believed(of_a_service(common_name=name, sub=sub), service_logins=logins)
    assert not believed(of_a_service(common_name=name, sub=sub, email="ada@example.com"), service_logins=logins)


@pytest.mark.parametrize("name", [5, [CLIENT], {"a": 1}, None, CLIENT + "\n"])
def test_a_services_name_is_a_text(name: object) -> None:
    assert not believed(of_a_service(common_name=name), service_logins={CLIENT: "robot@example.com"})


def test_a_service_says_what_else_is_asked_for() -> None:
    logins = {CLIENT: "robot@example.com"}
    assert not believed(of_a_service(), require=("email", "team"), service_logins=logins)
    assert believed(of_a_service(team="a"), require=("email", "team"), service_logins=logins)


def test_a_person_is_no_service_whatever_their_common_name() -> None:
    caller = identity(token(common_name=CLIENT), service_logins={CLIENT: "robot@example.com"})
    assert (caller.subject, caller.email) == (CLAIMS["sub"], "ada@example.com")


# --------------------------------------------------------------------------------------------- keys, and what is kept


def test_keys_are_not_sought_for_a_token_that_cannot_be_for_us() -> None:
    """Another issuer's tokens must not use up the one question about unknown keys."""
    for text in (token(iss="https://other.example"), token(aud="other"), token(exp=5), token(kid=GONE), "x.y.z"):
        keys = FakeKeys()
        assert not believed(text, keys)
        assert keys.asked == []


def test_the_deadline_goes_with_the_question() -> None:
    keys = FakeKeys()
    door = tokens(keys)
    for deadline in (5.0, None):
        run(door.verify(token(), deadline))
    assert keys.asked == [("k1", 5.0), ("k1", None)]


def test_without_keys_nobody_is_believed_or_refused() -> None:
    keys = FakeKeys()
    door = tokens(keys)
    assert run(door.verify(token()))
    keys.down = True
    for text in (token(), token(note="new")):
        with pytest.raises(AuthUnavailableError):
            run(door.verify(text))


def test_a_token_that_was_believed_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    door = tokens()
    text = token()
    first = run(door.verify(text))
    monkeypatch.setattr(jose, "inspect", None)
    assert run(door.verify(text)) is first


@pytest.mark.parametrize(("after", "good"), [(3600 + LEEWAY_S - 1, True), (3600 + LEEWAY_S, False)])
def test_what_is_remembered_expires(after: int, good: bool) -> None:
    clock = FakeClock()
    door = tokens(clock=clock)
    run(door.verify(token()))
    clock.now += after
    if good:
        assert run(door.verify(token()))
    else:
        with pytest.raises(ForeignTokenError, match="expired"):
            run(door.verify(token()))


def test_what_is_remembered_is_believed_only_under_the_very_key() -> None:
    keys = FakeKeys()
    door = tokens(keys)
    assert run(door.verify(token()))
    for other in (jwk(RSA_2), jwk(RSA_1, "k2")):
        keys.keys = parse(key_set(other))
        with pytest.raises(ForeignTokenError):
            run(door.verify(token()))
    keys.keys = parse(key_set(jwk(RSA_1), jwk(RSA_2, "k2")))
    assert run(door.verify(token()))


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    door = tokens(FakeKeys(jwk(ED_1)))

    async def fill() -> None:
        for number in range(REMEMBERED + 10):
            await door.verify(token(ED_1, sub=f"s{number}"))

    run(fill())
    assert len(door._seen) == REMEMBERED


def test_what_was_used_last_is_remembered_longest() -> None:
    door = tokens(FakeKeys(jwk(ED_1)))
    often = token(ED_1, sub="often")

    async def fill() -> Identity:
        first = await door.verify(often)
        for number in range(REMEMBERED - 1):
            await door.verify(token(ED_1, sub=f"s{number}"))
        assert await door.verify(often) is first
        await door.verify(token(ED_1, sub="one more"))
        assert await door.verify(often) is first
        return first

    assert run(fill()).subject == "often"


# ------------------------------------------------------------------------------------------------------- anything


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["iss", "aud", "exp", "iat", "nbf", "sub", "email", "email_verified", "scope", "scp", "common_name", "x"]
)
LOGINS = {CLIENT: "robot@example.com"}


@given(claims=st.dictionaries(NAMES, JSON, max_size=5))
def test_no_claim_crashes_the_door_and_who_passes_can_be_named(claims: dict[str, Any]) -> None:
    text = token(ED_1, **claims)
    try:
        caller = identity(text, FakeKeys(jwk(ED_1)), require=("email",), service_logins=LOGINS)
    except ForeignTokenError:
        return
    assert caller.subject
    assert caller.email.strip()
    assert claims.get("iss", ISSUER) == ISSUER
    assert all(isinstance(scope, str) and scope for scope in caller.scopes)


@given(text=st.text(max_size=200) | st.text(alphabet="abcXYZ019-_.=", max_size=200))
def test_no_text_crashes_the_door(text: str) -> None:
    assert not believed(text)


def test_rsa_keys_of_all_sizes_prove_their_tokens() -> None:
    key = rsa.generate_private_key(public_exponent=3, key_size=2056)
    assert believed(token(key), FakeKeys(jwk(key)))


@pytest.mark.parametrize("verified", [False, "false", None])
def test_an_address_that_its_issuer_never_checked_is_no_claim_either(verified: object) -> None:
    """`claims: {email: …}` of a route and `${claims.email}` would take it for the caller's."""
    claims = identity(token(email_verified=verified)).claims
    assert "email" not in claims
    assert identity(token(email_verified=True)).claims["email"] == "ada@example.com"


def test_a_logout_token_is_no_login() -> None:
    """OpenID Connect Back-Channel Logout 1.0, section 2.4: it is signed by the same keys for the same audience."""
    events = {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert not believed(token(events=events))
