"""Signatures are what the RFCs' examples say, and what other libraries take and make."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.jwk import ECKey, OctKey, OKPKey

from gatehouse.asymmetric import generated
from gatehouse.keys import ALGORITHMS, Key
from gatehouse.signatures import SIGNATURE_BYTES, is_good, sign
from tests.unit.fakes import OTHER_SECRET, SECRET
from tests.unit.private_keys import ED25519, PEMS, decoded, encoded, private

# joserfc warns that RFC 9864 has a narrower name for EdDSA with this curve.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
JOE = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"


def by_hand(key: Key, claims: dict[str, Any]) -> str:
    header = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{encoded(sign(key, signed.encode()))}"


def takes(key: Key, token: str) -> bool:
    signed, _, signature = token.rpartition(".")
    return is_good(key, signed.encode(), decoded(signature))


# ------------------------------------------------------------------------------------------------ the RFCs' examples


def test_eddsa_signs_as_rfc_8037_appendix_a4_does() -> None:
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    assert encoded(sign(private("EdDSA"), signed)) == signature
    assert is_good(private("EdDSA"), signed, decoded(signature))


def test_es256_takes_what_rfc_7515_appendix_a3_signed() -> None:
    signed = f"eyJhbGciOiJFUzI1NiJ9.{JOE}".encode()
    signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    assert is_good(private("ES256"), signed, decoded(signature))
    assert not is_good(private("ES256"), signed + b"x", decoded(signature))


def test_hs256_signs_as_rfc_7515_appendix_a1_does() -> None:
    secret = decoded("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
    key = Key(kid="a1", algorithm="HS256", secret=secret)
    signed = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}".encode()
    assert encoded(sign(key, signed)) == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


# --------------------------------------------------------------------------------------------------- other libraries


def pyjwt_key(algorithm: str) -> Any:
    return load_pem_private_key(PEMS[algorithm].encode(), None) if algorithm in PEMS else SECRET


def joserfc_key(algorithm: str) -> Any:
    if algorithm == "HS256":
        return OctKey.import_key(SECRET)
    return (OKPKey if algorithm == "EdDSA" else ECKey).import_key(PEMS[algorithm])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pyjwt_takes_our_tokens(algorithm: str) -> None:
    token, secret = by_hand(private(algorithm), {"sub": "ada"}), pyjwt_key(algorithm)
    assert jwt.decode(token, secret if algorithm == "HS256" else secret.public_key(), [algorithm]) == {"sub": "ada"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_we_take_pyjwts_tokens(algorithm: str) -> None:
    assert takes(private(algorithm), jwt.encode({"sub": "ada"}, pyjwt_key(algorithm), algorithm))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_joserfc_takes_our_tokens(algorithm: str) -> None:
    taken = joserfc_jws.deserialize_compact(
        by_hand(private(algorithm), {"sub": "ada"}), joserfc_key(algorithm), [algorithm]
    )
    assert json.loads(taken.payload) == {"sub": "ada"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_we_take_joserfcs_tokens(algorithm: str) -> None:
    token = joserfc_jws.serialize_compact({"alg": algorithm}, b'{"sub": "ada"}', joserfc_key(algorithm), [algorithm])
    assert takes(private(algorithm), token)


# ------------------------------------------------------------------------------------------------- what is no signature


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.binary(max_size=200), other=st.binary(max_size=200))
def test_a_signature_is_good_for_its_data_and_for_no_other(algorithm: str, data: bytes, other: bytes) -> None:
    signature = sign(private(algorithm), data)
    assert is_good(private(algorithm), data, signature)
    assert is_good(private(algorithm), other, signature) == (data == other)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(signature=st.binary(max_size=80) | st.binary(min_size=64, max_size=64) | st.binary(min_size=32, max_size=32))
def test_no_bytes_pass_for_a_signature_and_none_raise(algorithm: str, signature: bytes) -> None:
    assert not is_good(private(algorithm), b"data", signature)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(position=st.integers(min_value=0, max_value=511), data=st.binary(max_size=20))
def test_one_bit_makes_another_signature(algorithm: str, position: int, data: bytes) -> None:
    signature = bytearray(sign(private(algorithm), data))
    at = position % (len(signature) * 8)
    signature[at // 8] ^= 1 << at % 8
    assert not is_good(private(algorithm), data, bytes(signature))


@pytest.mark.parametrize("algorithm", sorted(PEMS))
@pytest.mark.parametrize("length", [0, 1, SIGNATURE_BYTES - 1, SIGNATURE_BYTES + 1, 2 * SIGNATURE_BYTES])
def test_a_signature_has_its_length(algorithm: str, length: int) -> None:
    good = sign(private(algorithm), b"data")
    assert len(good) == SIGNATURE_BYTES
    assert not is_good(private(algorithm), b"data", (good * 2)[:length])


def test_es256_takes_no_der() -> None:
    good = sign(private("ES256"), b"data")
    der = encode_dss_signature(int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big"))
    assert not is_good(private("ES256"), b"data", der)


@pytest.mark.parametrize("r", [0, None, P256_ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, None, P256_ORDER, 2**256 - 1])
def test_a_number_out_of_its_range_is_no_signature(r: int | None, s: int | None) -> None:
    """A verifier that took r = s = 0 took every message (CVE-2022-21449)."""
    good = sign(private("ES256"), b"data")
    first = good[:32] if r is None else r.to_bytes(32, "big")
    second = good[32:] if s is None else s.to_bytes(32, "big")
    assert is_good(private("ES256"), b"data", first + second) == (r is None and s is None)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_of_the_same_kind_does_not_take_it(algorithm: str) -> None:
    secret = generated(algorithm) if algorithm in PEMS else OTHER_SECRET
    other = Key(kid=algorithm.lower(), algorithm=algorithm, secret=secret.encode())
    assert is_good(other, b"data", sign(other, b"data"))
    assert not is_good(other, b"data", sign(private(algorithm), b"data"))


@pytest.mark.parametrize("signer", ALGORITHMS)
@pytest.mark.parametrize("checker", ALGORITHMS)
def test_a_signature_of_one_algorithm_is_none_of_another(signer: str, checker: str) -> None:
    assert is_good(private(checker), b"data", sign(private(signer), b"data")) == (signer == checker)


def test_a_shared_secret_is_never_a_public_key() -> None:
    """Who has the published half could sign with it, if it were taken for a shared secret."""
    published = load_pem_private_key(ED25519.encode(), None).public_key()
    forged = sign(Key(kid="eddsa", algorithm="HS256", secret=published.public_bytes_raw()), b"data")  # type: ignore[union-attr]
    assert not is_good(private("EdDSA"), b"data", forged)


def test_leading_zeros_of_a_number_stay() -> None:
    """One signature in 128 has an r or an s that is shorter than 32 bytes."""
    for number in count():
        signature = sign(private("ES256"), b"%d" % number)
        assert len(signature) == SIGNATURE_BYTES
        if signature[0] == 0 or signature[32] == 0:
            assert is_good(private("ES256"), b"%d" % number, signature)
            return


def test_a_pem_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives import serialization

    fresh = Key(kid="x", algorithm="ES256", secret=generated("ES256").encode())
    signature = sign(fresh, b"data")
    monkeypatch.delattr(serialization, "load_pem_private_key")
    assert is_good(fresh, b"data", signature)
    assert is_good(Key(kid="y", algorithm="ES256", secret=bytes(bytearray(fresh.secret))), b"x", sign(fresh, b"x"))
