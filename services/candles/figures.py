"""What the metrics say of the bars: how new and how complete they are. A step for a bar, none for a trade."""

from collections import Counter
from collections.abc import Iterable, Iterator

from services.contracts.metrics import Metric
from services.domain.bars import Key, ProductBars, StoredBar
from services.domain.candles import NS_PER_MINUTE
from services.runtime.clock import NS_PER_S
from services.runtime.metrics import counter, gauge

Product = tuple[str, str]
Changes = Iterable[tuple[ProductBars, list[tuple[Key, StoredBar]]]]

MINUTE = "1m"
"""Longer bars are the aggregate of the minutes: they need no figures of their own."""


class Figures:
    """Of the products that are ours; ``stored`` is told what each transaction wrote, once it is committed.

    Whether a bar is complete is known once its product has a later trade: the number after its last is that trade's,
    or missing. A bar that the clock closed waits for one, or each pause in trading would count as a loss.
    """

    def __init__(self) -> None:
        self._newest_ns: dict[str, int] = {}
        self._undecided: dict[Product, tuple[int, StoredBar]] = {}
        """Start and bar: the newest minute of a product, where the clock closed it."""

    def loaded(self, products: Iterable[ProductBars]) -> None:
        """What was stored before."""
        for product in products:
            self._note_newest(product)
        self._show_newest()

    def stored(self, changes: Changes) -> None:
        closed, corrected = Counter[tuple[str, bool]](), Counter[tuple[str, str]]()
        for product, bars in changes:
            self._note_newest(product)
            for key, stored in bars:
                if stored.revision > 1:
                    corrected[product.exchange, key[0]] += 1
            for stored in self._decided(product, bars):
                closed[product.exchange, stored.complete] += 1
        self._show_newest()
        for (exchange, complete), count in closed.items():
            counter(Metric.CANDLES_CLOSED).labels(exchange, str(complete).lower()).inc(count)
        for labels, count in corrected.items():
            counter(Metric.CANDLE_CORRECTIONS).labels(*labels).inc(count)

    def forget(self) -> None:
        """The products are no longer ours: whoever has them now speaks of them."""
        for exchange in self._newest_ns:
            gauge(Metric.CANDLES_NEWEST_TRADE_TIME).remove(exchange)
        self._newest_ns.clear()
        self._undecided.clear()

    def _decided(self, product: ProductBars, bars: list[tuple[Key, StoredBar]]) -> Iterator[StoredBar]:
        """Minutes that closed, or had closed, and of which it is known now whether they are complete."""
        name = (product.exchange, product.product_id)
        waiting = [self._undecided.pop(name)] if name in self._undecided else []
        for start, stored in [*waiting, *_first_closed(bars)]:
            if product.state.newest_time >= start + NS_PER_MINUTE:
                yield stored
            else:
                self._undecided[name] = (start, stored)

    def _note_newest(self, product: ProductBars) -> None:
        exchange, newest_ns = product.exchange, product.state.newest_time
        if newest_ns == 0:
            return
        if exchange not in self._newest_ns:
            for complete in ("true", "false"):
                counter(Metric.CANDLES_CLOSED).labels(exchange, complete)
        self._newest_ns[exchange] = max(self._newest_ns.get(exchange, 0), newest_ns)

    def _show_newest(self) -> None:
        for exchange, newest_ns in self._newest_ns.items():
            gauge(Metric.CANDLES_NEWEST_TRADE_TIME).labels(exchange).set(newest_ns / NS_PER_S)


def _first_closed(bars: Iterable[tuple[Key, StoredBar]]) -> Iterator[tuple[int, StoredBar]]:
    """Start and bar; not where ids are no ordered numbers: there nobody knows what is missing."""
    for (resolution, start), stored in bars:
        if resolution == MINUTE and stored.closed and stored.revision == 1 and stored.bar.lowest_number is not None:
            yield start, stored
