"""The gateway that one writes in an afternoon, to measure ours against: FastAPI, Mangum, httpx, boto3, PyJWT.

It is not made worse than such gateways are: one client for all requests, and no lifespan per invocation.
"""

from __future__ import annotations

import json
import os
from functools import cache

import boto3
import httpx
import jwt
from fastapi import FastAPI, HTTPException, Request, Response
from mangum import Mangum

REGION = os.environ["AWS_REGION"]
UPSTREAM = os.environ["BENCH_UPSTREAM"]
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}

secretsmanager = boto3.client("secretsmanager", region_name=REGION)
s3 = boto3.client("s3", region_name=REGION)
dynamodb = boto3.client("dynamodb", region_name=REGION)
client = httpx.AsyncClient()
app = FastAPI()


@cache
def key() -> str:
    """Return the key that tokens are checked with."""
    document = json.loads(secretsmanager.get_secret_value(SecretId=os.environ["GATEWAY_SECRET_ARN"])["SecretString"])
    secret: str = document["keys"][document["current"]]["secret"]
    return secret


@app.api_route("/build/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def build(path: str, request: Request) -> Response:
    """Check the token and hand the request on, without its prefix."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401, "missing token")
    try:
        audience, issuer = os.environ["BENCH_AUDIENCE"], os.environ["BENCH_ISSUER"]
        claims = jwt.decode(token, key(), algorithms=["HS256"], audience=audience, issuer=issuer)
    except jwt.PyJWTError as error:
        raise HTTPException(403, "invalid token") from error
    if claims.get("route") != "BUILD":
        raise HTTPException(403, "wrong route")
    headers = [(n, v) for n, v in request.headers.items() if n not in {"authorization", "host", *HOP_BY_HOP}]
    answer = await client.request(
        request.method,
        f"{UPSTREAM}/{path}",
        params=request.query_params,
        content=await request.body(),
        headers=[*headers, ("x-gateway-route", "BUILD")],
    )
    kept = {n: v for n, v in answer.headers.items() if n not in {"content-encoding", *HOP_BY_HOP}}
    return Response(answer.content, answer.status_code, kept)


handler = Mangum(app, lifespan="off")
