"""What the measured functions need around them: a project file, a secret in an embedded moto, and a token."""

from __future__ import annotations

import json
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import boto3
from moto.server import ThreadedMotoServer

from bench.processes import LOOPBACK
from gatehouse import keys
from gatehouse.tokens import Issuer, mint
from local.house import CREDENTIALS, NEVER_REAL

ROOT = Path(__file__).resolve().parents[1]
LAYER = ROOT / "layers" / "gatehouse"
PROXY = ROOT / "functions" / "proxy"
PATH = "/build/file"
ISSUER = Issuer(issuer="bench.gatehouse.test", audience="bench-clients")
TOKEN_TTL_S = 3600
PROJECT = f"""\
project: bench
cors: {{origins: ["*"]}}
tokens: {{issuer: {ISSUER.issuer}, audience: {ISSUER.audience}, elevated: [AUTH], guest_routes: []}}
routes:
  - {{name: BUILD, path: /build, upstream: "${{BENCH_UPSTREAM}}", auth: required, accept: [gateway]}}
"""


class Surroundings:
    """A temporary folder, embedded stores with a key ring and no revocations, and a token that opens PATH."""

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self.folder = Path(starting.enter_context(tempfile.TemporaryDirectory(prefix="gatehouse-bench-")))
            self.projects = self.folder / "projects"
            self.projects.mkdir()
            (self.projects / "bench.yaml").write_text(PROJECT)
            ring = _ring()
            self._endpoint = _moto(starting)
            self._secret_arn = self._store(ring)
            self._table = self._revocations()
            claims = {"sub": "bench", "projectId": "bench", "route": "BUILD", "scopes": ["admin"]}
            self.token = mint(keys.parse(ring), ISSUER, claims, ttl_s=TOKEN_TTL_S, now=time.time()).token
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def environment(self, upstream: str, client: str) -> Mapping[str, str]:
        """Return a function's variables, and nothing of this process that names a person or an account."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {
            **kept,
            **NEVER_REAL,
            "ENVIRONMENT": "local",
            "PROJECTS_DIR": str(self.projects),
            "GATEWAY_SECRET_ARN": self._secret_arn,
            "TOKENS_TABLE": self._table,
            "AWS_ENDPOINT_URL": self._endpoint,
            "BENCH_UPSTREAM": upstream,
            "BENCH_ISSUER": ISSUER.issuer,
            "BENCH_AUDIENCE": ISSUER.audience,
            "UPSTREAM_CLIENT": client,
        }

    def _store(self, ring: str) -> str:
        session = boto3.Session("local", "local", region_name=CREDENTIALS["AWS_REGION"])
        store = session.client("secretsmanager", endpoint_url=self._endpoint)
        arn: str = store.create_secret(Name=f"gatehouse-bench-{secrets.token_hex(4)}", SecretString=ring)["ARN"]
        store.get_secret_value(SecretId=arn)  # moto's first answer is slow; that is not the gateway's doing
        return arn

    def _revocations(self) -> str:
        """Make an empty table with the revocation log: the first protected request reads it."""
        session = boto3.Session("local", "local", region_name=CREDENTIALS["AWS_REGION"])
        dynamodb = session.client("dynamodb", endpoint_url=self._endpoint)
        dynamodb.create_table(
            TableName="tokens",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.query(  # as above: the first answer is slow
            TableName="tokens", KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": "x"}}
        )
        return "tokens"


def _ring() -> str:
    key = {"alg": "HS256", "secret": secrets.token_urlsafe(36)}
    return json.dumps({"current": "bench", "keys": {"bench": key}})


def _moto(running: ExitStack) -> str:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    running.callback(server.stop)
    return f"http://{LOOPBACK}:{server.get_host_and_port()[1]}"
