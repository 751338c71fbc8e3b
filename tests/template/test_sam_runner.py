"""`make sam-local`, with a stand-in for the SAM command line: what it is told, and how it is ended."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from local import sam
from local.house import HouseError

# Writes down how it was called; with WAITS set it waits for SIGINT and says that it got it.
STAND_IN = f"""#!{sys.executable}
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
with open(os.environ["SEEN"] + ".part", "w") as file:
    json.dump({{"words": sys.argv[1:], "environ": dict(os.environ)}}, file)
try:
    os.rename(os.environ["SEEN"] + ".part", os.environ["SEEN"])
    if os.environ.get("WAITS"):
        time.sleep(60)
except KeyboardInterrupt:
    if os.environ["WAITS"] == "stubborn":
        time.sleep(60)
    open(os.environ["SEEN"] + ".interrupted", "w").close()
sys.exit(int(os.environ.get("CODE", "0")))
"""


class FakeHouse:
    """Stands where the stores would: nothing is started."""

    admin = ("ada", "a password")

    def __init__(self, bind, host):
        self.bind, self.host = bind, host

    def environment(self, host=""):
        host = host or self.host
        return {
            "AWS_ENDPOINT_URL": f"http://{host}:5000",
            "BUILD_SERVICE_URL": f"http://{host}:5001",
            "PROJECTS_DIR": "/home/somebody/projects",
        }

    def fillings(self):
        return {"TOKEN": "filled"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@contextmanager
def interrupted_by(number, when):
    """Send this process a signal as soon as *when* exists."""

    def send():
        until = time.monotonic() + 10
        while not when.exists() and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join()


@pytest.fixture
def seen(tmp_path):
    return tmp_path / "seen.json"


@pytest.fixture
def environ(tmp_path, seen, monkeypatch):
    """A machine with a built template, a stand-in `sam`, no container engine, and somebody's AWS profile."""
    command = tmp_path / "bin" / "sam"
    command.parent.mkdir()
    command.write_text(STAND_IN, encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    built = tmp_path / "template.yaml"
    built.touch()
    monkeypatch.setattr(sam, "House", FakeHouse)
    monkeypatch.setattr(sam, "BUILT", built)
    monkeypatch.setattr(sam, "ENVIRONMENT_FILE", tmp_path / "state" / "sam-env.json")
    monkeypatch.setattr(sam, "has_image", lambda image: False)
    monkeypatch.setenv("S3_IGNORE_SUBDOMAIN_BUCKETNAME", "")  # what is set for moto is taken back afterwards
    return {"PATH": str(command.parent), "SEEN": str(seen), "AWS_PROFILE": "mine", "AWS_ACCESS_KEY_ID": "real"}


@pytest.fixture(autouse=True)
def _signal_handlers():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def words(seen):
    return json.loads(seen.read_text(encoding="utf-8"))["words"]


def test_the_api_is_served_on_the_host_and_port_that_are_asked_for(environ, seen):
    assert sam.main(["start-api", "--debug"], {**environ, "HOST": "127.0.0.2", "PORT": "3999"}) == 0
    assert words(seen)[:2] == ["local", "start-api"]
    assert " ".join(words(seen)).endswith("--host 127.0.0.2 --port 3999 --debug")


def test_without_a_verb_the_api_is_served_on_port_3000_of_this_machine_only(environ, seen, capsys):
    assert sam.main([], environ) == 0
    assert " ".join(words(seen)).endswith("--host 127.0.0.1 --port 3000")
    assert "ada, password a password" in capsys.readouterr().out


def test_a_function_is_invoked_with_an_event(environ, seen):
    assert sam.main(["invoke", "ProxyFunction", "events/proxy-with-token.json"], environ) == 0
    assert " ".join(words(seen)).endswith(f"ProxyFunction --event {sam.EVENT_FILE}")
    event = json.loads(sam.EVENT_FILE.read_text(encoding="utf-8"))
    assert event["multiValueHeaders"]["Authorization"] == ["Bearer filled"]
    assert sam.EVENT_FILE.stat().st_mode & 0o077 == 0


def test_an_event_file_that_is_not_there_is_named(environ, capsys):
    assert sam.main(["invoke", "ProxyFunction", "events/nowhere.json"], environ) == 1
    assert "nowhere.json" in capsys.readouterr().err


def test_the_functions_are_told_where_the_stores_are_seen_from_a_container(environ, seen):
    sam.main(["start-api"], {**environ, "CONTAINER_TO_HOST": "the-host"})
    file = words(seen)[words(seen).index("--env-vars") + 1]
    variables = json.loads(sam.ENVIRONMENT_FILE.read_text(encoding="utf-8"))["Parameters"]
    assert file == str(sam.ENVIRONMENT_FILE)
    assert variables == {"AWS_ENDPOINT_URL": "http://the-host:5000", "BUILD_SERVICE_URL": "http://the-host:5001"}


def test_sam_itself_has_the_local_stores_and_nobodys_credentials(environ, seen):
    sam.main(["start-api"], environ)
    got = json.loads(seen.read_text(encoding="utf-8"))["environ"]
    assert got["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5000"
    assert got["AWS_ACCESS_KEY_ID"] == "local"
    assert "AWS_PROFILE" not in got


def test_sam_has_temporary_files_of_its_own_that_go_with_it(environ, seen):
    sam.main(["start-api"], environ)
    folder = Path(json.loads(seen.read_text(encoding="utf-8"))["environ"]["TMPDIR"])
    assert folder.name.startswith("gatehouse-sam-")
    assert not folder.exists()


@pytest.mark.parametrize("image", [True, False])
def test_an_image_is_pulled_only_where_there_is_none(environ, seen, monkeypatch, image):
    monkeypatch.setattr(sam, "has_image", lambda name: image)
    sam.main(["start-api"], environ)
    assert ("--skip-pull-image" in words(seen)) is image


def test_its_exit_code_is_sams(environ):
    assert sam.main(["start-api"], {**environ, "CODE": "3"}) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_any_signal_reaches_sam_as_an_interrupt_so_that_it_removes_its_containers(environ, seen, number):
    with interrupted_by(number, seen):
        assert sam.main(["start-api"], {**environ, "WAITS": "yes"}) == 0
    assert seen.with_name("seen.json.interrupted").exists()


def test_a_sam_that_does_not_end_is_ended(environ, seen, monkeypatch):
    monkeypatch.setattr(sam, "PATIENCE_S", 0.2)
    with interrupted_by(signal.SIGTERM, seen):
        assert sam.main(["start-api"], {**environ, "WAITS": "stubborn"}) == 0
    assert not seen.with_name("seen.json.interrupted").exists()


def test_a_signal_before_sam_is_started_ends_everything_quietly(environ, monkeypatch):
    class Interrupted(FakeHouse):
        def __enter__(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(sam, "House", Interrupted)
    assert sam.main(["start-api"], environ) == 0


def test_what_keeps_the_stores_from_starting_is_said(environ, monkeypatch, capsys):
    class Broken(FakeHouse):
        def __enter__(self):
            raise HouseError("ADMIN_USERNAME is wrong")

    monkeypatch.setattr(sam, "House", Broken)
    assert sam.main(["start-api"], environ) == 1
    assert capsys.readouterr().err == "gatehouse: ADMIN_USERNAME is wrong\n"


def test_without_a_build_it_says_how_to_build(environ, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sam, "BUILT", tmp_path / "nothing.yaml")
    assert sam.main(["start-api"], environ) == 1
    assert "make build ARCH=" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["deploy"], ["invoke"], ["invoke", "ProxyFunction"]])
def test_what_it_does_not_know_gets_its_help(environ, capsys, arguments):
    assert sam.main(arguments, environ) == 2
    assert "python -m local.sam" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "host.docker.internal"),
        ({"DOCKER_HOST": "unix:///run/podman.sock"}, "host.containers.internal"),
        ({"DOCKER_HOST": "unix:///run/podman.sock", "CONTAINER_TO_HOST": "10.0.0.1"}, "10.0.0.1"),
    ],
)
def test_the_name_of_this_host_depends_on_the_container_engine(environ, name):
    assert sam.host_name(environ) == name


@pytest.mark.parametrize(("system", "given"), [("linux", True), ("darwin", False)])
def test_docker_engine_has_to_be_told_the_name_of_this_host(monkeypatch, system, given):
    monkeypatch.setattr(sam, "has_image", lambda image: False)
    monkeypatch.setattr(sys, "platform", system)
    assert ("--add-host" in sam.command("start-api", [], {})) is given
    assert "--add-host" not in sam.command("start-api", [], {"DOCKER_HOST": "unix:///run/podman.sock"})


@pytest.mark.parametrize(("machine", "name"), [("aarch64", "arm64"), ("arm64", "arm64"), ("x86_64", "x86_64")])
def test_the_processor_has_lambdas_name(monkeypatch, machine, name):
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert sam.architecture() == name


@pytest.mark.parametrize(("code", "there"), [(0, True), (1, False)])
def test_the_engine_says_whether_it_has_an_image(monkeypatch, tmp_path, code, there):
    engine = tmp_path / "docker"
    engine.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sam.has_image("anything") is there


def test_without_an_engines_command_line_there_is_no_image(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sam.has_image("anything") is False
