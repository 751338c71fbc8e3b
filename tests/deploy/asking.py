"""Asking a deployed gateway: who asks, how it refuses, and how long until it does."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx

BODY = {"route", "status", "code", "message", "requestId", "timestamp"}
GIVE_UP_S = 15


@dataclass(frozen=True)
class Refusal:
    """The first answer that was none of the service's, and how long after the revocation it came."""

    answer: httpx.Response
    after_s: float


def bearer(token: str) -> dict[str, str]:
    """Return the header with which *token* is sent."""
    return {"Authorization": f"Bearer {token}"}


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a failure; its body must be ours."""
    said = answer.json()
    assert set(said) - {"details"} == BODY, answer.text
    assert said["status"] == answer.status_code
    return said["status"], said["code"]


def until_refused(api: httpx.Client, path: str, token: str, since: float) -> Refusal:
    """Ask for *path* until it is refused, or long should have been; *since* (monotonic) the token was revoked."""
    while True:
        answer = api.get(path, headers=bearer(token))
        after_s = time.monotonic() - since
        if answer.status_code != 200 or after_s > GIVE_UP_S:
            return Refusal(answer, after_s)
        time.sleep(0.05)
