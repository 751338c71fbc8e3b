"""What makes many tests cheaper, and changes nothing that one of them could see."""

from __future__ import annotations

import copy
import sys
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.loaders import Loader
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.models.dynamo_type import Item, LimitedSizeDict
from moto.dynamodb.models.table import Table
from werkzeug.serving import WSGIRequestHandler

AS_WRITTEN = {"S", "N", "BOOL"}
"""Kinds of values of DynamoDB whose form in an answer is the one that moto keeps them in."""


@pytest.fixture(scope="session", autouse=True)
def the_stand_ins_are_not_measured() -> Iterator[None]:
    """Take coverage's eyes off the threads that answer as moto and httpbin: none of our code runs there.

    It would ask of each of their calls whether that is one to look at, which doubles what a test with moto costs.
    """
    handle = WSGIRequestHandler.handle

    def unseen(handler: WSGIRequestHandler) -> None:
        sys.settrace(None)  # of this thread alone: there is one for each connection
        handle(handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WSGIRequestHandler, "handle", unseen)
        yield


@pytest.fixture(scope="session", autouse=True)
def what_boto3_knows_of_aws_is_read_once() -> Iterator[None]:
    """Keep the descriptions of AWS that each session of boto3 would look for and read anew: 100 ms, hundreds of times.

    The clients of one session share them in the same way.
    """
    start, kept = Loader.__init__, defaultdict[Any, dict[Any, Any]](dict)

    def started(loader: Loader, extra_search_paths: list[str] | None = None, **options: Any) -> None:
        paths = tuple(extra_search_paths or ())
        start(loader, extra_search_paths=extra_search_paths, **options)
        loader._cache = kept[paths]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loader, "__init__", started)
        yield


@pytest.fixture(scope="session", autouse=True)
def moto_answers_with_rows_as_it_keeps_them() -> Iterator[None]:
    """Spare moto its search, under forty names, for the value of each field of each row: half its time."""
    written_out = BaseJSONSerializer._serialize_type_map

    def as_kept(serializer: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.value.name == "AttributeValue" and all(one.keys() <= AS_WRITTEN for one in value.values()):
            serializer._default_serialize(serialized, value, shape, key)
        else:
            written_out(serializer, serialized, value, shape, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseJSONSerializer, "_serialize_type_map", as_kept)
        yield


def copied(row: Item) -> Item:
    """Return a copy that stays as it is while the fields of *row* change."""
    fields = LimitedSizeDict()
    dict.update(fields, row.attrs)  # its own way in weighs the whole row for each field
    made = Item.__new__(Item)
    vars(made).update(vars(row), attrs=fields)
    return made


def kept_aside(whole: Any) -> Any:
    """Return a copy of *whole*; that of a table has copies of its rows, which share what no write changes in place."""
    if not isinstance(whole, Table):
        return copy.deepcopy(whole)
    made = copy.copy(whole)
    made.items = defaultdict(dict)
    for key, rows in whole.items.items():
        of_one_key = isinstance(rows, dict)
        made.items[key] = {name: copied(row) for name, row in rows.items()} if of_one_key else copied(rows)
    return made


@pytest.fixture(scope="session", autouse=True)
def a_transaction_of_moto_does_not_copy_its_table_to_the_bottom() -> Iterator[None]:
    """Copy rows and not what they are made of, before a transaction that might fail: a tenth of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moto.dynamodb.models.copy", SimpleNamespace(copy=copy.copy, deepcopy=kept_aside))
        yield
