"""The processes that are measured beside each other: an upstream, nginx in front of it, and the gateway."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import LOOPBACK, BenchError, free_port, started
from bench.surroundings import LAYER, PATH, ROOT, Surroundings

BODY_BYTES = 1024
NGINX = """\
{user}worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
{body}}}
"""
FILE = """\
  default_type text/plain; tcp_nodelay on;
  server {{ listen {host}:{port} backlog=4096; root {folder}/root; try_files /file =404; open_file_cache max=8; }}
"""
TO_UPSTREAM = """\
  upstream up {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen {host}:{port} backlog=4096;
    location /build/ {{ proxy_pass http://up/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
"""


def nginx() -> str | None:
    """Return where nginx is, if it is installed; Debian keeps it out of a user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")


@contextmanager
def upstream(folder: Path) -> Iterator[str]:
    """Serve BODY_BYTES on every path, by nginx or else by our own small server; give `host:port`."""
    port = free_port()
    (folder / "root").mkdir()
    (folder / "root" / "file").write_bytes(b"x" * BODY_BYTES)
    if nginx() is None:
        command = [sys.executable, "-m", "bench.upstream", str(port)]
        with started(command, port, folder / "upstream.out", folder=ROOT):
            yield f"{LOOPBACK}:{port}"
        return
    with _nginx(folder, "upstream", FILE.format(host=LOOPBACK, port=port, folder=folder), port):
        yield f"{LOOPBACK}:{port}"


@contextmanager
def proxy_pass(folder: Path, upstream: str) -> Iterator[str]:
    """Serve *upstream* through nginx, which checks no token; give `host:port`."""
    port = free_port()
    with _nginx(folder, "proxy", TO_UPSTREAM.format(host=LOOPBACK, port=port, upstream=upstream), port):
        yield f"{LOOPBACK}:{port}"


@contextmanager
def gateway(around: Surroundings, upstream: str) -> Iterator[str]:
    """Serve *upstream* through the proxy function under uvicorn; give `host:port`."""
    with _uvicorn(around, upstream) as place:
        check(f"http://{place}{PATH}", around.token)
        yield place


@contextmanager
def floor(around: Surroundings, upstream: str) -> Iterator[str]:
    """Serve an application under uvicorn that only answers; give `host:port`."""
    with _uvicorn(around, upstream, "empty") as place:
        yield place


@contextmanager
def _uvicorn(around: Surroundings, upstream: str, *what: str) -> Iterator[str]:
    """Start `bench.serve`. Its log goes to /dev/null: writing lines is measured, a disk or a terminal is not."""
    port = free_port()
    environ = {
        **around.environment(f"http://{upstream}", "streaming"),
        "PYTHONPATH": os.pathsep.join([str(LAYER), str(ROOT)]),
    }
    with started([sys.executable, "-m", "bench.serve", str(port), *what], port, Path(os.devnull), environ, ROOT):
        yield f"{LOOPBACK}:{port}"


def check(url: str, token: str) -> None:
    """Make sure that *url* answers what is to be measured, and that the gateway wants its token."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        raise BenchError(f"{url} answered {error.code}: {error.read()[:500]!r}") from error
    if len(body) != BODY_BYTES:
        raise BenchError(f"{url} answered {len(body)} bytes instead of {BODY_BYTES}")


@contextmanager
def _nginx(folder: Path, name: str, body: str, port: int) -> Iterator[None]:
    home = folder / name
    home.mkdir()
    text = NGINX.format(user=_user(), folder=home, body=body)
    (home / "nginx.conf").write_text(text)
    command: list[str | Path] = [nginx() or "nginx", "-p", home, "-e", home / "nginx.log", "-c", home / "nginx.conf"]
    with started(command, port, home / "nginx.out"):
        yield


def _user() -> str:
    """Keep nginx the user that we are: started by root it would become one that cannot read our folder."""
    if os.geteuid() != 0:
        return ""
    return f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name};\n"
