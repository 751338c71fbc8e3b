"""Another issuer, as tests need it: keys, the set that publishes them, tokens that PyJWT signs, and what is asked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gatehouse.asking import Answer, Question
from gatehouse.headers import Headers, Pair
from gatehouse.projects.model import JwksProvider
from tests.unit.fakes import NOW
from tests.unit.private_keys import ED25519, P256, encoded

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

ISSUER = "https://team.cloudflareaccess.com"
AUDIENCE = "32eafc7626e737f6"
URL = f"{ISSUER}/cdn-cgi/access/certs"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": [AUDIENCE],
    "sub": "7335d417-61da-459d-899c-0a01c76a2f94",
    "email": "ada@example.com",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 3600,
    "type": "app",
}
GONE = object()


def _number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


RSA_1, RSA_2 = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
EC_1, ED_1 = load_pem_private_key(P256.encode(), None), load_pem_private_key(ED25519.encode(), None)
KEYS: dict[str, Any] = {"RS256": RSA_1, "ES256": EC_1, "EdDSA": ED_1}


def jwk(private: Any, kid: str = "k1", **changes: Any) -> dict[str, Any]:
    """The public half of *private* as a JWK; a change to GONE leaves a member out."""
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        made = {"kty": "RSA", "alg": "RS256", "n": _number(numbers.n), "e": _number(numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        x, y = (encoded(number.to_bytes(32, "big")) for number in (point.x, point.y))
        made = {"kty": "EC", "alg": "ES256", "crv": "P-256", "x": x, "y": y}
    else:
        made = {"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": encoded(public.public_bytes_raw())}
    whole = {"kid": kid, "use": "sig", **made, **changes}
    return {name: value for name, value in whole.items() if value is not GONE}


def key_set(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys or (jwk(RSA_1),)})


def token(private: Any = RSA_1, kid: object = "k1", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token as PyJWT signs it; a claim that is GONE is left out."""
    algorithm = next(name for name, known in ALGORITHMS if isinstance(private, known))
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not GONE}
    fields = {**({} if kid is GONE else {"kid": kid}), **(header or {})}
    return jwt.api_jws.encode(json.dumps(said).encode(), private, algorithm, headers=fields)


ALGORITHMS = (
    ("RS256", rsa.RSAPrivateKey),
    ("ES256", ec.EllipticCurvePrivateKey),
    ("EdDSA", ed25519.Ed25519PrivateKey),
)


def provider(**changes: Any) -> JwksProvider:
    fields: dict[str, Any] = {"type": "jwks", "issuer": ISSUER, "audience": (AUDIENCE,), "jwks_url": URL}
    return JwksProvider(**{**fields, **changes})


def an_answer(text: str | bytes = "", *headers: Pair, status: int = 200) -> Answer:
    body = text if isinstance(text, bytes) else (text or key_set()).encode()
    return Answer(status=status, headers=Headers(headers), body=body)


class FakeIssuer:
    """What is asked for keys: gives *now* each time, an answer or an exception; it can be held up."""

    def __init__(self, now: Answer | Exception | None = None) -> None:
        self.now = now or an_answer()
        self.asked: list[tuple[Question, float | None]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, question: Question, deadline: float | None = None) -> Answer:
        self.asked.append((question, deadline))
        await asyncio.sleep(0)
        await self.open.wait()
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    @property
    def times(self) -> int:
        return len(self.asked)


class FakeShared:
    """What processes share: a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, float]] = {}
        self.reads = 0

    async def read(self, key: str) -> tuple[str, float] | None:
        self.reads += 1
        await asyncio.sleep(0)
        return self.kept.get(key)

    async def write(self, key: str, text: str, expires_at: float) -> None:
        await asyncio.sleep(0)
        self.kept[key] = (text, expires_at)
