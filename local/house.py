"""The surroundings of the functions: stores, a secret, an administrator and demo upstreams, all of this machine."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

from gatehouse import grants, keys, passwords
from gatehouse.logins import LONGEST_PASSWORD, USERNAME
from gatehouse.projects import load
from gatehouse.stores.admins import PREFIX, AdminRecord, document
from gatehouse.tokens import Issuer, mint
from local import demo, moto_metrics, stores, template, variables
from local.demo_callers import AUDIENCE, KNOWING, Callers
from local.metric_lines import MetricLines
from local.servers import listen, served
from local.state import kept

LOOPBACK = "127.0.0.1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
NEVER_REAL = {
    **CREDENTIALS,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""With these in the environment boto3 finds no credentials of a person, a profile or a machine."""


PERSONAL = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
"""With any of these in the environment it might."""

METRICS_TOKEN = "METRICS_TOKEN"  # noqa: S105  # its name
"""The named secret that no project file names: who has it may scrape `/metrics`."""
MOTO_ACCOUNT = "123456789012"
IMPATIENT: Any = {"connect_timeout": 1, "read_timeout": 1, "retries": {"total_max_attempts": 1}}
"""How metrics are sent: they can be lost, and nobody is to wait for them."""


def forget_the_person() -> None:
    """Take out of this process's environment whatever could lead boto3 to a real account."""
    for name in (*PERSONAL, *(name for name in os.environ if name.startswith("AWS_ENDPOINT_URL_"))):
        os.environ.pop(name, None)
    os.environ.update(NEVER_REAL)


class HouseError(Exception):
    """The local gateway cannot be set up; the message says what to change."""


class House:
    """Starts everything around the functions, and ends it again.

    Args:
        bind: the address that the demo upstreams and the embedded stores listen on.
        projects: the folder of project files.
        host: how the functions reach this machine.
    """

    def __init__(self, bind: str = LOOPBACK, projects: Path | None = None, host: str = LOOPBACK) -> None:
        self.bind = bind
        self.host = host
        self.projects = projects or Path(os.environ.get("PROJECTS") or template.ROOT / "layers/config/projects")
        self.template = template.load()
        self.admin = _admin()
        self._ring = _ring([*variables.secret_names(self.projects), METRICS_TOKEN])
        self.callers = Callers()
        self._ports: dict[str, int] = {}
        self._texts: list[str] = []
        self._endpoint = ""
        self._has_moto = False
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._start_demo(starting)
            self._endpoint = os.environ.get("AWS_ENDPOINT_URL") or self._start_moto(starting)
            session = boto3.Session("local", "local", region_name=CREDENTIALS["AWS_REGION"])
            stores.create(self.template, session, self._endpoint, self._ring)
            self._seed_admin(session)
            self._introduce()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def environment(self, host: str = "") -> dict[str, str]:
        """Return the functions' variables; with *host*, those of somebody who reaches this machine under that name."""
        host = host or self.host
        demos = {name: f"http://{host}:{port}" for name, port in self._ports.items()}
        demos |= dict.fromkeys(self._texts, AUDIENCE)
        given = {name: _reached(os.environ[name], host) for name in self.template.variables() if os.environ.get(name)}
        return {
            **self.template.environment(),
            **demos,
            **given,
            **CREDENTIALS,
            "ENVIRONMENT": "local",
            "PROJECTS_DIR": str(self.projects),
            "AWS_ENDPOINT_URL": _reached(self._endpoint, host),
        }

    @property
    def demos(self) -> tuple[str, ...]:
        """Return the addresses of the demo services that know somebody; the others echo whatever they are asked."""
        return tuple(f"http://{LOOPBACK}:{port}" for name, port in self._ports.items() if name in KNOWING)

    @property
    def metrics_token(self) -> str:
        """Return what scrapers of `/metrics` send."""
        token: str = json.loads(self._ring)["secrets"][METRICS_TOKEN]
        return token

    def metric_lines(self) -> MetricLines:
        """Return what takes the metrics out of lines of the log, as CloudWatch Logs does, and into CloudWatch."""
        session = boto3.Session("local", "local", region_name=CREDENTIALS["AWS_REGION"])
        cloudwatch = session.client("cloudwatch", endpoint_url=self._endpoint, config=Config(**IMPATIENT))

        def put(namespace: str, data: list[dict[str, Any]]) -> None:
            cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
            if self._has_moto:
                moto_metrics.tidy(MOTO_ACCOUNT, CREDENTIALS["AWS_REGION"], time.time())

        return MetricLines(put)

    def fillings(self) -> dict[str, str]:
        """Return what fills the places of `events/`: tokens of the demo administrator, one good and one past."""
        _, tokens = load(self.projects, {**os.environ, **self.environment()}).issuing()
        username, password = self.admin
        guest_route = next(iter(tokens.guest_routes), "")
        ring = keys.parse(self._ring)
        claims = grants.login_claims(tokens, username, "admin")
        login = json.dumps({"username": username, "password": password})
        return {
            "TOKEN": grants.issue(ring, tokens, claims, time.time()).token,
            "EXPIRED_TOKEN": grants.issue(ring, tokens, claims, time.time() - tokens.ttl - 3600).token,
            "GUEST_TOKEN": grants.issue(ring, tokens, grants.guest_claims(tokens, guest_route), time.time()).token,
            "LEAVING_TOKEN": grants.issue(ring, tokens, claims, time.time()).token,
            "SERVICE_TOKEN": _service_token(ring),
            "ACCESS_TOKEN": self.callers.access_token(),
            "PASSWORD": password,
            "BASE64_LOGIN": base64.b64encode(login.encode()).decode(),
        }

    def _introduce(self) -> None:
        """Tell the demo's issuer what the functions call it: they compare that with what its tokens say."""
        told = self.environment()
        self.callers.issuer = told.get("CF_ACCESS_URL", "")
        self.callers.audience = told.get("CF_ACCESS_AUD", AUDIENCE)

    def _start_demo(self, running: ExitStack) -> None:
        """Start one demo service for each address in the project files that the environment does not have.

        Their other variables are texts: an audience, the name of a team.
        """
        unset, addresses = variables.unset(self.projects, os.environ), variables.addresses(self.projects)
        self._texts = [name for name in unset if name not in addresses]
        sockets = {name: listen(self.bind, 0) for name in unset if name in addresses}
        self._ports = {name: listening.getsockname()[1] for name, listening in sockets.items()}
        if sockets:
            names = {port: name for name, port in self._ports.items()}
            running.enter_context(served(demo.services(names, self.callers), list(sockets.values())))

    def _start_moto(self, running: ExitStack) -> str:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415  # a second to import, and not always needed

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per AWS call would drown the gateway's own
        server = ThreadedMotoServer(ip_address=self.bind, port=0, verbose=False)
        server.start()
        running.callback(server.stop)
        self._has_moto = True
        return f"http://{LOOPBACK}:{server.get_host_and_port()[1]}"

    def _seed_admin(self, session: boto3.Session) -> None:
        username, password = self.admin
        record = AdminRecord(username=username, role="admin", hash=passwords.hashed(password))
        session.client("s3", endpoint_url=self._endpoint).put_object(
            Bucket=self.template.made["AdminsBucket"]["Ref"],
            Key=f"{PREFIX}{username}.json",
            Body=document(record),
            ContentType="application/json",
        )


