"""Whoever asks for whatever at whatever moment: nobody is ever given what the upstream made for somebody else.

The upstream of these tests signs each answer with what it was told: who asked it, for what, and how. Two processes,
with little memory and a table that they share, answer a crowd of callers who ask for the same few hundred addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.build import gateway
from gatehouse.caching import keying
from gatehouse.caching.answers import Answers
from gatehouse.caching.inquiry import Cache
from gatehouse.caching.marks import LOOK_EVERY_S, Marks
from gatehouse.caching.memory import Memory
from gatehouse.caching.packing import pack, unpack
from gatehouse.caching.purges import Purges
from gatehouse.caching.sharing import Shared
from gatehouse.caching.stored import Stored
from gatehouse.caching.turns import Turns
from gatehouse.call import Call, Handler, Identity, Reply
from gatehouse.clock import Elapsed
from gatehouse.errors import UpstreamUnreachableError
from gatehouse.headers import Headers, Pair
from gatehouse.organizations import Organizations
from gatehouse.projects import Projects, load
from gatehouse.stores.cached_answers import Found
from gatehouse.upstreams import Outbound
from tests.unit.fakes import FakeBody, FakeClock, FakeKit, FakeOrganizations, FakeUpstream, a_call, ok, run, write

T = TypeVar("T")

REQUESTS = 100_000
CROWDS = 2
AT_ONCE = 64
ADDRESSES = 120
"""Each of them also with a query."""
MEMORY_BYTES = 512 * 1024
"""Less than a tenth of what all callers could have kept."""
STEP_S = 0.0005
PROJECT = """
project: kept
providers:
  s: {type: session, cookie: sid, url: "http://auth.test/s"}
  v: {type: anonymous}
organization: {session: "http://org.test/{organization}", membership: "http://org.test/{user}"}
defaults:
  upstream: http://upstream.test
  strip_prefix: false
  auth: optional
  accept: [s]
  organization: optional
  set_headers: {X-Caller: "${identity.organization}/${identity.kind}/${identity.subject}"}
  cache: {ttl: 60s, by: subject, stale_if_error: 1h, stale_while_revalidate: 10s}
routes:
  - {name: mine, path: /mine}
  - {name: guests, path: /guests, accept: [s, v]}
  - {name: ours, path: /ours, cache: {ttl: 60s, by: organization, stale_if_error: 1h}}
  - {name: mixed, path: /mixed, accept: [s, v], cache: {ttl: 60s, by: organization, stale_while_revalidate: 1h}}
  - {name: all, path: /all, cache: {ttl: 60s, by: public, stale_if_error: 1h, stale_while_revalidate: 10s}}
