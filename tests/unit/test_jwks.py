"""What is published of the key ring: the public halves, and nothing else."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet

from gatehouse import jose, jwks
from gatehouse.keys import Key, KeyRing
from tests.unit.fakes import SECRET, key, ring
from tests.unit.private_keys import ED25519_D, ED25519_X, P256_D, P256_X, P256_Y, PEMS, decoded, pkcs8, private

# joserfc warns that RFC 9864 has a narrower name for EdDSA with this curve.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
EVERY = ring(key(), private("EdDSA", "e1"), private("ES256", "c1"))


def test_public_halves_are_those_of_the_rfcs_examples() -> None:
    assert jwks.document(EVERY) == {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "kid": "e1", "alg": "EdDSA", "use": "sig"},
            {"kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y, "kid": "c1", "alg": "ES256", "use": "sig"},
        ]
    }


def test_nothing_private_and_nothing_of_a_shared_secret_is_published() -> None:
    text = json.dumps(jwks.document(EVERY))
    for secret in (SECRET, ED25519_D, P256_D, "k1", "PRIVATE", "HS256", '"d"', '"k"', "oct"):
        assert secret not in text


def test_a_ring_of_shared_secrets_publishes_an_empty_set() -> None:
    assert jwks.document(ring(key(), key("k2"))) == {"keys": []}


def test_a_key_that_does_not_sign_is_published_too() -> None:
    """Readers have it before the first token comes that needs it, and as long as one is about."""
    kids = [one["kid"] for one in jwks.document(ring(key(), private("EdDSA", "next"), private("ES256", "old")))["keys"]]
    assert kids == ["next", "old"]


@pytest.mark.parametrize("algorithm", sorted(PEMS))
def test_readers_of_the_set_take_our_tokens_by_their_kid(algorithm: str) -> None:
    keys = {one.kid: one for one in (private("EdDSA", "eddsa"), private("ES256", "es256"))}
    token = jose.compact({"sub": "ada", "exp": 4_000_000_000}, keys[algorithm.lower()])
    published = jwks.document(KeyRing(keys["eddsa"], keys))
    assert joserfc_jwt.decode(token, KeySet.import_key_set(published), [algorithm]).claims["sub"] == "ada"
    of_pyjwt = jwt.PyJWKSet.from_dict(published)[algorithm.lower()]
    assert jwt.decode(token, of_pyjwt, [algorithm])["sub"] == "ada"


@pytest.mark.parametrize("number", [43, 379])
def test_coordinates_have_the_curves_full_size(number: int) -> None:
    """One key in 128 has a coordinate that begins with a zero byte: readers want it all the same."""
    secret = pkcs8(ec.derive_private_key(number, ec.SECP256R1())).encode()
    one = Key(kid="short", algorithm="ES256", secret=secret)
    shown = jwks.document(KeyRing(one, {one.kid: one}))["keys"][0]
    coordinates = decoded(shown["x"]), decoded(shown["y"])
    assert [len(coordinate) for coordinate in coordinates] == [32, 32]
    assert 0 in {coordinate[0] for coordinate in coordinates}
