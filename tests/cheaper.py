"""What makes every test cheaper, and changes nothing that one could see."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import pytest
from botocore.loaders import JSONFileLoader
from werkzeug.serving import WSGIRequestHandler


@pytest.fixture(scope="session", autouse=True)
def the_stand_ins_are_not_measured() -> Iterator[None]:
    """Take coverage's eyes off the threads that answer as moto and httpbin: none of our code runs there.

    It would ask itself of each of their calls whether that is one to look at, which doubles what a test with moto costs.
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
    """Keep the descriptions of AWS that each new session of boto3 would read anew: 100 ms, hundreds of times.

    The clients of one session share them in the same way.
    """
    read = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        yield
