"""Our tokens as a service in Node reads them: with `jose`, and with nothing of ours but the published keys."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gatehouse import jwks
from gatehouse.asymmetric import generated
from gatehouse.keys import ALGORITHMS, Key, KeyRing
from gatehouse.tokens import mint
from tests.unit.fakes import METACOGNA, NOW, OTHER_SECRET, SECRET
from tests.unit.private_keys import PEMS

FOLDER = Path(__file__).parents[1] / "node"
NODE = shutil.which("node")
CLAIMS = {"sub": "ada", "projectId": "ada", "route": "AUTH", "scopes": ["admin"], "name": "Zoë 🗝", "jti": "a-jti"}

pytestmark = pytest.mark.skipif(
    NODE is None or not (FOLDER / "node_modules" / "jose").is_dir(),
    reason="node or its packages are missing: npm ci --prefix tests/node --ignore-scripts",
)


@cache
def ring(algorithm: str) -> KeyRing:
    """A ring whose key for *algorithm* signs, with keys of all other kinds beside it."""
    keys = {
        name: Key(kid=name, algorithm=name, secret=(generated(name) if name in PEMS else SECRET).encode())
        for name in ALGORITHMS
    }
    return KeyRing(keys[algorithm], keys)


def asked(algorithm: str, **changes: Any) -> dict[str, Any]:
    """What a service knows that checks a token of *algorithm*, and the token."""
    issued = mint(ring(algorithm), METACOGNA, CLAIMS, ttl_s=3600, now=NOW)
    keys = {"secret": SECRET} if algorithm == "HS256" else {"jwks": jwks.document(ring(algorithm))}
    who = {"issuer": METACOGNA.issuer, "audience": METACOGNA.audience}
    return {"token": issued.token, "algorithm": algorithm, "now": NOW, **who, **keys, **changes}


def answered(*questions: dict[str, Any]) -> list[dict[str, Any]]:
    """What `jose` says of each."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    command = [NODE or "node", str(FOLDER / "verify.mjs")]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_node_reads_what_we_signed(algorithm: str) -> None:
    (answer,) = answered(asked(algorithm))
    assert answer["header"] == {"alg": algorithm, "typ": "JWT", "kid": algorithm}
    registered = {"iss": METACOGNA.issuer, "aud": METACOGNA.audience, "iat": NOW, "exp": NOW + 3600}
    assert answer["claims"] == {**CLAIMS, **registered}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_node_refuses_what_is_not_for_it(algorithm: str) -> None:
    good = asked(algorithm)
    head, claims, signature = good["token"].split(".")
    forged = f"{head}.{claims[:-2]}AA.{signature}"
    refused = answered(
        {**good, "issuer": "somebody-else"},
        {**good, "audience": "somebody-else"},
        {**good, "now": NOW + 3600},
        {**good, "token": forged},
    )
    assert [answer.get("error") for answer in refused] == [
        "ERR_JWT_CLAIM_VALIDATION_FAILED",
        "ERR_JWT_CLAIM_VALIDATION_FAILED",
        "ERR_JWT_EXPIRED",
        "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
    ]


@pytest.mark.parametrize("algorithm", sorted(PEMS))
def test_node_finds_the_key_by_its_id_among_those_that_are_published(algorithm: str) -> None:
    published = jwks.document(ring(algorithm))
    others = {"keys": [key for key in published["keys"] if key["kid"] != algorithm]}
    found, missing = answered(asked(algorithm), asked(algorithm, jwks=others))
    assert found["claims"]["sub"] == "ada"
    assert missing["error"] == "ERR_JWKS_NO_MATCHING_KEY"


def test_a_published_key_is_no_shared_secret_to_node() -> None:
    (answer,) = answered(asked("HS256", secret=None, jwks=jwks.document(ring("HS256"))))
    assert answer["error"] in {"ERR_JWKS_NO_MATCHING_KEY", "ERR_JOSE_NOT_SUPPORTED"}


def test_another_secret_is_none() -> None:
    (answer,) = answered(asked("HS256", secret=OTHER_SECRET))
    assert answer["error"] == "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"
