"""Purging the cache, as operators do it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from gatehouse.api import answers
from gatehouse.caching.purges import Purges
from gatehouse.stores.limits import ContentionError
from gatehouse.stores.purge_log import PurgeLog, partition, purges_of
from local.house import House
from tests.cli.conftest import URL, Run, audit_lines, invoke, projects

SHOP = """
project: shop
providers: {keys: {type: api_key, prefix: k_, url: "http://auth.test/verify"}}
organization: {api_key: "http://users.test/{user}"}
routes:
  - {name: GOODS, path: /goods, upstream: "http://shop.test", accept: [keys], organization: required,
     cache: {ttl: 1m, by: organization}}
  - {name: BARE, path: /bare, upstream: "http://shop.test", auth: none}
"""


@pytest.fixture
def shop(tmp_path: Path) -> str:
    return str(projects(tmp_path, SHOP))


@pytest.fixture
def purge(cli: Run, shop: str) -> Run:
    def run(*words: str, **environ: str | None) -> Any:
        return cli("cache", "purge", "--project", "shop", "--projects", shop, *words, **environ)

    return run


@pytest.fixture
def table(house: House) -> Iterator[Any]:
    """The cache table, without what others have purged."""
    session = boto3.Session("local", "local", region_name="us-east-1")
    name = house.template.made["CacheTable"]["Ref"]
    table = session.resource("dynamodb", endpoint_url=house.environment()["AWS_ENDPOINT_URL"]).Table(name)
    table.delete_item(Key={"pk": partition("shop")})
    yield table
    table.meta.client.close()


def kept(table: Any) -> Purges:
    item = table.meta.client.get_item(TableName=table.name, Key={"pk": partition("shop")}).get("Item")
    if item is None:
        return Purges()
    return purges_of({name: {"S" if isinstance(value, str) else "N": value} for name, value in item.items()})


GOODS = {"route": "GOODS", "path": "/goods/7", "organization": "o-1"}


@pytest.mark.parametrize(
    ("asked", "gone", "says"),
    [
        ([], True, "what is kept of shop is purged"),
        (["--route", "GOODS"], True, "what is kept of shop (route GOODS) is purged"),
        (["--path", "/goods/7"], True, "what is kept of shop (/goods/7) is purged"),
        (["--path", "/goods/*"], True, "(/goods and all below it) is purged"),
        (["--path", "/*"], True, "(all paths) is purged"),
        (["--organization", "o-1"], True, "of shop (organization o-1) is purged"),
        (["--path", "/goods/8"], False, "of shop (/goods/8) is purged"),
        (["--path", "/goods/7", "--organization", "o-2"], False, "(/goods/7, organization o-2) is purged"),
    ],
)
def test_what_was_meant_is_gone_and_is_said(purge: Run, table: Any, asked: list[str], gone: bool, says: str) -> None:
    result = purge(*asked)
    assert result.exit_code == 0
    assert says in result.stdout
    assert result.stdout.endswith(f" at {URL}: in 5 seconds nobody is answered with it any more\n")
    assert kept(table).number == 1
    assert kept(table).gone(0, **GOODS) is gone


def test_a_program_is_told_what_the_gateway_itself_answers(purge: Run, table: Any) -> None:
    purge()
    said = json.loads(purge("--route", "GOODS", "--path", "/goods/a b/*", "--json").stdout)
    assert answers.Purged.model_validate(said)
    assert said == {
        "project": "shop",
        "route": "GOODS",
        "path": "/goods/a%20b/*",
        "organization": None,
        "generation": 2,
        "effectiveWithinSeconds": 5,
    }


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        (["--project", "shops"], 1, "There is no such project here. There is: shop."),
        (["--project", ""], 1, "Name the project"),
        (["--route", "BARE"], 1, "Those with one: GOODS."),
        (["--route", ""], 1, "Those with one: GOODS."),
        (["--path", "/bare"], 1, "lies under: /goods."),
        (["--path", ""], 1, "must start with '/'"),
        (["--path", "/goods?a=1"], 1, "Leave the query out"),
        (["--path", "/goods/\udcff"], 1, "not valid UTF-8"),
        (["--organization", ""], 1, "1 to 256"),
        (["--organization", "\udcff"], 1, "1 to 256"),
        (["--organisation", "o-1"], 2, "--organisation"),
        (["/goods"], 2, "unexpected extra argument"),
        (["--projects", "/nowhere"], 2, "there is no folder /nowhere"),
    ],
)
def test_what_would_purge_nothing_or_too_much_is_refused_with_what_to_change(
    purge: Run, table: Any, asked: list[str], code: int, says: str
) -> None:
    result = purge(*asked)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert kept(table) == Purges()


def test_a_project_must_be_named(cli: Run) -> None:
    result = cli("cache", "purge")
    assert result.exit_code == 2
    assert "--project" in result.stderr


def test_a_purge_is_in_the_trail_with_all_that_it_was_about(purge: Run, table: Any) -> None:
    (line,) = audit_lines(purge("--path", "/goods/7", "--organization", "o-1"))
    about = {name: line[name] for name in ("action", "result", "project", "path", "organization", "generation")}
    assert about == {
        "action": "cache purge",
        "result": "ok",
        "project": "shop",
        "path": "/goods/7",
        "organization": "o-1",
        "generation": 1,
    }
    assert "route" not in line
    assert line["who"].endswith("@local")


@pytest.mark.parametrize(
    ("error", "says", "result"),
    [
        (ConnectionError(), "AWS does not answer", "failed"),
        (ContentionError(), "somebody else is purging shop all the time", "refused"),
    ],
)
def test_a_purge_that_is_not_done_is_not_told_as_done(
    purge: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str, result: str
) -> None:
    def down(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(PurgeLog, "add", down)
    ended = purge()
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert says in ended.stderr
    assert audit_lines(ended)[0]["result"] == result


def test_the_cache_table_must_be_known(shop: str) -> None:
    words = ("cache", "purge", "--project", "shop", "--projects", shop)
    result = invoke(*words, TOKENS_TABLE="t", CACHE_TABLE=None, GATEHOUSE_STACK=None)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "CACHE_TABLE is not set" in result.stderr
