"""The journal: one partition of ``orders``, read again from any position, and written by the engine itself."""

from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from services.adapters import kafka
from services.adapters.kafka import Producer
from services.contracts.errors import InfraError
from services.contracts.lab import ClockTick, OrderCommand, group_key
from services.contracts.topics import Topic
from services.runtime.settings import KafkaSettings

FETCH_BYTES_MAX = 8 << 20
RECORDS_MAX = 5_000
"""Of one look."""
SILENT_S = 30.0
"""A journal that should go on, and does not for so long, is taken for a broker that is away."""


class Journal:
    def __init__(self, settings: KafkaSettings, producer: Producer, market_group: int) -> None:
        self._settings = settings
        self._producer = producer
        self._group = market_group

    async def read(self, first: int, end: int) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """The records from ``first`` to before ``end``. Raises InfraError where they are not to be had."""
        if first >= end:
            return
        partition = TopicPartition(str(Topic.ORDERS), self._group)
        consumer = AIOKafkaConsumer(
            **kafka.connection(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_bytes=FETCH_BYTES_MAX,
        )
        try:
            await consumer.start()
            consumer.assign([partition])
            beginning = (await consumer.beginning_offsets([partition]))[partition]
            if beginning > first:
                raise InfraError("kafka", f"the journal begins at {beginning}, and {first} is needed to begin from")
            consumer.seek(partition, first)
            while (position := await consumer.position(partition)) < end:
                found = await consumer.getmany(timeout_ms=int(SILENT_S * 1_000), max_records=RECORDS_MAX)
                records = [record for record in found.get(partition, ()) if record.offset < end]
                if not records and await consumer.position(partition) == position:
                    raise InfraError("kafka", f"the journal does not go on at {position}")
                yield records
        finally:
            await consumer.stop()

    async def append(self, commands: Iterable[OrderCommand]) -> None:
        """Put commands at the journal's end, and wait until they are there. Raises InfraError."""
        key = group_key(self._group)
        records = [(key, msgspec.json.encode(command), ()) for command in commands]
        sends = await self._producer.send_all(Topic.ORDERS, self._group, records)
        await self._producer.acknowledged(sends)

    async def tick(self) -> None:
        """Append a ``clock`` command. A broker that is away is reported, and the next one tells the time as well."""
        try:
            await self.append([ClockTick()])
        except InfraError as error:
            self._producer.report(error)
