"""The trades page of the Coinbase Exchange's REST API, which repairs both Coinbase feeds."""

import re
from collections.abc import Collection, Mapping, Sequence

from services.contracts.events import Side
from services.replay.dialects.base import Answer, encode, time_text, whole
from services.replay.history import ExchangeTrade, History

PAGE_MAX = 1000

MAKER: dict[Side, Side] = {"BUY": "SELL", "SELL": "BUY"}
"""Coinbase gives the maker's side; ours is the taker's."""

_PATH = re.compile(r"/products/([^/]+)/trades")


def trades_page(history: History, known: Collection[str], path: str, query: Mapping[str, str]) -> Answer:
    """Newest first; ``after`` goes to older trades, ``before`` asks for newer ones only. Sources:

    - https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-trades
    - https://docs.cdp.coinbase.com/exchange/rest-api/pagination (``CB-BEFORE``, ``CB-AFTER``)
    """
    found = _PATH.fullmatch(path)
    if found is None or found[1] not in known:
        return Answer(404, b'{"message":"NotFound"}')
    try:
        trades = _page(history, found[1], query)
    except ValueError as error:
        return Answer(400, encode({"message": str(error)}).encode())
    cursors = {"CB-BEFORE": str(trades[-1].number), "CB-AFTER": str(trades[0].number)} if trades else {}
    return Answer(200, encode([_row(trade) for trade in reversed(trades)]).encode(), cursors)


def _page(history: History, wire_name: str, query: Mapping[str, str]) -> Sequence[ExchangeTrade]:
    limit = whole(query, "limit", PAGE_MAX) or PAGE_MAX
    after = whole(query, "after", history.next_number(wire_name)) or 0
    before = whole(query, "before", -1)
    page = history.below(wire_name, after, min(limit, PAGE_MAX))
    return [trade for trade in page if before is None or trade.number > before]


def _row(trade: ExchangeTrade) -> dict[str, object]:
    return {
        "trade_id": trade.number,
        "side": MAKER[trade.taker_side].lower(),
        "size": format(trade.size, "f"),
        "price": format(trade.price, "f"),
        "time": time_text(trade.time_ns),
    }
