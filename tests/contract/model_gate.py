"""The gateway in front of the model server, as an AI proxy has it, and the tokens of those who may call it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gatehouse import keys
from gatehouse.tokens import Issuer, mint
from local.servers import listen, served
from tests.contract.callers import INTERNAL_KEY, Double, Gate, closed_port, on_uvicorn
from tests.contract.conftest import SECRET
from tests.contract.model_server import ModelServer, model_server
from tests.unit.issuers import RSA_1, jwk, key_set
from tests.unit.issuers import token as foreign_token

EMAIL = "ada@example.com"
OURS, AUDIENCE = "models.gatehouse.test", "models-clients"
PROJECT = f"""
project: models
tokens: {{issuer: {OURS}, audience: {AUDIENCE}, elevated: [AUTH], guest_routes: []}}
providers:
  access:
    type: jwks
    issuer: "${{ISSUER_URL}}"
    audience: "models"
    jwks_url: "${{ISSUER_URL}}/certs"
    headers: [cf-access-token]
    require: [email]
limits:
  few: {{requests: 1, per: 1h, by: subject}}
defaults:
  errors: openai
  streaming: {{keep_alive: 1s, idle: 20s, total: 60s}}
  set_headers:
    Authorization: "Bearer ${{secret:INTERNAL_GATEWAY_KEY}}"
    x-api-key: "${{secret:INTERNAL_GATEWAY_KEY}}"
    cf-aig-metadata: {{user_id: "${{identity.email}}"}}
routes:
  - {{name: AI,   path: /ai,   upstream: "${{MODEL_URL}}", accept: [access], methods: [GET, POST]}}
  - {{name: OWN,  path: /own,  upstream: "${{MODEL_URL}}", accept: [gateway]}}
  - {{name: FEW,  path: /few,  upstream: "${{MODEL_URL}}", accept: [gateway], limit: few}}
  - {{name: GONE, path: /gone, upstream: "${{GONE_URL}}",  accept: [gateway]}}
  - {{name: SLOW, path: /slow, upstream: "${{MODEL_URL}}", accept: [gateway], timeout: 300ms}}
  - {{name: NONE, path: /none, upstream: "${{UNSET_URL}}", accept: [gateway]}}
"""
UPSTREAM_KEY = f"Bearer {INTERNAL_KEY}"


@dataclass(frozen=True)
class Models:
    """The gateway, the model server behind it, and who is to be told of it."""

    gate: Gate
    server: ModelServer
    issuer: str

    def at(self, route: str) -> str:
        """Return the address of *route*, without the version that OpenAI's clients expect to be part of it."""
        return f"http://127.0.0.1:{self.gate.port}/{route}"

    @property
    def access_token(self) -> str:
        """A token of the foreign issuer, for Ada."""
        now = int(time.time())
        return foreign_token(iss=self.issuer, aud=["models"], iat=now, nbf=now, exp=now + 600, email=EMAIL)

    def token(self, route: str = "AUTH", *, scopes: tuple[str, ...] = ("admin",), subject: str = "ada") -> str:
        """A token of ours; one for AUTH opens every route."""
        ring = keys.parse(json.dumps({"current": "k1", "keys": {"k1": {"alg": "HS256", "secret": SECRET}}}))
        claims = {"sub": subject, "projectId": subject, "route": route, "scopes": list(scopes)}
        return mint(ring, Issuer(issuer=OURS, audience=AUDIENCE), claims, ttl_s=600, now=time.time()).token

    def rest(self) -> None:
        """Begin anew: with a gateway that counts from nothing, and a model server that is well."""
        self.gate.renew()
        self.server.rest()


@contextmanager
def models(folder: Path, project: str = PROJECT) -> Iterator[Models]:
    """Serve *project*, which is written into *folder*."""
    (folder / "models.yaml").write_text(project)
    issuer, listening = Double(lambda _: (200, json.loads(key_set(jwk(RSA_1))))), listen("127.0.0.1", 0)
    issued_by = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with served(issuer, [listening]), model_server() as server, closed_port() as gone:
        closed = f"http://127.0.0.1:{gone.getsockname()[1]}"
        environ = {"ISSUER_URL": issued_by, "MODEL_URL": server.url, "GONE_URL": closed}
        with on_uvicorn(folder, environ) as gate:
            yield Models(gate, server, issued_by)