"""
LANGUAGES = ("", "", "de", "de, en")

# -------------------------------------------------------------------------------------------------- who asks, for what


@dataclass(frozen=True)
class Caller:
    """Somebody, or nobody: without a name. Organisations are called by what they are here, `own-1`, once confirmed."""

    name: str = ""
    organization: str = ""
    address: str = "192.0.2.1"

    def told(self, route: str) -> str:
        """Return what the upstream is told of who is calling."""
        if self.name:
            return f"{self.organization and OWN[self.organization]}/session/{self.name}"
        return f"/anonymous/{VISITORS[self.address]}" if route in {"guests", "mixed"} else ""


OWN = {"o1": "own-1", "o2": "own-2"}
VISITORS = {"192.0.2.1": "ada", "192.0.2.2": "own-1"}
CALLERS = (
    Caller("ada", "o1"),
    Caller("kim", "o1"),
    Caller("ada", "o2"),  # of one name with another
    Caller("rook", "o2"),
    Caller("own-1"),  # of no organisation, and called like one
    Caller(),
    Caller(address="192.0.2.2"),
)


@dataclass(frozen=True)
class Stamp:
    """What the upstream signs an answer with, as one word that may stand in an ETag."""

    target: str
    caller: str
    language: str
    version: int

    def __str__(self) -> str:
        return f"{self.target}|{self.caller}|{self.language}|{self.version}"

    @classmethod
    def read(cls, text: str) -> Stamp:
        target, caller, language, version = text.split("|")
        return cls(target, caller, language, int(version))


def number_of(target: str) -> int:
    return int(target.partition("?")[0].rpartition("/")[2])


def policy_of(target: str) -> int:
    policy = number_of(target) % len(POLICIES)
    return PUBLIC if target.startswith("/all/") and policy % 3 == 0 else policy  # of the rest, nothing is kept there


def says_public(target: str) -> bool:
    return policy_of(target) in {PUBLIC, BY_CALLER, 7}


def varies(target: str) -> bool:
    return policy_of(target) in {2, BY_CALLER, 8}


POLICIES: tuple[tuple[Pair, ...], ...] = (
    (),
    (("cache-control", "public, max-age=30"),),
    (("cache-control", "max-age=20, stale-if-error=600"), ("vary", "Accept-Language")),
    (("cache-control", "max-age=5, stale-while-revalidate=30"),),
    (("cache-control", "s-maxage=15"), ("vary", "accept-language, x-caller"), ("cache-control", "public")),
    (("cache-control", "max-age=60, must-revalidate"),),
    (("expires", "Fri, 15 Jan 2027 09:00:00 GMT"),),
    (("cache-control", "public"),),
    (("vary", "accept-language"), ("vary", "Accept-Language")),
    (("cache-control", "no-cache"),),
    (("cache-control", "max-age=60"), ("set-cookie", "a=b")),
)
PUBLIC, BY_CALLER = 1, 4


class Stamping(FakeUpstream):
    """An upstream that signs what it says; PUT makes what it says the next version. Now and then it fails."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.versions: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    async def send(self, outbound: Outbound) -> Reply:
        self.asked[outbound.method] += 1
        target = outbound.url.removeprefix("http://upstream.test")
        path = target.partition("?")[0]
        if self.chance.random() < 0.5:
            await asyncio.sleep(0)
        if self.chance.random() < 0.02:
            raise UpstreamUnreachableError
        if outbound.method == "PUT":
            self.versions[path] += 1
        said = Headers(tuple(outbound.headers))
        language = said.get("accept-language").replace(" ", "") if varies(target) else ""
        stamp = Stamp(target, said.get("x-caller"), language, self.versions[path])
        if self.chance.random() < 0.5:
            await asyncio.sleep(0)
        return self._stamped(outbound.method, stamp, said)

    def _stamped(self, method: str, stamp: Stamp, said: Headers) -> Reply:
        number = number_of(stamp.target)
        body = f"{stamp}\n".ljust(
            100 + number * 3 + stamp.version, "."
        ).encode()  # each version has a length of its own
        pairs = [("x-stamp", str(stamp)), ("content-length", str(len(body))), *POLICIES[policy_of(stamp.target)]]
        pairs += [("etag", f'"{stamp}"')] if number % 3 else []
        if number % 3 and f'"{stamp}"' in said.get("if-none-match"):
            return Reply(status=304, headers=Headers(tuple(pairs)))
        status = 503 if self.chance.random() < 0.02 else 200
        return Reply(status=status, headers=Headers(tuple(pairs)), body=b"" if method == "HEAD" else body)


# -------------------------------------------------------------------------------------------------- two processes


