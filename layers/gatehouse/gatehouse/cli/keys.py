"""`keys …`: the keys that tokens are signed with. A secret or a private key is never shown."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import typer

from gatehouse import asymmetric, key_states, rotation
from gatehouse.cli.changing import changed
from gatehouse.cli.gate import Gate
from gatehouse.cli.options import at_a_gateway, examples
from gatehouse.cli.output import Said, facts, table
from gatehouse.clock import iso
from gatehouse.keys import ALGORITHMS, Key, KeyRing, parse
from gatehouse.taking_back import is_active
from gatehouse.tokens import LEEWAY_S, LONGEST_S

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Signing keys: add, promote, retire.")


def _algorithm(value: str) -> str:
    known = {name.lower(): name for name in ALGORITHMS}
    if value.lower() not in known:
        raise typer.BadParameter(f"one of {', '.join(ALGORITHMS)}")
    return known[value.lower()]


Kid = Annotated[str, typer.Argument(metavar="KID", help="The key's id; 'keys show' has it.")]
Algorithm = Annotated[
    str, typer.Option("--algorithm", metavar="NAME", callback=_algorithm, help=f"{', '.join(ALGORITHMS)}.")
]
AtOnce = Annotated[bool, typer.Option("--force", help="Do not wait until everybody has it.")]
Whatever = Annotated[
    bool, typer.Option("--force", help="Though tokens that it signed may be alive: they end within six minutes.")
]


@app.command(epilog=examples("keys show --stack gatehouse-prod"))
@at_a_gateway
def show(gate: Gate) -> Said:
    """List the keys: which one signs, which one is next, and when each may take its next step."""
    ring, live, longest_s = gate.ring(), _live(gate), _longest_s(gate)
    views = [_view(ring, key, live[key.kid], longest_s) for key in ring.keys.values()]
    rows = [
        (
            one["kid"],
            one["algorithm"],
            one["state"],
            "yes" if one["legacy"] else "",
            one["since"],
            one["liveServiceTokens"],
            _advice(one, time.time()),
        )
        for one in views
    ]
    head = ("KID", "ALGORITHM", "STATE", "LEGACY", "SINCE", "LIVE TOKENS", "NEXT STEP")
    return Said(document={"keys": views}, text=table(head, rows))


@app.command(epilog=examples("keys add --stack gatehouse-prod", "keys add --algorithm EdDSA --local"))
@at_a_gateway
def add(gate: Gate, algorithm: Algorithm = asymmetric.EDDSA) -> Said:
    """Make a new key and put it into the ring: tokens are checked with it, and it does not sign yet."""
    made: list[str] = []

    def step(document: str) -> str:
        changed, kid = rotation.add(document, algorithm=algorithm, now=time.time())
        made.append(kid)
        return changed

    with gate.audited("key add", algorithm=algorithm) as said:
        ring = _changed(gate, step)
        said["kid"] = made[-1]
    return _after(ring, made[-1], gate)


@app.command(epilog=examples("keys promote 2026-11-22-3f9a --stack gatehouse-prod"))
@at_a_gateway
def promote(gate: Gate, kid: Kid, force: AtOnce = False) -> Said:
    """Let a key sign, once every process and every reader of the published keys has it."""
    with gate.audited("key promote", kid=kid, force=force):
        ring = _changed(gate, lambda document: rotation.promote(document, kid, now=time.time(), force=force))
    return _after(ring, kid, gate)


@app.command(epilog=examples("keys retire k1 --stack gatehouse-prod"))
@at_a_gateway
def retire(gate: Gate, kid: Kid, force: Whatever = False) -> Said:
    """Take a key out of the ring, once no token that it signed can be alive."""
    live, longest_s = _live(gate)[kid], _longest_s(gate)

    def step(document: str) -> str:
        return rotation.retire(document, kid, now=time.time(), longest_s=longest_s, live=live, force=force)

    with gate.audited("key retire", kid=kid, force=force, live=live):
        _changed(gate, step)
    return Said(document={"kid": kid, "retired": True, "liveServiceTokens": live}, text=f"{kid} is out of the ring")


def _changed(gate: Gate, step: Callable[[str], str]) -> KeyRing:
    """Take *step* on the secret's text, and return the ring as it is then; see `changing.changed`."""
    return parse(changed(gate.secret_arn, step, see="keys show"))


def _live(gate: Gate) -> Counter[str]:
    """Return how many service tokens that are good each key has signed, by its id."""
    now, known = time.time(), gate.revoked()
    live: Counter[str] = Counter()
    for record in gate.registry.newest():
        if record.created_at < now - LONGEST_S - LEEWAY_S:
            break
        live[record.kid] += is_active(record, known, now, [record.kid])
    return live


def _longest_s(gate: Gate) -> float:
    """Return the longest lifetime of tokens that the registry does not have: those of logins and guests."""
    return max((project.tokens.ttl for project in gate.projects.all if project.tokens), default=0.0)


def _view(ring: KeyRing, key: Key, live: int, longest_s: float) -> dict[str, Any]:
    state = key_states.state(ring, key)
    since = {"current": key.promoted_at or key.added_at, "next": key.added_at, "previous": key.demoted_at}[state]
    promotable = key_states.promotable_at(key) if state != "current" else None
    return {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "state": state,
        "legacy": key.legacy,
        "since": iso(since),
        "liveServiceTokens": live,
        "promotableAt": iso(promotable),
        "retirableAt": iso(key_states.retirable_at(ring, key, longest_s) or None),
    }


def _advice(view: dict[str, Any], now: float) -> str:
    """Return what may be done with the key of *view* next, and when."""
    if view["state"] == "current":
        return "-"
    step, moment = ("promote", view["promotableAt"]) if view["state"] == "next" else ("retire", view["retirableAt"])
    gone = f", when its {view['liveServiceTokens']} service tokens are gone" if view["liveServiceTokens"] else ""
    if moment is None:
        return f"{step}: nobody noted since when{gone}"
    if moment > (iso(now) or ""):
        return f"{step} at {moment} or later{gone}"
    return f"{step}{gone.removeprefix(',')}" if gone else f"{step} now"


def _after(ring: KeyRing, kid: str, gate: Gate) -> Said:
    view = _view(ring, ring.keys[kid], 0, _longest_s(gate))
    del view["liveServiceTokens"]
    return Said(document=view, text=facts(view.items()))
