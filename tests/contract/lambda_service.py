"""Lambda's Invoke API on loopback: it runs real handlers in this process, and believes no signature unread."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import botocore.auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.contract.rest_event import Context

KEY, SECRET = "AKIDEXAMPLE", "not-a-secret-but-long-enough"
SIGNING = threading.Lock()
Function = Callable[[Any, Any], Any]


@dataclass
class LambdaService:
    """Functions by name, and every invocation that came: the path with the query, the headers, the event."""

    functions: dict[str, Function] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    invoked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    connections: int = 0

    def answer(self, target: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        event = json.loads(body)
        self.invoked.append((target, headers, event))
        if headers["authorization"] != expected(target, headers, body):
            return 403, {"x-amzn-errortype": "InvalidSignatureException"}, b"{}"
        name = unquote(target.split("/")[3]).rpartition(":")[2]
        if name in self.refusals:
            status, kind = self.refusals[name]
            return status, {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/"}, b'{"Message":"no"}'
        if name not in self.functions:
            return 404, {}, b'{"__type":"com.amazonaws.lambda#ResourceNotFoundException","Message":"no"}'
        try:
            result = self.functions[name](event, Context())
        except Exception as error:  # noqa: BLE001  # as Lambda
            document = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return 200, {"x-amz-function-error": "Unhandled"}, json.dumps(document).encode()
        return 200, {}, result if isinstance(result, bytes) else json.dumps(result).encode()


def expected(target: str, headers: dict[str, str], body: bytes) -> str:
    """Return what botocore signs the request with."""
    scope = headers["authorization"].partition("Credential=")[2].partition(",")[0].split("/")
    names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    signed = {name: headers[name] for name in names if name not in {"x-amz-date", "x-amz-security-token"}}
    request = AWSRequest("POST", f"http://{headers['host']}{target}", headers=signed, data=body)
    moment = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with SIGNING:
        before = botocore.auth.get_current_datetime
        botocore.auth.get_current_datetime = lambda **_: moment  # type: ignore[assignment]
        try:
            token = headers.get("x-amz-security-token")
            SigV4Auth(Credentials(KEY, SECRET, token), "lambda", scope[2]).add_auth(request)
        finally:
            botocore.auth.get_current_datetime = before
    return str(request.headers["Authorization"])


@contextlib.contextmanager
def serving(service: LambdaService) -> Iterator[str]:
    """Serve *service*, at the address that is yielded."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            service.connections += 1

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, fields, answer = service.answer(self.path, headers, self.rfile.read(int(headers["content-length"])))
            self.send_response(status)
            for name, value in {**fields, "content-length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