class SharedTable:
    """What processes share, packed as it is in DynamoDB."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[bytes, float]] = {}
        self.gone: dict[str, float] = {}
        self.leases: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.found = 0

    def look(self, place: str, gone: str, *, now: float, purges: str = "", lease: bool = False) -> Found:
        data, until = self.answers.get(place, (b"", 0.0))
        stored = unpack(data, place) if until > now else None
        self.found += stored is not None
        return Found(
            stored=stored,
            gone_at=self.gone.get(gone, 0.0),
            purges=Purges() if purges else None,
            leased=lease and self.leases.get(place, 0.0) > now,
        )

    def keep(self, place: str, stored: Stored, *, now: float, until: float) -> bool:
        data = pack(stored, place)
        assert data
        self.answers[place] = (data, until)
        return True

    def claim(self, place: str, *, looked_at: float, now: float, until: float) -> bool:
        if self.leases.get(place, 0.0) > now or self.ended.get(place, -1.0) >= looked_at:
            return False
        self.leases[place] = until
        return True

    def release(self, place: str, *, now: float, done: bool) -> None:
        self.leases.pop(place, None)
        if done:
            self.ended[place] = now

    def forget(self, gone: str, *, at: float, until: float) -> None:
        self.gone[gone] = max(at + 0.001, self.gone.get(gone, 0.0))


class AtOnce:
    """Runs what blocks where it is, and every third time not before others had a turn."""

    def __init__(self) -> None:
        self.times = 0

    async def get(self, work: Callable[[], T], within_s: float, **_: object) -> T | None:
        self.times += 1
        if self.times % 3 == 0:
            await asyncio.sleep(0)
        return work()


def cache_of(table: SharedTable, clock: FakeClock) -> Cache:
    elapsed = Elapsed(clock, lambda: 0.0)  # what others do meanwhile takes none of a request's time
    marks = Marks(elapsed)
    shared = Shared(table, AtOnce(), AtOnce(), elapsed, marks)
    answers = Answers(Memory(MEMORY_BYTES), shared, marks, elapsed)
    return Cache(answers=answers, turns=Turns(answers, shared, elapsed), elapsed=elapsed)


async def session(call: Call) -> Identity | None:
    """Prove who is calling, by a credential that is another one each time."""
    name = call.headers.get("x-name")
    claims = {"iat": next(COUNTED), "jti": str(next(COUNTED))}
    organization = call.headers.get("x-of")
    return Identity(kind="session", subject=name, organization=organization, claims=claims) if name else None


async def visitor(call: Call) -> Identity | None:
    return Identity(kind="anonymous", subject=VISITORS[call.client_ip], token=f"visit-{next(COUNTED)}")


COUNTED = itertools.count()


def process(projects: Projects, upstream: FakeUpstream, table: SharedTable, clock: FakeClock) -> Handler:
    """Return a gateway as one process has it."""
    kit = FakeKit(upstream)
    kit.answers = cache_of(table, clock)
    kit.credentials = {"s": session, "v": visitor}
    kit.confirming = cast("Organizations", FakeOrganizations(OWN))
    return gateway(projects, kit)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    return load(write(tmp_path_factory.mktemp("kept"), PROJECT), {})


# -------------------------------------------------------------------------------------------------- the crowd


@dataclass
class Changes:
    """What was changed and when, so that one can say what nobody may be given any more."""

    clock: FakeClock
    done: dict[str, list[tuple[float, int, int]]] = field(default_factory=lambda: defaultdict(list))

    def note(self, path: str, process: int, version: int) -> None:
        self.done[path].append((self.clock.now, process, version))

    def least(self, path: str, process: int) -> int:
        """Return the oldest version that *process* may still give to one who asks now."""
        known = (v for at, by, v in self.done[path] if by == process or at <= self.clock.now - LOOK_EVERY_S)
        return max(known, default=0)


class Crowd:
    """Callers who ask both processes for the same addresses, AT_ONCE at a time, and look at what they are given."""

    def __init__(self, projects: Projects, requests: int, seed: int) -> None:
        self.clock = FakeClock()
        self.chance = random.Random(seed)
        self.upstream = Stamping(self.chance)
        self.table = SharedTable()
        self.handlers = tuple(process(projects, self.upstream, self.table, self.clock) for _ in range(2))
        self.left = requests
        self.changes = Changes(self.clock)
        self.tags: dict[str, list[str]] = defaultdict(list)
        self.said: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.others = 0
        self.wrong: list[str] = []

    async def rush(self) -> None:
        await asyncio.gather(*(self._asker() for _ in range(AT_ONCE)))

    async def _asker(self) -> None:
        while self.left > 0 and not self.wrong:
            self.left -= 1
            self.clock.now += STEP_S
            await self._ask()

    async def _ask(self) -> None:
        chance = self.chance
        number = min(chance.randrange(ADDRESSES) for _ in range(3))  # some are asked for more than others
        route = ("mine", "guests", "ours", "mixed", "all")[number % 5]
        path, query = f"/{route}/{number}", "a=1" if chance.random() < 0.1 else ""
        target = f"{path}?{query}" if query else path
        caller = chance.choice(CALLERS)
        call = self._call(path, query, target, caller)
        handler = chance.randrange(2)
        least = self.changes.least(path, handler)
        reply = await self.handlers[handler](call)
        self.statuses[reply.status] += 1
        if reply.status == 502:
            return
        if call.method == "PUT" and reply.status == 200:
            self.changes.note(path, handler, Stamp.read(reply.headers.get("x-stamp")).version)
        self.said[str(call.notes.get("cache"))] += 1
        self._look_at(reply, call, caller, least)

    def _call(self, path: str, query: str, target: str, caller: Caller) -> Call:
        chance = self.chance
        method = "GET" if (drawn := chance.random()) < 0.9 else "HEAD" if drawn < 0.995 else "PUT"
        pairs = [("host", chance.choice(("gateway.test", "GATEWAY.test")))]
        if caller.name:
            pairs += [("x-name", caller.name), ("x-of", caller.organization)]
        language = chance.choice(LANGUAGES)
        pairs += [("accept-language", language)] if language else []
        if chance.random() < 0.1 and self.tags[target]:  # also those that others were given
            pairs.append(("if-none-match", chance.choice(self.tags[target])))
        if chance.random() < 0.05:
            pairs.append(("cache-control", chance.choice(("no-cache", "max-age=3", "max-stale", "no-store"))))
        return Call(
            method=method,
            path=path,
            query=query,
            headers=Headers(tuple(pairs)),
            body=FakeBody(b"x" if method == "PUT" else b""),
            client_ip=caller.address,
            scheme="https",
            request_id="request-1",
            route="",
        )

    def _look_at(self, reply: Reply, call: Call, caller: Caller, least: int) -> None:
        """Note what is wrong with *reply*, if it is anything that *caller* may not be given."""
        target = f"{call.path}?{call.query}" if call.query else call.path
        told = caller.told(call.path.split("/")[1])
        stamps = stamps_of(reply)
        for stamp in stamps:
            complaint = complaint_of(stamp, target, told, call.headers, least)
            if complaint:
                self.wrong.append(f"{complaint}: {call} {reply}")
            self.others += stamp.caller != told
        tag = reply.headers.get("etag")
        if not stamps or (reply.status == 304 and tag != call.headers.get("if-none-match")):
            self.wrong.append(f"a client is told of what it has not: {call} {reply}")
        if tag:
            self.tags[target] = [*self.tags[target][-20:], tag]


def complaint_of(stamp: Stamp, target: str, told: str, headers: Headers, least: int) -> str:
    """Return what is wrong with an answer that has *stamp*, given to the caller of whom the upstream is *told*."""
    language = headers.get("accept-language").replace(" ", "") if varies(target) else ""
    wrong = {
        "what was asked for is something else": stamp.target != target,
        "it is somebody else's": not is_for(stamp, told),
        "it is another variant": stamp.language != language,
        "it was changed": stamp.version < least,
    }
    return next((words for words, is_so in wrong.items() if is_so), "")


def stamps_of(reply: Reply) -> set[Stamp]:
    """Return what *reply* is signed with, wherever a signature stands."""
    found = {reply.headers.get("x-stamp"), reply.headers.get("etag").strip('"')}
    if isinstance(reply.body, bytes) and reply.body:
        found.add(reply.body.partition(b"\n")[0].decode())
    return {Stamp.read(text) for text in found if text}


def is_for(stamp: Stamp, told: str) -> bool:
    """Say whether an answer may be given to the caller of whom the upstream is *told*."""
    if stamp.caller == told:
        return True
    route = stamp.target.split("/")[1]
    if policy_of(stamp.target) == BY_CALLER:  # it varies by who is calling
        return False
    if route in {"ours", "mixed"}:
        return told.partition("/")[0] != "" and stamp.caller.partition("/")[0] == told.partition("/")[0]
    return route == "all" and says_public(stamp.target) and bool(stamp.caller) is bool(told)


@contextlib.contextmanager
def unmeasured() -> Iterator[None]:
    """Take coverage's eyes off what is done so often: it would take four times as long."""
    tracing = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracing)