def _service_token(ring: keys.KeyRing) -> str:
    """Return a token that opens captionacc's route; the registry has no row of it."""
    claims = {"sub": "captionacc/prefect", "project": "captionacc", "service": "prefect"}
    return mint(ring, Issuer(issuer="gatehouse", audience="captionacc"), claims, ttl_s=3600, now=time.time()).token


def _reached(url: str, host: str) -> str:
    """Return *url* as it is reached from where this machine is called *host*: a container, say."""
    return re.sub(r"//(127\.0\.0\.1|localhost|0\.0\.0\.0)(?=[:/]|$)", f"//{host}", url)


def _admin() -> tuple[str, str]:
    username = os.environ.get("ADMIN_USERNAME") or "ada"
    if not re.fullmatch(USERNAME, username):
        raise HouseError(
            f"ADMIN_USERNAME is '{username}'; a username is 1 to 64 of a-z 0-9 . _ - and starts with a-z 0-9"
        )
    password = os.environ.get("ADMIN_PASSWORD") or kept("admin-password")
    if len(password) > LONGEST_PASSWORD:
        raise HouseError(f"ADMIN_PASSWORD is longer than {LONGEST_PASSWORD} characters")
    return username, password


def _ring(secret_names: list[str]) -> str:
    """Return the key ring's document: one key, current and legacy, and the named secrets."""
    secret = os.environ.get("GATEWAY_JWT_SECRET") or kept("jwt-secret")
    reason = keys.weakness(secret)
    if reason:
        raise HouseError(f"GATEWAY_JWT_SECRET {reason}")
    named = {name: os.environ.get(name) or kept(f"secret-{name}") for name in secret_names}
    reason = keys.weakness(named[METRICS_TOKEN])
    if reason:
        raise HouseError(f"{METRICS_TOKEN} {reason}")
    key = {"alg": "HS256", "secret": secret, "legacy": True}
    return json.dumps({"current": "local", "keys": {"local": key}, "secrets": named})
