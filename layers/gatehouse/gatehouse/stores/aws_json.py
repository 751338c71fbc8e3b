"""The AWS calls that a request of the proxy may have to wait for, without waiting for boto3 first.

A cold start reads the key ring and the revocation log before it can believe a token. A boto3 client takes 200-300 ms
to import and make; signing the same request ourselves takes none. Where the credentials are not plain variables of
the environment, as in a function with SnapStart, boto3 does it after all. Only calls that may be repeated belong here.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

from gatehouse.stores.clients import client
from gatehouse.stores.sigv4 import Credentials, Post, signed

TIMEOUT_S = 2.0
MOST_BYTES = 4 * 1024 * 1024
OK = 200
SERVER_ERROR = 500
MOST_IDLE = 8
_BEYOND_US = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
_VARIABLES = {
    "secretsmanager": "SECRETS_MANAGER",
    "dynamodb": "DYNAMODB",
    "lambda": "LAMBDA",
    "monitoring": "CLOUDWATCH",
}
_CLIENTS = {"monitoring": "cloudwatch"}
"""What boto3 calls a service, where that is not its name in endpoints and signatures."""
_REGION = re.compile(r"(?!us-iso|eu-isoe)[a-z]{2}(?:-[a-z]+)+-\d")
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


_IDLE: defaultdict[str, list[http.client.HTTPConnection]] = defaultdict(list)
"""Connections that are kept for the next call, by address; lists, since threads take from them and give back."""


class AwsError(Exception):
    """The service refused; the message is its own name for why, and `answer` is all that it said."""

    def __init__(self, why: str, answer: Mapping[str, Any] | None = None) -> None:
        super().__init__(why)
        self.answer: Mapping[str, Any] = answer or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """An AWS service that takes JSON by POST.

    Attributes:
        name: as endpoints and signatures call it.
        target: what stands before the operation in `X-Amz-Target`.
        json: the version in its content type.
        region: where it is; the environment's, if empty.
    """

    name: str
    target: str
    json: str
    region: str = ""


def call(service: Service, operation: str, document: Mapping[str, Any]) -> Any:
    """Return what *service* answers to *operation*. Blocks, for at most twice TIMEOUT_S and a bit.

    Raises:
        AwsError: the service refused.
        OSError, http.client.HTTPException, ValueError: it did not answer as it should.
        botocore.exceptions.BotoCoreError: the same, where boto3 had to do it.
    """
    region = service.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
    where = address(service.name, region, os.environ)
    if where is None:
        return _by_boto3(service, operation, document)
    url = urlsplit(where)
    body = json.dumps(document, default=_text).encode()
    headers = {
        "content-type": f"application/x-amz-json-{service.json}",
        "host": url.netloc,
        "x-amz-target": f"{service.target}.{operation}",
    }
    post = Post(service=service.name, region=region, headers=headers, body=body)
    try:
        return _asked(url, post)
    except (OSError, http.client.HTTPException):
        close()  # after a lull all kept connections may be dead, and the second attempt is the last
        return _asked(url, post)


def _text(data: bytes) -> str:
    """Return binary *data* as JSON has it; boto3 does so by itself."""
    return b64encode(data).decode()


def close() -> None:
    """Close the connections that nobody uses now."""
    for idle in list(_IDLE.values()):
        with suppress(IndexError):
            while True:
                idle.pop().close()


def address(service: str, region: str, environ: Mapping[str, str]) -> str | None:
    """Return the URL of *service*; None where only boto3 knows (credentials or endpoints of another kind)."""
    plain = environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY")
    if not plain or not _REGION.fullmatch(region) or any(environ.get(name) for name in _BEYOND_US):
        return None
    given = environ.get(f"AWS_ENDPOINT_URL_{_VARIABLES[service]}") or environ.get("AWS_ENDPOINT_URL")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return given or f"https://{service}.{region}.{suffix}"


def _by_boto3(service: Service, operation: str, document: Mapping[str, Any]) -> Any:
    asking = client(_CLIENTS.get(service.name, service.name))
    try:
        return getattr(asking, _WORD.sub("_", operation).lower())(**document)
    except asking.exceptions.ClientError as error:
        raise AwsError(error.response["Error"]["Code"], error.response) from error


def _asked(url: SplitResult, post: Post) -> Any:
    credentials = Credentials(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        token=os.environ.get("AWS_SESSION_TOKEN", ""),
    )
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    status, answered = _sent(url, signed(post, credentials, now), post.body)
    if status >= SERVER_ERROR:
        raise http.client.HTTPException(f"{post.service} answered {status}")
    answer: Any = json.loads(answered)
    if status != OK:
        raise AwsError(str(answer.get("__type", status)).rpartition("#")[2], answer)
    return answer


def _sent(url: SplitResult, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    idle = _IDLE[f"{url.scheme}://{url.netloc}"]
    try:
        connection = idle.pop()
    except IndexError:  # asked and not looked at first: another thread may take the last one
        connection = _connection(url)
    try:
        connection.request("POST", "/", body=body, headers=dict(headers))
        response = connection.getresponse()
        data = response.read(MOST_BYTES)
    except BaseException:
        connection.close()
        raise
    if response.will_close or not response.isclosed() or len(idle) >= MOST_IDLE:
        connection.close()
    else:
        idle.append(connection)
    return response.status, data


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    if url.scheme == "https":
        return http.client.HTTPSConnection(url.netloc, timeout=TIMEOUT_S, context=_tls())
    return http.client.HTTPConnection(url.netloc, timeout=TIMEOUT_S)


@cache
def _tls() -> ssl.SSLContext:
    """Return the process's TLS settings: loading the certificates takes 40 ms."""
    return ssl.create_default_context()