@pytest.mark.parametrize("seed", range(CROWDS))
def test_two_organizations_and_all_their_members_hammer_the_same_addresses_and_nobody_sees_anothers_bytes(
    projects: Projects, monkeypatch: pytest.MonkeyPatch, seed: int
):
    for name in ("_FIRST_POLL_S", "_LAST_POLL_S"):
        monkeypatch.setattr(f"gatehouse.caching.turns.{name}", 0.001)
    crowd = Crowd(projects, REQUESTS // CROWDS, seed)
    with unmeasured():
        run(crowd.rush())
    assert not crowd.wrong, crowd.wrong[0]
    assert crowd.statuses.total() == REQUESTS // CROWDS
    # A cache has done it: every way to an answer was taken, often.
    assert crowd.upstream.asked["GET"] < REQUESTS // CROWDS // 2
    assert min(crowd.said[way] for way in ("hit", "miss", "stale", "renewed", "collapsed", "method")) > 30
    assert min(crowd.statuses[status] for status in (200, 304, 502, 503)) > 30
    assert crowd.table.found > 1000
    assert crowd.others > 1000  # answers given to another than they were made for, since these may be shared


PARTITION = keying._partition
LACKS: dict[str, tuple[str, Callable[..., Any]]] = {
    "the query": ("gatehouse.stages.cache.key_of", lambda rules, call: keying.key_of(rules, replace(call, query=""))),
    "the caller": ("gatehouse.caching.keying._partition", lambda *_: (("nobody",), False)),
    "the organization": ("gatehouse.caching.keying._partition", lambda *about: (PARTITION(*about)[0][:1], False)),
    "the kind of caller": ("gatehouse.caching.keying._subject", lambda one, _: (one.organization, one.subject)),
    "that it must be public": ("gatehouse.caching.keying._partition", lambda *about: (PARTITION(*about)[0], False)),
    "the variant": ("gatehouse.stages.cache.variant_of", lambda *_: ""),
    "the changes": ("gatehouse.caching.marks.Marks.stands", lambda *_: True),
}


@pytest.mark.parametrize("lacking", LACKS)
def test_the_crowd_notices_a_cache_that_leaves_something_out(
    projects: Projects, monkeypatch: pytest.MonkeyPatch, lacking: str
):
    monkeypatch.setattr(*LACKS[lacking])
    crowd = Crowd(projects, 10_000, seed=0)
    with unmeasured():
        run(crowd.rush())
    assert crowd.wrong


# -------------------------------------------------------------------------------------------------- one, and another


class Mirror(FakeUpstream):
    """An upstream that says what it was told. It reads names of fields as many servers do: `_` and `.` are `-`."""

    def __init__(self, *pairs: Pair) -> None:
        super().__init__()
        self.pairs = pairs

    async def send(self, outbound: Outbound) -> Reply:
        told = [(name.lower().replace("_", "-").replace(".", "-"), value.lower()) for name, value in outbound.headers]
        read = {name: sorted(words(value for key, value in told if key == name)) for name in TOLD}
        said = json.dumps([outbound.url, read])
        pairs = (("x-said", said), ("content-length", str(len(said))), *self.pairs)
        return Reply(status=200, headers=Headers(pairs), body=b"" if outbound.method == "HEAD" else said.encode())


TOLD = ("x-caller", "x-forwarded-host", "x-forwarded-proto", "accept-language")


def words(values: Iterable[str]) -> list[str]:
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


HOSTS = ("gateway.test", "GATEWAY.test", "gateway.test:443", "gateway.test.", "evil.test", "[::1]", "", "a,b", "a b")
PATHS = ("/x", "/X", "/x/", "/%78", "/x;a", "/x/y")
QUERIES = st.sampled_from(("", "a=1", "a=1&", "a=%31", "A=1", "a=1&a=2", "a=2&a=1")) | st.text("a=&;%+1", max_size=4)
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(("accept-language", "x-caller", "x_caller", "x.caller")),
        st.sampled_from(("de", "en", "de, en", "en , de", "", " ", "own-1/session/ada")),
    )
    | st.sampled_from(
        (
            ("connection", "x-caller"),
            ("connection", "accept-language"),
            ("x-forwarded-host", "evil.test"),
            ("x-host", "evil.test"),
            ("forwarded", "host=evil.test"),
            ("vary", "nothing"),
            ("cache-control", "max-stale"),
        )
    ),
    max_size=3,
)


