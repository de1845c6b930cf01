"""The live figures, from what the services say at ``/metrics``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.local.scrape import Scrape


@dataclass(frozen=True)
class ExchangeFigures:
    trades_per_s: float
    gaps_open: float
    connected: bool


@dataclass(frozen=True)
class Figures:
    """Per exchange, and the lag of each consumer group in records."""

    exchanges: Mapping[str, ExchangeFigures] = field(default_factory=dict)
    lag: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """All services' pages at one moment (``time_s``, monotonic)."""

    time_s: float
    pages: tuple[Scrape, ...]

    def by(self, metric: Metric, label: str) -> dict[str, float]:
        total: dict[str, float] = {}
        for page in self.pages:
            for value, amount in page.by(metric.value.name, label).items():
                total[value] = total.get(value, 0) + amount
        return total

    def published(self, exchange: str) -> float:
        name = Metric.MESSAGES_PUBLISHED.value.name
        return sum(page.total(name, exchange=exchange, topic=Topic.MARKET_TRADES) for page in self.pages)


def figures(before: Reading, now: Reading) -> Figures:
    """The rates are between the two readings. A service that started anew counts from zero, which is no rate."""
    elapsed_s = now.time_s - before.time_s
    connected = now.by(Metric.FEED_CONNECTED, "exchange")
    gaps = now.by(Metric.FEED_GAPS_OPEN, "exchange")
    exchanges = {
        exchange: ExchangeFigures(
            trades_per_s=max(0.0, now.published(exchange) - before.published(exchange)) / elapsed_s,
            gaps_open=gaps.get(exchange, 0),
            connected=connected[exchange] > 0,
        )
        for exchange in connected
    }
    return Figures(exchanges, now.by(Metric.CONSUMER_LAG, "consumer_group"))
