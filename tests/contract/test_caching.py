"""Every case of `tests/contract/caching`, through both hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.caching import CASES
from tests.contract.caching.case import Case, Keeping
from tests.contract.caching.gateways import DrivenGateway, Place, driven_gateway, write_projects
from tests.contract.caching.playing import play
from tests.contract.scripted_origin import Says, ScriptedOrigin, scripted_origin


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with scripted_origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    write_projects(folder, {Place(case.door, case.keeping) for case in CASES})
    return folder


@pytest.fixture(scope="module")
def on_uvicorn(projects: Path, origin: ScriptedOrigin) -> Iterator[DrivenGateway]:
    with driven_gateway("uvicorn", projects, origin) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def on_mangum(projects: Path, origin: ScriptedOrigin) -> Iterator[DrivenGateway]:
    with driven_gateway("mangum", projects, origin) as gateway:
        yield gateway


@pytest.fixture(params=["uvicorn", "mangum"])
def gateway(request: pytest.FixtureRequest) -> DrivenGateway:
    chosen: DrivenGateway = request.getfixturevalue(f"on_{request.param}")
    return chosen


@pytest.mark.parametrize(
    ("number", "case"), [pytest.param(number, case, id=case.id) for number, case in enumerate(CASES)]
)
def test_case(number: int, case: Case, gateway: DrivenGateway):
    play(case, number, gateway)


def test_one_request_asks_for_all_that_want_the_same_at_once(on_uvicorn: DrivenGateway):
    path, origin = f"/{Place('open', Keeping()).name}/at-once", on_uvicorn.origin
    origin.say(Says(body="one", fields={"cache-control": "max-age=60"}))
    with ThreadPoolExecutor(8) as pool:
        with origin.holding(), on_uvicorn.arrivals.more(8):
            coming = [pool.submit(on_uvicorn.send, "GET", path) for _ in range(8)]
        answers = [one.result() for one in coming]
    assert len(origin.seen) == 1
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"one")}
    said = sorted(answer.get("cache-status") for answer in answers)
    assert sum("; stored" in one for one in said) == 1
    assert sum("fwd=uri-miss; collapsed" in one for one in said) == 7  # RFC 9211 section 2.6


def test_every_case_has_a_sentence_of_its_own_and_says_where_it_is_drawn_from():
    assert not [name for name, times in Counter(case.id for case in CASES).items() if times > 1]
    assert all(case.section.split(" ")[0].isdecimal() or case.section.startswith("fetch") for case in CASES)
