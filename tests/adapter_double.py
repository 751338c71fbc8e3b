"""Stands in for the Lambda Web Adapter, which cannot be installed from a package index: run as a process of its own.

It does what that one does in response-stream mode, as far as the gateway can see it: it waits until the application is
healthy, takes invocations from the Runtime API, makes HTTP requests of them, with two fields of its own, and streams
the answers back behind a prelude. What it hands on it also writes to ADAPTER_WITNESS, a line of JSON for each step.
It needs nothing but the standard library.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8
NEXT = "/2018-06-01/runtime/invocation/next"
RESPONSE = "/2018-06-01/runtime/invocation/{}/response"
PIECE = 65536
OF_ITS_OWN_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}


class Double:
    """One adapter: what it was told by its variables."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.api = environ["AWS_LAMBDA_RUNTIME_API"]
        self.port = int(environ["AWS_LWA_PORT"])
        self.ready_path = environ["AWS_LWA_READINESS_CHECK_PATH"]
        least, most = environ["AWS_LWA_READINESS_CHECK_HEALTHY_STATUS"].split("-")
        self.healthy = range(int(least), int(most) + 1)
        self.pass_through = environ["AWS_LWA_PASS_THROUGH_PATH"]
        self.witness = environ["ADAPTER_WITNESS"]
        assert environ["AWS_LWA_INVOKE_MODE"] == "response_stream"

    def note(self, **what: Any) -> None:
        with open(self.witness, "a", encoding="utf-8") as out:  # noqa: PTH123
            out.write(json.dumps(what) + "\n")

    def wait(self) -> None:
        while True:
            try:
                if self.ask("GET", self.ready_path, [], b"").status in self.healthy:
                    return self.note(step="ready")
            except OSError:
                pass
            time.sleep(0.01)

    def ask(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {name.lower() for name, _ in headers}
        connection.putrequest(method, target, skip_host="host" in given, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode())
        if body and "content-length" not in given:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body or None)
        return connection.getresponse()

    def serve(self) -> None:
        while True:
            connection = http.client.HTTPConnection(self.api)
            connection.request("GET", NEXT)
            invocation = connection.getresponse()
            event = json.loads(invocation.read())
            context = {
                "request_id": invocation.getheader("Lambda-Runtime-Aws-Request-Id"),
                "deadline": int(invocation.getheader("Lambda-Runtime-Deadline-Ms") or 0),
                "invoked_function_arn": invocation.getheader("Lambda-Runtime-Invoked-Function-Arn"),
            }
            self.answer(context, self.ask(*self.request(event, context)))

    def request(self, event: Any, context: dict[str, Any]) -> tuple[str, str, list[tuple[str, str]], bytes]:
        """Return the request that *event* becomes; what is no HTTP event is posted as it is."""
        is_http = isinstance(event, dict) and "httpMethod" in event and "requestContext" in event
        said = [
            ("x-amzn-request-context", json.dumps(event["requestContext"] if is_http else None, ensure_ascii=False)),
            ("x-amzn-lambda-context", json.dumps(context)),
        ]
        if not is_http:
            return "POST", self.pass_through, said, json.dumps(event).encode()
        sent = [(name, value) for name, values in event["multiValueHeaders"].items() for value in values]
        ours = OF_ITS_OWN_CONNECTION | {name for name, _ in said}
        headers = [pair for pair in sent if pair[0].lower() not in ours] + said
        query = urlencode(event["multiValueQueryStringParameters"] or {}, doseq=True)
        target = resolved(event["path"]) + (f"?{query}" if query else "")
        text = event["body"] or ""
        body = base64.b64decode(text) if event["isBase64Encoded"] else text.encode()
        return event["httpMethod"], target, headers, body

    def answer(self, context: dict[str, Any], response: http.client.HTTPResponse) -> None:
        """Stream *response* to the Runtime API as it comes."""
        connection = http.client.HTTPConnection(self.api)
        connection.putrequest("POST", RESPONSE.format(context["request_id"]))
        for name, value in (
            ("Lambda-Runtime-Function-Response-Mode", "streaming"),
            ("Content-Type", PRELUDE_TYPE),
            ("Transfer-Encoding", "chunked"),
            ("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"),
        ):
            connection.putheader(name, value)
        connection.endheaders()
        head = prelude(response)
        self.note(step="prelude", **head)
        connection.send(chunk(json.dumps(head).encode() + PRELUDE_END))
        trailer = b""
        try:
            for piece in pieces(response):
                connection.send(chunk(piece))
                self.note(step="piece", text=piece.decode("latin-1"))
        except http.client.IncompleteRead:
            trailer = b"Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n"
            self.note(step="cut")
        connection.send(b"0\r\n" + trailer + b"\r\n")
        connection.getresponse().read()
        self.note(step="done")


def resolved(path: str) -> str:
    """Return *path* as a WHATWG URL has it: with dot segments resolved, and backslashes turned round."""
    done: list[str] = []
    for segment in path.replace("\\", "/").split("/")[1:]:
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            done = done[:-1]
        elif plain != ".":
            done.append(segment)
    return "/" + "/".join(done)


def prelude(response: http.client.HTTPResponse) -> dict[str, Any]:
    """Return the head of the answer as JSON: a repeated field is a list there, and cookies stand apart."""
    fields: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        if name.lower() not in OF_ITS_OWN_CONNECTION:
            fields.setdefault(name.lower(), []).append(value)
    cookies = fields.pop("set-cookie", [])
    headers = {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
    return {"statusCode": response.status, "headers": headers, "cookies": cookies}


def pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body as it comes.

    Raises:
        http.client.IncompleteRead: it broke off.
    """
    while piece := response.read1(PIECE):
        yield piece
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


if __name__ == "__main__":
    double = Double(dict(os.environ))
    double.wait()
    double.serve()
