"""What is sealed with a credential opens with that credential, for the same purpose, and with nothing else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import canonical, sealed
from gatehouse.sealed import seal, unseal

SECRET, LABEL = b"crow_0123456789", "sessions of crow"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary(min_size=1), st.text("abc#/", max_size=9))
def test_what_is_sealed_opens_with_its_secret_and_label(text: str, secret: bytes, label: str) -> None:
    assert unseal(seal(text, secret, label), secret, label) == text


@pytest.mark.parametrize(("secret", "label"), [(b"another", LABEL), (SECRET, "keys of crow"), (SECRET, ""), (b"", "")])
def test_it_opens_with_no_other(secret: bytes, label: str) -> None:
    assert unseal(seal("text", SECRET, LABEL), secret, label) is None


@pytest.mark.parametrize("wrong", ["", "A", "AAAA", "not base64url!", "é", "=" * 8, "A" * 38, "\ud800", "A" * 5000])
def test_anything_else_is_nothing(wrong: str) -> None:
    assert unseal(wrong, SECRET, LABEL) is None


def test_no_bit_of_it_can_be_changed() -> None:
    data = canonical.decoded(seal("ada", SECRET, LABEL))
    for at in range(len(data) * 8):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        assert unseal(canonical.encoded(bytes(changed)), SECRET, LABEL) is None


def test_neither_the_text_nor_the_secret_shows_and_no_two_seals_are_alike() -> None:
    seals = {seal("ada@example.com", SECRET, LABEL) for _ in range(50)}
    assert len(seals) == 50
    assert not any(b"ada" in canonical.decoded(one) or SECRET in canonical.decoded(one) for one in seals)


@given(st.binary(min_size=1), st.text(max_size=40).filter(lambda text: text.isprintable()))
def test_the_key_is_derived_as_rfc_5869_says(secret: bytes, label: str) -> None:
    expected = HKDF(algorithm=SHA256(), length=32, salt=None, info=label.encode()).derive(secret)
    assert sealed._key(secret, label) == expected
