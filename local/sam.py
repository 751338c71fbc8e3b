"""Run the built functions in containers through `sam local`, beside this project's local stores.

    python -m local.sam start-api [more arguments of sam]        what `make sam-local` runs
    python -m local.sam start-lambda [more arguments of sam]     the functions without the API
    python -m local.sam invoke FUNCTION EVENT_FILE [more arguments of sam]

PORT and HOST choose where it serves; CONTAINER_TO_HOST is the name under which a container reaches this host.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from local import events
from local.house import LOOPBACK, NEVER_REAL, PERSONAL, House, HouseError, forget_the_person
from local.state import write
from local.template import ROOT

BUILT = ROOT / ".aws-sam" / "build" / "template.yaml"
EVENT_FILE = ROOT / ".gatehouse" / "event.json"
ENVIRONMENT_FILE = ROOT / ".gatehouse" / "sam-env.json"
VERBS = ("start-api", "start-lambda", "invoke")
PATIENCE_S = 10


def architecture() -> str:
    """Return this machine's processor under the name that Lambda has for it."""
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


def host_name(environ: Mapping[str, str]) -> str:
    """Return the name under which a container reaches this host."""
    podman = "podman" in environ.get("DOCKER_HOST", "")
    return environ.get("CONTAINER_TO_HOST") or ("host.containers.internal" if podman else "host.docker.internal")


def has_image(image: str) -> bool:
    """Tell whether the container engine has *image*; without an engine's command line, say no."""
    engine = shutil.which("docker") or shutil.which("podman")
    if engine is None:
        return False
    return subprocess.run([engine, "image", "inspect", image], capture_output=True, check=False).returncode == 0


def command(verb: str, more: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the command line of `sam local` for *verb*."""
    path = f"{environ.get('PATH', '')}{os.pathsep}{ROOT / '.venv-sam' / 'bin'}"
    words = [shutil.which("sam", path=path) or "sam", "local", verb, "--env-vars", str(ENVIRONMENT_FILE)]
    words += ["--parameter-overrides", f"Architecture={architecture()}"]
    if has_image(f"public.ecr.aws/lambda/python:3.13-{architecture()}"):
        words += ["--skip-pull-image"]  # pulling asks the registry each time, and fails without a network
    if sys.platform == "linux" and host_name(environ) == "host.docker.internal":
        words += [
            "--add-host",
            "host.docker.internal:host-gateway",
        ]  # Docker Engine, unlike Desktop, has no such name
    if verb == "invoke":
        return [*words, *more[:1], "--event", *more[1:]]
    return [
        *words,
        "--host",
        environ.get("HOST") or "127.0.0.1",
        "--port",
        environ.get("PORT") or "3000",
        *more,
    ]


def sam_environment(endpoint: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of `sam` itself, which sees the stores at *endpoint*.

    `sam` asks STS whose account it works in, and hands its AWS credentials on to the functions.
    """
    kept = {name: value for name, value in environ.items() if name not in PERSONAL}
    return {**kept, **NEVER_REAL, "AWS_ENDPOINT_URL": endpoint, "SAM_CLI_TELEMETRY": "0"}


def write_variables(variables: Mapping[str, str]) -> None:
    """Write what the functions must know to the file that `sam` reads."""
    # In the container the project files are where the template says, not where they are on this machine.
    parameters = {name: value for name, value in variables.items() if name != "PROJECTS_DIR"}
    # "Parameters" holds for every function; each takes only what the template declares for it.
    write(ENVIRONMENT_FILE, json.dumps({"Parameters": parameters}, indent=2))


def filled(file: str, house: House) -> str:
    """Return the path of a copy of the event in *file* with its places filled, by tokens that are good here and now."""
    event = events.load(Path(file), house.fillings())
    write(EVENT_FILE, json.dumps(event))
    return str(EVENT_FILE)


def run(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run *words* until it ends or we are interrupted; return its exit code, 0 if we were."""
    # Interrupted while it builds an image, `sam` leaves a lock among the temporary files, and the next one would
    # wait five minutes for it: each gets a folder of its own.
    with tempfile.TemporaryDirectory(prefix="gatehouse-sam-") as folder:
        # In a session of its own, so that Ctrl-C reaches it once, through us.
        process = subprocess.Popen(words, env={**environ, "TMPDIR": folder}, cwd=ROOT, start_new_session=True)
        try:
            return process.wait()
        except KeyboardInterrupt:
            end(process)
            return 0


def end(process: subprocess.Popen[bytes]) -> None:
    """End `sam`, whatever signal we got ourselves: at SIGTERM it would leave its warm containers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(verb: str, more: Sequence[str], environ: Mapping[str, str]) -> int:
    """Start the stores and hand over to `sam local`."""
    # moto would take the first word of host.containers.internal for a bucket's name.
    os.environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"
    forget_the_person()
    # All interfaces, since a container comes in through the engine's bridge and not through loopback.
    with House(bind="0.0.0.0", host=host_name(environ)) as house:  # noqa: S104
        write_variables(house.environment())
        if verb == "start-api":
            username, password = house.admin
            print(f"gatehouse: the demo administrator is {username}, password {password}", flush=True)
        if verb == "invoke":
            more = [more[0], filled(more[1], house), *more[2:]]
        endpoint = house.environment(host=LOOPBACK)["AWS_ENDPOINT_URL"]
        return run(command(verb, more, environ), sam_environment(endpoint, environ))


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Check what was asked for, and serve it until it ends or a signal ends it."""
    verb, *more = arguments or ["start-api"]
    if verb not in VERBS or (verb == "invoke" and len(more) < 2):  # noqa: PLR2004 - a function and an event
        print(__doc__, file=sys.stderr)
        return 2
    if not BUILT.exists():
        print(f"gatehouse: build first: make build ARCH={architecture()}", file=sys.stderr)
        return 1
    # Set here even where SIGINT was ignored (a background job), which `sam` would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return serve(verb, more, environ)
    except KeyboardInterrupt:
        return 0
    except (HouseError, OSError, ValueError) as error:
        print(f"gatehouse: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
