"""A made-up exchange without a socket, for a first look and for tests.

Every trade follows from its number, so two pods make the same trades: see ``Demo``.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar
from zlib import crc32

from services.adapters.venues.base import Action, Alive, Emit, Event, Subscribed, Trades, Venue
from services.contracts.errors import ConfigError
from services.contracts.events import Origin, Trade
from services.domain.money import is_amount
from services.runtime.clock import NS_PER_MS, NS_PER_S

EPOCH_S = 1_704_067_200
"""2024-01-01T00:00:00Z. Another epoch or interval gives other trades under other ids."""
INTERVAL_MS = 200
TICK_TRADES_MAX = 1_000
"""Trades of one product that one tick makes; what is due beyond it comes with the next ones."""
BASE_PRICES = {"BTC-USD": "65000", "ETH-USD": "3200", "SOL-USD": "150", "DEMO-USD": "100"}
PLACES = 2
"""Of prices; sizes have four."""


class Demo(Venue):
    """``seq = floor((now - epoch) / interval)`` is the trade number; ``price = base + 0.2 % of base * sin(seq / 10) +
    seq mod 7``, to the cent.

    Settings: ``interval_ms``, ``epoch_s``, and ``base.<product>`` (a price of at most two places).
    """

    name: ClassVar[str] = "demo"
    exchange: ClassVar[str] = "demo"
    endpoint: ClassVar[str | None] = None
    silence_limit_s: ClassVar[float] = 60.0
    ids_contiguous: ClassVar[bool] = True

    def __init__(
        self, products: Sequence[str], *, exchange: str | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(products, exchange=exchange, settings=settings)
        self._epoch_s = _whole(self.settings, "epoch_s", EPOCH_S)
        self._epoch_ns = self._epoch_s * NS_PER_S
        self._interval_ns = _whole(self.settings, "interval_ms", INTERVAL_MS) * NS_PER_MS
        self._base_cents = {product: _base_cents(self.settings, product) for product in self.products}
        self._next: dict[str, int] = {}

    def on_open(self, now_ns: int) -> list[Action]:
        """Trades begin with the newest one; what is older is a gap like any other."""
        newest = self._sequence(now_ns)
        self._next = dict.fromkeys(self.products, max(newest, 0))
        return [Emit([Subscribed(self.products)])]

    def on_frame(self, frame: str | bytes, received_ns: int) -> list[Event]:
        return [Alive()]

    def on_tick(self, now_ns: int) -> list[Action]:
        newest = self._sequence(now_ns)
        events: list[Event] = []
        for product, first in self._next.items():
            last = min(newest, first + TICK_TRADES_MAX - 1)
            if last >= first:
                self._next[product] = last + 1
                events.append(Trades(self._made(product, first, last, now_ns, "live")))
        return [Emit(events)] if events else []

    def history_local(self, product_id: str, first: int, last: int, received_ns: int, origin: Origin) -> list[Trade]:
        """The trades ``first`` to ``last``, as far as they have happened."""
        return self._made(product_id, max(first, 0), min(last, self._sequence(received_ns)), received_ns, origin)

    def _sequence(self, now_ns: int) -> int:
        return (now_ns - self._epoch_ns) // self._interval_ns

    def _made(self, product: str, first: int, last: int, received_ns: int, origin: Origin) -> list[Trade]:
        return [self._trade(product, sequence, received_ns, origin) for sequence in range(first, last + 1)]

    def _trade(self, product: str, sequence: int, received_ns: int, origin: Origin) -> Trade:
        base = self._base_cents[product]
        cents = base + round(base * 0.002 * math.sin(sequence / 10)) + 100 * (sequence % 7)
        return Trade(
            self.label,
            product,
            f"demo-{product}-{self._epoch_s}-{sequence}",
            sequence,
            Decimal(cents).scaleb(-PLACES),
            Decimal(1 + sequence * 37 % 9973).scaleb(-4),
            "BUY" if sequence * 7 % 11 < 6 else "SELL",
            self._epoch_ns + sequence * self._interval_ns,
            received_ns,
            origin,
            self.name,
        )


def _whole(settings: Mapping[str, str], name: str, default: int) -> int:
    text = settings.get(name, str(default))
    if not (text.isdecimal() and len(text) <= 10 and 0 < int(text) < 2**32):
        raise ConfigError(f"the demo venue's setting {name} is {text!r}; it must be a whole number above zero")
    return int(text)


def _base_cents(settings: Mapping[str, str], product: str) -> int:
    """The base price; a product without one gets a price between 10 and 1000 that its name gives."""
    text = settings.get(f"base.{product}", BASE_PRICES.get(product))
    if text is None:
        return 1_000 + crc32(product.encode()) % 99_000
    try:
        cents = Decimal(text).scaleb(PLACES)
        if is_amount(cents) and cents == int(cents):
            return int(cents)
    except ArithmeticError:
        pass
    raise ConfigError(f"the demo venue's setting base.{product} is {text!r}; it must be a price of at most two places")
