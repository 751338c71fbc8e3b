"""What a kept answer costs: in process beside the same route without a cache, from the table, and over uvicorn.

Everything takes turns, several times over, and keeps its quietest one: on a shared machine the differences and ratios
within one run say something, and single figures do not.
"""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import SplitResult

import boto3

from bench import kept, peers
from bench.load import Load, put
from bench.processes import BenchError
from bench.surroundings import Surroundings
from bench.table import table
from gatehouse.call import Handler
from gatehouse.stores import aws_json
from gatehouse.stores.revocation_log import DYNAMODB
from gatehouse.stores.sigv4 import Post
from local.house import CREDENTIALS, NEVER_REAL

FRESH = 200
"""How many processes that know nothing yet find an answer in the table."""
LOAD_ROUNDS, SECONDS, CONCURRENT = 3, 3, 32
MOST_ADDED_US, CALLS_OF_A_TABLE_HIT = 60.0, 1
TABLE = "cache"


def run() -> None:
    """Measure, and print the tables."""
    with Surroundings() as around:
        (around.projects / "kept.yaml").write_text(kept.PROJECT)
        print(_stages(around.projects))
        print(_from_the_table(around))
        print(_over_uvicorn(around))


def _stages(folder: Path) -> str:
    best = kept.measured(folder)
    rows = [("in process", "us", "added us", "ratio")]
    for name, took in best.items():
        beside = best[kept.BESIDE.get(name, name)]
        rows.append((name, f"{took:.1f}", f"{took - beside:.1f}", f"{took / beside:.2f}"))
    return f"{table(rows)}\n  the goal: a hit in memory adds at most {MOST_ADDED_US:.0f} us"


# ------------------------------------------------------------------------------------------------ from the table


def _from_the_table(around: Surroundings) -> str:
    """Have processes, each of which knows nothing yet, find an answer in the table that they share."""
    os.environ.update({**NEVER_REAL, "AWS_ENDPOINT_URL": around.environment("", "buffered")["AWS_ENDPOINT_URL"]})
    _make_table()
    asyncio.run(_spent(kept.gateway(around.projects, TABLE), "stored"))
    asked: list[str] = []
    with _counted(asked):
        found = [asyncio.run(_spent(kept.gateway(around.projects, TABLE), "detail=table")) for _ in range(FRESH)]
    alone = [asyncio.run(_alone()) for _ in range(FRESH)]
    aws_json.close()
    rows = [
        ("from the table, which is moto", "calls", "p50 ms", "ratio"),
        ("one read, alone", "1.00", f"{median(alone):.2f}", "1.00"),
        ("hit", f"{len(asked) / FRESH:.2f}", f"{median(found):.2f}", f"{median(found) / median(alone):.2f}"),
    ]
    return f"{table(rows)}\n  the goal: a hit in the table is {CALLS_OF_A_TABLE_HIT} call"


async def _spent(handle: Handler, expected: str) -> float:
    """Return how long an answer took, in ms, whose `Cache-Status` holds what is *expected*."""
    started = time.perf_counter()
    reply = await handle(kept.call("/kept/x"))
    spent_ms = (time.perf_counter() - started) * 1000
    _check(reply.headers.get("cache-status"), expected)
    return spent_ms


async def _alone() -> float:
    """Return how long one read of three keys takes, in ms."""
    keys = [{"pk": {"S": f"{kind}#none"}} for kind in ("cache", "cache-gone", "cache-purges")]
    document = {"RequestItems": {TABLE: {"Keys": keys, "ConsistentRead": True}}}
    started = time.perf_counter()
    await asyncio.to_thread(aws_json.call, DYNAMODB, "BatchGetItem", document)
    return (time.perf_counter() - started) * 1000


@contextmanager
def _counted(asked: list[str]) -> Iterator[None]:
    """Note in *asked* every request to AWS."""
    asking = aws_json._asked  # noqa: SLF001  # all go through it

    def noted(url: SplitResult, post: Post) -> Any:
        asked.append(post.headers["x-amz-target"])
        return asking(url, post)

    aws_json._asked = noted  # noqa: SLF001
    try:
        yield
    finally:
        aws_json._asked = asking  # noqa: SLF001


def _make_table() -> None:
    dynamodb = boto3.Session("local", "local", region_name=CREDENTIALS["AWS_REGION"]).client("dynamodb")
    dynamodb.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.close()


# ------------------------------------------------------------------------------------------------ over uvicorn


def _over_uvicorn(around: Surroundings) -> str:
    with peers.upstream(around.folder) as upstream, peers.gateway(around, upstream) as place:
        urls = {"no cache": f"http://{place}/asked/file", "hit in memory": f"http://{place}/kept/file"}
        turns: dict[str, list[Load]] = {name: [] for name in urls}
        for url in urls.values():
            put(url, "", CONCURRENT, 1, around.folder)
        with urllib.request.urlopen(urls["hit in memory"], timeout=30) as answer:
            _check(answer.headers["cache-status"], "gatehouse; hit")
        for _ in range(LOAD_ROUNDS):
            for name, url in urls.items():
                turns[name].append(put(url, "", CONCURRENT, SECONDS, around.folder))
    best = {name: max(several, key=lambda one: one.rps) for name, several in turns.items()}
    rows = [(f"over uvicorn, {CONCURRENT} connections", "rps", "p50 us", "ratio")]
    for name, own in best.items():
        rows.append((name, f"{own.rps:.0f}", f"{own.p50_us:.0f}", f"{own.rps / best['no cache'].rps:.2f}"))
    return table(rows)


def _check(cache_status: str, expected: str) -> None:
    """Make sure that an answer is what is to be measured."""
    if expected not in cache_status:
        raise BenchError(f"this was to be '{expected}', and is '{cache_status}'")
