"""Plays a case against a gateway and holds every answer to what its step expects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.contract.caching.case import ANY_NUMBER, Case, Step
from tests.contract.caching.gateways import DrivenGateway, Place
from tests.contract.conftest import Answer
from tests.contract.scripted_origin import Says, Seen, Value, lines

OURS = "gatehouse"
FAILED = 500
REST = "..."
"""Stands, as the last of several values, for whatever else an answer says under a name."""


def play(case: Case, number: int, gateway: DrivenGateway) -> None:
    """Play *case*, the *number*th of all, so that it has a path of its own."""
    path = f"/{Place(case.door, case.keeping).name}/{number}"
    gateway.origin.begin()
    began = gateway.clock.now
    upstreams = any("cache-status" in says.fields for step in case.steps for says in step.says)
    for index, scripted in enumerate(case.steps):
        step = _waiting(scripted) if scripted.meanwhile and gateway.freezes else scripted
        gateway.clock.pass_by(step.after)
        gateway.origin.say(*(_placed(says, path, gateway) for says in step.says))
        answer = gateway.send(step.method, path + step.path, _sent(step, gateway, began), step.body)
        gateway.settle()
        try:
            _check_origin(step, gateway.origin.seen, began)
            _check_answer(step, answer, began)
            if not upstreams:
                assert answer.get("cache-status").count(OURS) <= 1, "one member of ours"
        except AssertionError as error:
            error.add_note(f"request {index + 1} of {len(case.steps)}: {step.method} {step.path} after {step.after} s")
            error.add_note(f"answered {answer.status} {answer.headers} {answer.body[:60]!r}")
            raise


def _waiting(step: Step) -> Step:
    """Return *step* as it is where the client waits for what the origin says, and gets what is kept if it fails."""
    says = step.says[-1]
    new: dict[str, Any] = {"has": {}, "gives": says.body} if says.status < FAILED else {}
    return replace(step, meanwhile=False, cache_status=("fwd=stale",), **new)


def _placed(says: Says, path: str, gateway: DrivenGateway) -> Says:
    def placed(value: Value) -> Value:
        said = isinstance(value, str) and "{path}" in value
        return str(value).replace("{path}", path).replace("{gateway}", gateway.address) if said else value

    return replace(says, fields={name: placed(value) for name, value in says.fields.items()})


def _sent(step: Step, gateway: DrivenGateway, began: float) -> list[tuple[str, str]]:
    sent = lines(step.headers, began)
    if step.who:
        sent.append(("X-User", step.who))
        sent.append(("Authorization", f"Bearer {gateway.token_of(step.who)}"))
    return sent


def _check_origin(step: Step, seen: list[Seen], began: float) -> None:
    if step.asked != ANY_NUMBER:
        assert len(seen) == step.asked, "how often the origin was asked"
    for name, value in step.told.items():
        expected = None if value is None else ", ".join(written for _, written in lines({name: value}, began))
        assert seen[0].get(name) == expected, f"what the origin was told as {name}"


def _check_answer(step: Step, answer: Answer, began: float) -> None:
    assert answer.status in step.status, "the status"
    if step.gives is not None:
        assert len(answer.body) == len(step.gives), "the length of the body"
        assert answer.body == step.gives.encode(), "the body"
    for name, value in step.has.items():
        expected = [written for _, written in lines({name: value}, began)]
        said = answer.all(name)
        if expected[-1] == REST:
            said, expected = said[: len(expected) - 1], expected[:-1]
        assert said == expected, f"what the answer says as {name}"
    for name in step.lacks:
        assert not answer.all(name), f"the answer must not say {name}"
    if step.cache_status is not None and answer.status < 400:
        _check_cache_status(step, answer)


def _check_cache_status(step: Step, answer: Answer) -> None:
    """Hold the gateway's member to what the step expects, and to whether the origin was asked."""
    members = [member.strip() for member in answer.get("cache-status").split(",")]
    said = [part.strip() for part in members[-1].split(";")]
    assert said[0] == OURS, "the last member of Cache-Status is the gateway's"
    marks = {mark for mark in step.cache_status or () if not mark.startswith("!")}
    hit = "hit" in marks or step.meanwhile or not step.says
    assert ("hit" in said) is hit, f"whether it is a hit: {members[-1]}"
    assert any(part.startswith("fwd=") for part in said) is not hit, f"either hit or fwd: {members[-1]}"
    if hit:
        assert answer.get("age").isdecimal(), "what is given again has an age"
    assert marks <= set(said), f"Cache-Status says: {members[-1]}"
    names = {part.partition("=")[0] for part in said}
    for mark in step.cache_status or ():
        if mark.startswith("!"):
            assert mark[1:] not in names, f"Cache-Status must not say {mark[1:]}: {members[-1]}"
