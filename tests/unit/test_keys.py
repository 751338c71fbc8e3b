"""The key ring is read whole or not at all, and weak secrets stop it."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.keys import LATEST, MOST_KID, TIMES, KeyRingError, parse
from gatehouse.weak_secrets import LEAST_DISTINCT, LEAST_SECRET_BYTES, LONGEST_WORD, PLACEHOLDERS, weakness
from tests.unit.fakes import OTHER_SECRET, ROOT, SECRET
from tests.unit.private_keys import ED25519, P256, PEMS, UNFIT

STRONG = "0123456789abcdefghijklmnopqrstuv"  # 32 bytes


def document(**changes: Any) -> str:
    return json.dumps({"current": "k1", "keys": {"k1": {"alg": "HS256", "secret": SECRET}}, **changes})


def one_key(**changes: Any) -> str:
    return document(keys={"k1": {"alg": "HS256", "secret": SECRET, **changes}})


def test_a_ring_signs_with_its_current_key_and_checks_with_all() -> None:
    keys = {"k1": {"alg": "HS256", "secret": SECRET, "legacy": True}, "k2": {"alg": "HS256", "secret": OTHER_SECRET}}
    ring = parse(document(current="k2", keys=keys))
    assert (ring.current.kid, ring.current.secret) == ("k2", OTHER_SECRET.encode())
    assert set(ring.keys) == {"k1", "k2"}
    assert ring.legacy is ring.keys["k1"]


def test_a_ring_without_a_legacy_key_has_none() -> None:
    assert parse(document()).legacy is None


def test_a_key_may_take_its_value_from_another_member() -> None:
    ring = parse(document(keys={"k1": {"alg": "HS256", "from": "generated"}}, generated=SECRET))
    assert ring.current.secret == SECRET.encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"), ("{", "not JSON"), ("null", '"keys"'), ("[]", '"keys"'), ("{}", '"keys"'), ('"x"', '"keys"'),
        ("[" * 100_000, "not JSON"),
        (document(keys={}), '"keys"'), (document(keys=[]), '"keys"'), (document(keys={"k1": "secret"}), "JSON object"),
        (document(current="k2"), '"current"'), (document(current=None), '"current"'),
        (document(current=["k1"]), '"current"'),
        (document(current={}), '"current"'),
        (one_key(alg="none"), '"alg"'), (one_key(alg="RS256"), '"alg"'), (one_key(alg=None), '"alg"'),
        (one_key(alg=["HS256"]), '"alg"'),
        (one_key(secret=None), '"secret"'), (one_key(secret=5), '"secret"'), (one_key(**{"from": "nothing"}), '"from"'),
        (one_key(legacy="yes"), '"legacy"'), (one_key(legacy=1), '"legacy"'),
        (document(current="", keys={"": {"alg": "HS256", "secret": SECRET}}), "id"),
        (document(current="é", keys={"é": {"alg": "HS256", "secret": SECRET}}), "id"),
        (document(current="a\n", keys={"a\n": {"alg": "HS256", "secret": SECRET}}), "id"),
        (document(keys={name: {"alg": "HS256", "secret": SECRET, "legacy": True} for name in ("k1", "k2")}), "legacy"),
        (one_key(secret="\ud800" * 40), "k1"),
    ],
)  # fmt: skip
def test_what_is_not_a_key_ring_is_refused_with_what_to_do(text: str, said: str) -> None:
    with pytest.raises(KeyRingError, match=said):
        parse(text)


@pytest.mark.parametrize(("length", "good"), [(1, True), (MOST_KID, True), (MOST_KID + 1, False)])
def test_a_keys_id_is_short(length: int, good: bool) -> None:
    text = document(current="k" * length, keys={"k" * length: {"alg": "HS256", "secret": SECRET}})
    if good:
        assert parse(text).current.kid == "k" * length
    else:
        with pytest.raises(KeyRingError):
            parse(text)


@pytest.mark.parametrize(
    "secret",
    ["changeme", "changeme" * 8, "CHANGEME-0123456789-abcdefghijklmnopq", "my-change-me-secret-0123456789-abcdef",
     "change_me_please_0123456789_abcdefgh", "your-secret-key-0123456789-abcdefghij",
     "a-string-secret-at-least-256-bits-long",
     "placeholder-0123456789-abcdefghijklmn", "replace-me-0123456789-abcdefghijklmno",
     "your_secret_0123456789_abcdefghijklmno"],
)  # fmt: skip
def test_a_secret_called_changeme_is_refused(secret: str) -> None:
    """It was accepted, and with it anybody could sign tokens."""
    with pytest.raises(KeyRingError, match="placeholder") as caught:
        parse(one_key(secret=secret))
    assert secret not in str(caught.value)
    assert "openssl rand" in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "good"),
    [
        (STRONG, True), (STRONG[:-1], False), (STRONG + "w", True), ("", False), ("short", False),
        ("éàüöäßñç" * 2, True), ("éàüöäßñç" * 2 + "x", True), ("éàüöäßñ" * 2 + "xyz", False),
    ],
)  # fmt: skip
def test_a_secret_has_at_least_32_bytes(secret: str, good: bool) -> None:
    assert (weakness(secret) == "") == good


def test_the_least_length_is_counted_in_bytes() -> None:
    assert len("éàüöäßñç".encode()) * 2 == LEAST_SECRET_BYTES


def test_no_refusal_and_no_key_ever_shows_a_secret() -> None:
    assert SECRET not in repr(parse(document()))
    for text in (one_key(alg="none"), one_key(legacy="yes"), document(current="k2")):
        with pytest.raises(KeyRingError) as caught:
            parse(text)
        assert SECRET not in str(caught.value)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=40)
        | st.sampled_from([SECRET, ED25519, "HS256", "EdDSA", "ES256", "k1"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["current", "keys", "k1", "alg", "secret", "private", "from", "legacy", "added_at"]),
                inner,
            )
        ),
        max_leaves=8,
    )
)
def test_any_document_is_a_key_ring_or_is_refused_as_none(value: object) -> None:
    try:
        ring = parse(json.dumps(value))
    except KeyRingError:
        return
    assert ring.current in ring.keys.values()


# ----------------------------------------------------------------------------------------------------- private keys


def private_key(algorithm: str = "EdDSA", **changes: Any) -> str:
    return document(keys={"k1": {"alg": algorithm, "private": PEMS[algorithm], **changes}})


@pytest.mark.parametrize("algorithm", sorted(PEMS))
def test_a_ring_may_hold_a_private_key(algorithm: str) -> None:
    key = parse(private_key(algorithm)).current
    assert (key.algorithm, key.secret) == (algorithm, PEMS[algorithm].encode())
    assert "PRIVATE" not in repr(key)


@pytest.mark.parametrize("around", ["{}", "\n{}\n\n", "  {}"])
def test_blanks_around_a_private_key_do_not_matter(around: str) -> None:
    assert parse(private_key(private=around.format(ED25519))).current.algorithm == "EdDSA"


@pytest.mark.parametrize("algorithm", sorted(PEMS))
@pytest.mark.parametrize("unfit", sorted(UNFIT))
def test_what_is_no_private_key_for_its_algorithm_is_refused_with_what_to_do(algorithm: str, unfit: str) -> None:
    with pytest.raises(KeyRingError, match=r"'k1'.*openssl genpkey") as caught:
        parse(private_key(algorithm, private=UNFIT[unfit]))
    assert not any(line in str(caught.value) for line in UNFIT[unfit].splitlines() if len(line) > 10)
    assert "ed25519" in str(caught.value) if algorithm == "EdDSA" else "P-256" in str(caught.value)


@pytest.mark.parametrize(("algorithm", "pem"), [("EdDSA", P256), ("ES256", ED25519)])
def test_a_private_key_serves_the_algorithm_of_its_curve_only(algorithm: str, pem: str) -> None:
    with pytest.raises(KeyRingError, match="another kind or on another curve"):
        parse(private_key(algorithm, private=pem))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"alg": "EdDSA"}, '"private"'), ({"alg": "EdDSA", "secret": SECRET}, '"private"'),
        ({"alg": "ES256", "private": None}, '"private"'), ({"alg": "ES256", "private": {"kty": "EC"}}, '"private"'),
        ({"alg": "HS256", "private": ED25519}, '"secret"'), ({"alg": "HS256", "secret": ED25519}, "PEM"),
        ({"alg": "EdDSA", "private": ED25519, "legacy": True}, "legacy"),
        ({"alg": "ES256", "private": P256, "legacy": True}, "legacy"),
        ({"alg": "Ed25519", "private": ED25519}, '"alg"'), ({"alg": "eddsa", "private": ED25519}, '"alg"'),
        ({"alg": "RS256", "private": UNFIT["RSA"]}, '"alg"'),
    ],
)  # fmt: skip
def test_each_kind_of_key_has_its_member(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(KeyRingError, match=said):
        parse(document(keys={"k1": entry}))


def test_no_key_of_shared_secrets_loads_what_private_keys_need() -> None:
    """It takes 30 ms, at every cold start."""
    code = f"import sys; from gatehouse.keys import parse; parse({document()!r}); print('cryptography' in sys.modules)"
    command = [sys.executable, "-c", code]
    path = {"PYTHONPATH": str(ROOT / "layers/gatehouse")}
    done = subprocess.run(command, capture_output=True, text=True, env=path, timeout=60, check=True)
    assert done.stdout.strip() == "False"


# ------------------------------------------------------------------------------------------------- times and members


def test_a_key_says_when_it_came_and_went() -> None:
    key = parse(one_key(added_at=1, promoted_at=2, demoted_at=3)).current
    assert (key.added_at, key.promoted_at, key.demoted_at) == (1, 2, 3)
    assert all(getattr(parse(document()).current, name) is None for name in TIMES)


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    ("value", "good"),
    [(0, True), (1_800_000_000, True), (LATEST - 1, True), (LATEST, False), (-1, False), (1.5, False), (True, False),
     ("2026-11-22", False), ("1800000000", False), ([], False), (None, True), (float("nan"), False)],
)  # fmt: skip
def test_a_time_is_whole_seconds(name: str, value: object, good: bool) -> None:
    if good:
        assert getattr(parse(one_key(**{name: value})).current, name) == value
    else:
        with pytest.raises(KeyRingError, match=name):
            parse(one_key(**{name: value}))


def test_members_that_are_not_of_the_ring_are_left_alone() -> None:
    ring = parse(document(generated="x", note=[1], keys=json.loads(one_key(x=1))["keys"]))
    assert ring == parse(document())


def test_the_named_secrets_stand_beside_the_ring_and_are_shown_nowhere() -> None:
    ring = parse(document(secrets={"AI_TOKEN": "a-very-secret-text"}))
    assert ring.secrets == {"AI_TOKEN": "a-very-secret-text"}
    assert parse(document()).secrets == {}
    assert "a-very-secret-text" not in repr(ring)


@pytest.mark.parametrize("secrets", [None, [], "text", {"A": 5}, {"A": None}, {"A": ["x"]}])
def test_what_is_no_set_of_named_secrets_is_refused(secrets: object) -> None:
    with pytest.raises(KeyRingError, match="must be a JSON object of names and texts"):
        parse(document(secrets=secrets))


# ------------------------------------------------------------------------------------------------------ weak secrets


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
@pytest.mark.parametrize("form", ["{}", "X9$kQ-{}-w7Zp!vT2", "{} aB3dE6gH9jK2mN5pQ8sT"])
def test_what_documentation_prints_is_no_secret(placeholder: str, form: str) -> None:
    for text in (placeholder, placeholder.upper(), placeholder.replace("-", "_"), placeholder.replace("-", " ")):
        assert "placeholder" in weakness(form.format(text))


@pytest.mark.parametrize(
    "secret",
    [
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
        "please-change-me-in-production-0123456789",
        "THIS IS USED TO SIGN AND VERIFY JWT TOKENS, REPLACE IT WITH YOUR OWN SECRET, IT CAN BE ANY STRING",
        "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
        "reallyreallyreallyreallyverysafe",
        "======================BezKoder=Spring===========================",
    ],
)
def test_well_known_secrets_are_refused(secret: str) -> None:
    assert "placeholder" in weakness(secret)


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("a" * 64, "different bytes"), ("secret" * 10, "different bytes"), ("password" * 8, "different bytes"),
        ("abcdefg" * 8, "different bytes"), ("0" * 63 + "1", "different bytes"),
        ("abcdefgh" * 8, "over and over"), ("0123456789" * 4, "over and over"), ("letmein-now!" * 3, "over and over"),
        ("letmein-now!" * 3 + "let", "over and over"), ("l" + "letmein-now!" * 3, ""), ("letmein-now!x" * 3, ""),
    ],
)  # fmt: skip
def test_a_plain_secret_is_refused(secret: str, said: str) -> None:
    assert said in weakness(secret)
    assert bool(weakness(secret)) == bool(said)


@given(st.binary(min_size=16, max_size=48))
def test_no_weakness_is_found_in_what_we_tell_people_to_make(data: bytes) -> None:
    """`openssl rand -base64 48` and `-hex 32`: hashed here, so that every example is as good as random."""
    digest = hashlib.sha384(data).digest()
    assert weakness(base64.b64encode(digest).decode()) == ""
    assert weakness(digest[:32].hex()) == ""


@given(st.text(max_size=70))
def test_a_secret_that_passes_is_long_and_varied(secret: str) -> None:
    if not weakness(secret):
        assert len(secret.encode()) >= LEAST_SECRET_BYTES
        assert len(set(secret.encode())) >= LEAST_DISTINCT
    else:
        assert "openssl rand" in weakness(secret)


def test_the_longest_word_is_what_the_cases_above_say() -> None:
    assert len("letmein-now!") == LONGEST_WORD
