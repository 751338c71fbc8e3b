"""Serve the whole gateway on this machine: `make run`."""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import sys
from contextlib import ExitStack
from typing import NoReturn

from gatehouse.errors import InvalidRequestError
from gatehouse.projects import ProjectFileError, Projects
from gatehouse.projects.load import load
from gatehouse.settings import SettingsError
from local import trying, variables
from local.house import METRICS_TOKEN, House, HouseError, forget_the_person
from local.metric_lines import sent_before
from local.router import router
from local.running import noted
from local.servers import listen, serve

GREETING = """\
gatehouse: the demo administrator is {username}, password {password}
gatehouse: paste these into another terminal
"""
LOGIN = """
  curl -s -X POST {url}/auth/login -H 'Content-Type: application/json' -d {body}
"""
GUEST = """
  curl -s -X POST {url}/auth/guest

  curl -s '{url}{path}/hello?x=1' -H "Authorization: Bearer $(curl -s -X POST {url}/auth/guest | {cut})"
"""
METRICS = """
  # what the gateway has done, as Prometheus scrapes it
  curl -s {url}/metrics -H "Authorization: Bearer {token}"
"""
CUT = r"""sed 's/.*"token":"\([^"]*\)".*/\1/'"""


def main() -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    forget_the_person()
    host = os.environ.get("HOST") or "127.0.0.1"
    try:
        listening = listen(host, _port())
    except (OSError, ValueError) as error:
        which = "HOST" if _is_of_the_host(error) else "PORT"
        port = os.environ.get("PORT") or 3000
        return _fail(f"cannot listen on {host}:{port}: {error}. Choose another with {which}=…")
    with listening:
        try:
            with House() as house:
                _serve(house, listening, host)
                _leave()
        except (HouseError, SettingsError) as error:
            return _fail(str(error))
        except ProjectFileError as error:
            return _fail(f"the project files have mistakes:\n{error}")


def _serve(house: House, listening: socket.socket, host: str) -> None:
    # The template's choice is for one request at a time; here they run side by side, and stream.
    client = os.environ.get("UPSTREAM_CLIENT") or "streaming"
    os.environ.update(house.environment() | {"UPSTREAM_CLIENT": client})
    projects = load(house.projects, os.environ)
    lines = house.metric_lines()
    app = sent_before("/metrics", lines, router(house.template))
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listening.getsockname()[1]}"

    # What somebody has set stays where they have it: this is printed, and may be kept.
    metrics_token = f"${METRICS_TOKEN}" if os.environ.get(METRICS_TOKEN) else house.metrics_token

    with ExitStack() as running:
        running.enter_context(lines.running())

        def ready() -> None:
            running.enter_context(noted(url, dict(os.environ), variables.unset(house.projects, {})))
            commands = trying.commands(projects, url, house.demos) + METRICS.format(url=url, token=metrics_token)
            print(greeting(projects, url, *house.admin) + commands)
            print(f"gatehouse: ready on {url}", flush=True)

        serve(app, listening, ready)


def _leave() -> NoReturn:
    """End this process. All that it has started is in it, and Python would take a second to take moto apart."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def greeting(projects: Projects, url: str, username: str, password: str) -> str:
    """Return what somebody new can paste: commands that work with the project files that are served."""
    text = GREETING.format(username=username, password=password)
    try:
        project, tokens = projects.issuing()
    except InvalidRequestError:  # nobody can log in, or has to say to what
        return text
    body = shlex.quote(json.dumps({"username": username, "password": password}))
    text += LOGIN.format(url=url, body=body)
    path = next((route.patterns[0] for route in project.routes if route.name in tokens.guest_routes[:1]), "")
    return text + GUEST.format(url=url, path=path, cut=CUT) if path else text


def _is_of_the_host(error: Exception) -> bool:
    """Say whether *error* is about the address to listen on, and not about the port: no name, or another machine's."""
    return isinstance(error, socket.gaierror) or getattr(error, "errno", 0) == errno.EADDRNOTAVAIL


def _port() -> int:
    text = os.environ.get("PORT") or "3000"
    if not (text.isascii() and text.isdigit() and int(text) < 65536):  # noqa: PLR2004  # the highest port is 65535
        raise ValueError(f"'{text}' is not a port")
    return int(text)


def _fail(message: str) -> int:
    print(f"gatehouse: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
