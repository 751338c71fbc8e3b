"""An upstream that nobody here wrote, behind the gateway: it answers as when it is asked directly."""

from __future__ import annotations

import gzip
import http.client
import json
import zlib
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.contract.conftest import Answer, Send, bearer

OURS = {
    "access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers", "connection",
    "content-length", "date", "keep-alive", "referrer-policy", "server", "strict-transport-security",
    "transfer-encoding", "x-content-type-options", "x-frame-options", "x-request-id",
}  # fmt: skip
"""Answer headers that the gateway sets, that belong to a connection, or that differ from second to second."""
QUOTING = {"/gzip", "/deflate", "/delay/0.2", "/etag/abc"}
"""Paths whose answers quote the request, and so what the gateway told."""
TOLD = {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Gateway-Route", "X-Request-Id"}


def direct(url: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def kept(answer: Answer) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in answer.headers if name.lower() not in OURS)


def without_told(answer: Answer) -> Any:
    inflate = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(answer.get("content-encoding"), bytes)
    seen = json.loads(inflate(answer.body))
    seen["headers"] = {name: value for name, value in seen["headers"].items() if name not in {*TOLD, "Host"}}
    if seen["headers"].get("Content-Length") == "0":  # aiohttp says so of a DELETE; it means the same
        del seen["headers"]["Content-Length"]
    for name in ("origin", "url"):
        seen.pop(name, None)
    return seen


REQUESTS = [
    ("GET", "/redirect/2", b""),
    ("GET", "/redirect-to?url=http%3A%2F%2Fexample.com%2F&status_code=307", b""),
    ("GET", "/cookies/set?a=1&b=2", b""),
    ("GET", "/status/418", b""),
    ("GET", "/status/304", b""),
    ("GET", "/gzip", b""),
    ("GET", "/deflate", b""),
    ("GET", "/bytes/65536?seed=7", b""),
    ("GET", "/delay/0.2", b""),
    ("GET", "/stream-bytes/50000?seed=3&chunk_size=1000", b""),
    ("GET", "/encoding/utf8", b""),
    ("GET", "/image/png", b""),
    ("GET", "/etag/abc", b""),
    ("GET", "/response-headers?X-One=1&X-One=2", b""),
    ("HEAD", "/get", b""),
    ("DELETE", "/status/204", b""),
    ("GET", "/base64/SGVsbG8%3D", b""),
]


@pytest.mark.parametrize("prefix", ["/build", "/kv"])
@pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=[f"{m} {p.split('?')[0]}" for m, p, _ in REQUESTS])
def test_an_answer_comes_back_exactly_as_asked_directly(
    send: Send, httpbin_url: str, admin_token: str, prefix: str, method: str, path: str, body: bytes
):
    headers = {"Accept-Encoding": "gzip, deflate", "User-Agent": "contract/1"}
    straight = direct(httpbin_url, method, path, headers, body)
    proxied = send(method, prefix + path, {**headers, **bearer(admin_token)}, body)
    assert proxied.status == straight.status
    assert kept(proxied) == kept(straight)
    if path in QUOTING:
        assert without_told(proxied) == without_told(straight)
    else:
        assert proxied.body == straight.body


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/get?a=1&b=%20x&a=2", b""),
        ("GET", "/headers", b""),
        ("POST", "/post?x=1", b"key=value&other=%20"),
        ("POST", "/post", b'{"a": [1, 2]}'),
        ("POST", "/post", bytes(range(256)) * 64),
        ("POST", "/post", b"0123456789" * (5 * 1024 * 1024 // 10)),
        ("PUT", "/put", b"x"),
        ("PATCH", "/patch", b"x"),
        ("DELETE", "/delete", b""),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_a_request_arrives_exactly_as_sent_save_for_what_the_gateway_tells(
    send: Send, httpbin_url: str, method: str, path: str, body: bytes
):
    headers = {
        "User-Agent": "contract/1",
        "Accept": "*/*",
        "Cookie": "c=1; d=2",
        "X-Custom": "é".encode().decode("latin-1"),
    }
    if body:
        headers["Content-Type"] = "application/json" if body.startswith(b"{") else "application/x-custom"
    straight = direct(httpbin_url, method, path, headers, body)
    proxied = send(method, "/kv" + path, headers, body)
    if method == "PATCH":  # the project's CORS list leaves it out; the route takes every method all the same
        assert proxied.status == 200
    assert without_told(proxied) == without_told(straight)
