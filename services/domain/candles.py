"""Bars as a fold of trades. Time comes only from the trade; longer bars are exactly the aggregate of the minutes.

A batch of trades becomes minute bars of that batch alone (``Minutes``), and each of those is merged into the stored bar
of every resolution. Merging is associative and goes in log order, so that any cut of the log into batches gives the
same bars.
"""

from decimal import Decimal

from services.contracts.events import Trade

NS_PER_MINUTE = 60_000_000_000

RESOLUTIONS: dict[str, int] = {
    "1m": NS_PER_MINUTE,
    "5m": 5 * NS_PER_MINUTE,
    "15m": 15 * NS_PER_MINUTE,
    "1h": 60 * NS_PER_MINUTE,
    "4h": 240 * NS_PER_MINUTE,
    "1d": 1440 * NS_PER_MINUTE,
}
"""Name to length in nanoseconds. Every length divides the next, and a UTC day."""

NO_NUMBER = -1
"""Stands for a trade number that an exchange does not give: then equal times keep the order of the log."""


class Bar:
    """Open, high, low, close and sums of some trades, and what it takes to merge more: see ``absorb`` and ``merge``."""

    __slots__ = (
        "close",
        "first_number",
        "first_time",
        "first_trade_id",
        "high",
        "highest_number",
        "last_number",
        "last_time",
        "last_trade_id",
        "low",
        "lowest_number",
        "open",
        "quote_volume",
        "trade_count",
        "volume",
    )

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trade_count: int
    first_time: int
    first_number: int
    first_trade_id: str
    last_time: int
    last_number: int
    last_trade_id: str
    lowest_number: int | None
    highest_number: int | None

    @classmethod
    def of(cls, trade: Trade) -> "Bar":
        bar = cls()
        number = trade.trade_number
        bar.open = bar.high = bar.low = bar.close = trade.price
        bar.volume = trade.size
        bar.quote_volume = trade.price * trade.size
        bar.trade_count = 1
        bar.first_time = bar.last_time = trade.time
        bar.first_number = bar.last_number = NO_NUMBER if number is None else number
        bar.first_trade_id = bar.last_trade_id = trade.trade_id
        bar.lowest_number = bar.highest_number = number
        return bar

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bar) and all(getattr(self, name) == getattr(other, name) for name in Bar.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> "Bar":
        twin = Bar()
        for name in Bar.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin


def absorb(bar: Bar | None, trade: Trade) -> Bar:
    """The bar with one more trade, which stands later in the log than all before it. Changes ``bar``."""
    if bar is None:
        return Bar.of(trade)
    price, size, time, number = trade.price, trade.size, trade.time, trade.trade_number
    if price > bar.high:
        bar.high = price
    elif price < bar.low:
        bar.low = price
    bar.volume += size
    bar.quote_volume += price * size
    bar.trade_count += 1
    order = NO_NUMBER if number is None else number
    if time > bar.last_time or (time == bar.last_time and order >= bar.last_number):
        bar.close, bar.last_time, bar.last_number, bar.last_trade_id = price, time, order, trade.trade_id
    elif time < bar.first_time or (time == bar.first_time and order < bar.first_number):
        bar.open, bar.first_time, bar.first_number, bar.first_trade_id = price, time, order, trade.trade_id
    if number is not None:
        if bar.highest_number is None or number > bar.highest_number:
            bar.highest_number = number
        if bar.lowest_number is None or number < bar.lowest_number:
            bar.lowest_number = number
    return bar


def merge(bar: Bar, later: Bar) -> None:
    """Add to ``bar`` the trades of ``later``, which stand later in the log. Changes ``bar`` only."""
    bar.high = max(bar.high, later.high)
    bar.low = min(bar.low, later.low)
    bar.volume += later.volume
    bar.quote_volume += later.quote_volume
    bar.trade_count += later.trade_count
    if (later.last_time, later.last_number) >= (bar.last_time, bar.last_number):
        bar.close, bar.last_time = later.close, later.last_time
        bar.last_number, bar.last_trade_id = later.last_number, later.last_trade_id
    if (later.first_time, later.first_number) < (bar.first_time, bar.first_number):
        bar.open, bar.first_time = later.open, later.first_time
        bar.first_number, bar.first_trade_id = later.first_number, later.first_trade_id
    bar.lowest_number = _either(min, bar.lowest_number, later.lowest_number)
    bar.highest_number = _either(max, bar.highest_number, later.highest_number)


def bar_start(time: int, resolution_ns: int) -> int:
    """The start of the bar that ``time`` falls in: floored in UTC."""
    return time - time % resolution_ns


def _either(choose: object, one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return choose(one, other)  # type: ignore[operator, no-any-return]
