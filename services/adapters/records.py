"""Records of the topics as events: the bad ones are counted, and what is behind them goes on."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from aiokafka import ConsumerRecord
from aiokafka.partitioner import murmur2

from services.contracts.errors import PeerError
from services.contracts.events import FeedState, Trade
from services.contracts.metrics import Metric
from services.contracts.topics import LOG_IDENTITY_KEY, Topic
from services.domain import feed_states as states
from services.domain.trades import FUTURE_NS_MAX, decode
from services.runtime.clock import NS_PER_MS
from services.runtime.metrics import counter

KEYS_MAX = 10_000
"""Keys whose partition is remembered: one for every product."""


class Counts:
    """What one batch did, counted once its transaction is committed. ``partitions`` is how many a topic has."""

    def __init__(self, group: str, partitions: int) -> None:
        self.partitions = partitions
        self._group = group
        self.folded: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self.beyond_retention: Counter[str] = Counter()
        self.refused: list[tuple[ConsumerRecord, PeerError]] = []

    def report(self) -> None:
        for exchange, count in self.folded.items():
            counter(Metric.MESSAGES_CONSUMED).labels(self._group, Topic.MARKET_TRADES, exchange).inc(count)
        for exchange, count in self.repeated.items():
            counter(Metric.MESSAGES_REPEATED).labels(self._group, exchange).inc(count)
        for exchange, count in self.beyond_retention.items():
            counter(Metric.TRADES_BEYOND_RETENTION).labels(exchange).inc(count)
        for record, error in self.refused:
            counter(Metric.DLQ_MESSAGES).labels(
                self._group, record.topic, error.error_type, self.exchange_of(record.key)
            ).inc()

    def exchange_of(self, key: bytes | None) -> str:
        """The exchange a refused record's key names, if a good record of the batch has it too: labels are bounded."""
        name = (key or b"").partition(b":")[0].decode("utf-8", "replace")
        return name if name in self.folded else "unknown"


def trades(records: Iterable[ConsumerRecord], counts: Counts) -> Iterator[tuple[int, Trade]]:
    """(offset, trade) of each good record of one partition."""
    folded = counts.folded
    at_home = set[bytes]()
    for record in records:
        try:
            trade = decode(record.key, record.value)
            if record.key not in at_home:
                check_partition(record, counts.partitions)
                at_home.add(record.key)
            if trade.received_time > record.timestamp * NS_PER_MS + FUTURE_NS_MAX:
                raise PeerError("received_time", f"the time of receipt {trade.received_time} is after the broker's own")
        except PeerError as error:
            counts.refused.append((record, error))
            continue
        folded[trade.exchange] += 1
        yield record.offset, trade


def feed_states(records: Iterable[ConsumerRecord], counts: Counts) -> Iterator[FeedState]:
    """The state in each good record; what is none (the log's identity, a tombstone) is passed over."""
    for record in records:
        if record.key == LOG_IDENTITY_KEY or not record.value:
            continue
        try:
            state = states.decode(record.key, record.value)
            check_partition(record, counts.partitions)
        except PeerError as error:
            counts.refused.append((record, error))
            continue
        yield state


def check_partition(record: ConsumerRecord, partitions: int) -> None:
    """Raise PeerError where a record's key belongs in another partition: its product has another owner there."""
    partition = partition_of(record.key, partitions)
    if record.partition != partition:
        raise PeerError("partition", f"the record is in partition {record.partition}, its key in {partition}")


@lru_cache(KEYS_MAX)
def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's default partitioner puts a key, in Java as here:
    https://github.com/aio-libs/aiokafka/blob/master/aiokafka/partitioner.py
    """
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
