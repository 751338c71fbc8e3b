"""AWS Signature Version 4 for a POST: to `/`, as the JSON services take it, or to a path, as Lambda does.

Only for the calls that a request has to wait for: importing botocore's signer costs 70-90 ms. botocore signs
everything else, and tests hold this one to its signatures. Source: AWS General Reference, "Create a signed AWS API
request".
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a function's environment holds of its role."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A POST to an AWS service.

    Attributes:
        service: as signatures call it.
        region: where it is.
        headers: their names are lower-case, and `host` is among them.
        body: what is sent.
        path: as it is sent, percent-encoded.
        query: the same; at most one parameter, since several would have to be sorted.
    """

    service: str
    region: str
    headers: Mapping[str, str]
    body: bytes
    path: str = "/"
    query: str = ""


def signed(post: Post, credentials: Credentials, now: str) -> dict[str, str]:
    """Return the headers of *post* with those that sign it at *now*, a time like `20261122T101500Z`."""
    dated = {**post.headers, "x-amz-date": now}
    if credentials.token:
        dated["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(dated))
    fields = "".join(f"{name}:{' '.join(dated[name].split())}\n" for name in sorted(dated))
    path = quote(post.path, safe="/~")  # encoded once more: all services but S3 want it so
    request = f"POST\n{path}\n{post.query}\n{fields}\n{names}\n{sha256(post.body).hexdigest()}"
    scope = f"{now[:8]}/{post.region}/{post.service}/aws4_request"
    text = f"{ALGORITHM}\n{now}\n{scope}\n{sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{credentials.access_key}/{scope}"
    return {
        **dated,
        "authorization": f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}",
    }
