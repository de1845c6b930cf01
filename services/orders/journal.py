"""Commands on their way to the journal: the id first, then the record, then its acknowledgement.

An id is an account's, for a day, and belongs to what came with it first. So a client that does not know what became of
its request sends it again: the record is published again, the same byte for byte, and the engine drops the one it has.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from services.adapters.kafka import AWAY, Producer
from services.adapters.postgres import Postgres, sql
from services.contracts.errors import InfraError
from services.contracts.lab import DepositFunds, OrderCommand, PlaceOrder, WithdrawFunds, group_key
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.orders.problems import Refusal
from services.runtime.clock import NS_PER_S, Clock
from services.runtime.metrics import counter, histogram
from services.runtime.tracing import RecordHeaders

if TYPE_CHECKING:
    from services.runtime.spans import Tracing

Identified = PlaceOrder | DepositFunds | WithdrawFunds
"""Commands with an id of the client's."""

HOUR_NS = 3_600 * NS_PER_S
RETRY_NS = 23 * HOUR_NS
FREE_NS = RETRY_NS + 25 * HOUR_NS
"""The engine knows an id for 24 hours of the journal's time. For an hour before that nothing is published again, so
that it cannot arrive after. What is published again last may be the first that arrives: the id is free an hour after
the engine has forgotten that one, so that what is new is not taken for the old."""
UNAVAILABLE: tuple[type[Exception], ...] = (InfraError, *AWAY)
PRUNED_MAX = 10_000
"""Ids deleted by one statement."""


@dataclass(frozen=True)
class Claim:
    """When the command of an id came in first, and whether that was before this request."""

    received_time: int
    repeated: bool


class Journal:
    """``claim`` what has an id, then ``publish``."""

    def __init__(
        self,
        database: Postgres,
        producer: Producer,
        clock: Clock,
        tracing: "Tracing | None" = None,
        *,
        query_timeout_s: float,
        publish_timeout_s: float,
    ) -> None:
        self._database = database
        self._producer = producer
        self._clock = clock
        self._tracing = tracing
        self._query_timeout_s = query_timeout_s
        self._publish_timeout_s = publish_timeout_s

    async def claim(self, command: Identified, market_group: int) -> Claim:
        """Take the id for the command, or find that it has it. Raises Refusal (409) and InfraError."""
        now = self._clock.now_ns()
        hashed = body_hash(command, market_group)
        symbol = command.symbol if isinstance(command, PlaceOrder) else None
        values = (command.account, command.id, market_group, symbol, hashed, now, now - FREE_NS)
        rows = await self._database.fetch(sql("order_id_claim"), *values, timeout_s=self._query_timeout_s)
        if not rows or rows[0]["body_hash"] != hashed:
            raise Refusal(409, "id_in_use", "this id has been used for something else; choose another")
        received_time = rows[0]["received_time"]
        if now - received_time > RETRY_NS:
            raise Refusal(409, "too_late_to_retry", "this id was used long ago; see GET /v1/orders/{id} for its order")
        return Claim(received_time, received_time != now)

    async def publish(self, command: OrderCommand, market_group: int, *, repeated: bool = False) -> None:
        """Return once Kafka has the command. Raises InfraError where it does not say so in time: it may have it."""
        request = None if self._tracing is None else self._tracing.current()
        if self._tracing is None or request is None:
            await self._publish(command, market_group, (), repeated=repeated)
            return
        span = self._tracing.send(Topic.ORDERS, str(market_group), request)
        with self._tracing.ending([span]):
            await self._publish(command, market_group, self._tracing.record_headers(span), repeated=repeated)

    async def _publish(
        self, command: OrderCommand, market_group: int, headers: RecordHeaders, *, repeated: bool
    ) -> None:
        name = str(command.__struct_config__.tag)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._publish_timeout_s):
                value = msgspec.json.encode(command)
                sent = await self._producer.send(
                    Topic.ORDERS, group_key(market_group), value, partition=market_group, headers=headers
                )
                await self._producer.acknowledged([sent])
        except UNAVAILABLE as error:
            counter(Metric.ORDERS_COMMANDS).labels(name, "unavailable").inc()
            raise error if isinstance(error, InfraError) else self._producer.away(error) from error
        histogram(Metric.ORDERS_PUBLISH_SECONDS).observe(time.perf_counter() - began)
        counter(Metric.ORDERS_COMMANDS).labels(name, "repeated" if repeated else "received").inc()

    async def prune(self) -> None:
        """Delete the ids that are free again."""
        before = self._clock.now_ns() - FREE_NS
        deleted = PRUNED_MAX
        while deleted == PRUNED_MAX:
            try:
                rows = await self._database.fetch(
                    sql("order_ids_prune"), before, PRUNED_MAX, timeout_s=self._query_timeout_s
                )
            except InfraError:
                return
            deleted = len(rows)
            counter(Metric.ORDERS_IDS_PRUNED).inc(deleted)


def body_hash(command: Identified, market_group: int) -> bytes:
    """What a request asked for, and where: the same whatever the order of its fields, and whenever it came."""
    if isinstance(command, PlaceOrder):
        command = msgspec.structs.replace(command, received_time=0)
    return hashlib.sha256(msgspec.json.encode((market_group, command))).digest()
