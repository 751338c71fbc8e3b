"""What SnapStart needs of a function: nothing open and nothing random in the snapshot that all its copies begin with.

Times need nothing: whatever is kept for a while is measured by the larger of the wall clock and the steady one, and the
wall clock has gone on (`clock.Elapsed`). https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Mapping
from typing import Any

from gatehouse import logs

INITIALIZATION = "AWS_LAMBDA_INITIALIZATION_TYPE"
SNAP_START = "snap-start"
ASKED = ("secretsmanager", "dynamodb")
"""The AWS services that a copy asks first: their clients are made once, before the snapshot."""


def hook(environ: Mapping[str, str], close: Callable[[], None], load: Callable[[str], Any] | None = None) -> None:
    """Register what is to be done before the snapshot and after each restore, where there will be one.

    Args:
        environ: the function's environment, in which Lambda says whether there will be.
        close: closes every connection that is open.
        load: imports a module by its name; Lambda's runtime has the one that is asked for.
    """
    if environ.get(INITIALIZATION) != SNAP_START:
        return
    runtime = (load or importlib.import_module)("snapshot_restore_py")
    runtime.register_before_snapshot(before_snapshot, close)
    runtime.register_after_restore(after_restore)


def before_snapshot(close: Callable[[], None]) -> None:
    """Do what takes long and holds for every copy, and close what no two copies may share.

    An exception here would fail the publishing of the version; without clients the first request of a copy makes them.
    """
    from gatehouse.stores.clients import client  # noqa: PLC0415  # boto3 comes with them

    try:
        for service in ASKED:
            client(service)
    except Exception as error:  # noqa: BLE001  # botocore's, of many kinds
        logs.error("clients not made before the snapshot", reason=type(error).__name__)
    close()


def after_restore() -> None:
    """Let every copy draw lots of its own. What must not be guessed comes from the system anyway, and not from here."""
    random.seed()
