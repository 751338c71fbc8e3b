"""Serve the whole gateway on this machine: `make run`."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from contextlib import ExitStack

from gatehouse.errors import InvalidRequestError
from gatehouse.projects import ProjectFileError, Projects
from gatehouse.projects.load import load
from gatehouse.settings import SettingsError
from local import trying, variables
from local.house import House, HouseError, forget_the_person
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
  curl -s {url}/metrics -H 'Authorization: Bearer {token}'
"""
CUT = r"""sed 's/.*"token":"\([^"]*\)".*/\1/'"""


def main() -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    forget_the_person()
    host = os.environ.get("HOST") or "127.0.0.1"
    try:
        listening = listen(host, _port())
    except (OSError, ValueError) as error:
        return _fail(f"cannot listen on {host}:{os.environ.get('PORT') or 3000}: {error}. Choose another with PORT=…")
    with listening:
        try:
            with House() as house:
                return _serve(house, listening, host)
        except (HouseError, SettingsError) as error:
            return _fail(str(error))
        except ProjectFileError as error:
            return _fail(f"the project files have mistakes:\n{error}")


def _serve(house: House, listening: socket.socket, host: str) -> int:
    # The template's choice is for one request at a time; here they run side by side, and stream.
    client = os.environ.get("UPSTREAM_CLIENT") or "streaming"
    os.environ.update(house.environment() | {"UPSTREAM_CLIENT": client})
    projects = load(house.projects, os.environ)
    app = router(house.template)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listening.getsockname()[1]}"

    with ExitStack() as running:
        running.enter_context(house.metric_lines().running())

        def ready() -> None:
            running.enter_context(noted(url, dict(os.environ), variables.unset(house.projects, {})))
            commands = trying.commands(projects, url, house.demos) + METRICS.format(url=url, token=house.metrics_token)
            print(greeting(projects, url, *house.admin) + commands)
            print(f"gatehouse: ready on {url}", flush=True)

        serve(app, listening, ready)
    return 0


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
