"""better-auth on loopback, as crow's auth, organisation and user services, and people who use it through a gateway."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest

from tests.contract.conftest import Answer, Send

FOLDER = Path(__file__).parent / "node"
NODE = shutil.which("node")
ISSUER, AUDIENCE = "https://auth.crow.example", "crow"
APP = "https://app.crowai.dev"
"""Where the pages are that people use: better-auth takes cookies from no others."""
SERVICE_KEY = "the-key-of-the-organisation-service-of-crow"
AUTH = "/api/v1/auth"

needs_better_auth = pytest.mark.skipif(
    NODE is None or not (FOLDER / "node_modules" / "better-auth").is_dir(),
    reason="node or its packages are missing: npm ci --prefix tests/node --ignore-scripts",
)
_people = count(1)


class AuthServer:
    """One such server. It ends with the context, or with this process."""

    def __init__(self, *, secure: bool = False) -> None:
        self._secure = secure
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        """Begin to start it: on the port that it had, if it ran before."""
        options = {"secure": self._secure, "port": self.port, "serviceKey": SERVICE_KEY}
        command = [NODE or "node", str(FOLDER / "auth-server.mjs"), json.dumps(options)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait(self) -> None:
        """Wait until it listens."""
        assert self._process
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "tests/node/auth-server.mjs ended before it listened; it says why on standard error"
        self.port = json.loads(line)["port"]

    def stop(self) -> None:
        """End it, and wait for its end."""
        if self._process:
            self._process.terminate()
            self._process.communicate(timeout=10)
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Ask it as a service inside does, past every gateway."""
        answer = sender(self.port)(method, path, {"Content-Type": "application/json", **headers}, as_json(body))
        assert answer.status == 200, answer.body
        return answer.json

    def own_id(self, organization: str) -> str:
        """What crow's services call the organisation that the auth service calls *organization*."""
        path = f"/organizations/by-auth-id/{organization}"
        found: str = self.ask("GET", path, **{"X-API-Key": SERVICE_KEY})["id"]
        return found


@dataclass
class Person:
    """Somebody with a browser, which keeps cookies. Everything they do goes through the gateway."""

    send: Send
    email: str = field(default_factory=lambda: f"person-{next(_people)}@example.com")
    cookies: dict[str, str] = field(default_factory=dict)
    user: str = ""

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        sent = {"Origin": APP, "Content-Type": "application/json", **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.send(method, path, sent, as_json(body))
        self._keep(answer.all("set-cookie"))
        return answer

    def _keep(self, set_cookies: list[str]) -> None:
        for text in set_cookies:
            name, morsel = next(iter(SimpleCookie(text).items()))
            self.cookies[name] = text.partition("=")[2].partition(";")[0]  # as it came, and not unquoted
            if morsel["max-age"] == "0":
                del self.cookies[name]

    def does(self, path: str, **body: object) -> Any:
        """POST *body* to better-auth, which must take it."""
        answer = self.ask("POST", AUTH + path, body)
        assert answer.status == 200, answer.body
        return answer.json

    def signs_up(self) -> Self:
        self.user = self.does("/sign-up/email", email=self.email, password="correct horse", name="A Person")["user"][
            "id"
        ]
        return self

    def founds(self) -> str:
        """Make an organisation, which becomes the one they act for, and return the auth service's id of it."""
        made: str = self.does("/organization/create", name="Crow", slug=self.email.partition("@")[0])["id"]
        return made

    def takes_in(self, other: Person) -> None:
        invitation = self.does("/organization/invite-member", email=other.email, role="member")["id"]
        other.does("/organization/accept-invitation", invitationId=invitation)

    def makes_key(self, organization: str) -> dict[str, Any]:
        """Make an API key for *organization*, and return all that is said of it, once: `key` is the key itself."""
        made: dict[str, Any] = self.does("/api-key/create", name="ci", metadata={"organizationId": organization})
        return made


def as_json(body: object) -> bytes:
    return b"" if body is None else json.dumps(body).encode()


def sender(port: int) -> Callable[..., Answer]:
    """What sends requests to *port* of this machine."""

    def send(method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, target, body or None, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    return send
