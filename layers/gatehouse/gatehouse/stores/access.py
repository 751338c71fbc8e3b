"""Where an AWS service is and what its requests are signed with, for who sends them with a deadline of its own.

boto3 is asked only where the environment does not say it plainly; see `aws_json`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from gatehouse.stores import aws_json
from gatehouse.stores.sigv4 import Credentials


class NoCredentialsError(Exception):
    """There are no credentials, of any kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A service's address, `https://lambda.eu-central-1.amazonaws.com`, its region, and who asks it."""

    url: str
    region: str
    credentials: Credentials


def access(service: str, region: str = "") -> Access:
    """Return how *service* is asked in *region*, or else in the environment's. May block where boto3 has to find out.

    Raises:
        NoCredentialsError: nobody can say who we are.
        botocore.exceptions.BotoCoreError: boto3 cannot tell.
    """
    here = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
    url = aws_json.address(service, here, os.environ)
    if url is None:
        return _by_boto3(service, here)
    return Access(
        url=url,
        region=here,
        credentials=Credentials(
            access_key=os.environ["AWS_ACCESS_KEY_ID"],
            secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
            token=os.environ.get("AWS_SESSION_TOKEN", ""),
        ),
    )


def _by_boto3(service: str, region: str) -> Access:
    url, here, found = _known(service, region)
    if found is None:
        raise NoCredentialsError
    now = found.get_frozen_credentials()  # renewed, where they end
    credentials = Credentials(access_key=now.access_key, secret_key=now.secret_key, token=now.token or "")
    return Access(url=url, region=here, credentials=credentials)


@cache
def _known(service: str, region: str) -> tuple[str, str, Any]:
    import boto3

    session = boto3.Session()
    asking: Any = session.client(service, region_name=region or None)  # type: ignore[call-overload]  # a variable here
    return asking.meta.endpoint_url, asking.meta.region_name, session.get_credentials()
