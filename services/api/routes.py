"""The REST interface: every path, and what it answers. Documents are encoded by msgspec, past FastAPI's own models."""

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from services.adapters.http.documents import Responses, described, json_response
from services.adapters.http.parameters import Limit, storable
from services.api import documents
from services.api.monitor import Monitor
from services.api.parameters import (
    EXCHANGE_DEFAULT,
    Cursor,
    End,
    Exchange,
    ExchangeFilter,
    Format,
    ProductFilter,
    ProductId,
    ProductPath,
    ResolutionPath,
    Start,
    StatusFilter,
    check_resolution,
    read_cursor,
    span,
    write_cursor,
)
from services.api.store import Span, Store
from services.domain.candles import RESOLUTIONS
from services.runtime.clock import rfc3339
from services.runtime.health import Health

_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")
_ENCODER = msgspec.json.Encoder()
_CSV_COLUMNS = documents.Trade.__struct_fields__
_MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


class Routes:
    """The handlers, with what they read from."""

    def __init__(
        self, store: Store, monitor: Monitor, health: Health, *, public_url: str, stream_page_rows: int
    ) -> None:
        self._store = store
        self._monitor = monitor
        self._health = health
        self._public_url = public_url
        self._stream_page_rows = stream_page_rows

    def probes(self) -> APIRouter:
        """``/health`` and ``/ready``."""
        router = APIRouter(tags=["health"])
        _get(router, "/health", self.liveness, documents.Liveness, {})
        _get(router, "/ready", self.readiness, documents.Readiness, {503: described("Not ready", documents.Readiness)})
        return router

    def markets_and_candles(self, prefix: str) -> APIRouter:
        """What is served with and without ``/v1``."""
        router = APIRouter(prefix=prefix, tags=["market data"])
        _get(router, "/markets", self.markets, documents.Markets)
        _get(
            router,
            "/candles/{product}/{resolution}",
            self.candles,
            list[documents.Candle],
            {**_REFUSALS, **_NO_SUCH_RESOLUTION},
        )
        return router

    def versioned(self) -> APIRouter:
        """What is served under ``/v1`` only."""
        router = APIRouter(prefix="/v1", tags=["market data"])
        _get(router, "/trades", self.trades, documents.TradePage)
        _get(router, "/ticker", self.ticker, list[documents.Ticker])
        _get(router, "/indicators", self.indicators, list[documents.Indicators])
        _get(router, "/gaps", self.gaps, list[documents.Gap])
        _get(router, "/status", self.status, documents.Status)
        return router

    async def liveness(self) -> Response:
        """The process lives."""
        return json_response(documents.Liveness("ok"))

    async def readiness(self, scope: str | None = None) -> Response:
        """Each dependency's state and since when; 503 while one is down. `scope=self` asks only for this process."""
        ready = self._health.ready_self() if scope == "self" else self._health.ready()
        return json_response(self._health.document(), 200 if ready else 503)

    async def markets(self, request: Request) -> Response:
        """Exchanges, products, resolutions, and example URLs that work."""
        rows = await self._store.products(None)
        products = [
            documents.Product(
                row["exchange"], row["product_id"], row["venue"], documents.time_or_none(row["last_trade_time"])
            )
            for row in rows
        ]
        exchanges = list(dict.fromkeys(product.exchange for product in products))
        base_url = self._public_url or _base_url(request)
        return json_response(documents.Markets(exchanges, products, list(RESOLUTIONS), _examples(base_url, products)))

    async def candles(
        self,
        product: ProductPath,
        resolution: ResolutionPath,
        exchange: Exchange = EXCHANGE_DEFAULT,
        limit: Limit = 100,
        start: Start = None,
        end: End = None,
    ) -> Response:
        """Bars, newest first, the open one included. `start` is included, `end` is not."""
        check_resolution(resolution)
        wanted = span(start, end)
        if not storable(exchange, product):
            return json_response([])
        return json_response(await self._store.candles(exchange, product, resolution, wanted, limit))

    async def trades(
        self,
        product_id: ProductId,
        exchange: Exchange = EXCHANGE_DEFAULT,
        limit: Limit = 100,
        start: Start = None,
        end: End = None,
        cursor: Cursor = None,
        format: Format = "json",
    ) -> Response:
        """Trades, newest first: a page with a cursor, or the whole range as a stream."""
        wanted, before = span(start, end), read_cursor(cursor)
        if not storable(exchange, product_id):
            return json_response(documents.TradePage([], None))
        if format != "json":
            return await self._stream(exchange, product_id, wanted, format)
        page, next_key = await self._store.trades(exchange, product_id, wanted, before, limit)
        return json_response(documents.TradePage(page, write_cursor(next_key)))

    async def ticker(self, exchange: Exchange = EXCHANGE_DEFAULT, product_id: ProductFilter = None) -> Response:
        """The newest trade of one product, or of each of the exchange's."""
        return json_response(await self._store.ticker(exchange, await self._product_ids(exchange, product_id)))

    async def indicators(self, exchange: Exchange = EXCHANGE_DEFAULT, product_id: ProductFilter = None) -> Response:
        """The latest indicators of one product, or of each of the exchange's."""
        return json_response(await self._store.indicators(exchange, await self._product_ids(exchange, product_id)))

    async def gaps(
        self,
        exchange: ExchangeFilter = None,
        product_id: ProductFilter = None,
        status: StatusFilter = None,
        limit: Limit = 100,
    ) -> Response:
        """Runs of trades that were not received, newest first."""
        if not storable(exchange, product_id):
            return json_response([])
        return json_response(await self._store.gaps(exchange, product_id, status, limit))

    async def status(self) -> Response:
        """Feeds, how far each consumer group is behind, gaps, and dependencies."""
        return json_response(
            {
                "ready": self._health.ready(),
                "dependencies": self._health.document()["dependencies"],
                "feeds": [_feed(row) for row in await self._store.products(None)],
                "lag": [self._lag(*row) for row in await self._store.positions()],
                "gaps": await self._store.gap_counts(),
            }
        )

    async def _product_ids(self, exchange: str, product_id: str | None) -> list[str]:
        if not storable(exchange, product_id):
            return []
        if product_id is not None:
            return [product_id]
        return [row["product_id"] for row in await self._store.products(exchange)]

    async def _stream(self, exchange: str, product_id: str, wanted: Span, format: str) -> Response:
        """The first page is fetched before the answer begins, so that a Postgres that is away is still a 503."""
        pages = self._store.trade_pages(exchange, product_id, wanted, self._stream_page_rows)
        nothing: list[documents.Trade] = []
        first = await anext(pages, nothing)
        encode = _csv_lines if format == "csv" else _ENCODER.encode_lines

        async def chunks() -> AsyncIterator[bytes]:
            if format == "csv":
                yield (",".join(_CSV_COLUMNS) + "\r\n").encode()
            yield encode(first)
            async for page in pages:
                yield encode(page)

        return StreamingResponse(chunks(), media_type=_MEDIA_TYPES[format])

    def _lag(self, group: str, topic: str, partition: int, next_offset: int) -> documents.Lag:
        end = self._monitor.end(topic, partition)
        lag = None if end is None else max(0, end - next_offset)
        return documents.Lag(group, topic, partition, next_offset, end, lag)