@st.composite
def requests(draw: st.DrawFn) -> list[Call]:
    """Requests of clients of ill will, each of which has much in common with the others."""

    def one_of_two(values: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
        return st.sampled_from((draw(values), draw(values)))

    callers, fields = one_of_two(st.sampled_from(CALLERS)), one_of_two(FIELDS)
    hosts, paths = one_of_two(st.sampled_from(HOSTS)), one_of_two(st.sampled_from(PATHS))
    queries = one_of_two(QUERIES)
    schemes = one_of_two(st.sampled_from(("http", "https")))

    def request(method: str, caller: Caller) -> Call:
        own = [("x-name", caller.name), ("x-of", caller.organization)] if caller.name else []
        sent = [("host", draw(hosts)), *own, *((name.lower(), value) for name, value in draw(fields))]
        about = {"query": draw(queries), "scheme": draw(schemes), "client_ip": caller.address}
        return a_call(draw(paths), method, *sent, **about)

    return [request(draw(METHODS), draw(callers)) for _ in range(draw(st.integers(2, 6)))]


METHODS = st.sampled_from(("GET", "GET", "HEAD"))
PUBLICLY = (("cache-control", "public, max-age=60"), ("vary", "accept-language, x-caller"))
PLAINLY = (("vary", "accept-language"),)


@pytest.mark.parametrize(("route", "pairs"), [("mine", PLAINLY), ("guests", PLAINLY), ("all", PUBLICLY)])
@given(asked=requests())
def test_whoever_asked_before_and_however_everybody_is_given_what_they_would_be_given_first(
    projects: Projects, route: str, pairs: tuple[Pair, ...], asked: list[Call]
):
    async def play() -> None:
        shared = process(projects, Mirror(*pairs), SharedTable(), FakeClock())
        for one in asked:
            call = replace(one, path=f"/{route}{one.path}")
            alone = process(projects, Mirror(*pairs), SharedTable(), FakeClock())
            given, first = await shared(call), await alone(call)
            assert (given.status, given.headers.get("x-said")) == (first.status, first.headers.get("x-said"))
            if first.status == 200 and call.method == "GET":
                assert given.body == first.body

    run(play())


@pytest.mark.parametrize("name", ["accept_language", "accept.language"])
def test_a_field_in_another_spelling_gets_nobody_the_wrong_variant(projects: Projects, name: str):
    async def play() -> list[Reply]:
        handler = process(projects, Mirror(*PUBLICLY), SharedTable(), FakeClock())
        asked = [(("host", "gateway.test"), (name, "tlh")), (("host", "gateway.test"),)]
        return [await handler(a_call("/all/1", "GET", *headers)) for headers in asked]

    odd, plain = run(play())
    assert (b"tlh" in odd.whole, b"tlh" in plain.whole) == (True, False)


def test_head_does_not_bring_back_what_a_change_has_ended(projects: Projects):
    """RFC 9111 section 4.3.5 lets it; but what another process has ended (section 4.4) must stay so, here as well."""

    async def play() -> list[Reply]:
        clock, table, upstream = FakeClock(), SharedTable(), FakeUpstream()
        changing, other = (process(projects, upstream, table, clock) for _ in range(2))

        def ask(handler: Handler, method: str, says: bytes, *pairs: Pair) -> Awaitable[Reply]:
            clock.now += 2.0
            upstream.answers[:] = [ok(says, ("cache-control", "max-age=600"), ("content-length", "3"))]
            return handler(a_call("/mine/1", method, ("host", "gateway.test"), ("x-name", "ada"), *pairs))

        await ask(other, "GET", b"old")
        await ask(changing, "PUT", b"new")
        await ask(other, "HEAD", b"", ("cache-control", "no-cache"))
        clock.now += LOOK_EVERY_S
        return [await ask(handler, "GET", b"new") for handler in (other, changing)]

    assert [reply.body for reply in run(play())] == [b"new", b"new"]
