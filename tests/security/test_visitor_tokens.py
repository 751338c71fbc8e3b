"""A visitor's token is for upstreams. Whoever gets hold of one, an upstream or its log, opens nothing here with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from gatehouse import token_ids
from gatehouse.build import gateway
from gatehouse.call import Reply
from gatehouse.callers import caller
from gatehouse.errors import GatewayError
from gatehouse.keys import KeyRing
from gatehouse.projects import load
from gatehouse.visitors import MintedVisitors, audience
from tests.unit.fakes import NOW, OTHER_SECRET, SECRET, FakeKit, a_call, body_of, key, ring, run, write
from tests.unit.private_keys import private

PLAIN = """
project: shop
routes:
  - {name: open, path: /open, upstream: "http://u.test", auth: optional, accept: [gateway]}
  - {name: closed, path: /closed, upstream: "http://u.test", auth: required, accept: [gateway]}
  - {name: anonymous, path: /anonymous, upstream: "http://u.test", auth: required, accept: [gateway]}
  - {name: strict, path: /strict, upstream: "http://u.test", auth: required, accept: [gateway], revocation: strict}
  - {name: ruled, path: /ruled, upstream: "http://u.test", auth: required, accept: [gateway],
     claims: {scopes: [anonymous], sub: [SUBJECT]}}
  - {name: service, path: /service, upstream: "http://u.test", auth: required, accept: [gateway],
     claims: {project: [shop, other, anonymous], scopes: [anonymous]}}
"""
TOKENS = """
tokens: {issuer: issuer.test, audience: AUDIENCE, ttl: 1h, elevated: [AUTH, anonymous], guest_routes: [open]}
"""
RINGS = {
    "HS256": ring(key()),
    "legacy": ring(key(legacy=True)),
    "EdDSA": ring(private("EdDSA"), key(legacy=True)),
    "ES256": ring(private("ES256"), key(legacy=True)),
}
PATHS = ("/open/x", "/closed/x", "/anonymous", "/strict/x", "/ruled/x", "/service/x")


def visitors_token(keys: KeyRing, *, project: str = "shop", issuer: str = "gatehouse") -> str:
    kit = FakeKit(keys=keys)
    return run(MintedVisitors(project, issuer, kit.ring, 3600, kit.clock)(a_call())).token


def project_file(token: str, tokens: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return PLAIN.replace("SUBJECT", f'"{claims["sub"]}"') + tokens


def ask(folder: Path, kit: FakeKit, path: str, token: str) -> Reply:
    return run(gateway(load(folder, {}), kit)(a_call(path, "GET", ("authorization", f"Bearer {token}"))))


@pytest.mark.parametrize("keys", RINGS)
@pytest.mark.parametrize("tokens", ["", TOKENS.replace("AUDIENCE", "shop"), TOKENS.replace("AUDIENCE", "anonymous")])
def test_no_route_believes_a_visitors_token(tmp_path: Path, keys: str, tokens: str) -> None:
    token = visitors_token(RINGS[keys], issuer="issuer.test" if tokens else "gatehouse")
    folder = write(tmp_path / "projects", project_file(token, tokens))
    for path in PATHS:
        kit = FakeKit(keys=RINGS[keys])
        reply = ask(folder, kit, path, token)
        assert (reply.status, body_of(reply)["code"]) == (403, "INVALID_TOKEN"), path
        assert not kit.upstream.sent


@pytest.mark.parametrize("keys", RINGS)
def test_the_audience_is_what_keeps_it_out(tmp_path: Path, keys: str) -> None:
    """Else the tests above could not fail: the same token for an audience that ends like visitors' is believed."""
    token = visitors_token(RINGS[keys], issuer="issuer.test")
    claims = jwt.decode(token, options={"verify_signature": False})
    believed = run(FakeKit(keys=RINGS[keys]).verifier(_issuer(claims)).verify(token))
    assert believed.subject == claims["sub"]


