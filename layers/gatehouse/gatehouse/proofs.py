"""What services said of credentials: kept in memory, shared sealed with other processes, and asked for once.

The credential itself is kept nowhere, only its SHA-256 as a name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from math import inf

from gatehouse import logs
from gatehouse.asking import Answer, Asking, Question, Shared, Told
from gatehouse.auth_answers import UnclearAnswerError
from gatehouse.auth_service import origin_of
from gatehouse.call import Call, Identity
from gatehouse.clock import Clock
from gatehouse.errors import AuthUnavailableError, RejectedCredentialError
from gatehouse.headers import Headers, Pair
from gatehouse.kept import Kept
from gatehouse.sealed import seal, unseal

REFUSED_S = 5.0
"""How long it is kept, at most, that a service does not know a credential: it may have been made a moment ago."""
MOST_KEPT = 16 * 1024
"""What is longer, as JSON, is asked for each time: thousands of them would fill the memory."""
_FORM = "1"
"""Of what is shared; another form is another label and opens nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a service said of a credential: whose it is, and until when (seconds since the epoch); nobody's, if None."""

    identity: Identity | None
    until: float = inf


NOBODY = Proof(identity=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What it takes to ask a service and to remember what it said.

    Attributes:
        ask: puts the questions.
        kept: what this process remembers.
        shared: what all processes do.
        told: the fields that the service is told at each question.
        wall: seconds since the epoch.
    """

    ask: Asking
    kept: Kept
    shared: Shared
    told: Told
    wall: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One service that knows credentials of one kind.

    Attributes:
        kind: the kind of credential.
        name: what the provider is called: unique among all that remember in one place, so with its project's name.
        url: where the service is asked.
        cache_s: how long what it says is kept, at most.
        means: how it is asked, and where what it says is kept.
    """

    kind: str
    name: str
    url: str
    cache_s: float
    means: Means

    async def identity(
        self, call: Call, credential: str, question: Callable[[], Question], read: Callable[[Answer], Proof]
    ) -> Identity:
        """Return whose *credential*, which came with *call*, is.

        Args:
            call: the request.
            credential: the secret itself.
            question: gives what to ask, if it has to be asked; the fields that all questions have are added.
            read: takes what was answered; raises UnclearAnswerError if it decides nothing.

        Raises:
            RejectedCredentialError: it is nobody's, or not any more.
            AuthUnavailableError: it cannot be said now.
            GatewayError: whatever else *read* raises.
        """

        async def find() -> tuple[Identity | None, float]:
            proof = await self._shared(credential)
            if proof is not None:
                return proof.identity, min(self.cache_s, proof.until - self.means.wall())
            return await self._judged(credential, await self._heard(call, question(), read))

        key = (self.kind, self.name, self.url, sha256(credential.encode()).digest())
        identity = await self.means.kept.get(key, find, call.deadline)
        if identity is None:
            raise RejectedCredentialError
        return identity

    async def _heard(self, call: Call, question: Question, read: Callable[[Answer], Proof]) -> Proof:
        ours: tuple[Pair, ...] = (
            *question.headers,
            *((("x-forwarded-for", call.client_ip),) if call.client_ip else ()),
            ("x-request-id", call.request_id),
        )
        fields = Headers(await self.means.told()).replacing(ours).pairs
        answer = await self.means.ask(
            Question(method=question.method, url=self.url, headers=fields, body=question.body), call.deadline
        )
        try:
            return read(answer)
        except UnclearAnswerError as error:
            logs.error("auth service not understood", origin=origin_of(self.url), reason=str(error))
            raise AuthUnavailableError from error

    async def _judged(self, credential: str, proof: Proof) -> tuple[Identity | None, float]:
        """Return whose *credential* is by *proof*, fresh from the service, and for how many seconds to keep that."""
        left_s = proof.until - self.means.wall()
        if proof.identity is None or left_s <= 0:
            return None, min(REFUSED_S, self.cache_s)
        seconds = min(self.cache_s, left_s)
        until = self.means.wall() + seconds
        text = _packed(proof.identity, until)
        if len(text) > MOST_KEPT:
            return proof.identity, 0
        if seconds > 0:
            sealed = seal(text, credential.encode(), self._label)
            await self.means.shared.write(self._name_of(credential), sealed, until)
        return proof.identity, seconds

    async def _shared(self, credential: str) -> Proof | None:
        """Return what another process heard, if it still holds. The moment inside counts, not the table's."""
        if self.cache_s <= 0:
            return None
        found = await self.means.shared.read(self._name_of(credential))
        text = unseal(found[0], credential.encode(), self._label) if found else None
        proof = None if text is None else _unpacked(text)
        return proof if proof is not None and proof.until > self.means.wall() else None

    @property
    def _label(self) -> str:
        return json.dumps(["gatehouse", _FORM, self.kind, self.name, self.url])

    def _name_of(self, credential: str) -> str:
        """Return what *credential* is called where processes share."""
        return f"{self.kind}#{sha256(json.dumps([self._label, credential]).encode()).hexdigest()}"


def _packed(identity: Identity, until: float) -> str:
    said = {name: getattr(identity, name) for name in ("kind", "subject", "user", "organization", "email", "token")}
    return json.dumps([until, said, sorted(identity.scopes), dict(identity.claims)])


def _unpacked(text: str) -> Proof:
    """Return what `_packed` packed; nothing else opens, so nothing else comes."""
    until, said, scopes, claims = json.loads(text)
    return Proof(identity=Identity(**said, scopes=frozenset(scopes), claims=claims), until=until)
