"""The exchange's REST history, within its documented request budget."""

import asyncio
from collections.abc import AsyncIterator

import httpx

from services.adapters.venues.base import HistoryRequest, Venue
from services.contracts.errors import InfraError, PeerError
from services.contracts.events import Origin, Trade
from services.runtime.clock import Clock

TIMEOUT_S = 10.0
RETRY_AFTER_MAX_S = 60.0
TOO_MANY_REQUESTS = 429
PAGES_MAX = 10_000
"""Pages of one walk: a history that never ends is the exchange's mistake, not a reason to go on for ever."""
LOCAL_CHUNK = 1_000


class History:
    """Pages of trades. A venue without REST makes them itself."""

    def __init__(self, venue: Venue, base_url: str | None, clock: Clock) -> None:
        self.venue = venue
        self._clock = clock
        self._client = httpx.AsyncClient(base_url=base_url or "", timeout=TIMEOUT_S)
        self._interval_s = venue.history_budget.per_s / venue.history_budget.requests
        self._next_at = 0.0

    async def close(self) -> None:
        await self._client.aclose()

    async def pages(
        self, product_id: str, first: int, last: int, *, before_time_ns: int, origin: Origin
    ) -> AsyncIterator[list[Trade]]:
        """Trades around the numbers ``first`` to ``last``, a page at a time, with both neighbours where there are any.

        Raises InfraError where the source is away, PeerError where its answer cannot be used.
        """
        if self.venue.history_endpoint is None:
            for start in range(first, last + 1, LOCAL_CHUNK):
                end = min(last, start + LOCAL_CHUNK - 1)
                yield self.venue.history_local(product_id, start, end, self._clock.now_ns(), origin)
            return
        request: HistoryRequest | None = self.venue.history_request(
            product_id, first, last, before_time_ns=before_time_ns, after_time_ns=None
        )
        for _ in range(PAGES_MAX):
            if request is None:
                return
            response = await self._get(request)
            page = self.venue.on_history(
                product_id,
                request,
                response.content,
                {name.lower(): value for name, value in response.headers.items()},
                self._clock.now_ns(),
                first=first,
                last=last,
                origin=origin,
            )
            yield page.trades
            request = page.next
        raise PeerError("history", f"the history did not end after {PAGES_MAX} pages")

    async def _get(self, request: HistoryRequest) -> httpx.Response:
        await self._wait_for_budget()
        try:
            response = await self._client.get(request.path, params=dict(request.query))
        except httpx.HTTPError as error:
            raise InfraError("history", f"{type(error).__name__}: {error}") from error
        if response.status_code == TOO_MANY_REQUESTS:
            await asyncio.sleep(_retry_after_s(response))
        if response.is_error:
            raise InfraError("history", f"HTTP {response.status_code}")
        return response

    async def _wait_for_budget(self) -> None:
        now = asyncio.get_running_loop().time()
        at = max(now, self._next_at)
        self._next_at = at + self._interval_s
        await asyncio.sleep(at - now)


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), RETRY_AFTER_MAX_S) if text.isdigit() else 1.0
