"""AWS clients with limits that fit into a request: botocore's own are 60 s and five attempts."""

from __future__ import annotations

from functools import cache
from typing import Any

CONNECT_S = 1.0
READ_S = 2.0
ATTEMPTS = 2


@cache
def client(service: str) -> Any:
    """Return the process's client for *service*."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return boto3.client(service, config=config)  # type: ignore[call-overload]  # the name is a variable here
