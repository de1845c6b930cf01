"""A replica of ``orders`` that ends itself by SIGKILL at times: when it has written an id down and published nothing,
or when Kafka has the order and the client has not been told. ``python -m tests.crash.dying_orders`` runs it.
"""

import os
import random
import signal

from services.contracts.lab import OrderCommand
from services.orders import app
from services.orders.journal import Claim, Identified, Journal

CHANCE = 1 / 200


def _perhaps_die() -> None:
    if random.random() < CHANCE:
        os.kill(os.getpid(), signal.SIGKILL)


class DyingJournal(Journal):
    async def claim(self, command: Identified, market_group: int) -> Claim:
        claim = await super().claim(command, market_group)
        _perhaps_die()
        return claim

    async def publish(self, command: OrderCommand, market_group: int, *, repeated: bool = False) -> None:
        await super().publish(command, market_group, repeated=repeated)
        _perhaps_die()


if __name__ == "__main__":
    vars(app)["Journal"] = DyingJournal
    app.main()
