"""What goes down in the drill, and what is seen then: before, during and after, of every kind of request."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gatehouse import auth_service
from gatehouse.stores import aws_json
from tests.contract.conftest import Answer
from tests.contract.drill_gateway import AWS, DYNAMODB, HURRY, S3, SECRETS_MANAGER, Process, Site
from tests.contract.drill_lines import HANGS, NONSENSE, REFUSES, SLOW
from tests.contract.drill_requests import KINDS, Kind, Request, Somebody, bearer
from tests.contract.drill_services import AUTH, ISSUER, ORGANIZATIONS, UPSTREAM, USERS

SERVICES = (UPSTREAM, AUTH, ORGANIZATIONS, USERS, ISSUER)
A_LOOK_LATER_S = 10.0
"""After this nobody lives on what was looked up for 5 or 10 seconds, and what was left alone so long is tried again."""
ENDS_S = 28.5
"""When the invocation is as good as over, half a second before Lambda ends it."""
PATIENCE_S = dict.fromkeys(SERVICES, auth_service.TIMEOUT_S) | dict.fromkeys(AWS, aws_json.TIMEOUT_S)
"""How long an answer to one question is waited for in production; upstreams have the time of their route."""
PAUSE_S = 1.0
"""How long boto3 waits at most before its second attempt, which is the last. It is left out here."""
BUSY_S = 2.0
"""What computing may take on a machine that has other things to do."""
LIMIT_S = ENDS_S * HURRY + BUSY_S
INIT_S = 10 * HURRY + BUSY_S
"""So long may a function take to start: Lambda gives it 10 seconds."""
RUNNING, NEW = "running", "new"
FAILED = 400
Phase: TypeAlias = Literal["before", "during", "after"]


@dataclass(frozen=True)
class Fault:
    """Something that is down.

    Attributes:
        what: in words.
        how: a trouble of lines.
        lines: those that have it.
        since_s: for how long, when requests come.
        starting: whether a process starts meanwhile.
    """

    what: str
    how: str
    lines: tuple[str, ...]
    since_s: float = A_LOOK_LATER_S
    starting: bool = True

    @property
    def of_aws(self) -> bool:
        return bool(set(self.lines) & set(AWS))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of requests that are looked at: nothing but what is proxied has to do with services of others."""
        everything = self.of_aws or not self.lines or set(self.lines) >= set(SERVICES)
        return KINDS if everything else tuple(kind for kind in KINDS if kind.proxied)

    def __str__(self) -> str:
        return f"{self.what}, {self.how}"


def _cut(what: str, *lines: str, since_s: float = A_LOOK_LATER_S) -> Fault:
    return Fault(what, REFUSES, lines, since_s)


def _both(what: str, *lines: str, since_s: float = A_LOOK_LATER_S, starting: bool = True) -> tuple[Fault, Fault]:
    """Return what is down in both ways; the second is met by a process that is *starting* only if that may differ."""
    return _cut(what, *lines, since_s=since_s), Fault(what, HANGS, lines, since_s, starting)


NOTHING = Fault("nothing", "", ())
FAULTS = (
    NOTHING,
    *_both("the upstream", UPSTREAM),
    *(Fault("the upstream", how, (UPSTREAM,), starting=False) for how in (SLOW, *NONSENSE)),
    *_both("the auth service", AUTH, starting=False),
    Fault("the auth service", NONSENSE[0], (AUTH,), starting=False),
    _cut("the auth service, for more than 30 seconds", AUTH, since_s=31),
    *_both("the organization services", ORGANIZATIONS, USERS, starting=False),
    _cut("another issuer's keys", ISSUER),
    *_both("another issuer's keys, for more than an hour", ISSUER, since_s=3660),
    _cut("all of these", *SERVICES),
    *_both("DynamoDB", DYNAMODB),
    _cut("DynamoDB, for more than a minute", DYNAMODB, since_s=61),
    *_both("S3", S3, starting=False),
    *_both("Secrets Manager", SECRETS_MANAGER),
    Fault("Secrets Manager, for more than 5 minutes", REFUSES, (SECRETS_MANAGER,), since_s=301, starting=False),
    *_both("all three", *AWS),
    _cut("DynamoDB, and every service but the upstream", DYNAMODB, *SERVICES[1:]),
)
WARMING = ("token", "session", "key", "model", "kept")
"""Kinds of requests that are asked before."""


