"""The environment that functions are measured in: Lambda's Python, what the layer holds, and the naive gateway's needs.

It lies in `.venv-bench`, like the other environments, and is made the first time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

from bench.processes import BenchError
from bench.surroundings import LAYER, ROOT

FOLDER = ROOT / ".venv-bench"
PYTHON = FOLDER / "bin" / "python"
READY = FOLDER / ".ready"
RIE_PATTERN = ".venv-sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"
RUNTIME_CLIENT = "awslambdaric==4.2.2"
SAME_AS_HERE = ("boto3", "httpx", "pyjwt")
LAMBDA_PYTHON = (3, 13)
OF_THE_RUNTIME = ("awslambdaric*", "boto3*", "botocore*", "s3transfer*", "jmespath*", "dateutil*", "python_dateutil*")
"""What Lambda brings along, with bytecode: it is not what a function's package ships."""


def emulator() -> Path:
    """Return the Runtime Interface Emulator, which the SAM command line carries.

    Raises:
        BenchError: it is not there; the message says how to get it.
    """
    machine = "arm64" if os.uname().machine in {"arm64", "aarch64"} else "x86_64"
    found = sorted(ROOT.glob(RIE_PATTERN.format(machine=machine)))
    if os.uname().sysname != "Linux" or not found:
        raise BenchError("the Runtime Interface Emulator was not found: `make build` installs it (Linux only)")
    return found[-1]


def interpreter() -> str:
    """Return a Python 3.13, which is what Lambda runs, or else the Python that runs this."""
    named = os.environ.get("LAMBDA_PYTHON", "python3.13")
    candidates: list[str | Path] = [
        shutil.which(named) or named,
        *sorted(Path.home().glob(".pyenv/versions/3.13*/bin/python3.13")),
    ]
    probe = f"import sys; sys.exit(sys.version_info[:2] != {LAMBDA_PYTHON})"
    for candidate in candidates:
        try:
            if subprocess.run([candidate, "-c", probe], capture_output=True, timeout=30, check=False).returncode == 0:
                return str(candidate)
        except OSError:
            continue
    print("  python3.13 not found, so the functions run on the Python at hand; LAMBDA_PYTHON=… names one")
    return sys.executable


def prepare() -> None:
    """Make the environment, unless it is there and up to date.

    Raises:
        BenchError: it cannot be made; the message has the installer's last words.
    """
    wanted = _fingerprint()
    if READY.exists() and READY.read_text() == wanted:
        return
    print(f"  installing into {FOLDER.name} (once)", flush=True)
    python = interpreter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    if python == sys.executable:
        venv.create(FOLDER, with_pip=True)
    else:
        _run(python, "-m", "venv", str(FOLDER))
    pip = (str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, "--no-deps", "--require-hashes", "-r", str(LAYER / "requirements.txt"))
    _run(*pip, RUNTIME_CLIENT, *(f"{name}=={version(name)}" for name in SAME_AS_HERE))
    READY.write_text(wanted)


def without_bytecode(target: Path) -> None:
    """Copy what the naive function's package would ship to *target*, as `sam build` does: without bytecode."""
    (packages,) = FOLDER.glob("lib/python3*/site-packages")
    left_out = shutil.ignore_patterns("__pycache__", "pip*", *OF_THE_RUNTIME)
    shutil.copytree(packages, target, ignore=left_out)


def layer(target: Path) -> None:
    """Copy our package to *target* with bytecode, as the layer's Makefile does."""
    shutil.copytree(LAYER / "gatehouse", target / "gatehouse", ignore=shutil.ignore_patterns("__pycache__"))
    _run(str(PYTHON), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(target))


def _fingerprint() -> str:
    parts = [RUNTIME_CLIENT, *(version(name) for name in SAME_AS_HERE), (LAYER / "requirements.txt").read_text()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command[:6])} … failed: {done.stderr[-1500:]}")
