"""The gateway in front of the model server, as an AI proxy has it, and the tokens of those who may call it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from gatehouse import keys
from gatehouse.kit import Kit
from gatehouse.settings import read
from gatehouse.stores import aws_json
from gatehouse.tokens import Issuer, mint
from local.house import NEVER_REAL
from local.servers import listen, served
from tests.contract.callers import INTERNAL_KEY, Double, Gate, closed_port
from tests.contract.conftest import SECRET
from tests.contract.model_server import ModelServer, model_server
from tests.unit.issuers import RSA_1, jwk, key_set
from tests.unit.issuers import token as foreign_token

EMAIL = "ada@example.com"
OURS, AUDIENCE = "models.gatehouse.test", "models-clients"
BUDGET = 2000
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
  - name: JUDGED
    path: /judged
    upstream: "${{MODEL_URL}}"
    accept: [gateway]
    ai: &judged
      models: [gpt-4o, "claude-*"]
      max_tokens: 200
      max_body: 2000
      paths: [/v1/chat/completions, /v1/messages, /v1/models]
      include_usage: true
  - name: BUDGET
    path: /budget
    upstream: "${{MODEL_URL}}"
    accept: [gateway]
    ai: *judged
    budget: {{tokens: {BUDGET}, per: 1d, by: subject}}
"""
UPSTREAM_KEY = f"Bearer {INTERNAL_KEY}"


@dataclass(frozen=True)
class Models:
    """The gateway, the model server behind it, and who is to be told of it."""

    gate: Gate
    server: ModelServer
    issuer: str
    address: str

    def at(self, route: str) -> str:
        """Return the address of *route*, without the version that OpenAI's clients expect to be part of it."""
        return f"{self.address}/{route}"

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


class MeteredGate(Gate):
    """A gateway that keeps account in *table*."""

    def __init__(self, folder: Path, environ: Mapping[str, str], table: str) -> None:
        self._table = table
        super().__init__("streaming", folder, environ)

    def _new_kit(self) -> Kit:
        return Kit(read({"ENVIRONMENT": "local", "UPSTREAM_CLIENT": self._client, "USAGE_TABLE": self._table}))


@contextmanager
def usage_table(url: str) -> Iterator[str]:
    """Make a table for what models cost, in the DynamoDB at *url*; the gateway finds it there."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**NEVER_REAL, "AWS_ENDPOINT_URL_DYNAMODB": url}.items():
            patch.setenv(name, value)
        dynamodb = boto3.Session("local", "local", region_name="us-east-1").client("dynamodb", endpoint_url=url)
        name = f"usage-{uuid4()}"
        dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.close()
        aws_json.close()
        yield name
        aws_json.close()


@contextmanager
def models(folder: Path, dynamodb_url: str) -> Iterator[Models]:
    """Serve PROJECT, which is written into *folder*, with account kept in the DynamoDB at *dynamodb_url*."""
    (folder / "models.yaml").write_text(PROJECT)
    issuer, listening = Double(lambda _: (200, json.loads(key_set(jwk(RSA_1))))), [listen("127.0.0.1", 0) for _ in "12"]
    issued_by, address = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in listening)
    with (
        served(issuer, listening[:1]),
        model_server() as server,
        closed_port() as gone,
        usage_table(dynamodb_url) as table,
    ):
        closed = f"http://127.0.0.1:{gone.getsockname()[1]}"
        gate = MeteredGate(folder, {"ISSUER_URL": issued_by, "MODEL_URL": server.url, "GONE_URL": closed}, table)
        with served(gate, listening[1:]):
            yield Models(gate, server, issued_by, address)
