"""Tokens for visitors who have nothing to show, of the gateway's own making: one per address and window of time.

Nothing is kept of them in any store. All that is in such a token is derived from the key ring, so every process makes
the same one, and who reads it learns nothing of the address. It is for upstreams alone: its audience is one that no
route believes, and its id is not of a form that can be revoked, because nothing would come of that.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gatehouse import jose
from gatehouse.addresses import site
from gatehouse.call import Call
from gatehouse.clock import Clock
from gatehouse.keys import Key, KeyRing
from gatehouse.tokens import Ring

ANONYMOUS = "anonymous"
REMEMBERED = 4096
MARGIN_S = 60
"""So long after its window a token is still good: an upstream never gets one that ends under its hands."""
_LABEL = b"gatehouse: what visitors' tokens are derived from"
"""No signing input of a JWS, which has dots and no spaces: what is derived is no signature, and no signature is it."""
_ID_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a visitor is called for a while, and the token that says so."""

    subject: str
    claims: Mapping[str, Any]
    token: str = field(repr=False)


class Visitors(Protocol):
    """What knows, or makes, the visit that a call belongs to."""

    async def __call__(self, call: Call) -> Visit:
        """Return the visit of whoever sent *call*, by their address.

        Raises:
            AuthUnavailableError: there is no token to be had now.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Window:
    starts_at: int
    ends_at: int


@dataclass(frozen=True, slots=True)
class _Made:
    visit: Visit
    window: _Window
    ring: KeyRing = field(repr=False)


class MintedVisitors:
    """Makes the tokens of one project's visitors, and remembers those of the addresses that came last.

    Args:
        project: the project's name.
        issuer: the `iss` of its tokens.
        ring: the keys; the current one signs.
        ttl_s: how long an address keeps its subject.
        clock: seconds since the epoch.
    """

    def __init__(self, project: str, issuer: str, ring: Ring, ttl_s: float, clock: Clock) -> None:
        self._project = project
        self._issuer = issuer
        self._ring = ring
        self._ttl_s = int(ttl_s)
        self._now = clock
        self._made: OrderedDict[str, _Made] = OrderedDict()

    async def __call__(self, call: Call) -> Visit:
        """Return the visit of whoever sent *call*.

        Raises:
            AuthUnavailableError: there is no key to sign with.
        """
        ring, now, address = await self._ring.current(), self._now(), site(call.client_ip)
        made = self._made.get(address)
        # Both ends are compared: a clock that was set back is in an earlier window, and `iat` is never in the future.
        if made is None or made.ring is not ring or not made.window.starts_at <= now < made.window.ends_at:
            made = self._made[address] = self._make(ring, address, now)
        self._made.move_to_end(address)
        while len(self._made) > REMEMBERED:
            self._made.popitem(last=False)
        return made.visit

    def _make(self, ring: KeyRing, address: str, now: float) -> _Made:
        material = hmac.digest(ring.current.secret, _LABEL, "sha256")
        window = self._window(material, address, now)
        about = (self._project, address, window.starts_at)
        claims = {
            "iss": self._issuer,
            "aud": audience(self._project),
            "sub": f"{ANONYMOUS}:{_id(material, 'subject', *about)}",
            "jti": f"{ANONYMOUS}/{_id(material, 'jti', *about, self._ttl_s)}",
            "iat": window.starts_at,
            "exp": window.ends_at + MARGIN_S,
            "scopes": [ANONYMOUS],
            ANONYMOUS: True,
        }
        return _Made(_signed(claims, ring.current), window, ring)

    def _window(self, material: bytes, address: str, now: float) -> _Window:
        """Return the window that *now* is in. Each address has its own shift, so that not all end at one moment."""
        shift = int.from_bytes(_derived(material, "shift", self._project, address)) % self._ttl_s
        starts_at = (int(now) - shift) // self._ttl_s * self._ttl_s + shift
        return _Window(starts_at, starts_at + self._ttl_s)


def audience(project: str) -> str:
    """Return the `aud` of the tokens of *project*'s visitors. No project's own tokens have one that ends like it."""
    return f"{project}/{ANONYMOUS}"


def _signed(claims: Mapping[str, Any], key: Key) -> Visit:
    return Visit(subject=claims["sub"], claims=claims, token=jose.compact(claims, key))


def _derived(material: bytes, *about: str | int) -> bytes:
    """Return 32 bytes for *about*, which only who has the key can tell from chance. One list is never another."""
    return hmac.digest(material, json.dumps(about).encode(), "sha256")


def _id(material: bytes, *about: str | int) -> str:
    return base64.urlsafe_b64encode(_derived(material, *about)[:_ID_BYTES]).rstrip(b"=").decode()
