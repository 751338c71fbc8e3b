"""One client for all upstreams: what the address is decides which one sends."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from gatehouse.call import Reply
from gatehouse.function_names import is_function
from gatehouse.upstreams import Outbound, Upstream


class RoutedUpstream:
    """Sends to functions by a client that *functions* makes when the first is invoked, and all else by *web*."""

    def __init__(self, web: Upstream, functions: Callable[[], Upstream]) -> None:
        self._web = web
        self._make = functions

    async def send(self, outbound: Outbound) -> Reply:
        """Send *outbound* once; see `Upstream.send`."""
        return await (self._functions if is_function(outbound.url) else self._web).send(outbound)

    async def close(self) -> None:
        """Close every connection of both."""
        await self._web.close()
        if "_functions" in self.__dict__:
            await self._functions.close()

    @cached_property
    def _functions(self) -> Upstream:
        return self._make()