def _issuer(claims: dict[str, Any]) -> Any:
    from gatehouse.tokens import Issuer

    return Issuer(issuer=claims["iss"], audience=claims["aud"])


@pytest.mark.parametrize("keys", RINGS)
@pytest.mark.parametrize("tokens", ["", TOKENS.replace("AUDIENCE", "shop")])
def test_a_visitor_is_nobody_at_the_gateways_own_addresses(tmp_path: Path, keys: str, tokens: str) -> None:
    token = visitors_token(RINGS[keys], issuer="issuer.test" if tokens else "gatehouse")
    projects = load(write(tmp_path / "projects", project_file(token, tokens)), {})

    class Kit(FakeKit):
        def __init__(self) -> None:
            super().__init__(keys=RINGS[keys])
            self.projects = projects

    with pytest.raises(GatewayError) as refused:
        run(caller(a_call("/auth/session", "GET", ("authorization", f"Bearer {token}")), Kit()))
    assert (refused.value.status, refused.value.code) == (403, "INVALID_TOKEN")


def test_a_visitor_of_one_project_is_nobody_in_another(tmp_path: Path) -> None:
    token = visitors_token(ring(), project="other")
    folder = write(tmp_path / "projects", project_file(token, ""))
    write(folder, "project: other\nroutes:\n  - {name: o, path: /o, upstream: http://u.test, accept: [gateway]}\n"
          "tokens: {issuer: gatehouse, audience: elsewhere, elevated: [AUTH]}\n", "other.yaml")  # fmt: skip
    for path in (*PATHS, "/o"):
        assert ask(folder, FakeKit(), path, token).status == 403


@pytest.mark.parametrize("change", ["aud", "no aud", "aud list", "route", "kid", "legacy", "none"])
def test_a_visitors_token_cannot_be_made_into_another(tmp_path: Path, change: str) -> None:
    token = visitors_token(ring())
    claims, header = jwt.decode(token, options={"verify_signature": False}), {"kid": "k1"}
    if change == "aud":
        claims["aud"] = "shop"
    elif change == "no aud":
        del claims["aud"]
    elif change == "aud list":
        claims["aud"] = ["shop", "shop/anonymous"]
    elif change == "route":
        claims |= {"aud": "shop", "route": "closed"}
    elif change == "legacy":
        header = {}
    head, body, _ = jwt.encode(claims, OTHER_SECRET, headers=header).split(".")
    forged = f"{head}.{body}.{token.split('.')[2]}"
    if change == "none":
        forged = f"{jwt.encode(claims, None, algorithm='none').rpartition('.')[0]}.{token.split('.')[2]}"
    folder = write(tmp_path / "projects", project_file(token, ""))
    for path in PATHS:
        assert ask(folder, FakeKit(keys=ring(key(legacy=True))), path, forged).status == 403


@pytest.mark.parametrize("project", ["shop", "anonymous", "shop-anonymous"])
def test_no_project_without_tokens_of_its_own_has_the_audience_of_visitors(project: str) -> None:
    """Names of projects hold no slash; that `tokens` name no such audience is a rule of the loader."""
    assert "/" in audience(project)
    assert audience(project) not in {"shop", "anonymous", "shop-anonymous"}


def test_what_a_subject_is_derived_with_signs_nothing(tmp_path: Path) -> None:
    """The key that a subject is made with is no key of the ring, and its bytes are no signature of any token."""
    import hmac

    from gatehouse.visitors import _LABEL

    assert b"." not in _LABEL
    assert b" " in _LABEL
    material = hmac.digest(SECRET.encode(), _LABEL, "sha256")
    forged = jwt.encode(
        {"iss": "gatehouse", "aud": "shop", "sub": "ada", "iat": NOW, "exp": NOW + 60, "jti": token_ids.for_service()},
        material, headers={"kid": "k1"},
    )  # fmt: skip
    folder = write(tmp_path / "projects", project_file(visitors_token(ring()), ""))
    assert ask(folder, FakeKit(), "/closed/x", forged).status == 403