_REFUSALS: Responses = {
    429: described("Too many requests; `Retry-After` says when to come back", documents.Problem),
    503: described("A dependency is away; `Retry-After` says when to come back", documents.Problem),
}
_NO_SUCH_RESOLUTION: Responses = {400: described("No bar has this resolution", documents.Problem)}


def _get(
    router: APIRouter,
    path: str,
    handler: Callable[..., Any],
    document: Any,
    refusals: Responses = _REFUSALS,
) -> None:
    """Add a GET whose answer is one of ``documents``."""
    router.add_api_route(
        path,
        handler,
        methods=["GET"],
        response_model=None,
        response_class=Response,
        name=handler.__name__,
        responses={200: described("The answer", document), **refusals},
    )


def _csv_lines(page: Iterable[documents.Trade]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(msgspec.structs.astuple(trade) for trade in page)
    return text.getvalue().encode()


def _feed(row: Any) -> documents.FeedStatus:
    """A row of ``api_products``."""
    return documents.FeedStatus(
        exchange=row["exchange"],
        product_id=row["product_id"],
        venue=row["venue"],
        contiguous_number=row["contiguous_number"],
        last_trade_time=documents.time_or_none(row["last_trade_time"]),
        last_message_time=documents.time_or_none(row["last_message_time"]),
        open_gaps=row["open_gaps"],
        written_time=rfc3339(row["written_time"]),
    )


def _base_url(request: Request) -> str:
    """Scheme and host as the client wrote them; the listening address where the host is not one."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = "{}:{}".format(*request.scope["server"])
    return f"{request.scope['scheme']}://{host}"


def _examples(base_url: str, products: list[documents.Product]) -> documents.Examples:
    """For the product that traded last: its candles are there."""
    if not products:
        return documents.Examples(None, None, None, None, None)
    newest = max(products, key=lambda product: product.last_trade_time or "")
    product_id, exchange = quote(newest.product_id, safe=""), quote(newest.exchange, safe="")
    sockets = "ws" + base_url.removeprefix("http")
    named = f"exchange={exchange}&product_id={product_id}"
    return documents.Examples(
        candles=f"{base_url}/candles/{product_id}/1m?exchange={exchange}&limit=10",
        trades=f"{base_url}/v1/trades?{named}&limit=10",
        ticker=f"{base_url}/v1/ticker?{named}",
        crypto=f"{sockets}/crypto/{product_id}?exchange={exchange}",
        indicators=f"{sockets}/indicators/{product_id}?exchange={exchange}",
    )
