"""Tokens for visitors who have nothing to show, asked from a service: better-auth's anonymous plugin, and its kin.

Every question may make a user over there, so one is asked per address and as long as its token lasts: once for all who
come at the same moment, and once for all processes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256

from gatehouse import logs
from gatehouse.addresses import site
from gatehouse.asking import Answer, Question
from gatehouse.auth_answers import Jwt, UnclearAnswerError, document_of, id_in, jwt, token_of
from gatehouse.auth_service import origin_of
from gatehouse.call import Call
from gatehouse.errors import AuthUnavailableError
from gatehouse.headers import Headers, Pair
from gatehouse.projects.model import AnonymousProvider
from gatehouse.proofs import Means
from gatehouse.visitors import ANONYMOUS, MARGIN_S, Visit

OK = 200
MOST_COOKIES = 16
MOST_COOKIE_BYTES = 8 * 1024
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=(?:[!#-+\--:<-\[\]-~]+|\"[!#-+\--:<-\[\]-~]+\")")
"""A name and a value that is not empty (RFC 6265 section 4.1.1): nothing in it ends a cookie, or a header."""
_GONE = re.compile(r"\s*max-age\s*=\s*(?:0+|-[0-9]+)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedVisitors:
    """Asks for the tokens of visitors where one provider says.

    Attributes:
        provider: where, and how long a token is kept at most; its `url` is known.
        name: what the provider is called: unique among all that remember in one place, so with its project's name.
        means: how it is asked, and where what it says is kept.
    """

    provider: AnonymousProvider
    name: str
    means: Means

    async def __call__(self, call: Call) -> Visit:
        """Return the visit of whoever sent *call*, by their address.

        Raises:
            AuthUnavailableError: the service gives no token now.
        """
        key = (ANONYMOUS, self.name, self.provider.url or "", self.provider.token_url or "", site(call.client_ip))

        async def find() -> tuple[Visit, float]:
            return await self._found(f"{ANONYMOUS}#{sha256(json.dumps(key).encode()).hexdigest()}", call)

        return await self.means.kept.get(key, find, call.deadline)

    async def _found(self, name: str, call: Call) -> tuple[Visit, float]:
        """Return the visit that is shared under *name*, or a new one, and for how many seconds to keep it."""
        known = await self.means.shared.read(name)
        token = jwt(known[0]) if known else None
        if known and token:
            try:
                visit, seconds = self._visit(token)
                return visit, min(seconds, known[1] - self.means.wall())
            except UnclearAnswerError:  # over, say; a new one is asked for
                pass
        try:
            token = await self._asked(call)
            visit, seconds = self._visit(token)
        except UnclearAnswerError as error:
            logs.error("no token for visitors", origin=origin_of(self.provider.url or ""), reason=str(error))
            raise AuthUnavailableError from error
        await self.means.shared.write(name, token.text, self.means.wall() + seconds)
        return visit, seconds

    def _visit(self, token: Jwt) -> tuple[Visit, float]:
        """Return what *token* says, and how long it can be given to upstreams, in seconds.

        That is until MARGIN_S before its end, or for half of its life if that is longer: who gives tokens of a minute
        is not asked at every request.

        Raises:
            UnclearAnswerError: it is over, or names nobody.
        """
        left_s = token.until - self.means.wall()
        subject = id_in(token.claims, "sub")
        if left_s <= 0 or not subject:
            raise UnclearAnswerError("a token that is over, or names nobody")
        visit = Visit(subject=subject, claims=token.claims, token=token.text)
        return visit, min(self.provider.ttl, max(left_s - MARGIN_S, left_s / 2))

    async def _asked(self, call: Call) -> Jwt:
        """Return a new token for whoever sent *call*.

        Raises:
            UnclearAnswerError: none was given.
            AuthUnavailableError: nothing was answered.
        """
        json_body: Pair = ("content-type", "application/json")
        answer = await self._answer(call, "POST", self.provider.url or "", json_body, body=b"{}")
        token = _token(answer)
        if token is None and self.provider.token_url:
            cookies = cookies_set(answer.headers)
            if not cookies:
                raise UnclearAnswerError("neither a token nor a cookie")
            token = _token(await self._answer(call, "GET", self.provider.token_url, ("cookie", cookies)))
        if token is None:
            raise UnclearAnswerError("no token")
        return token

    async def _answer(self, call: Call, method: str, url: str, field: Pair, body: bytes = b"") -> Answer:
        address = (("x-forwarded-for", call.client_ip),) if call.client_ip else ()
        ours = (field, *address, ("x-request-id", call.request_id))
        fields = Headers(await self.means.told()).replacing(ours).pairs
        return await self.means.ask(Question(method=method, url=url, headers=fields, body=body), call.deadline)


def _token(answer: Answer) -> Jwt | None:
    """Return the token in *answer*; None if it holds none, which need not be JSON then if it is empty.

    Raises:
        UnclearAnswerError: it is a refusal, or no answer of such a service.
    """
    if answer.status != OK:
        raise UnclearAnswerError(f"status {answer.status}")
    document = document_of(answer) if answer.body.strip() else None
    return token_of(answer, document or {})


def cookies_set(headers: Headers) -> str:
    """Return the cookies that *headers* of an answer set, as a Cookie header has them, byte for byte.

    Raises:
        UnclearAnswerError: they are more than anybody needs.
    """
    found: dict[str, str] = {}
    for line in headers.get_all("set-cookie"):
        pair, *attributes = line.split(";")
        pair = pair.strip(" \t")
        name = pair.partition("=")[0]
        found.pop(name, None)
        if _COOKIE.fullmatch(pair) and not any(_GONE.fullmatch(attribute) for attribute in attributes):
            found[name] = pair
    value = "; ".join(found.values())
    if len(found) > MOST_COOKIES or len(value) > MOST_COOKIE_BYTES:
        raise UnclearAnswerError("too many cookies")
    return value
