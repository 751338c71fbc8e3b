"""A second opinion on AWS: MiniStack, whose DynamoDB is judged closer to the real one than moto's.

It runs as a process of its own, on a port of this machine that nothing else has, and ends with the tests.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

START_S = 60
STOP_S = 10


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"MiniStack did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def environment(folder: Path, port: int) -> dict[str, str]:
    """Return what MiniStack is started with: nothing of a person's AWS, and all that it keeps is kept in *folder*."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COV_"))},
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "S3_DATA_DIR": str(folder),
        "STATE_DIR": str(folder),
        "TMPDIR": str(folder),
        "LOG_LEVEL": "WARNING",
        # It removes containers that it takes for its own when it starts: it must find no engine.
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
    }


@contextmanager
def running(
    folder: Path, words: Sequence[str] = (sys.executable, "-m", "ministack"), **more: str
) -> Iterator[tuple[str, Path]]:
    """Run MiniStack by the command *words* and with *more* in its environment; give its URL and the file of its log."""
    log, port = folder / "log.txt", free_port()
    environ = {**environment(folder, port), **more}
    with (
        log.open("wb") as output,
        subprocess.Popen(words, env=environ, cwd=folder, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            wait_for(process, port, log)
            yield f"http://127.0.0.1:{port}", log
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running MiniStack. It is empty at first; use names of your own for what you make there."""
    with running(tmp_path_factory.mktemp("ministack")) as (url, _):
        yield url
