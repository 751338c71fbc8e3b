"""The environment of a function, read once, as one frozen value. `docs/settings.md` explains each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gatehouse import gcra
from gatehouse.gcra import Rate

ENVIRONMENTS = ("local", "dev", "staging", "prod")
UPSTREAM_CLIENTS = ("streaming", "buffered")
MOST_REQUEST_BYTES = 10 * 1024 * 1024
CACHE_MEMORY_BYTES = 32 * 1024 * 1024
MOST_CACHE_MEMORY_BYTES = 4 * 1024 * 1024 * 1024
LOGIN_LIMIT_USER = gcra.parse("10/5m")
LOGIN_LIMIT_ADDRESS = gcra.parse("50/5m")
REVOCATION_REFRESH_S = 5.0
MOST_REVOCATION_REFRESH_S = 30.0
"""Half of the time after which nothing goes through: one look may fail."""


class SettingsError(Exception):
    """The environment has values that the gateway cannot work with; the message names them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the deployment decides: names of stores, where the project files lie, sizes.

    Attributes:
        environment: one of ENVIRONMENTS; the strictest, `prod`, unless said otherwise.
        projects_dir: the folder with the project files.
        secret_arn: the Secrets Manager secret with the key ring.
        admins_bucket: the S3 bucket with the admin records; only login has it.
        tokens_table: the DynamoDB table with issued tokens and the revocation log.
        revocation_refresh_s: how old what is known of revocations may be before the log is looked at, in seconds.
        cache_table: the DynamoDB table with everything that may be lost: counted requests and logins, kept answers.
        usage_table: the DynamoDB table with what calls of models took, and with budgets.
        metrics_namespace: what CloudWatch has this deployment's metrics under; without it there are none.
        login_limit_user: how many logins may fail for one username.
        login_limit_address: how many logins may fail from one address.
        upstream_client: `streaming` (aiohttp) where requests run side by side, `buffered` (`http.client`)
            where a function serves one at a time.
        max_request_bytes: the longest request body, in bytes.
        cache_memory_bytes: how much memory the kept answers of one process may take, in bytes.
    """

    environment: str = "prod"
    projects_dir: Path = Path("/opt/projects")
    secret_arn: str = ""
    admins_bucket: str = ""
    tokens_table: str = ""
    revocation_refresh_s: float = REVOCATION_REFRESH_S
    cache_table: str = ""
    usage_table: str = ""
    metrics_namespace: str = ""
    login_limit_user: Rate = LOGIN_LIMIT_USER
    login_limit_address: Rate = LOGIN_LIMIT_ADDRESS
    upstream_client: str = "streaming"
    max_request_bytes: int = MOST_REQUEST_BYTES
    cache_memory_bytes: int = CACHE_MEMORY_BYTES


def read(environ: Mapping[str, str]) -> Settings:
    """Read the settings from *environ*; an empty variable counts as unset.

    Raises:
        SettingsError: some values are wrong; the message lists every one.
    """
    problems: list[str] = []

    def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = environ.get(name) or default
        if value not in allowed:
            problems.append(f"{name} is '{value}'; it must be one of {', '.join(allowed)}")
        return value

    settings = Settings(
        environment=choice("ENVIRONMENT", "prod", ENVIRONMENTS),
        projects_dir=Path(environ.get("PROJECTS_DIR") or "/opt/projects"),
        secret_arn=environ.get("GATEWAY_SECRET_ARN", ""),
        admins_bucket=environ.get("ADMINS_BUCKET", ""),
        tokens_table=environ.get("TOKENS_TABLE", ""),
        revocation_refresh_s=_refresh(environ, problems),
        cache_table=environ.get("CACHE_TABLE", ""),
        usage_table=environ.get("USAGE_TABLE", ""),
        metrics_namespace=_namespace(environ, problems),
        login_limit_user=_rate(environ, "LOGIN_LIMIT_USER", LOGIN_LIMIT_USER, problems),
        login_limit_address=_rate(environ, "LOGIN_LIMIT_ADDRESS", LOGIN_LIMIT_ADDRESS, problems),
        upstream_client=choice("UPSTREAM_CLIENT", "streaming", UPSTREAM_CLIENTS),
        max_request_bytes=_size(environ, "MAX_REQUEST_BYTES", MOST_REQUEST_BYTES, MOST_REQUEST_BYTES, problems),
        cache_memory_bytes=_size(environ, "CACHE_MEMORY_BYTES", CACHE_MEMORY_BYTES, MOST_CACHE_MEMORY_BYTES, problems),
    )
    if problems:
        raise SettingsError("; ".join(problems))
    return settings


def _size(environ: Mapping[str, str], name: str, default: int, most: int, problems: list[str]) -> int:
    text = environ.get(name) or str(default)
    digits = len(text) if text.isascii() and text.isdigit() else 0
    if not (0 < digits <= len(str(most)) and 0 < int(text) <= most):
        problems.append(f"{name} is '{text}'; it must be a number of bytes from 1 to {most}")
        return default
    return int(text)


def _namespace(environ: Mapping[str, str], problems: list[str]) -> str:
    """Return CloudWatch's name for our metrics (its rule: 1 to 255 of these, and nothing that begins with AWS/)."""
    name = environ.get("METRICS_NAMESPACE", "")
    if name and (not re.fullmatch(r"[A-Za-z0-9._/#:-]{1,255}", name) or name.startswith(("AWS/", ":"))):
        problems.append(
            f"METRICS_NAMESPACE is '{name}'; it must be up to 255 of A-Z a-z 0-9 . _ / # : - and not begin with AWS/"
        )
    return name


def _refresh(environ: Mapping[str, str], problems: list[str]) -> float:
    text = environ.get("REVOCATION_REFRESH_S") or str(REVOCATION_REFRESH_S)
    seconds = float(text) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text) else -1.0
    if not 0 <= seconds <= MOST_REVOCATION_REFRESH_S:
        problems.append(
            f"REVOCATION_REFRESH_S is '{text}'; it must be seconds from 0 to {MOST_REVOCATION_REFRESH_S:.0f}"
        )
    return seconds


def _rate(environ: Mapping[str, str], name: str, default: Rate, problems: list[str]) -> Rate:
    text = environ.get(name)
    try:
        return gcra.parse(text) if text else default
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return default
