"""Consumers that die between the steps of the pipeline, whole or with one protection taken away.

``python -m tests.crash.controls SERVICE VARIANT`` runs a service on such a pipeline. It ends itself by SIGKILL, one
time in ten, at each of the points named ``_perhaps_die``.
"""

import os
import random
import signal
import sys
from importlib import import_module

from aiokafka import AIOKafkaConsumer

from services.adapters.pipeline import Batch, Outcome, Pipeline, Publication
from services.adapters.postgres import Connection

CHANCE = 0.1


def _perhaps_die() -> None:
    if random.random() < CHANCE:
        os.kill(os.getpid(), signal.SIGKILL)


class Whole(Pipeline):
    """Every protection there: dies between any two steps, and with a part of a batch published."""

    async def _publish(self, publications: list[Publication]) -> None:  # type: ignore[override]
        _perhaps_die()
        middle = random.randint(0, len(publications))
        await super()._publish(publications[:middle])
        _perhaps_die()
        await super()._publish(publications[middle:])
        _perhaps_die()

    async def _store(self, connection: Connection, batch: Batch, outcome: Outcome) -> None:
        await super()._store(connection, batch, outcome)
        _perhaps_die()

    async def _commit(self, consumer: AIOKafkaConsumer, batch: Batch) -> None:
        await super()._commit(consumer, batch)
        _perhaps_die()


class PositionOutside(Pipeline):
    """Control: the position is stored in a transaction of its own, before the output's."""

    async def _store(self, connection: Connection, batch: Batch, outcome: Outcome) -> None:
        await super()._store(connection, batch, Outcome())
        _perhaps_die()
        if outcome.store is not None:
            async with connection.transaction():
                await outcome.store(connection)


class NoFence(Pipeline):
    """Control: the position is stored whoever has the partition now, and wherever it is."""

    async def _store(self, connection: Connection, batch: Batch, outcome: Outcome) -> None:
        async with connection.transaction():
            for tp, next_offset in batch.next_offsets.items():
                await connection.execute(
                    "UPDATE positions SET next_offset = $1 WHERE consumer_group = $2 AND topic = $3 AND partition = $4",
                    next_offset,
                    str(self._engine.group),
                    tp.topic,
                    tp.partition,
                )
            if outcome.store is not None:
                await outcome.store(connection)


class PublishLast(Pipeline):
    """Control: what follows from a batch is published after the commit, once."""

    _held: list[Publication]

    async def _publish(self, publications: list[Publication]) -> None:  # type: ignore[override]
        self._held = list(publications)

    async def _commit(self, consumer: AIOKafkaConsumer, batch: Batch) -> None:
        _perhaps_die()
        await super()._publish(self._held)


VARIANTS: dict[str, type[Pipeline]] = {
    "whole": Whole,
    "position-outside": PositionOutside,
    "publish-last": PublishLast,
    "no-fence": NoFence,
    "none": Pipeline,
}


def main(service: str, variant: str) -> None:
    app = import_module(f"services.{service}.app")
    vars(app)["Pipeline"] = VARIANTS[variant]
    app.main()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
