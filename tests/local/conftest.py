"""What these tests make up or note is kept apart from what a person's own `make run` has in `.gatehouse/`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _a_state_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        yield
