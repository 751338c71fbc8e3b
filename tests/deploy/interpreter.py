"""A Python like the one that runs our functions on AWS: CPython 3.13, with what Lambda's runtime carries and no more.

MiniStack runs functions with the Python that runs itself, so it must be one of the layer's version. Beside a
developer's packages a function would not miss what the layer lacks: so it is told of another one, which has none.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

CARRIED = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six.py")
"""What the functions may import that is not in the layer."""

RUN = "import runpy, sys; sys.executable = sys.argv.pop(1); runpy.run_module('ministack', run_name='__main__')"


def is_of_lambda(python: Path) -> bool:
    """Say whether *python* is there, and is a CPython 3.13 that has MiniStack."""
    check = "import sys, ministack; sys.exit(sys.version_info[:2] != (3, 13))"
    return python.exists() and subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def like_lambdas(python: Path, folder: Path) -> Path:
    """Make a Python in *folder*, of the version of *python*, which lends it what Lambda's runtime carries."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    made = folder / "bin" / "python"
    lender, own = (_packages(one) for one in (python, made))
    for name in CARRIED:
        (own / name).symlink_to(lender / name)
    return made


def ministack(python: Path, functions: Path) -> tuple[str, ...]:
    """Return the command that runs MiniStack by *python*, and the functions in it by the Python *functions*."""
    return str(python), "-c", RUN, str(functions)


def _packages(python: Path) -> Path:
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([python, "-c", where], capture_output=True, check=True, text=True).stdout.strip())
