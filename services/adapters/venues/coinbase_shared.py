"""What Coinbase's two feeds share: product aliases, subscribing, and the history of the Exchange's REST API."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from services.adapters.venues.base import (
    Action,
    Alive,
    BadFrame,
    Emit,
    Event,
    HistoryPage,
    HistoryRequest,
    Rejected,
    RequestBudget,
    Send,
    Subscribed,
    Venue,
)
from services.adapters.venues.parsing import MESSAGE_MAX, Labels, decode_history, time_ns
from services.adapters.venues.subscribing import Subscriber
from services.contracts.errors import PeerError
from services.contracts.events import Origin, Side, Trade
from services.runtime.clock import NS_PER_MS, NS_PER_S

TAKER: dict[str, Side] = {"BUY": "SELL", "SELL": "BUY", "buy": "SELL", "sell": "BUY"}
"""Coinbase gives the maker's side; ours is the taker's."""

REAL_USDC_PRODUCTS = frozenset({"USDT-USDC", "EURC-USDC"})
"""Every other -USDC product is an alias of the -USD one (see ``CoinbaseVenue``)."""

GROUP_MAX = 50
MESSAGE_INTERVAL_NS = 250 * NS_PER_MS
"""Half of the 8 messages a second that an address may send without a key."""
ANSWER_LIMIT_NS = 10 * NS_PER_S
PAGE_MAX = 1000


class HistoryTrade(msgspec.Struct, gc=False):
    time: str
    trade_id: int
    price: Decimal
    size: Decimal
    side: Literal["buy", "sell"]


_HISTORY = msgspec.json.Decoder(list[HistoryTrade])


class CoinbaseVenue(Venue):
    """Sources:

    - aliases: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels ("-USDC"
      products give the data of "-USD", but for USDT-USDC and EURC-USDC)
    - messages a second: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-rate-limits
    - trades: https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-trades (``side`` is
      the maker's)
    - pages: https://docs.cdp.coinbase.com/exchange/rest-api/pagination (newest first; ``after`` goes to older ones)
    - requests a second: https://docs.cdp.coinbase.com/exchange/rest-api/rate-limits (10 for one address)
    """

    exchange: ClassVar[str] = "coinbase"
    history_endpoint: ClassVar[str | None] = "https://api.exchange.coinbase.com"
    history_budget: ClassVar[RequestBudget] = RequestBudget(5, 1.0)
    """Half of what the documentation gives an address: both Coinbase venues may run behind one."""
    silence_limit_s: ClassVar[float] = 15.0
    ids_contiguous: ClassVar[bool] = True

    def __init__(
        self, products: Sequence[str], *, exchange: str | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(products, exchange=exchange, settings=settings)
        self._aliases = {product: _usd(product) for product in self.products if _usd(product) != product}
        self._shadowed = tuple(product for product, usd in self._aliases.items() if usd in self.products)
        asked = [product for product in self.products if product not in self._shadowed]
        self._labels = Labels({self._aliases[product]: product for product in asked if product in self._aliases})
        self._labels.update({product: product for product in asked})
        self._subscriber = Subscriber(
            asked, group_max=GROUP_MAX, interval_ns=MESSAGE_INTERVAL_NS, answer_limit_ns=ANSWER_LIMIT_NS
        )

    @abstractmethod
    def subscribe_messages(self, products: Sequence[str]) -> list[str]:
        """What to send to ask for these products."""

    def on_open(self, now_ns: int) -> list[Action]:
        shadowed: list[Event] = [
            Rejected(product, f"the same trades as {self._aliases[product]}, which is asked for too")
            for product in self._shadowed
        ]
        return [*([Emit(shadowed)] if shadowed else []), *self.on_tick(now_ns)]

    def on_tick(self, now_ns: int) -> list[Action]:
        if overdue := self._subscriber.overdue(now_ns):
            return overdue
        group = self._subscriber.next_group(now_ns)
        return [Send(message) for message in self.subscribe_messages(group)] if group else []

    def subscribed(self, wire_names: Sequence[str]) -> Event:
        labels = self._labels.of(wire_names)
        self._subscriber.acknowledged(labels)
        return Subscribed(labels) if labels else Alive()

    def refused(self, message: str) -> list[Event]:
        """An error message: it answers what was asked last. Where nothing was asked, it is only counted."""
        if not self._subscriber.asked:
            return [BadFrame(f"the exchange says: {message[:MESSAGE_MAX]}")]
        return self._subscriber.refused(message[:MESSAGE_MAX])

    def history_request(
        self, product_id: str, first: int, last: int, *, before_time_ns: int, after_time_ns: int | None
    ) -> HistoryRequest:
        return self._page(product_id, after=last + 2, first=first)

    def on_history(
        self,
        product_id: str,
        request: HistoryRequest,
        body: bytes,
        headers: Mapping[str, str],
        received_ns: int,
        *,
        first: int,
        last: int,
        origin: Origin,
    ) -> HistoryPage:
        rows = decode_history(_HISTORY, body)
        trades = [
            Trade(
                self.label,
                product_id,
                str(row.trade_id),
                row.trade_id,
                row.price,
                row.size,
                TAKER[row.side],
                time_ns(row.time),
                received_ns,
                origin,
                self.name,
            )
            for row in rows
        ]
        lowest = min((row.trade_id for row in rows), default=0)
        if lowest < first or lowest <= 1:
            return HistoryPage(trades, None)
        return HistoryPage(trades, self._page(product_id, after=_older(request, headers, lowest), first=first))

    def _page(self, product_id: str, *, after: int, first: int) -> HistoryRequest:
        """The trades below ``after``, as many as it takes to get to the neighbour below ``first``."""
        wire_name = self._aliases.get(product_id, product_id)
        limit = min(PAGE_MAX, max(1, after - first + 1))
        query = {"limit": str(limit), "after": str(after)}
        return HistoryRequest(f"/products/{wire_name}/trades", query, cursor=str(after))


def _usd(product: str) -> str:
    is_alias = product.endswith("-USDC") and product not in REAL_USDC_PRODUCTS
    return product[:-1] if is_alias else product


def _older(request: HistoryRequest, headers: Mapping[str, str], lowest: int) -> int:
    """The cursor of the next page, which must be older than this one's."""
    text = headers.get("cb-after", str(lowest))
    after = int(text) if text.isdecimal() and len(text) < 20 else lowest
    if after >= int(request.cursor):
        raise PeerError("history", f"the page after {request.cursor} says to go on at {after}")
    return after
