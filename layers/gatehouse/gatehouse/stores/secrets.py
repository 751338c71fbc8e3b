"""Secrets Manager, read without blocking the event loop and without waiting for boto3.

This is the one AWS call that a cold start of the proxy has to make before it can believe a token. A boto3 client
takes 200-300 ms to import and make; signing the same request ourselves takes none. Where the
credentials are not plain variables of the environment, as in a function with SnapStart, boto3 does it after all.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from gatehouse.stores.clients import READ_S, client
from gatehouse.stores.sigv4 import Credentials, Post, signed

SERVICE = "secretsmanager"
_BEYOND_US = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
_ARN = re.compile(r"arn:([a-z0-9-]+):secretsmanager:([a-z0-9-]+):")
_SUFFIXES = {"aws": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-us-gov": "amazonaws.com"}
OK = 200
SERVER_ERROR = 500


class SecretError(Exception):
    """Secrets Manager refused; the message is its own name for why."""


async def secret_value(arn: str) -> str:
    """Return the current text of the secret *arn*.

    Raises:
        SecretError, OSError, http.client.HTTPException, botocore.exceptions.BotoCoreError: it cannot be had.
    """
    return await asyncio.to_thread(_value, arn)


def _value(arn: str) -> str:
    address = endpoint(arn, os.environ)
    if address is None:
        text: str = client(SERVICE).get_secret_value(SecretId=arn)["SecretString"]
        return text
    try:
        return _asked(arn, address)
    except (OSError, http.client.HTTPException):
        return _asked(arn, address)  # once more: it is only read


def endpoint(arn: str, environ: Mapping[str, str]) -> str | None:
    """Return where to ask for *arn*; None where only boto3 knows (credentials or endpoints of another kind)."""
    named = _ARN.match(arn)
    plain = environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY")
    if not plain or not named or any(environ.get(name) for name in _BEYOND_US):
        return None
    given = environ.get("AWS_ENDPOINT_URL_SECRETS_MANAGER") or environ.get("AWS_ENDPOINT_URL")
    suffix = _SUFFIXES.get(named[1])
    return given or (f"https://{SERVICE}.{named[2]}.{suffix}" if suffix else None)


def _asked(arn: str, address: str) -> str:
    url = urlsplit(address)
    body = json.dumps({"SecretId": arn}).encode()
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": url.netloc,
        "x-amz-target": "secretsmanager.GetSecretValue",
    }
    credentials = Credentials(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        token=os.environ.get("AWS_SESSION_TOKEN", ""),
    )
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    post = Post(service=SERVICE, region=arn.split(":")[3], headers=headers, body=body)
    status, answered = _sent(url, signed(post, credentials, now), body)
    if status >= SERVER_ERROR:
        raise http.client.HTTPException(f"Secrets Manager answered {status}")
    answer: Any = json.loads(answered)
    if status != OK:
        raise SecretError(str(answer.get("__type", status)).rpartition("#")[2])
    text: str = answer["SecretString"]
    return text


def _sent(url: SplitResult, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.netloc, timeout=READ_S)
    try:
        connection.request("POST", "/", body=body, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read(256 * 1024)
    finally:
        connection.close()
