"""Requests as API Gateway hands them to a function: a REST API's proxy event."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl


class Context:
    """What Lambda tells a function about its invocation."""

    aws_request_id = "3f0d6c1e-3b7a-4c55-9d52-0f8f5c1f7d21"

    def __init__(self, remaining_ms: int = 29_000) -> None:
        self._remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._remaining_ms


def rest_event(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes, *, source_ip: str = "127.0.0.1"
) -> dict[str, Any]:
    path, _, query = target.partition("?")
    many: dict[str, list[str]] = {}
    for name, value in headers:
        many.setdefault(name, []).append(value)
    parameters: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters.setdefault(name, []).append(value)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in many.items()} or None,
        "multiValueHeaders": many or None,
        "queryStringParameters": {name: values[-1] for name, values in parameters.items()} or None,
        "multiValueQueryStringParameters": parameters or None,
        "pathParameters": {"proxy": path[1:]},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": "/v1" + path,
            "stage": "v1",
            "identity": {"sourceIp": source_ip, "userAgent": "test"},
            "requestId": "5f0d6c1e-3b7a-4c55-9d52-0f8f5c1f7d21",
        },
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }
