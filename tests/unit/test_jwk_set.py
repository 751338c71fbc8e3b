"""Of what an issuer publishes only keys that can be nothing else are used, and a set with two meanings has none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from gatehouse.jwk_set import MOST_KEYS, MOST_KID, KeySetError, parse
from tests.unit.issuers import EC_1, ED_1, GONE, KEYS, RSA_1, RSA_2, jwk, key_set
from tests.unit.private_keys import decoded, encoded

P256_P = 2**256 - 2**224 + 2**192 + 2**96 - 1


def kids(*keys: dict[str, Any]) -> set[str]:
    """The ids that are usable, of a set that also has a good key called "good"."""
    return set(parse(key_set(jwk(RSA_2, "good"), *keys))) - {"good"}


def number(value: int, length: int = 0) -> str:
    return encoded(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


# ------------------------------------------------------------------------------------------------- what is a key


@pytest.mark.parametrize("algorithm", KEYS)
def test_each_kind_of_key_is_for_one_algorithm(algorithm: str) -> None:
    (key,) = parse(key_set(jwk(KEYS[algorithm]))).values()
    assert (key.kid, key.algorithm) == ("k1", algorithm)


@pytest.mark.parametrize("member", ["alg", "use"])
@pytest.mark.parametrize("algorithm", KEYS)
def test_what_a_key_need_not_say_may_be_missing(algorithm: str, member: str) -> None:
    assert kids(jwk(KEYS[algorithm], **{member: GONE})) == {"k1"}


def test_we_read_what_joserfc_publishes() -> None:
    keys = [RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")]
    published = KeySet(
        [type(key).import_key(key.as_dict(private=False) | {"kid": str(n)}) for n, key in enumerate(keys)]
    )
    read = parse(json.dumps(published.as_dict(private=False)))
    assert [key.algorithm for key in read.values()] == ["RS256", "ES256", "EdDSA"]


def test_members_that_cloudflare_adds_do_no_harm() -> None:
    text = json.dumps({"keys": [jwk(RSA_1, x5c=["MII"], x5t="x")], "public_cert": {"kid": "k1"}, "public_certs": []})
    assert set(parse(text)) == {"k1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"}, {"use": None}, {"use": ["sig"]}, {"key_ops": []}, {"key_ops": ["sign"]}, {"key_ops": "verify"},
        {"key_ops": None}, {"key_ops": {"verify": 1}}, {"alg": "HS256"}, {"alg": "none"}, {"alg": "PS256"},
        {"alg": "RS512"}, {"alg": "ES256"},
        {"alg": None}, {"alg": ["RS256"]}, {"kty": "oct"}, {"kty": "rsa"}, {"kty": "EC"}, {"kty": None},
        {"kty": GONE}, {"kty": []},
        {"kid": GONE}, {"kid": ""}, {"kid": 1}, {"kid": None}, {"kid": "k" * (MOST_KID + 1)}, {"crv": "P-256"},
        {"d": "AQAB"}, {"p": "AQAB"}, {"q": ""}, {"dp": 1}, {"dq": "x"}, {"qi": "x"}, {"oth": []}, {"k": "AQAB"},
        {"e": GONE}, {"n": GONE}, {"n": ""}, {"n": 5}, {"n": "n!"}, {"e": "AQAB="}, {"e": "AQ"}, {"e": "AA"},
        {"e": "BA"},
        {"e": number(2**32 + 1)}, {"n": number(2**2047)},
    ],
)  # fmt: skip
def test_a_key_that_is_not_for_this_is_passed_over(changes: dict[str, Any]) -> None:
    assert kids(jwk(RSA_1, **changes)) == set()


@pytest.mark.parametrize(
    ("bits", "usable"), [(1024, False), (2047, False), (2048, True), (8192, True), (8193, False), (16384, False)]
)
def test_a_modulus_is_neither_weak_nor_a_burden(bits: int, usable: bool) -> None:
    assert kids(jwk(RSA_1, n=number(2 ** (bits - 1) + 1))) == ({"k1"} if usable else set())


@pytest.mark.parametrize(("exponent", "usable"), [(1, False), (2, False), (3, True), (65536, False), (2**32 - 1, True)])
def test_an_exponent_is_odd_and_more_than_one(exponent: int, usable: bool) -> None:
    """With an exponent of 1 a signature is its own proof."""
    assert kids(jwk(RSA_1, e=number(exponent))) == ({"k1"} if usable else set())


@pytest.mark.parametrize(
    "changes",
    [
        {"crv": "P-384"}, {"crv": "secp256k1"}, {"crv": "Ed25519"}, {"crv": GONE}, {"crv": ["P-256"]}, {"x": GONE},
        {"y": GONE},
        {"y": number(1, 32)}, {"x": number(0, 32), "y": number(0, 32)}, {"x": number(P256_P, 32)},
        {"x": number(1, 31)}, {"x": encoded(b"\0" + decoded(jwk(EC_1)["x"]))}, {"alg": "ES384"}, {"alg": "RS256"},
        {"d": number(1, 32)},
    ],
)  # fmt: skip
def test_a_point_is_one_of_its_curve_in_its_full_length(changes: dict[str, Any]) -> None:
    assert kids(jwk(EC_1, **changes)) == set()


@pytest.mark.parametrize(
    "changes",
    [{"crv": "X25519"}, {"crv": "Ed448"}, {"crv": "P-256"}, {"x": number(1, 31)}, {"x": number(1, 33)}, {"x": ""},
    {"alg": "ES256"}],
)  # fmt: skip
def test_an_edwards_key_is_ed25519_alone(changes: dict[str, Any]) -> None:
    assert kids(jwk(ED_1, **changes)) == set()


def test_the_same_numbers_make_the_same_key() -> None:
    first, again = parse(key_set(jwk(RSA_1)))["k1"], parse(key_set(jwk(RSA_1, alg=GONE), jwk(RSA_2, "x")))["k1"]
    other, renamed = parse(key_set(jwk(RSA_2)))["k1"], parse(key_set(jwk(RSA_1, "k2")))["k2"]
    assert first == again
    assert first not in (other, renamed)


def test_a_key_shows_no_numbers() -> None:
    (key,) = parse(key_set()).values()
    assert repr(key) == "ForeignKey(kid='k1', algorithm='RS256')"


# --------------------------------------------------------------------------------------------------- what is a set


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "5", '"keys"', "{}", '{"keys": null}', '{"keys": {}}', '{"keys": []}',
        '{"keys": [1, null, "x", []]}',
        "<html>", "\ufeff" + key_set(), key_set()[:-1], key_set() + "x",
        '{"keys": [], ' + key_set()[1:], '{"n": NaN, ' + key_set()[1:],
        "[" * 100_000, '{"keys": [' * 50_000, '{"\ud800": 1, ' + key_set()[1:],
        '{"n": ' + "9" * 5000 + ", " + key_set()[1:],
    ],
)  # fmt: skip
def test_a_text_that_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(KeySetError):
        parse(text)


def test_a_set_of_nothing_but_unusable_keys_is_refused() -> None:
    with pytest.raises(KeySetError):
        parse(key_set({"kty": "oct", "kid": "k1", "k": "AQAB"}, jwk(RSA_1, "k2", use="enc")))


@pytest.mark.parametrize(
    "second",
    [jwk(RSA_1), jwk(RSA_2), jwk(EC_1), {"kty": "oct", "kid": "k1", "k": "AQAB"}, jwk(RSA_2, use="enc"), {"kid": "k1"}],
)
def test_two_keys_with_one_id_spoil_the_set(second: dict[str, Any]) -> None:
    with pytest.raises(KeySetError, match="one kid"):
        parse(key_set(jwk(RSA_1), second))


@pytest.mark.parametrize(("count", "good"), [(MOST_KEYS, True), (MOST_KEYS + 1, False)])
def test_a_set_has_an_end(count: int, good: bool) -> None:
    text = key_set(*(jwk(ED_1, f"k{number}") for number in range(count)))
    if good:
        assert len(parse(text)) == count
    else:
        with pytest.raises(KeySetError, match="more than"):
            parse(text)


def test_a_key_id_may_be_long_but_not_endless() -> None:
    assert kids(jwk(RSA_1, "k" * MOST_KID)) == {"k" * MOST_KID}


def test_the_reason_quotes_nothing_of_the_text() -> None:
    with pytest.raises(KeySetError) as raised:
        parse('{"keys": ["very secret"]}')
    assert "secret" not in str(raised.value)


# ------------------------------------------------------------------------------------------------------- anything


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
MEMBERS = ["kty", "kid", "use", "key_ops", "alg", "n", "e", "x", "y", "crv", "d"]


def is_parsed_or_refused(text: str) -> None:
    try:
        keys = parse(text)
    except KeySetError:
        return
    assert keys
    assert all(kid == key.kid for kid, key in keys.items())


@given(text=st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    is_parsed_or_refused(text)


@given(members=st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=6), start=st.sampled_from(sorted(KEYS)))
def test_no_change_to_a_key_breaks_the_reader(members: dict[str, Any], start: str) -> None:
    is_parsed_or_refused(key_set(jwk(KEYS[start]) | members))


@given(n=st.binary(min_size=200, max_size=1100), e=st.binary(max_size=8))
def test_only_moduli_and_exponents_within_bounds_are_used(n: bytes, e: bytes) -> None:
    used = kids(jwk(RSA_1, n=encoded(n), e=encoded(e)))
    modulus, exponent = int.from_bytes(n, "big"), int.from_bytes(e, "big")
    fits = 2048 <= modulus.bit_length() <= 8192 and 3 <= exponent < 2**32
    assert bool(used) == bool(fits and modulus % 2 and exponent % 2)


@given(x=st.binary(min_size=32, max_size=32), y=st.binary(min_size=32, max_size=32))
def test_no_bytes_are_a_point_by_chance(x: bytes, y: bytes) -> None:
    assert kids(jwk(EC_1, x=encoded(x), y=encoded(y))) == set()


def test_keys_of_other_sizes_are_what_they_seem() -> None:
    """That the tests above pass over keys for the reason they name: these differ in nothing else."""
    small, large = (rsa.generate_private_key(public_exponent=65537, key_size=size) for size in (1024, 3072))
    other = ec.generate_private_key(ec.SECP256R1())
    assert kids(jwk(small, "small"), jwk(large, "large"), jwk(other, "other")) == {"large", "other"}
