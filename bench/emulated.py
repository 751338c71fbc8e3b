"""One function under the Runtime Interface Emulator: its first invocation, and the warm ones after it."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import LOOPBACK, BenchError, free_port, started
from bench.surroundings import PATH
from bench.workshop import PYTHON, emulator

INVOKE = "/2015-03-31/functions/function/invocations"
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_TIMEOUT": "29",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "_HANDLER": "app.handler",
    # Lambda's folders cannot be written: what ships without bytecode is compiled at every cold start.
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True, slots=True)
class Function:
    """What is measured: a folder with `app.py`, its variables, and where its packages are."""

    name: str
    folder: Path
    environ: Mapping[str, str]
    packages: Path | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """One process of a function, in ms: the first response, with the init before it, and all warm ones."""

    first_ms: float
    warm_ms: list[float]


def live(function: Function, token: str, warm: int, log: Path) -> Life:
    """Start *function*, invoke it once cold and *warm* times after that, and end it.

    Raises:
        BenchError: an invocation failed, so the figures would say nothing.
    """
    port, api = free_port(), free_port()
    environ = {**function.environ, **LAMBDA, "LAMBDA_TASK_ROOT": str(function.folder)}
    if function.packages:
        environ["PYTHONPATH"] = str(function.packages)
    command: list[str | Path] = [
        *(emulator(), "--runtime-interface-emulator-address", f"{LOOPBACK}:{port}"),
        *("--runtime-api-address", f"{LOOPBACK}:{api}"),
        *(PYTHON, "-m", "awslambdaric", "app.handler"),
    ]
    payload = json.dumps(event(token)).encode()
    with started(command, port, log, environ, function.folder):
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
        try:
            first_ms = _invoke(connection, payload, function, log)
            return Life(first_ms, [_invoke(connection, payload, function, log) for _ in range(warm)])
        finally:
            connection.close()


def event(token: str) -> dict[str, Any]:
    """Return a GET of the protected PATH as API Gateway hands it to a function."""
    headers = {
        "accept": "*/*",
        "authorization": f"Bearer {token}",
        "host": "abcdefghij.execute-api.us-east-1.amazonaws.com",
        "user-agent": "bench",
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    return {
        "resource": "/{proxy+}",
        "path": PATH,
        "httpMethod": "GET",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": PATH[1:]},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": "GET",
            "path": f"/v1{PATH}",
            "protocol": "HTTP/1.1",
            "stage": "v1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "bench"},
        },
        "body": None,
        "isBase64Encoded": False,
    }


def _invoke(connection: http.client.HTTPConnection, payload: bytes, function: Function, log: Path) -> float:
    began = time.perf_counter()
    connection.request("POST", INVOKE, payload, {"Content-Type": "application/json"})
    answer = connection.getresponse().read()
    took_ms = (time.perf_counter() - began) * 1000
    if json.loads(answer or b"{}").get("statusCode") != 200:
        said = log.read_text(errors="replace")[-1500:]
        raise BenchError(f"{function.name} answered {answer[:500]!r}{os.linesep}{said}")
    return took_ms
