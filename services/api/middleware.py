"""The client's share of the api. What else is around a request: ``services.adapters.http.asgi``."""

import math

from services.adapters.http.asgi import EXEMPT, App, Receive, Scope, Send, answer
from services.adapters.rate_limit import RateLimiter, client_of
from services.contracts.metrics import Metric
from services.runtime.metrics import counter


class RateLimited:
    """429 with ``Retry-After`` for a client that has had its requests of the minute."""

    def __init__(self, app: App, service: str, limiter: RateLimiter) -> None:
        self._app = app
        self._service = service
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in EXEMPT:
            await self._app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""
        wait_s = await self._limiter.wait_s(client_of(address))
        if wait_s == 0:
            await self._app(scope, receive, send)
            return
        counter(Metric.RATE_LIMITED).labels(self._service).inc()
        retry_after_s = math.ceil(wait_s)
        problem = {"detail": f"too many requests; try again in {retry_after_s} s"}
        await answer(send, 429, problem, {b"retry-after": str(retry_after_s).encode()})
