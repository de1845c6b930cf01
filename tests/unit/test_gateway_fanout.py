"""What the gateway makes of the records it reads."""

from typing import Any, cast

import msgspec
import pytest
from aiokafka import ConsumerRecord, TopicPartition

from services.adapters.records import Counts
from services.contracts.events import Trade, product_key
from services.contracts.topics import Topic
from services.gateway.fanout import Fanout, begin
from services.gateway.hub import Hub
from services.gateway.stream.cohorts import Cohorts
from services.gateway.stream.market import Market
from services.gateway.stream.outbox import Outbox
from services.runtime.clock import FakeClock
from tests.support.stream import BTC, trade

TRADES = Topic.MARKET_TRADES


def market() -> Market:
    return Market(dedup_window=100, partitions=1, updates_max=50, series_max=100)


def record(offset: int, event: Trade) -> ConsumerRecord[bytes, bytes]:
    key, value = product_key(*BTC), msgspec.json.encode(event)
    milliseconds = event.received_time // 1_000_000 + 1
    return ConsumerRecord(TRADES, 0, offset, milliseconds, 1, key, value, None, len(key), len(value), ())


def fanout(into: Market) -> Fanout[Any]:
    clock = FakeClock()
    nothing = cast(Any, None)
    outbox = Outbox(Cohorts(), clock)
    return Fanout(
        nothing, into, Hub(), outbox, lambda _deliveries: None, nothing, None, clock, partitions=1, coalesce_s=0
    )


def test_topics_made_anew_end_the_gateway() -> None:
    """There is no recovery path that is not the start path."""
    made = market()
    reads = fanout(made)
    counts = Counts("gateway", 1)
    reads._absorb_partition(TRADES, 0, [record(7, trade(1)), record(9, trade(2))], counts)
    assert made.partition(TRADES, 0).position == 10
    with pytest.raises(RuntimeError, match="made anew"):
        reads._absorb_partition(TRADES, 0, [record(0, trade(1))], counts)


@pytest.mark.parametrize(
    ("span", "start", "exact_from"),
    [((0, 50), 0, 0), ((0, 150), 0, 0), ((0, 1_000), 800, 900), ((950, 1_000), 950, 1_000), ((10, 1_000), 800, 900)],
)
def test_a_gateway_begins_two_windows_before_the_end(span: tuple[int, int], start: int, exact_from: int) -> None:
    """Of the records of the first it is not known what they repeat, and so not whether they are updates."""
    made = market()
    assert begin(made, {TopicPartition(TRADES, 0): span})[TopicPartition(TRADES, 0)] == start
    assert made.partition(TRADES, 0).exact_from == exact_from
