"""The ways to prove who is calling. Each answers None (nothing to see), an `Identity`, or raises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from gatehouse.call import Call, Identity

Credential: TypeAlias = Callable[[Call], Awaitable[Identity | None]]