@dataclass(frozen=True)
class Seen:
    """One answer, and what the upstream had heard of its request by then.

    Attributes:
        took_s: how long it took.
        waits_s: how long it would have waited for those who never answer, had each of them had all its time, and
            between attempts.
        sent: how often the request left for the upstream.
        told: who is calling, as the upstream was told each time that the request arrived there.
        proof: what is answered to whoever comes with the token that it gave, or took back; empty if nobody tried.
    """

    fault: Fault
    process: str
    phase: Phase
    kind: Kind
    request: Request
    answer: Answer
    took_s: float
    waits_s: float
    sent: int
    told: tuple[str, ...]
    proof: str

    @property
    def cell(self) -> str:
        """What was answered, as the table says it."""
        return f"{self.answer.status} {self.answer.json['status']}" if self.kind.reports else cell(self.answer)

    def __str__(self) -> str:
        return f"{self.fault}: {self.kind.name}, {self.process} process, {self.phase}: {self.cell}"


def cell(answer: Answer) -> str:
    return str(answer.status) if answer.status < FAILED else f"{answer.status} {answer.json['code']}"


@dataclass(frozen=True)
class Through:
    """What was seen of a fault, and how long each function took to start meanwhile."""

    fault: Fault
    seen: tuple[Seen, ...]
    starts_s: tuple[float, ...]

    def of(self, process: str, phase: Phase) -> dict[str, Seen]:
        return {one.kind.name: one for one in self.seen if (one.process, one.phase) == (process, phase)}


class Drill:
    """Lets one thing after another be down."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._number = 0

    def through(self, fault: Fault) -> Through:
        """Go through *fault*: a process is there before it, another starts meanwhile, and both are there after it."""
        self._number += 1
        self._site.forget()
        self._site.services.upstream.asked.clear()
        look = _Look(self._site, fault, self._site.somebody(f"d{self._number}"), f"198.51.100.{self._number}")
        with ExitStack() as running:
            old = running.enter_context(self._site.process())
            processes = {RUNNING: old}
            look.start(old, fault.kinds)
            look.at(old, RUNNING, "before", [kind for kind in KINDS if kind.name in WARMING])
            with self._site.hurried(fault.lines if fault.how == HANGS else ()):
                self._site.lines.be(fault.how, fault.lines)
                self._site.wall.pass_by(fault.since_s)
                look.at(old, RUNNING, "during", fault.kinds)
                if fault.starting:
                    processes[NEW] = running.enter_context(self._site.process())
                    look.at(processes[NEW], NEW, "during", fault.kinds)
                self._site.lines.be("", fault.lines)
            self._site.wall.pass_by(A_LOOK_LATER_S)
            for called, process in processes.items():
                look.at(process, called, "after", look.suffered(called))
            starts_s = processes[NEW].starts_s if fault.starting else []
        return Through(fault, tuple(look.seen), tuple(starts_s))


class _Look:
    """Sends requests while a fault lasts, and notes what is seen."""

    def __init__(self, site: Site, fault: Fault, who: Somebody, client_ip: str) -> None:
        self.seen: list[Seen] = []
        self._site = site
        self._fault = fault
        self._who = who
        self._client_ip = client_ip

    def start(self, process: Process, kinds: Iterable[Kind]) -> None:
        """Start the functions that requests of *kinds* are for."""
        for kind in kinds:
            process.start(kind.make(self._who))

    def at(self, process: Process, called: str, phase: Phase, kinds: Iterable[Kind]) -> None:
        """Send one request of each of *kinds* to *process*."""
        for kind in kinds:
            request = kind.make(self._who)
            process.start(request)
            sent, waits_s = self._sent(request), self._waits_s()
            began = time.monotonic()
            answer = process.send(request, self._client_ip)
            one = Seen(
                fault=self._fault,
                process=called,
                phase=phase,
                kind=kind,
                request=request,
                answer=answer,
                took_s=time.monotonic() - began,
                waits_s=self._waits_s() - waits_s,
                sent=self._sent(request) - sent,
                told=tuple(self._told(request)),
                proof=self._proof(process, kind, request, answer) if phase == "after" else "",
            )
            self.seen.append(one)

    def _told(self, request: Request) -> Iterator[str]:
        for asked in self._site.services.upstream.asked:
            if request.mark and request.mark in asked.path:
                yield asked.get("x-user-id")

    def _proof(self, process: Process, kind: Kind, request: Request, answer: Answer) -> str:
        path, token = ("/strict/x", request.takes_back) if request.takes_back else (kind.opens, "")
        if not path or answer.status >= FAILED:
            return ""
        return cell(process.send(Request("GET", path, bearer(token or answer.json["token"])), self._client_ip))

    def suffered(self, called: str) -> list[Kind]:
        """Return which kinds of requests were answered otherwise by that process than when all is well."""
        during = [one for one in self.seen if (one.process, one.phase) == (called, "during")]
        return [one.kind for one in during if one.cell != one.kind.well]

    def _waits_s(self) -> float:
        named = self._site.lines.named
        unanswered_s = sum(named[one].unanswered * PATIENCE_S[one] for one in self._fault.lines)
        return unanswered_s + len(self._site.pauses) * PAUSE_S

    def _sent(self, request: Request) -> int:
        return self._site.lines.named[UPSTREAM].times(request.mark) if request.mark else 0
